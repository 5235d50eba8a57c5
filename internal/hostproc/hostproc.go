// Package hostproc starts programs on this machine in such a way that they and
// what they start can be found and ended later, also by another process after
// this one has died: each is a resource of the journal, in a session of its own,
// with the resource's token in its environment.
package hostproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"

	"ingot/internal/component"
	"ingot/internal/procid"
)

// Acquire starts cmd as a resource of the journal, in a session of its own: a
// signal of the terminal does not reach it, and EndGroup ends it with all that it
// has started. A nil cmd.Env stands for the environment of this process. Releasing
// the lease kills the processes; the caller waits for cmd all the same. After an
// error nothing runs.
func Acquire(ctx context.Context, r component.Run, cmd *exec.Cmd) (component.Lease, error) {
	ownGroup(cmd)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	want := component.Resource{Kind: procid.Kind, Attrs: map[string]string{}}
	lease, err := r.Journal.Acquire(ctx, want, func(_ context.Context, res component.Resource) (string, error) {
		cmd.Env = append(cmd.Env, procid.TokenVariable+"="+res.Token)
		if err := cmd.Start(); err != nil {
			return "", err
		}
		if _, start := procid.Stat(cmd.Process.Pid); start != "" {
			res.Attrs[procid.StartAttr], res.Attrs[procid.BootAttr] = start, procid.Boot()
		}
		return strconv.Itoa(cmd.Process.Pid), nil
	})
	if err != nil {
		if cmd.Process != nil {
			EndGroup(cmd, true)
			_ = cmd.Wait() // it was killed: how it ended says nothing
		}
		return nil, err
	}
	return lease, nil
}

// Process is a program that was started, or has ended since.
type Process struct {
	cmd   *exec.Cmd
	lease component.Lease
	done  chan struct{}
	err   error // valid once done is closed
	once  sync.Once
	ended error // what End returned the first time
}

// Start is Acquire for a program that goes on while the caller does other things.
func Start(ctx context.Context, r component.Run, cmd *exec.Cmd) (*Process, error) {
	lease, err := Acquire(ctx, r, cmd)
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, lease: lease, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the process ended, as exec.Cmd.Wait says; nil before Done is closed.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// End kills the process with all that it has started, waits for it, and releases
// its resource. One that has ended already is no error. It may be called more than
// once, and always after the process is not needed any more, also when it has
// ended by itself.
func (p *Process) End(ctx context.Context) error {
	p.once.Do(func() {
		// Descendants may have outlived the process itself.
		EndGroup(p.cmd, true)
		<-p.done
		if err := p.lease.Release(ctx); err != nil {
			p.ended = fmt.Errorf("end process %d: %w", p.PID(), err)
		}
	})
	return p.ended
}

// Run starts cmd and waits for it. When ctx ends first, the process is killed with
// all that it has started, and the error is the cause. Otherwise the error is that
// of exec.Cmd.Run.
func Run(ctx context.Context, r component.Run, cmd *exec.Cmd) error {
	p, err := Start(ctx, r, cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
		err = p.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return errors.Join(err, p.End(context.WithoutCancel(ctx)))
}

// OwnGroup prepares cmd, which is not started yet, for EndGroup: it will run in a
// session of its own. It is for programs that are waited for in any case and need
// no resource.
func OwnGroup(cmd *exec.Cmd) { ownGroup(cmd) }
