package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
)

const (
	// lingerLimit is how long a command's streams may stay open and silent
	// after its end. Something that it left in the background holds them.
	lingerLimit = 5 * time.Second
	// closeLimit is how long the server may take to confirm that a session
	// is closed. OpenSSH does not confirm it while a process is left.
	closeLimit = time.Second
)

// running is a command in the course of its execution.
type running struct {
	s *session
	c command

	started atomic.Bool                    // exec has been asked for
	exit    atomic.Pointer[component.Exit] // nil until the server has told
	heard   atomic.Int64                   // UnixNano of the last output or exit

	over chan struct{} // closed when the channel has closed and all is written

	abandon   sync.Once
	abandoned chan struct{} // closed when over is no longer waited for
}

// run executes a command in the session and waits for its end. The session is
// closed when it returns. The error is a broken connection, ctx's cause, or
// what reading stdin or writing the output failed with.
func (s *session) run(ctx context.Context, c command, prepare ...func(*session) error) (component.Exit, error) {
	r := &running{s: s, c: c, over: make(chan struct{}), abandoned: make(chan struct{})}
	defer s.close()
	cancelled := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(cancelled)
		r.end()
	})
	exit, err := r.run(prepare)
	if !unhook() {
		<-cancelled
		return component.Exit{}, context.Cause(ctx)
	}
	return exit, err
}

func (r *running) run(prepare []func(*session) error) (component.Exit, error) {
	for _, p := range prepare {
		if err := p(r.s); err != nil {
			return component.Exit{}, err
		}
	}
	if t := r.c.terminal; t != nil {
		if err := r.s.request("pty-req", terminalLike(t)); err != nil {
			return component.Exit{}, err
		}
		r.started.Store(true)
		if err := r.s.request("shell", nil); err != nil {
			return component.Exit{}, err
		}
		defer t.Follow(r.s.resize)()
		return r.follow()
	}
	if r.c.pty {
		if err := r.s.request("pty-req", newTerminal()); err != nil {
			return component.Exit{}, err
		}
	}
	r.started.Store(true)
	if err := r.s.request("exec", &struct{ Command string }{r.c.line}); err != nil {
		return component.Exit{}, err
	}
	return r.follow()
}

// follow moves the streams until the channel closes or the command is
// abandoned.
func (r *running) follow() (component.Exit, error) {
	feeding := make(chan error, 1)
	go func() { feeding <- r.feed() }() // may outlive us in a read of stdin that does not end, as in os/exec
	out, errs := &outlet{w: r.c.stdout, heard: &r.heard}, &outlet{w: r.c.stderr, heard: &r.heard}
	go r.move(out, errs) // ends with the channel, at the latest with the connection

	fed, isFed := r.await(feeding)
	out.detach()
	errs.detach()
	exit := r.exit.Load()
	if !isFed && r.c.whole && exit != nil && exit.Code == 0 {
		fed = <-feeding
	}
	if err := errors.Join(fed, out.failure(), errs.failure()); err != nil {
		return component.Exit{}, err
	}
	if exit == nil {
		return component.Exit{}, fmt.Errorf("the command ended without an exit status: %w", r.s.l.lost())
	}
	return *exit, nil
}

// await waits for the command's end, and ends it when its input fails.
func (r *running) await(feeding <-chan error) (fed error, isFed bool) {
	over, abandoned := r.over, r.abandoned
	for {
		select {
		case fed = <-feeding:
			feeding, isFed = nil, true
			if fed != nil {
				// What a command does with half of its input is of
				// no interest.
				r.end()
			}
		case <-over:
			return fed, isFed
		case <-abandoned:
			return fed, isFed
		}
	}
}

// move copies the output and receives the exit status.
func (r *running) move(out, errs *outlet) {
	defer close(r.over)
	var all sync.WaitGroup
	closed := make(chan struct{})
	all.Go(func() { r.pump(out, r.s.ch) })
	all.Go(func() { r.pump(errs, r.s.ch.Stderr()) })
	all.Go(func() {
		defer close(closed)
		receive(r.s.reqs, func(e component.Exit) {
			if r.exit.CompareAndSwap(nil, &e) {
				r.heard.Store(time.Now().UnixNano())
				all.Go(func() { r.linger(closed, out, errs) })
			}
		})
	})
	all.Wait()
}

// feed copies stdin. Errors of sending are not reported, because a command
// need not read its input; the exit status tells what became of it.
func (r *running) feed() error {
	in := &source{r: r.c.stdin}
	if r.c.stdin != nil {
		_, _ = io.CopyBuffer(struct{ io.Writer }{r.s.ch}, in, make([]byte, copyBuffer))
		if in.err != nil {
			return fmt.Errorf("read the input: %w", in.err)
		}
	}
	if r.c.pty {
		// The channel's end does not reach through a terminal. In the
		// middle of a line the first of these characters only sends it.
		if in.last != 0 && in.last != '\n' {
			_, _ = r.s.ch.Write([]byte{4})
		}
		_, _ = r.s.ch.Write([]byte{4})
	}
	_ = r.s.ch.CloseWrite() // io.EOF when the command is gone
	return nil
}

// source remembers a reader's error and last byte.
type source struct {
	r    io.Reader
	err  error
	last byte
}

// Read reads.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 {
		s.last = p[n-1]
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// pump copies one output stream. When the writer fails, nobody wants the rest
// of the command either.
func (r *running) pump(to *outlet, from io.Reader) {
	_, _ = io.CopyBuffer(to, struct{ io.Reader }{from}, make([]byte, 64<<10)) // the outlet keeps its error
	if to.failure() != nil {
		go r.end() // waits for us
	}
}

// outlet passes output on until it is detached.
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
	if o.w == nil || o.gone {
		return len(p), nil
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = fmt.Errorf("write the output: %w", err)
	}
	return n, err
}

// detach makes sure that nothing is written any more.
func (o *outlet) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone = true
}

func (o *outlet) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// quiet reports whether nothing is being written.
func (o *outlet) quiet() bool {
	if !o.mu.TryLock() {
		return false
	}
	o.mu.Unlock()
	return true
}

// linger closes the session some time after the command's end, when something
// that it started still holds its output open. An answer of the server proves
// that everything that was sent before has arrived.
func (r *running) linger(closed <-chan struct{}, streams ...*outlet) {
	tick := time.NewTicker(lingerLimit / 5)
	defer tick.Stop()
	for {
		select {
		case <-closed:
			return
		case <-tick.C:
		}
		if !streams[0].quiet() || !streams[1].quiet() || r.silence() < lingerLimit {
			continue
		}
		if r.s.l.ping(deadAfter) && r.silence() >= lingerLimit {
			go r.forsake()
			return
		}
	}
}

func (r *running) silence() time.Duration { return time.Since(time.Unix(0, r.heard.Load())) }

// end makes the command end, on the machine too. It returns when that is done
// or has been given up.
func (r *running) end() {
	if r.started.Load() && r.exit.Load() == nil && !r.s.l.kill(r.c.token) {
		_, _ = r.s.ch.SendRequest("signal", false, ssh.Marshal(&struct{ Name string }{"KILL"}))
	}
	r.forsake()
}

// forsake closes the session and stops waiting for it after a moment.
func (r *running) forsake() {
	r.abandon.Do(func() {
		_ = r.s.ch.Close() // io.EOF when the other side was faster
		t := time.NewTimer(closeLimit)
		defer t.Stop()
		select {
		case <-r.over:
		case <-t.C:
		}
		close(r.abandoned)
	})
}
