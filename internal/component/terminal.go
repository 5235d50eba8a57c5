package component

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Interactive is implemented by a Communicator that can connect a person's terminal
// with a shell on its machine.
type Interactive interface {
	// Shell starts a shell with a terminal of its own, of the size of t, and
	// returns when it has ended. What is typed reaches it as it is, Ctrl-C too. It
	// fails with ErrUnsupported when the machine has no terminals. When ctx ends,
	// so does the shell. The rest is as with Communicator.Run.
	Shell(ctx context.Context, t Terminal) (Exit, error)
}

// Terminal is a person's terminal while a shell has it: nothing that is typed is
// echoed or interpreted here.
type Terminal struct {
	// In is what is typed; it ends when the terminal is taken back. Out is what is
	// shown.
	In  io.Reader
	Out io.Writer
	// Type is its kind, as in TERM; never empty.
	Type string
	// Size is that at the beginning, and Resized tells of changes; nil when they
	// are not noticed.
	Size    WindowSize
	Resized <-chan WindowSize
}

// WindowSize is the size of a terminal in characters. Zero is not known.
type WindowSize struct{ Columns, Rows int }

// Follow calls set for each change of the size, one at a time, until stop is called,
// which waits for the last call.
func (t Terminal) Follow(set func(WindowSize)) (stop func()) {
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case size := <-t.Resized:
				set(size)
			case <-quit:
				return
			}
		}
	})
	return func() { close(quit); done.Wait() }
}

// TerminalPrompter is implemented by a Prompter that can give its terminal away.
type TerminalPrompter interface {
	Prompter
	// Connect gives the terminal to use, and puts it back into the state that it
	// was in when use returns, or the program ends. Nothing else is shown
	// meanwhile. It fails with ErrUnsupported when this system cannot do that, and
	// has then not called use.
	Connect(ctx context.Context, use func(ctx context.Context, t Terminal) error) error
}

// CanShell reports whether OpenShell can do anything on the machine.
func CanShell(comm Communicator) bool { return comm != nil && comm.Caps().Run }

// OpenShell lets the person at the terminal work in a shell on a machine until it
// is left. Where there is no terminal for it, on either side, commands are read line
// by line and run one at a time. How the shell has ended does not matter.
func OpenShell(ctx context.Context, r Run, comm Communicator) error {
	if !CanShell(comm) {
		return fmt.Errorf("open a shell: no commands can be run on this machine: %w", ErrUnsupported)
	}
	in, able := comm.(Interactive)
	own, has := r.Prompt.(TerminalPrompter)
	if able && has {
		err := own.Connect(ctx, func(ctx context.Context, t Terminal) error {
			_, _ = fmt.Fprintf(t.Out, "A shell on the machine of %s. Ctrl-D or exit leaves it.\r\n", r.Build)
			_, err := in.Shell(ctx, t)
			return err
		})
		if !errors.Is(err, ErrUnsupported) {
			return err
		}
	}
	return commandLines(ctx, r, comm)
}

// commandLines runs what is typed, line by line.
func commandLines(ctx context.Context, r Run, comm Communicator) error {
	r.Say("Commands are run one at a time on the machine; each starts in its first folder. exit leaves.")
	for {
		line, err := r.Prompt.Ask(ctx, r.Build.String()+"> ")
		line = strings.TrimSpace(line)
		switch {
		case errors.Is(err, io.EOF) || err == nil && line == "exit":
			return nil
		case err != nil:
			return err
		case line == "":
			continue
		}
		out, errs := NewLineWriter(r.Events, Stdout), NewLineWriter(r.Events, Stderr)
		exit, err := comm.Run(ctx, Command{Line: line, Stdout: out, Stderr: errs})
		out.Flush()
		errs.Flush()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			r.Emit(Problem{Text: err.Error()})
		case exit != (Exit{}):
			r.Say(exit.String())
		}
	}
}
