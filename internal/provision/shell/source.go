package shell

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
)

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// source is a script that can be read as often as needed.
type source struct {
	// label is what the user calls it.
	label string
	// path is a local file; empty for text.
	path, text string
	// binary: bytes are passed on as they are.
	binary bool
}

// sources lists the scripts in the order in which they run.
func (c *config) sources() []source {
	if len(c.Inline) > 0 {
		return []source{{label: "inline", text: c.inlineText(), binary: c.Binary}}
	}
	paths := c.Scripts
	if c.Script != "" {
		paths = []string{c.Script}
	}
	out := make([]source, len(paths))
	for i, p := range paths {
		out[i] = source{label: p, path: p, binary: c.Binary}
	}
	return out
}

func (c *config) inlineText() string {
	var b strings.Builder
	if c.ShebangSet || !strings.HasPrefix(c.Inline[0], "#!") {
		b.WriteString("#!" + c.InlineShebang + "\n")
	}
	for _, line := range c.Inline {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// open returns the script from its beginning.
func (s source) open() (io.ReadCloser, error) {
	if s.path == "" {
		return s.converted(io.NopCloser(strings.NewReader(s.text))), nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("script: %w", err)
	}
	return s.converted(f), nil
}

// size is the number of bytes that open's reader yields. Files are read for it
// when their line ends are converted.
func (s source) size() (int64, error) {
	if s.path != "" && s.binary {
		info, err := os.Stat(s.path)
		if err != nil {
			return 0, fmt.Errorf("script: %w", err)
		}
		return info.Size(), nil
	}
	r, err := s.open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		return 0, fmt.Errorf("script: %w", err)
	}
	return n, nil
}

func (s source) converted(r io.ReadCloser) io.ReadCloser {
	if s.binary {
		return r
	}
	return &unixLines{in: bufio.NewReader(r), Closer: r}
}

// unixLines turns CR LF into LF.
type unixLines struct {
	in *bufio.Reader
	io.Closer
}

func (u *unixLines) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if n > 0 && u.in.Buffered() == 0 {
			return n, nil // what is there now; do not wait for more
		}
		b, err := u.in.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil // the error comes back with the next call
			}
			return 0, err
		}
		if b == '\r' {
			if next, err := u.in.Peek(1); err == nil && next[0] == '\n' {
				continue
			}
		}
		p[n] = b
		n++
	}
	return n, nil
}
