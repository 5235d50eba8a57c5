package ssh_test

import (
	"strings"
	"sync"
)

// lockedBuffer may be read while something writes to it.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// line is the text without its line end.
func (l *lockedBuffer) line() string { return strings.TrimRight(l.String(), "\r\n") }
