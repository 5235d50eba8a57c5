package winrm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/retry"
)

// Deps is what the dialer uses of the machine that it runs on.
type Deps struct {
	// Proxy says which HTTP proxy a request goes through, nil for none; nil
	// itself means what the environment says. It is not asked when
	// winrm_no_proxy is set.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial opens TCP connections; nil means the operating system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// The pace of attempts to connect.
const (
	firstDelay = 50 * time.Millisecond
	maxDelay   = 2 * time.Second
	tcpLimit   = 10 * time.Second
	tlsLimit   = 15 * time.Second
	// attemptLimit is for the rest of an attempt. The first PowerShell of a
	// machine that is busy starting takes long.
	attemptLimit = 2 * time.Minute
	// A machine may say no for a moment while its settings are being made.
	// More attempts than these only bring it closer to locking the account.
	maxRefusals  = 3
	refusalDelay = time.Second
)

type dialer struct{ deps Deps }

// NewDialer makes the dialer for the transport "winrm".
func NewDialer(deps Deps) component.Dialer {
	if deps.Proxy == nil {
		deps.Proxy = http.ProxyFromEnvironment
	}
	if deps.Dial == nil {
		deps.Dial = (&net.Dialer{Timeout: tcpLimit, KeepAlive: 15 * time.Second}).DialContext
	}
	return &dialer{deps}
}

// Dial waits for the machine. Besides what component.Dialer promises, its
// errors are *readiness.TimeoutError and *AuthError.
func (d *dialer) Dial(ctx context.Context, r component.Run, endpoint func(context.Context) (component.Endpoint, error)) (component.Communicator, error) {
	got, err := d.reach(ctx, r, endpoint)
	if err != nil {
		return nil, err
	}
	if pause := got.connection.PauseBeforeConnecting; pause > 0 {
		got.client.login.close()
		r.Say(fmt.Sprintf("Pausing %s before connecting...", pause))
		if err := r.Clock.Sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("winrm: pause before connecting: %w", err)
		}
		if got, err = d.reach(ctx, r, endpoint); err != nil {
			return nil, err
		}
	}
	return newComm(got.client), nil
}

// arrival is a successful attempt.
type arrival struct {
	client     *client
	connection *component.Connection
}

// errFinal marks an error that waiting cannot mend.
type errFinal struct{ error }

func (e errFinal) Unwrap() error { return e.error }

// reach waits for the machine and tells how it went, unless it is the user who
// ended the waiting.
func (d *dialer) reach(ctx context.Context, r component.Run, endpoint func(context.Context) (component.Endpoint, error)) (*arrival, error) {
	w := readiness.New(r, waitPlan())
	got, err := d.wait(ctx, w, endpoint)
	if err == nil || ctx.Err() == nil {
		w.Ended(err)
	}
	return got, err
}

// wait tries until an attempt succeeds, fails for good or the time is up.
func (d *dialer) wait(ctx context.Context, w *readiness.Watch, endpoint func(context.Context) (component.Endpoint, error)) (*arrival, error) {
	r := w.Run()
	limit := (&component.Connection{Communicator: "winrm"}).Timeout()
	left := func() time.Duration { return limit - r.Clock.Now().Sub(w.Begin()) }
	var last error
	at, refusals, delay := stageAddress, 0, time.Duration(0)
	for attempt := 1; ; attempt++ {
		if left() <= 0 {
			return nil, w.TimedOut(at, attempt-1, last)
		}
		w.Attempt()
		got, err := d.attempt(ctx, w, endpoint, &limit)
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
		if last == nil || left() > 0 || !errors.Is(err, context.DeadlineExceeded) {
			// An attempt that the end of the time cut short says less
			// about what is wrong than the one before.
			last, at = err, w.Current()
		}
		w.Failed(err)
		delay = max(firstDelay, min(delay*3/2, maxDelay))
		var auth *AuthError
		if errors.As(err, &auth) && auth.Refused() {
			refusals++
			if auth.Attempts = refusals; refusals >= maxRefusals {
				return nil, auth
			}
			delay = refusalDelay
		}
		if err := r.Clock.Sleep(ctx, min(delay, max(left(), 0))); err != nil {
			return nil, w.Stopped(err)
		}
	}
}

// attempt goes through all stages once.
func (d *dialer) attempt(ctx context.Context, w *readiness.Watch, endpoint func(context.Context) (component.Endpoint, error), limit *time.Duration) (*arrival, error) {
	w.Enter(stageAddress)
	left := *limit - w.Run().Clock.Now().Sub(w.Begin())
	ctx, cancel := context.WithTimeoutCause(ctx, min(left, attemptLimit), fmt.Errorf("took longer than %s: %w", min(left, attemptLimit), context.DeadlineExceeded))
	defer cancel()
	e, err := endpoint(ctx)
	if e.Connection != nil {
		*limit = timeoutOf(e.Connection)
	}
	if err != nil {
		if class := retry.ClassOf(err); ctx.Err() == nil && class != retry.Transient && class != retry.Throttled {
			return nil, errFinal{fmt.Errorf("winrm: address of the machine: %w", err)}
		}
		return nil, err
	}
	c, address, err := d.configure(e, w.Run().Clock)
	if err != nil {
		return nil, errFinal{err}
	}
	if err := d.probe(ctx, w, c, e, address); err != nil {
		c.login.close()
		return nil, err
	}
	return &arrival{c, e.Connection}, nil
}

func timeoutOf(c *component.Connection) time.Duration {
	copied := *c
	copied.Communicator = "winrm"
	return copied.Timeout()
}

// probe finds out how far the machine is: the last stage is that PowerShell
// answers.
func (d *dialer) probe(ctx context.Context, w *readiness.Watch, c *client, e component.Endpoint, address string) error {
	w.Aim(address)
	if !d.proxied(e, c.url) {
		w.Enter(stageTCP)
		short, cancel := context.WithTimeout(ctx, tcpLimit)
		conn, err := d.deps.Dial(short, "tcp", address)
		cancel()
		if err != nil {
			return err
		}
		_ = conn.Close() // it has shown that somebody listens
	}
	w.Enter(stageHTTP)
	s, err := openShell(ctx, c)
	var auth *AuthError
	var f *fault
	switch {
	case errors.As(err, &auth):
		w.Enter(stageAuth)
		return err
	case errors.As(err, &f):
		w.Enter(stageShell)
		return err
	case err != nil:
		return err
	}
	s.close()
	w.Enter(stagePowerShell)
	return ready(ctx, c)
}

func (d *dialer) proxied(e component.Endpoint, target string) bool {
	if e.Connection.WinRMNoProxy {
		return false
	}
	req, err := http.NewRequest(http.MethodPost, target, nil) //nolint:noctx // it is never sent
	if err != nil {
		return false
	}
	u, err := d.deps.Proxy(req)
	return err == nil && u != nil
}

// configure makes the client for an endpoint. Its errors are final.
func (d *dialer) configure(e component.Endpoint, clock component.Clock) (*client, string, error) {
	s := e.Connection
	if s == nil {
		return nil, "", errors.New("winrm: the machine does not say how to log in")
	}
	host, port := e.Host, e.Port
	if host == "" {
		host = s.WinRMHost
	}
	if host == "" {
		return nil, "", errors.New("winrm: no address is known; set winrm_host")
	}
	if port == 0 {
		port = s.WinRMDefaultPort()
	}
	if s.WinRMUser == "" && s.WinRMCertFile == "" {
		return nil, "", errors.New("winrm: no user is known; set winrm_username")
	}
	address := net.JoinHostPort(host, strconv.Itoa(port))
	w := wire{dial: d.deps.Dial, proxy: d.deps.Proxy, tls: &tls.Config{InsecureSkipVerify: s.WinRMInsecure}} //nolint:gosec // only when asked for
	if s.WinRMNoProxy {
		w.proxy = nil
	}
	scheme := "http"
	if s.WinRMUseSSL {
		scheme = "https"
	}
	l, err := newLogin(s, w)
	if err != nil {
		return nil, "", err
	}
	c := newClient(scheme+"://"+address+"/wsman", l, clock)
	c.access = component.Access{
		Transport: "winrm", Host: host, Port: port, User: s.WinRMUser, Password: s.WinRMPassword,
		TLS: s.WinRMUseSSL, Insecure: s.WinRMInsecure, NTLM: s.WinRMUseNTLM, NoProxy: s.WinRMNoProxy,
	}
	if s.WinRMCertFile == "" {
		return c, address, nil
	}
	keyFile := s.WinRMKeyFile
	if keyFile == "" {
		keyFile = s.WinRMCertFile
	}
	if c.access.Certificate, err = os.ReadFile(s.WinRMCertFile); err != nil {
		return nil, "", fmt.Errorf("winrm: read winrm_cert_file: %w", err)
	}
	if c.access.PrivateKey, err = os.ReadFile(keyFile); err != nil {
		return nil, "", fmt.Errorf("winrm: read winrm_key_file: %w", err)
	}
	return c, address, nil
}

// newLogin chooses the way to log in.
func newLogin(s *component.Connection, w wire) (login, error) {
	switch {
	case s.WinRMCertFile != "" && !s.WinRMUseSSL:
		return nil, errors.New("winrm: a client certificate (winrm_cert_file) can be shown only over TLS; set winrm_use_ssl")
	case s.WinRMCertFile != "":
		return newCertificate(s.WinRMCertFile, s.WinRMKeyFile, w)
	case s.WinRMUseNTLM:
		return &ntlm{name: s.WinRMUser, password: s.WinRMPassword, wire: w, sealed: !s.WinRMUseSSL}, nil
	}
	return &basic{s.WinRMUser, s.WinRMPassword, w.transport()}, nil
}
