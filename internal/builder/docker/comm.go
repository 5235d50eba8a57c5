package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"ingot/internal/component"
)

// comm is the communicator of a container. It runs commands in a shell that
// stays, or by exec calls where that would make a difference, and copies files
// as tar streams.
type comm struct {
	*machine
	clock component.Clock
	user  string
	pty   bool
	// fixOwner gives uploaded files to user instead of root.
	fixOwner     bool
	memoryMounts []string
	tempDir      string

	owner func(context.Context) (owner, error)

	// life ends with Close.
	life context.Context
	end  context.CancelCauseFunc

	mu sync.Mutex
	// idle is the shell while no command runs in it; guarded by mu.
	idle *shell
	// shells is how many there are, busy or idle; guarded by mu.
	shells int
}

var _ component.Communicator = (*comm)(nil)

var errClosed = errors.New("docker: the communicator is closed")

func newComm(ctx context.Context, m *execMachine, r component.Run) *comm {
	c := &comm{
		machine: m.machine, clock: r.Clock, user: m.user, pty: m.config.PTY,
		fixOwner: m.config.FixUploadOwner, memoryMounts: m.memoryMounts, tempDir: r.WorkDir,
	}
	c.owner = once(c.findOwner)
	c.life, c.end = context.WithCancelCause(context.WithoutCancel(ctx))
	return c
}

// begin ties an operation to the life of the communicator.
func (c *comm) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := context.Cause(c.life); err != nil {
		return nil, nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { cancel(context.Cause(c.life)) })
	return ctx, func() { stop(); cancel(context.Canceled) }, nil
}

// Run implements component.Communicator.
func (c *comm) Run(ctx context.Context, cmd component.Command) (component.Exit, error) {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return component.Exit{}, err
	}
	defer done()
	var in *pump
	if cmd.Stdin != nil {
		in = newPump(ctx, cmd.Stdin)
		defer in.stop()
	}
	code, err := c.runLine(ctx, cmd, in)
	if err != nil {
		return component.Exit{}, err
	}
	return component.Exit{Code: code}, nil
}

func (c *comm) runLine(ctx context.Context, cmd component.Command, in *pump) (int, error) {
	tty := cmd.PTY || c.pty
	if !tty && c.shellFits(cmd.Line) {
		var stdin []byte
		fits := true
		if in != nil {
			stdin, fits = in.small(smallInput)
		}
		if fits {
			code, err := c.inShell(ctx, cmd.Line, stdin, cmd.Stdout, cmd.Stderr)
			if !errors.Is(err, errNotTaken) {
				return code, err
			}
			in = newPump(ctx, strings.NewReader(string(stdin)))
			defer in.stop()
		}
	}
	return c.run(ctx, execution{
		argv: []string{"/bin/sh", "-c", cmd.Line}, user: c.user, tty: tty,
		stdin: in, stdout: cmd.Stdout, stderr: cmd.Stderr,
	})
}

// shellFits reports whether a command may run in the shell. The engine looks a
// user's groups up anew for every exec call, which a command that changes them
// may count on; for root it makes no difference.
func (c *comm) shellFits(line string) bool {
	return isRoot(c.user) && len(line) <= smallInput && !strings.ContainsRune(line, 0)
}

func isRoot(user string) bool { return user == "" || user == "root" || user == "0" }

// inShell runs a command in the shell. errNotTaken means that there is none
// free, and that nothing was run.
func (c *comm) inShell(ctx context.Context, line string, stdin []byte, stdout, stderr io.Writer) (int, error) {
	s, err := c.takeShell(ctx)
	if err != nil {
		return 0, err
	}
	code, again, err := s.run(ctx, line, stdin, stdout, stderr)
	c.giveBack(s, again)
	return code, err
}

// takeShell returns the idle shell, or a new one when there is none at all.
func (c *comm) takeShell(ctx context.Context) (*shell, error) {
	c.mu.Lock()
	s := c.idle
	c.idle = nil
	fresh := s == nil && c.shells == 0
	if fresh {
		c.shells++
	}
	c.mu.Unlock()
	switch {
	case s != nil:
		return s, nil
	case !fresh:
		return nil, errNotTaken
	}
	s, err := c.openShell(ctx)
	if err != nil {
		c.forgetShell()
		return nil, errNotTaken
	}
	return s, nil
}

func (c *comm) giveBack(s *shell, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if again && c.life.Err() == nil {
		c.idle = s
		return
	}
	c.shells--
	s.conn.Close()
}

func (c *comm) forgetShell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shells--
}

// warm starts the shell ahead of the first command.
func (c *comm) warm(ctx context.Context) {
	if !c.shellFits("") || c.pty {
		return
	}
	if s, err := c.takeShell(ctx); err == nil {
		c.giveBack(s, true)
	}
}

// Caps implements component.Communicator.
func (c *comm) Caps() component.Caps {
	return component.Caps{Run: true, Put: true, Get: true, Tree: true, PTY: true, AlwaysPTY: c.pty, Shell: component.POSIX, Transport: commDocker}
}

// Close implements component.Communicator. The container stays.
func (c *comm) Close() error {
	c.end(errClosed)
	c.mu.Lock()
	s := c.idle
	c.idle = nil
	c.mu.Unlock()
	if s != nil {
		s.close()
	}
	return nil
}

// once calls fn until it has succeeded and then repeats its value.
func once[T any](fn func(context.Context) (T, error)) func(context.Context) (T, error) {
	var (
		mu    sync.Mutex
		known bool
		value T
	)
	return func(ctx context.Context) (T, error) {
		mu.Lock()
		defer mu.Unlock()
		if known {
			return value, nil
		}
		v, err := fn(ctx)
		if err != nil {
			return v, fmt.Errorf("docker: %w", err)
		}
		value, known = v, true
		return v, nil
	}
}
