package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// errInterrupt is what ReadLine fails with when Ctrl-C was typed.
var errInterrupt = errors.New("interrupted")

// editor reads lines from a terminal. The terminal is in raw mode only while a
// line is read, so that Ctrl-C ends an evaluation as it ends any program.
type editor struct {
	in, out *os.File
	names   names
	history *History
	keys    *keys
	term    *term.Terminal
}

func newEditor(in, out *os.File, n names, h *History) *editor {
	e := &editor{in: in, out: out, names: n, history: h, keys: &keys{in: in}}
	e.fresh()
	return e
}

// fresh starts with an empty line.
func (e *editor) fresh() {
	e.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{e.keys, e.out}, "")
	e.term.History = e.history
}

// readLine shows the prompt and returns a line. It fails with io.EOF after
// Ctrl-D on an empty line, and with errInterrupt after Ctrl-C.
func (e *editor) readLine(ctx context.Context, prompt string) (line string, err error) {
	state, err := term.MakeRaw(int(e.in.Fd()))
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	width := e.width()
	defer func() {
		e.term.SetBracketedPasteMode(false)
		err = errors.Join(err, term.Restore(int(e.in.Fd()), state))
	}()
	if err := e.term.SetSize(width, 24); err != nil {
		return "", fmt.Errorf("write to the terminal: %w", err)
	}
	e.term.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		return e.complete(ctx, line, pos, width)
	}
	e.term.SetPrompt(prompt)
	e.term.SetBracketedPasteMode(true)
	line, err = e.term.ReadLine()
	switch {
	case errors.Is(err, term.ErrPasteIndicator):
		return line, nil
	case errors.Is(err, errInterrupt):
		e.fresh()
		_, _ = io.WriteString(e.out, "^C\r\n")
	case errors.Is(err, io.EOF):
		_, _ = io.WriteString(e.out, "\r\n")
	}
	return line, err
}

func (e *editor) width() int {
	if w, _, err := term.GetSize(int(e.out.Fd())); err == nil && w > 0 {
		return w
	}
	return 80
}

// complete answers the Tab key: the word in front of the cursor grows as far
// as it is clear, and when it is not, the candidates are listed.
func (e *editor) complete(ctx context.Context, line string, pos, width int) (string, int, bool) {
	found, typed := candidates(ctx, e.names, line[:pos])
	grown := completion(found)
	if len(grown) > len(typed) {
		add := grown[len(typed):]
		return line[:pos] + add + line[pos:], pos + len(add), true
	}
	if len(found) > 1 {
		_, _ = io.WriteString(e.term, columns(found, width)) // the next key will fail as well
	}
	return line, pos, true
}

// keys passes on what is typed and turns Ctrl-C into an error.
type keys struct {
	in   io.Reader
	rest []byte
}

const ctrlC = 3

func (k *keys) Read(p []byte) (int, error) {
	if len(k.rest) == 0 {
		buf := make([]byte, len(p))
		n, err := k.in.Read(buf)
		if n == 0 {
			return 0, err
		}
		k.rest = buf[:n]
	}
	if k.rest[0] == ctrlC {
		k.rest = k.rest[1:]
		return 0, errInterrupt
	}
	part := k.rest
	if i := bytes.IndexByte(part, ctrlC); i > 0 {
		part = part[:i]
	}
	n := copy(p, part)
	k.rest = k.rest[n:]
	return n, nil
}
