//go:build unix

package ui

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"

	"ingot/internal/component"
)

var _ component.Prompter = (*Prompter)(nil)
var _ component.Prompter = NoPrompter{}

// ptyPrompter returns a prompter at one end of a pseudo-terminal and the
// other end, where a person would sit.
func ptyPrompter(t *testing.T, display Pauser) (*Prompter, *os.File) {
	t.Helper()
	person, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	name := tty.Name()
	p := NewPrompter(display)
	p.open = func() (*console, error) {
		f, err := os.OpenFile(name, os.O_RDWR|0x100, 0) // O_NOCTTY
		if err != nil {
			return nil, err
		}
		if !answers(f) {
			t.Error("a fresh terminal does not answer")
		}
		return fileConsole(f), nil
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		tty.Close()
		person.Close()
	})
	return p, person
}

func readUntil(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	var got strings.Builder
	for !strings.HasSuffix(got.String(), want) {
		c, err := r.ReadByte()
		if err != nil {
			t.Fatalf("%v after %q, want %q", err, got.String(), want)
		}
		got.WriteByte(c)
	}
}

func TestPrompter(t *testing.T) {
	p, person := ptyPrompter(t, nil)
	screen := bufio.NewReader(person)
	if !p.Interactive() {
		t.Fatal("not interactive")
	}
	// Two lines typed at once answer two questions.
	if _, err := io.WriteString(person, "first\nsecond\n"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second"} {
		got, err := p.Ask(context.Background(), "Which? \n")
		if err != nil || got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	readUntil(t, screen, "Which? ")
}

func TestPrompterCancel(t *testing.T) {
	p, person := ptyPrompter(t, nil)
	screen := bufio.NewReader(person)
	cause := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	failed := make(chan error)
	go func() {
		_, err := p.Ask(ctx, "Go on?")
		failed <- err
	}()
	readUntil(t, screen, "Go on? ")
	cancel(cause)
	if err := <-failed; !errors.Is(err, cause) {
		t.Fatalf("got %v, want the cause", err)
	}
	if _, err := p.Ask(ctx, "again"); !errors.Is(err, cause) {
		t.Fatalf("asked although cancelled: %v", err)
	}
	answered := make(chan string)
	go func() {
		got, _ := p.Ask(context.Background(), "And now?")
		answered <- got
	}()
	readUntil(t, screen, "And now? ")
	if _, err := io.WriteString(person, "yes\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got != "yes" {
		t.Errorf("got %q", got)
	}
}

// A read that nobody waits for any more does not outlive Close.
func TestPrompterCloseEndsRead(t *testing.T) {
	p, person := ptyPrompter(t, nil)
	screen := bufio.NewReader(person)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = p.Ask(ctx, "?")
	}()
	readUntil(t, screen, "? ")
	cancel()
	<-done
	if p.tty.interrupt == nil {
		t.Skip("reads cannot be interrupted here")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Ask(context.Background(), "?"); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("asked after Close: %v", err)
	}
}

func TestPrompterWithoutTerminal(t *testing.T) {
	tries := 0
	p := NewPrompter(nil)
	p.open = func() (*console, error) { tries++; return nil, os.ErrNotExist }
	for range 2 {
		if p.Interactive() {
			t.Error("interactive without a terminal")
		}
		if _, err := p.Ask(context.Background(), "?"); !errors.Is(err, ErrNoTerminal) {
			t.Errorf("got %v", err)
		}
	}
	if tries != 1 {
		t.Errorf("looked for a terminal %d times", tries)
	}
	if _, err := (NoPrompter{}).Ask(context.Background(), "?"); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("got %v", err)
	}
}

func TestPrompterEndOfInputAndOrder(t *testing.T) {
	var out bytes.Buffer
	display := NewPlain(&out, &out, PlainOptions{})
	display.Handle(component.Stamped{Event: component.Message{Text: "before"}})
	p := NewPrompter(display)
	p.open = func() (*console, error) {
		return &console{in: strings.NewReader("last"), out: &out, close: func() error { return nil }}, nil
	}
	got, err := p.Ask(context.Background(), "evil \x1b[2J?\nAnswer:")
	if err != nil || got != "last" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := p.Ask(context.Background(), "more?"); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want EOF", err)
	}
	if want := "before\nevil ?\nAnswer: more? "; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
	if err := display.Close(); err != nil {
		t.Fatal(err)
	}
}
