//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"ingot/internal/component"
	"ingot/internal/hostproc"
)

const (
	// lingerLimit is how long a command's output may stay open and silent
	// after its end. Something that it left in the background holds it.
	lingerLimit = 5 * time.Second
	// grace is the time between asking processes to end and killing them.
	grace = time.Second
	// releaseLimit is how long the journal may take.
	releaseLimit = 30 * time.Second
)

// Run executes a command with /bin/sh; see component.Communicator.
func (c *communicator) Run(ctx context.Context, cmd component.Command) (component.Exit, error) {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return component.Exit{}, fmt.Errorf("local: run a command: %w", err)
	}
	defer done()
	r := &running{Command: cmd, cmd: exec.Command("/bin/sh", "-c", cmd.Line)}
	exit, err := c.run(ctx, r)
	if err != nil {
		return component.Exit{}, fmt.Errorf("local: run a command: %w", err)
	}
	return exit, nil
}

// running is a command in the course of its execution.
type running struct {
	component.Command
	cmd *exec.Cmd
	// ours are our ends of the streams; theirs are closed after the start.
	stdin          io.WriteCloser
	stdout, stderr *os.File
	theirs         []*os.File

	heard atomic.Int64 // UnixNano of the last output
	pumps sync.WaitGroup
	outs  []*outlet
}

func (c *communicator) run(ctx context.Context, r *running) (component.Exit, error) {
	if err := r.open(); err != nil {
		return component.Exit{}, err
	}
	defer r.close()
	lease, err := hostproc.Acquire(ctx, component.Run{Journal: c.journal}, r.cmd)
	r.closeTheirs()
	if err != nil {
		return component.Exit{}, err
	}
	r.pump()
	err = r.wait(ctx)
	if err == nil {
		err = r.failure()
	}
	if err == nil {
		return exitOf(r.cmd.ProcessState), lease.Keep(context.WithoutCancel(ctx))
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer cancel()
	return component.Exit{}, errors.Join(err, lease.Release(detached))
}

// open makes the streams: three pipes or one terminal.
func (r *running) open() error {
	if r.PTY {
		return r.openTerminal()
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return err
	}
	r.stdin, r.cmd.Stdin, r.theirs = inW, inR, append(r.theirs, inR)
	outR, outW, err := os.Pipe()
	if err != nil {
		r.close()
		return err
	}
	r.stdout, r.cmd.Stdout, r.theirs = outR, outW, append(r.theirs, outW)
	errR, errW, err := os.Pipe()
	if err != nil {
		r.close()
		return err
	}
	r.stderr, r.cmd.Stderr, r.theirs = errR, errW, append(r.theirs, errW)
	return nil
}

func (r *running) openTerminal() error {
	ours, theirs, err := pty.Open()
	if err != nil {
		return fmt.Errorf("open a terminal: %w", err)
	}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = theirs, theirs, theirs
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setctty: true}
	r.theirs = []*os.File{theirs}
	err = errors.Join(noEcho(theirs), pty.Setsize(ours, &pty.Winsize{Rows: 40, Cols: 80}))
	if err == nil {
		ours, err = closable(ours)
	}
	r.stdout, r.stdin = ours, terminalEnd{ours}
	if err != nil {
		r.close()
		return fmt.Errorf("set the terminal up: %w", err)
	}
	return nil
}

// closable makes reading a terminal end when it is closed, which it does not
// while the file is in blocking mode. It takes f over.
func closable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return f, err
	}
	_ = f.Close() // the duplicate stays
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// terminalEnd closes a terminal's input by typing the character for that.
type terminalEnd struct{ *os.File }

// Close types it.
func (t terminalEnd) Close() error {
	_, err := t.Write([]byte{4})
	return err
}

func (r *running) closeTheirs() {
	for _, f := range r.theirs {
		_ = f.Close() // the process has its own
	}
	r.theirs = nil
}

func (r *running) close() {
	r.closeTheirs()
	if f, ok := r.stdin.(*os.File); ok {
		_ = f.Close()
	}
	for _, f := range []*os.File{r.stdout, r.stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
	r.pumps.Wait()
}

// pump starts moving the streams.
func (r *running) pump() {
	move := func(from *os.File, to io.Writer) {
		o := &outlet{w: to, heard: &r.heard}
		r.outs = append(r.outs, o)
		r.pumps.Go(func() {
			// It ends with the last writer, or when close is called; a
			// terminal then reports an input error.
			_, _ = io.CopyBuffer(o, struct{ io.Reader }{from}, make([]byte, 64<<10))
		})
	}
	move(r.stdout, r.Stdout)
	if r.stderr != nil {
		move(r.stderr, r.Stderr)
	}
	go func() { // may outlive us in a read of Stdin that does not end, as in os/exec
		if r.Stdin != nil {
			_, _ = io.Copy(r.stdin, struct{ io.Reader }{r.Stdin}) // a command need not read it
		}
		_ = r.stdin.Close()
	}()
}

// wait returns when the command has ended and its output is complete. When
// ctx ends first, the whole session is ended.
func (r *running) wait(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- r.cmd.Wait() }()
	select {
	case err := <-ended:
		var code *exec.ExitError
		if err != nil && !errors.As(err, &code) {
			return err
		}
	case <-ctx.Done():
		r.terminate(ended)
		r.shut()
		return context.Cause(ctx)
	}
	return r.drain(ctx)
}

// terminate ends the session: first politely, in the end for sure.
func (r *running) terminate(ended <-chan error) {
	hostproc.EndGroup(r.cmd, false)
	t := time.NewTimer(grace)
	defer t.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	gone := false
	for {
		select {
		case <-ended:
			gone = true
		case <-tick.C:
			// The leader may be gone before its children.
			if gone && errors.Is(syscall.Kill(-r.cmd.Process.Pid, 0), syscall.ESRCH) {
				return
			}
			continue
		case <-t.C:
			hostproc.EndGroup(r.cmd, true)
			if !gone {
				<-ended
			}
			return
		}
	}
}

// drain waits for the rest of the output, but not for ever if something in
// the background holds it open.
func (r *running) drain(ctx context.Context) error {
	r.heard.Store(time.Now().UnixNano())
	empty := make(chan struct{})
	go func() {
		r.pumps.Wait()
		close(empty)
	}()
	tick := time.NewTicker(lingerLimit / 10)
	defer tick.Stop()
	for {
		select {
		case <-empty:
			return nil
		case <-ctx.Done():
			hostproc.EndGroup(r.cmd, true)
			r.shut()
			return context.Cause(ctx)
		case <-tick.C:
		}
		quiet := time.Since(time.Unix(0, r.heard.Load())) >= lingerLimit
		for _, o := range r.outs {
			quiet = quiet && o.idle()
		}
		if quiet {
			r.shut()
			return nil
		}
	}
}

// shut makes sure that nothing is written any more.
func (r *running) shut() {
	for _, o := range r.outs {
		o.shut()
	}
}

// failure is what writing the output failed with.
func (r *running) failure() error {
	var all []error
	for _, o := range r.outs {
		o.mu.Lock()
		all = append(all, o.err)
		o.mu.Unlock()
	}
	return errors.Join(all...)
}

// outlet passes output on until it is shut.
type outlet struct {
	heard *atomic.Int64

	mu   sync.Mutex // guards what follows, and is held while writing
	w    io.Writer
	gone bool
	err  error
}

// Write writes.
func (o *outlet) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { o.heard.Store(time.Now().UnixNano()) }()
	if o.w == nil || o.gone || o.err != nil {
		return len(p), nil
	}
	if _, err := o.w.Write(p); err != nil {
		o.err = fmt.Errorf("write the output: %w", err)
	}
	return len(p), nil
}

func (o *outlet) shut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone = true
}

// idle reports whether nothing is being written.
func (o *outlet) idle() bool {
	if !o.mu.TryLock() {
		return false
	}
	o.mu.Unlock()
	return true
}

func exitOf(state *os.ProcessState) component.Exit {
	ws, ok := state.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		name := strings.TrimPrefix(unix.SignalName(ws.Signal()), "SIG")
		return component.Exit{Code: 128 + int(ws.Signal()), Signal: name}
	}
	return component.Exit{Code: state.ExitCode()}
}
