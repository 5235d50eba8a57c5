//go:build unix

package console

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/creack/pty"

	"ingot/internal/diag"
)

// person sits at a terminal at whose other end a session runs.
type person struct {
	t      *testing.T
	pty    *os.File
	screen *bufio.Reader
	done   chan error
}

// sit starts a session. Its history is in the file at path.
func sit(t *testing.T, path string) *person {
	t.Helper()
	far, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	h, err := OpenHistory(path, func(line string) bool { return !strings.Contains(line, "hunter2") })
	if err != nil {
		t.Fatal(err)
	}
	s := Session{
		Scope: testScope{}, Out: tty, Unknown: "?", Redact: Printable(func(s string) string { return s }),
		Report:    func(l diag.List, _ map[string][]byte) { io.WriteString(tty, l.Err().Error()+"\n") },
		Variables: func() string { return "the variables\n" },
	}
	p := &person{t: t, pty: far, screen: bufio.NewReader(far), done: make(chan error, 1)}
	go func() {
		defer tty.Close()
		p.done <- s.Terminal(context.Background(), tty, tty, h)
	}()
	t.Cleanup(func() { far.Close() })
	return p
}

func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.pty, keys); err != nil {
		p.t.Fatal(err)
	}
}

// sees reads the screen up to and with the text, and returns what stood there.
func (p *person) sees(text string) string {
	p.t.Helper()
	var got strings.Builder
	for !strings.HasSuffix(got.String(), text) {
		c, err := p.screen.ReadByte()
		if err != nil {
			p.t.Fatalf("%v after %q, want %q", err, got.String(), text)
		}
		got.WriteByte(c)
	}
	return got.String()
}

// leaves waits for the end of the session.
func (p *person) leaves() {
	p.t.Helper()
	go io.Copy(io.Discard, p.screen) // nothing may wait for the screen
	if err := <-p.done; err != nil {
		p.t.Error(err)
	}
}

const (
	// prompt and result are what stands in front of them: pasting is marked
	// while a line is read.
	prompt = "\x1b[?2004h"
	result = "\x1b[?2004l"
	up     = "\x1b[A"
	ctrlD  = "\x04"
)

func TestTerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	p := sit(t, path)
	p.sees(prompt)

	p.types("1 + 1\r")
	p.sees(result + "2\r\n")
	p.sees(prompt)

	// Over several lines, with a prompt of its own.
	p.types("[3,\r")
	p.sees("\x1b[?2004h. ")
	p.types("4]\r")
	p.sees(result + "[\r\n  3,\r\n  4,\r\n]\r\n")
	p.sees(prompt)

	// A name is completed, and where it is not clear the candidates are listed.
	p.types("va\t.\t\t")
	p.sees("name   names")
	p.types("\r")
	p.sees(result + "x\r\n")
	p.sees(prompt)

	// Ctrl-C clears the line, and all lines of an input.
	p.types("[nonsense\x03")
	p.sees("^C\r\n")
	p.sees(prompt)
	p.types("[\r")
	p.sees("\x1b[?2004h. ")
	p.types("\x03")
	p.sees("^C\r\n")
	p.sees("\x1b[?2004h> ")

	// The arrow keys bring back what was typed.
	p.types("\"pass hunter2\"\r")
	p.sees(result + "pass hunter2\r\n")
	p.sees(prompt)
	p.types(up + up + up + up + up + up + "\r")
	p.sees(result + "2\r\n")
	p.sees(prompt)

	// What a value would do to the terminal is left out.
	p.types("\"\\u001b[31mred\"\r")
	p.sees(result + "[31mred\r\n")
	p.sees(prompt)

	// A mistake does not end the session, Ctrl-D does.
	p.types("var.no\r")
	p.sees("nsupported attribute")
	p.sees(prompt)
	p.types(ctrlD)
	p.leaves()

	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(kept)), "\n")
	if !slices.Contains(lines, "1 + 1") || !slices.Contains(lines, "var.name") || strings.Contains(string(kept), "hunter2") {
		t.Errorf("kept %q", lines)
	}

	// The next session has them.
	p = sit(t, path)
	p.sees(prompt)
	p.types(up + "\r")
	p.sees("nsupported attribute")
	p.sees(prompt)
	p.types("exit\r")
	p.leaves()
}

// A paste of several lines is read line by line, without completion.
func TestTerminalPaste(t *testing.T) {
	p := sit(t, filepath.Join(t.TempDir(), "history"))
	p.sees(prompt)
	p.types("\x1b[200~[\r\t5\r]\r\x1b[201~")
	p.sees(result + "[\r\n  5,\r\n]\r\n")
	p.sees(prompt) // between two lines it is the terminal that reads Ctrl-D
	p.types(ctrlD)
	p.leaves()
}
