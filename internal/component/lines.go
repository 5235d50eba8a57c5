package component

import (
	"bytes"
	"strings"
	"sync"
)

// maxLine is the longest line that LineWriter holds back; a longer one is
// emitted in pieces so that memory stays bounded.
const maxLine = 64 << 10

// LineWriter turns written bytes into Output events, one per line. Of a line
// with carriage returns only what is after the last one counts, as a terminal
// would show it; trailing white space is dropped. Flush emits a last line
// that had no end. It is safe for concurrent use.
type LineWriter struct {
	sink   Sink
	stream Stream

	mu  sync.Mutex
	buf []byte // guarded by mu; the unfinished line
}

// NewLineWriter makes a LineWriter that emits to sink.
func NewLineWriter(sink Sink, stream Stream) *LineWriter {
	return &LineWriter{sink: sink, stream: stream}
}

// Write takes any part of the output. It never fails.
func (w *LineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		if len(w.buf) == 0 {
			w.emit(p[:i])
		} else {
			w.buf = append(w.buf, p[:i]...)
			w.emit(w.buf)
			w.buf = w.buf[:0]
		}
		p = p[i+1:]
	}
	w.buf = append(w.buf, p...)
	for len(w.buf) > maxLine {
		w.emit(w.buf[:maxLine])
		w.buf = append(w.buf[:0], w.buf[maxLine:]...)
	}
	return n, nil
}

// Flush emits what is left.
func (w *LineWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf) > 0 {
		w.emit(w.buf)
		w.buf = w.buf[:0]
	}
}

func (w *LineWriter) emit(line []byte) {
	text := strings.TrimRight(string(line), " \t\r")
	if i := strings.LastIndexByte(text, '\r'); i >= 0 {
		text = text[i+1:]
	}
	w.sink.Emit(Output{Stream: w.stream, Line: text})
}
