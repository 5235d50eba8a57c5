package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// TestInterruptWhileReadingTheTemplate: a command that waits for a template on
// standard input ends when it is interrupted, and says so.
func TestInterruptWhileReadingTheTemplate(t *testing.T) {
	in, out := io.Pipe() // nothing is ever written
	defer out.Close()
	ctx, end := context.WithCancelCause(t.Context())
	a := &app{streams: Streams{In: in}, getenv: func(string) string { return "" }}
	done := make(chan error, 1)
	go func() {
		_, _, _, err := a.load(ctx, templateFlags{}, "-", func(string) {})
		done <- err
	}()
	end(errInterrupted{os.Interrupt})
	if err := <-done; !errors.As(err, new(errInterrupted)) {
		t.Errorf("got %v, want that it was interrupted", err)
	}
}

// TestInterruptibleInput: what is there is read, to the end.
func TestInterruptibleInput(t *testing.T) {
	want := strings.Repeat("a template\n", 1000)
	got, err := io.ReadAll(interruptibleInput{t.Context(), strings.NewReader(want)})
	if err != nil || string(got) != want {
		t.Errorf("got %d bytes and %v", len(got), err)
	}
}
