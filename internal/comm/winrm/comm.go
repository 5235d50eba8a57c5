package winrm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"ingot/internal/component"
)

// comm is the communicator.
type comm struct {
	client *client
	// over ends with the communicator; its cause is errClosed.
	over  context.Context //nolint:containedctx // it is the communicator's life
	close context.CancelCauseFunc
}

var errClosed = errors.New("winrm: the communicator is closed")

func newComm(c *client) *comm {
	over, end := context.WithCancelCause(context.Background())
	return &comm{c, over, end}
}

// working returns a context that ends with ctx and with the communicator.
func (c *comm) working(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.over, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// Caps says what works; see component.Communicator.
func (c *comm) Caps() component.Caps {
	return component.Caps{Run: true, Put: true, Get: true, Tree: true, Shell: component.Cmd, Transport: "winrm"}
}

// Access says how the machine was reached; see component.Accessible.
func (c *comm) Access() (component.Access, error) { return c.client.access, nil }

// Close ends what is running; see component.Communicator.
func (c *comm) Close() error {
	c.close(errClosed)
	c.client.login.close()
	return nil
}

// maxLine is how long a command line may be: the limit of cmd.exe.
const maxLine = 8191

// Run executes a command; see component.Communicator.
func (c *comm) Run(ctx context.Context, cmd component.Command) (component.Exit, error) {
	exit, err := c.run(ctx, cmd)
	if err != nil {
		return component.Exit{}, fmt.Errorf("winrm: run a command: %w", err)
	}
	return exit, nil
}

func (c *comm) run(ctx context.Context, cmd component.Command) (component.Exit, error) {
	if cmd.PTY {
		return component.Exit{}, fmt.Errorf("there are no terminals: %w", component.ErrUnsupported)
	}
	if err := checkLine(cmd.Line); err != nil {
		return component.Exit{}, err
	}
	ctx, done := c.working(ctx)
	defer done()
	return execute(ctx, c.client, cmd)
}

// checkLine refuses what would arrive as something else.
func checkLine(line string) error {
	if len(line) > maxLine {
		return fmt.Errorf("the command line has %d characters and cmd.exe takes %d; put it into a script", len(line), maxLine)
	}
	if !utf8.ValidString(line) {
		return errors.New("the command line is not valid UTF-8")
	}
	for _, r := range line {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return fmt.Errorf("the command line holds the character %U, which WinRM cannot carry", r)
		}
	}
	return nil
}

// execute runs a command in a shell of its own. When ctx ends first, so does
// the command.
func execute(ctx context.Context, c *client, cmd component.Command) (component.Exit, error) {
	if ctx.Err() != nil {
		return component.Exit{}, context.Cause(ctx)
	}
	s, err := openShell(ctx, c)
	if err != nil {
		return component.Exit{}, lost(ctx, err)
	}
	defer s.close()
	p, err := s.start(ctx, cmd.Line)
	if err != nil {
		return component.Exit{}, lost(ctx, err)
	}
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	fed := make(chan error, 1)
	// A read of the input that does not end outlives us, as in os/exec.
	go func() {
		err := feed(work, p, cmd.Stdin)
		var f *fault
		if err != nil && !errors.As(err, &f) {
			// What a command does with half of its input is of no
			// interest. A fault only says that it reads no more.
			stop(err)
		}
		fed <- err
	}()
	exit, err := p.follow(work, cmd.Stdout, cmd.Stderr)
	if err == nil {
		return exit, nil
	}
	p.terminate()
	var reader errReader
	switch {
	case ctx.Err() != nil:
		return component.Exit{}, context.Cause(ctx)
	case errors.As(context.Cause(work), &reader):
		return component.Exit{}, reader.error
	case work.Err() != nil:
		return component.Exit{}, lost(ctx, fmt.Errorf("send the input: %w", context.Cause(work)))
	case errors.As(err, new(errWriter)):
		return component.Exit{}, err
	}
	return component.Exit{}, lost(ctx, err)
}

// errReader is an error of the one who gives the input.
type errReader struct{ error }

func (e errReader) Unwrap() error { return e.error }

// feed sends the input and its end.
func feed(ctx context.Context, p *process, in io.Reader) error {
	if in == nil {
		return p.send(ctx, nil, true)
	}
	buf := make([]byte, inputSize)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if err := p.send(ctx, buf[:n], false); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return p.send(ctx, nil, true)
		}
		if err != nil {
			return errReader{fmt.Errorf("read the input: %w", err)}
		}
	}
}

// ready checks that PowerShell answers.
func ready(ctx context.Context, c *client) error {
	var out, errs bytes.Buffer
	exit, err := execute(ctx, c, component.Command{Line: powershell(script(readyScript)), Stdout: &out, Stderr: &errs})
	if err != nil {
		return err
	}
	if exit.Code != 0 || !strings.Contains(out.String(), "ingot-ready") {
		return fmt.Errorf("powershell.exe ends with %s: %s", exit, strings.Join(strings.Fields(errs.String()+" "+out.String()), " "))
	}
	return nil
}
