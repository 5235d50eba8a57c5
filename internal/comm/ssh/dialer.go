package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/retry"
)

// Deps is what the dialer uses of the machine that it runs on.
type Deps struct {
	// AgentSocket is the path of the SSH agent's socket; empty for none.
	AgentSocket string
	// Home is the user's home directory, for "~/" and for the default
	// known_hosts file.
	Home string
	// Dial opens TCP connections; nil means the operating system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// SystemDeps takes them from the environment.
func SystemDeps() Deps {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // then "~/" is not expanded and no known_hosts file is read
	}
	return Deps{AgentSocket: os.Getenv("SSH_AUTH_SOCK"), Home: home}
}

// The pace of attempts to connect.
const (
	firstDelay = 20 * time.Millisecond
	maxDelay   = time.Second

	// A refused login is tried again more slowly: servers block clients
	// that fail too fast, and a machine at its first boot needs about a
	// minute until it has set the user up.
	firstAuthDelay = 500 * time.Millisecond
	maxAuthDelay   = 10 * time.Second

	tcpLimit          = 10 * time.Second
	handshakeLimit    = 10 * time.Second
	maxHandshakeLimit = time.Minute
	// leastHandshake is what is left for keys and login after a late banner.
	leastHandshake = 5 * time.Second

	defaultAttempts = 10
)

type dialer struct{ deps Deps }

// NewDialer makes the dialer for the transport "ssh".
func NewDialer(deps Deps) component.Dialer {
	if deps.Dial == nil {
		deps.Dial = (&net.Dialer{KeepAlive: tcpKeepAlive}).DialContext
	}
	return &dialer{deps}
}

// errFinal marks an error that waiting cannot mend.
type errFinal struct{ error }

func (e errFinal) Unwrap() error { return e.error }

func final(err error) error {
	if err == nil {
		return nil
	}
	return errFinal{err}
}

// pins is what is known about host keys through all attempts of a build.
type pins struct{ machine, bastion hostKeys }

func (p *pins) configure(c *component.Connection, home string) {
	mode, file := c.SSHHostKeyCheck, expandHome(c.SSHKnownHostsFile, home)
	if mode == "" {
		mode = component.HostKeyAuto
	}
	named := file != ""
	if !named && home != "" {
		file = filepath.Join(home, ".ssh", "known_hosts")
	}
	for _, h := range []*hostKeys{&p.machine, &p.bastion} {
		h.mode, h.knownHosts, h.named = mode, file, named
	}
}

// Dial waits for the machine. Besides what component.Dialer promises, its
// errors are *readiness.TimeoutError, *AuthError and *HostKeyError.
func (d *dialer) Dial(ctx context.Context, r component.Run, endpoint func(context.Context) (component.Endpoint, error)) (component.Communicator, error) {
	a := &approach{d: d, r: r, endpoint: endpoint, route: &route{direct: d.deps.Dial}}
	c, err := a.reach(ctx)
	if err != nil {
		a.route.close()
		return nil, err
	}
	return c, nil
}

// approach is one machine that is being connected to; the communicator keeps
// it for connecting again.
type approach struct {
	d        *dialer
	r        component.Run
	endpoint func(context.Context) (component.Endpoint, error)
	route    *route
	pins     pins
}

// arrival is a successful attempt.
type arrival struct {
	link       *link
	facts      facts
	settings   *settings
	verdict    *verdict
	connection *component.Connection
}

// reach connects for the first time.
func (a *approach) reach(ctx context.Context) (component.Communicator, error) {
	got, err := a.first(ctx)
	if err != nil {
		return nil, err
	}
	if pause := got.connection.PauseBeforeConnecting; pause > 0 {
		// Whoever sets a pause expects the machine to change under the
		// connection, perhaps to start again with another host key.
		got.link.close()
		a.r.Say(fmt.Sprintf("Pausing %s before connecting...", pause))
		if err := a.r.Clock.Sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("ssh: pause before connecting: %w", err)
		}
		if got, err = a.first(ctx); err != nil {
			return nil, err
		}
	}
	got.settings.keys.trust(a.r, got.settings.address, got.verdict)
	return newComm(ctx, a, got)
}

// first waits for the machine and tells how it went, unless it is the user who
// ended the waiting.
func (a *approach) first(ctx context.Context) (*arrival, error) {
	w := readiness.New(a.r, waitPlan())
	got, err := a.wait(ctx, w, nil)
	if err == nil || ctx.Err() == nil {
		w.Ended(err)
	}
	return got, err
}

// budget limits the waiting.
type budget struct {
	time     time.Duration
	attempts int // refused logins; 0 for any number
}

// budgetOf is what the settings allow. A time-out given without a number of
// attempts means that any number is fine, because an installer's SSH server
// may refuse the credentials for a long time; the time limit always holds.
func budgetOf(c *component.Connection) budget {
	b := budget{time: c.Timeout(), attempts: c.SSHHandshakeAttempts}
	if b.attempts <= 0 && c.SSHTimeout <= 0 && c.SSHWaitTimeout <= 0 {
		b.attempts = defaultAttempts
	}
	return b
}

// wait tries until an attempt succeeds, fails for good or the budget is used
// up. A nil limit means what the endpoint's settings say.
func (a *approach) wait(ctx context.Context, w *readiness.Watch, limit *budget) (*arrival, error) {
	p := &pace{clock: a.r.Clock, begin: w.Begin(), fixed: limit != nil, budget: budgetOf(&component.Connection{})}
	if p.fixed {
		p.budget = *limit
	}
	var last error
	for attempt := 1; ; attempt++ {
		if p.left() <= 0 {
			return nil, w.TimedOut(w.Current(), attempt-1, last)
		}
		before := w.Current()
		w.Attempt()
		got, err := a.attempt(ctx, w, p)
		if err == nil {
			return got, nil
		}
		if ctx.Err() != nil {
			return nil, w.Stopped(context.Cause(ctx))
		}
		var stop errFinal
		if errors.As(err, &stop) {
			return nil, stop.error
		}
		if last != nil && p.left() <= 0 && errors.As(err, new(slowError)) {
			// The end of the time cut this attempt short; the one before
			// says more about what is wrong.
			return nil, w.TimedOut(before, attempt-1, last)
		}
		last = err
		w.Failed(err)
		if err := p.count(err); err != nil {
			return nil, err
		}
		// After the last rest the time is up and the loop ends above.
		if err := p.rest(ctx); err != nil {
			return nil, w.Stopped(err)
		}
	}
}

// pace counts failures and says how long to rest after each.
type pace struct {
	clock component.Clock
	begin time.Time
	// budget is what the settings allow, as soon as they are known, unless
	// it is fixed.
	budget budget
	fixed  bool
	// delay and auth grow with every failure and every refused login.
	delay, auth time.Duration
	// refused says that the last failure was a refused login.
	refused  bool
	refusals int
	// slow is how many handshakes took too long.
	slow int
	// again is how long to wait for a banner before another connection is
	// made.
	again again
}

// left is the time that may still pass.
func (p *pace) left() time.Duration { return p.budget.time - p.clock.Now().Sub(p.begin) }

// count takes note of a failure; it returns an error when there have been
// enough.
func (p *pace) count(err error) error {
	var e *AuthError
	if p.refused = errors.As(err, &e); !p.refused {
		var s slowError
		if errors.As(err, &s) {
			p.slow++
		}
		return nil
	}
	p.refusals++
	e.Attempts = p.refusals
	if p.budget.attempts > 0 && p.refusals >= p.budget.attempts {
		return e
	}
	return nil
}

// handshakeLimit is how long the next handshake may take. Some address
// translators accept connections before the machine listens, so it is short
// at first; slow machines need longer.
func (p *pace) handshakeLimit() time.Duration {
	return min(p.left(), maxHandshakeLimit, handshakeLimit*time.Duration(2+p.slow)/2)
}

func (p *pace) rest(ctx context.Context) error {
	d, first, most := &p.delay, firstDelay, maxDelay
	if p.refused {
		d, first, most = &p.auth, firstAuthDelay, maxAuthDelay
	}
	*d = max(first, min(*d*3/2, most))
	return p.clock.Sleep(ctx, min(*d, max(p.left(), 0)))
}

// locate asks for the endpoint, which may tell its settings even when it
// fails.
func (a *approach) locate(ctx context.Context, p *pace) (component.Endpoint, error) {
	left := p.left()
	ctx, cancel := context.WithTimeoutCause(ctx, left, errSlow("finding the address", left))
	defer cancel()
	e, err := a.endpoint(ctx)
	if e.Connection != nil && !p.fixed {
		p.budget = budgetOf(e.Connection)
	}
	if err == nil {
		return e, nil
	}
	if class := retry.ClassOf(err); ctx.Err() == nil && class != retry.Transient && class != retry.Throttled {
		return e, final(fmt.Errorf("ssh: address of the machine: %w", err))
	}
	return e, err
}

// attempt goes through all stages once.
func (a *approach) attempt(ctx context.Context, w *readiness.Watch, p *pace) (*arrival, error) {
	w.Enter(stageAddress)
	e, err := a.locate(ctx, p)
	if err != nil {
		return nil, err
	}
	s, err := a.d.configure(a.r, e, &a.pins)
	if err != nil {
		return nil, err
	}
	w.Aim(s.address)
	v, err := s.keys.forHost(s.address, s.known, func(err error) { warn(a.r, err) })
	if err != nil {
		return nil, final(err)
	}
	limit := p.handshakeLimit()
	conn, err := a.route.open(ctx, s, w, limits{tcp: min(p.left(), tcpLimit), handshake: limit})
	if err != nil {
		return nil, err
	}
	limit = min(limit, p.left())
	if s.straight() {
		w.Enter(stageBanner)
		begin := time.Now()
		conn, err = firstAnswer(ctx, conn, limit, &p.again, func(ctx context.Context) (net.Conn, error) { return a.route.direct(ctx, "tcp", s.address) })
		if err != nil {
			return nil, err
		}
		limit = min(max(limit-time.Since(begin), leastHandshake), p.left())
	}
	h := handshake{address: s.address, creds: &s.creds, verdict: v, settings: s, limit: limit, entered: w.Enter}
	l, err := h.do(ctx, conn)
	if err != nil {
		return nil, err
	}
	w.Enter(stageSession)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow("running a first command", limit))
	defer cancel()
	f, err := examine(ctx, l)
	if err != nil {
		l.close()
		return nil, err
	}
	c := e.Connection
	if c == nil {
		c = &component.Connection{}
	}
	l.boot = f.boot
	return &arrival{link: l, facts: f, settings: s, verdict: v, connection: c}, nil
}
