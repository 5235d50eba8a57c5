//go:build unix

package ui

import (
	"bufio"
	"context"
	"io"
	"reflect"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"

	"ingot/internal/component"
)

// TestConnect: what is typed arrives as it is while the terminal is given away, and
// the terminal is as before when it is back.
func TestConnect(t *testing.T) {
	p, personEnd := ptyPrompter(t, nil)
	if !p.Interactive() || p.tty.interrupt == nil {
		t.Skip("reads cannot be interrupted here")
	}
	screen := bufio.NewReader(personEnd)
	before, err := term.GetState(int(personEnd.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(personEnd, &pty.Winsize{Rows: 22, Cols: 66}); err != nil {
		t.Fatal(err)
	}
	var size component.WindowSize
	var left io.Reader
	err = p.Connect(t.Context(), func(_ context.Context, term component.Terminal) error {
		size, left = term.Size, term.In
		if _, err := io.WriteString(personEnd, "a\x03\r"); err != nil {
			return err
		}
		got := make([]byte, 3)
		if _, err := io.ReadFull(term.In, got); err != nil {
			return err
		}
		if string(got) != "a\x03\r" {
			t.Errorf("typed %q", got)
		}
		_, err := io.WriteString(term.Out, "shown")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (component.WindowSize{Columns: 66, Rows: 22}); size != want {
		t.Errorf("size %v, want %v", size, want)
	}
	if n, err := left.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the shell still reads: %d, %v", n, err)
	}
	after, err := term.GetState(int(personEnd.Fd()))
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("the terminal is not as before: %v", err)
	}
	readUntil(t, screen, "shown") // nothing was echoed before it
	if _, err := io.WriteString(personEnd, "yes\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Ask(t.Context(), "And now?"); err != nil || got != "yes" {
		t.Errorf("got %q, %v", got, err)
	}
}
