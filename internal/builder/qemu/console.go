package qemu

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxConsole is how much of what the machine prints is kept.
const maxConsole = 256 << 10

// console keeps the end of what the machine prints on its serial line.
type console struct {
	mu      sync.Mutex
	data    []byte        // guarded by mu
	total   int64         // bytes that were ever printed; guarded by mu
	changed chan struct{} // closed and made anew with every change; guarded by mu
}

func newConsole() *console { return &console{changed: make(chan struct{})} }

// read keeps what comes until there is nothing more.
func (c *console) read(r io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		c.append(buf[:n])
		if err != nil {
			return
		}
	}
}

func (c *console) append(p []byte) {
	if len(p) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = append(c.data, p...)
	c.total += int64(len(p))
	if over := len(c.data) - maxConsole; over > 0 {
		// Half of it goes at once, so that little is moved.
		keep := c.data[max(over, maxConsole/2):]
		c.data = append(make([]byte, 0, maxConsole+4096), keep...)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// since returns what was printed after the first from bytes, as far as it is still
// there, how much was ever printed, and a channel that is closed when there is more.
func (c *console) since(from int64) (data []byte, total int64, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	start := max(from-(c.total-int64(len(c.data))), 0)
	return bytes.Clone(c.data[min(start, int64(len(c.data))):]), c.total, c.changed
}

// lastLines are the last n lines that are not empty, as plain text.
func (c *console) lastLines(n int) []string {
	data, _, _ := c.since(0)
	var out []string
	for line := range strings.SplitSeq(plain(data), "\n") {
		if line = strings.TrimRight(line, " \t"); line != "" {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-n):]
}

// plain is what a terminal would show of data, roughly: without control sequences,
// and with what overwrites a line in place of it.
func plain(data []byte) string {
	var out strings.Builder
	line := []rune{}
	at := 0
	text := string(data)
	for i := 0; i < len(text); {
		if n := sequence(text[i:]); n > 0 {
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		switch {
		case r == '\n':
			out.WriteString(string(line) + "\n")
			line, at = line[:0], 0
		case r == '\r':
			at = 0
		case r == '\b':
			at = max(at-1, 0)
		case r < ' ' && r != '\t', r == 0x7f:
		case at < len(line):
			line[at] = r
			at++
		default:
			line = append(line, r)
			at++
		}
	}
	out.WriteString(string(line))
	return out.String()
}
