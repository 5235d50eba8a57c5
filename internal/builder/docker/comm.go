package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ingot/internal/component"
)

// comm is the communicator of a container: it runs commands with exec calls
// and copies files as tar streams.
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

	mu     sync.Mutex
	closed bool // guarded by mu
}

var _ component.Communicator = (*comm)(nil)

func newComm(m *execMachine, r component.Run) *comm {
	c := &comm{
		machine: m.machine, clock: r.Clock, user: m.user, pty: m.config.PTY,
		fixOwner: m.config.FixUploadOwner, memoryMounts: m.memoryMounts, tempDir: r.WorkDir,
	}
	c.owner = once(c.findOwner)
	return c
}

var errClosed = errors.New("docker: the communicator is closed")

func (c *comm) open() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	return nil
}

// Run implements component.Communicator.
func (c *comm) Run(ctx context.Context, cmd component.Command) (component.Exit, error) {
	if err := c.open(); err != nil {
		return component.Exit{}, err
	}
	code, err := c.run(ctx, execution{
		argv: []string{"/bin/sh", "-c", cmd.Line}, user: c.user, tty: cmd.PTY || c.pty,
		stdin: cmd.Stdin, stdout: cmd.Stdout, stderr: cmd.Stderr,
	})
	if err != nil {
		return component.Exit{}, err
	}
	return component.Exit{Code: code}, nil
}

// Caps implements component.Communicator.
func (*comm) Caps() component.Caps {
	return component.Caps{Run: true, Put: true, Get: true, Tree: true, PTY: true, Shell: component.POSIX, Transport: commDocker}
}

// Close implements component.Communicator. The container stays.
func (c *comm) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
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
