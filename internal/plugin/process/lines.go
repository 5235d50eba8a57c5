package process

import (
	"bytes"
	"strings"
	"sync"
)

// What is kept of a plugin's log for messages, and the longest line of it.
const (
	keptLines = 15
	maxLine   = 16 << 10
)

// maxFirst is how much of the standard output is looked at for the first line.
const maxFirst = 8 << 10

// firstLine takes the first line of what is written and drops the rest.
type firstLine struct {
	line chan string // gets one line
	mu   sync.Mutex
	got  []byte
	done bool
}

func newFirstLine() *firstLine { return &firstLine{line: make(chan string, 1)} }

// Write never fails.
func (f *firstLine) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return len(p), nil
	}
	n := len(p)
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		p, f.done = p[:i], true
	}
	f.got = append(f.got, p...)
	if f.done || len(f.got) > maxFirst {
		f.done = true
		f.line <- string(f.got)
		f.got = nil
	}
	return n, nil
}

// logs hands out lines and remembers the last ones.
type logs struct {
	to   func(string)
	mu   sync.Mutex
	part []byte
	kept []string
}

// Write takes any part of the log. It never fails.
func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		piece, rest, whole := bytes.Cut(p, []byte("\n"))
		room := maxLine - len(l.part)
		if len(piece) > room {
			piece, rest, whole = p[:room], p[room:], true
		}
		l.part = append(l.part, piece...)
		p = rest
		if whole {
			l.emit()
		}
	}
	return n, nil
}

// emit hands out the line that is there. The lock is held, so that lines stay in
// order.
func (l *logs) emit() {
	line := strings.ToValidUTF8(string(bytes.TrimRight(l.part, " \t\r\n")), "�")
	l.part = l.part[:0]
	if line == "" {
		return
	}
	if len(l.kept) == keptLines {
		l.kept = append(l.kept[:0], l.kept[1:]...)
	}
	l.kept = append(l.kept, line)
	if l.to != nil {
		l.to(line)
	}
}

func (l *logs) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.emit()
	}
}

// last are the last lines, oldest first, each short enough for a message.
func (l *logs) last() []string {
	l.flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]string, len(l.kept))
	for i, line := range l.kept {
		const most = 500
		if len(line) > most {
			line = strings.ToValidUTF8(line[:most], "") + "..."
		}
		out[i] = line
	}
	return out
}
