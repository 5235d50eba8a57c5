//go:build unix

package ssh_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/comm/ssh"
	"ingot/internal/component"
)

// lockedBuffer may be read while something writes to it.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// line is the text without its line end.
func (l *lockedBuffer) line() string { return strings.TrimRight(l.String(), "\r\n") }

// hastyClock has a time that passes only by sleeping.
type hastyClock struct {
	mu    sync.Mutex // guards what follows
	now   time.Time
	slept []time.Duration
}

func (c *hastyClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *hastyClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return context.Cause(ctx)
}

// log collects events.
type log struct {
	mu     sync.Mutex // guards events
	events []component.Event
}

func (l *log) Emit(e component.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// messages are the texts said to the user.
func (l *log) messages() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.events {
		if m, ok := e.(component.Message); ok {
			out = append(out, m.Text)
		}
	}
	return out
}

// waits are the stages that were waited for, each with its detail.
func (l *log) waits() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.events {
		if w, ok := e.(component.Waiting); ok {
			out = append(out, w.For+": "+w.Detail)
		}
	}
	return out
}

// all are the events so far.
func (l *log) all() []component.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// ended are the waits that have ended.
func (l *log) ended() []component.WaitEnded {
	var out []component.WaitEnded
	for _, e := range l.all() {
		if w, ok := e.(component.WaitEnded); ok {
			out = append(out, w)
		}
	}
	return out
}

// attempt is a Dial with everything that can be set.
type attempt struct {
	deps  ssh.Deps
	run   component.Run
	clock *hastyClock
	log   *log
}

// hasty makes an attempt in which waiting takes no time.
func hasty(t testing.TB) *attempt {
	a := &attempt{deps: ssh.Deps{Home: t.TempDir()}, clock: &hastyClock{now: time.Unix(1_700_000_000, 0)}, log: &log{}}
	a.run = component.Run{Clock: a.clock, Events: a.log, WorkDir: t.TempDir()}
	return a
}

// patient makes one in real time.
func patient(t testing.TB) *attempt {
	a := hasty(t)
	a.run.Clock = component.SystemClock{}
	return a
}

func (a *attempt) dial(t testing.TB, where endpoint) (component.Communicator, error) {
	t.Helper()
	c, err := ssh.NewDialer(a.deps).Dial(t.Context(), a.run, where)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func (a *attempt) mustDial(t testing.TB, where endpoint) component.Communicator {
	t.Helper()
	c, err := a.dial(t, where)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	return c
}

// works checks that a communicator can run a command.
func works(t testing.TB, c component.Communicator) {
	t.Helper()
	var out lockedBuffer
	exit, err := c.Run(t.Context(), component.Command{Line: "echo works", Stdout: &out})
	if err != nil || exit.Code != 0 || out.line() != "works" {
		t.Errorf("a command: %v, %v, %q", exit, err, out.String())
	}
}

// contains checks that a text has all parts.
func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q\nhas no %q", text, p)
		}
	}
}
