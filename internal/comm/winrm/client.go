package winrm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/masterzen/winrm"
	"github.com/masterzen/winrm/soap"

	"ingot/internal/component"
)

const (
	// envelopeSize is the size of requests and answers that every WinRM
	// takes: 150 KB is the limit of the oldest one.
	envelopeSize = 153600
	// operationTimeout is how long the server waits for output before it
	// answers that there is none. We ask again then.
	operationTimeout = 20 * time.Second
	// answerLimit is how long an answer may take: the connection is taken
	// for lost when the server does not even say that nothing happened.
	answerLimit = operationTimeout + 40*time.Second
	// largestAnswer keeps a broken server from filling the memory.
	largestAnswer = 16 << 20
	// busyAttempts is how often a request is repeated that the service was too
	// busy to look at.
	busyAttempts = 5
)

// client sends requests to one server.
type client struct {
	url    string
	login  login
	params *winrm.Parameters
	clock  component.Clock
	// access is how other programs can connect.
	access component.Access
	// answerLimit is the constant, or less in tests.
	answerLimit time.Duration
}

func newClient(url string, l login, clock component.Clock) *client {
	return &client{
		url: url, login: l, clock: clock, answerLimit: answerLimit,
		params: winrm.NewParameters(fmt.Sprintf("PT%dS", int(operationTimeout.Seconds())), "en-US", envelopeSize),
	}
}

// statusError is an answer that is not WS-Management.
type statusError struct {
	code   int
	status string
}

func (e *statusError) Error() string { return "the server answers with HTTP status " + e.status }

// busy: nobody has looked at the request yet.
func (e *statusError) busy() bool { return e.code == http.StatusServiceUnavailable }

// AuthError says that the server does not let us in.
type AuthError struct {
	// User is the login name, Scheme the way to log in, and Offers what the
	// server has.
	User, Scheme string
	Offers       []string
	// Attempts is how often it was tried.
	Attempts int
}

// Refused reports whether the server knows the way to log in and refuses the
// credentials; otherwise it does not have that way (yet).
func (e *AuthError) Refused() bool {
	if e.Scheme == schemeCert {
		return true // no server names this way
	}
	for _, o := range e.Offers {
		if strings.EqualFold(o, e.Scheme) || e.Scheme == schemeNTLM && strings.EqualFold(o, "NTLM") {
			return true
		}
	}
	return len(e.Offers) == 0
}

// Error says what to do.
func (e *AuthError) Error() string {
	if e.Scheme == schemeCert {
		return fmt.Sprintf("winrm: the server refuses the client certificate %q (%d attempts); check that certificate authentication is on (winrm get winrm/config/service/auth), that the certificate is mapped to a user (winrm enumerate winrm/config/service/certmapping), and that the machine trusts its issuer",
			e.User, e.Attempts)
	}
	if !e.Refused() {
		return fmt.Sprintf("winrm: the server does not accept %s authentication (it offers %s); set winrm_use_ntlm as it needs, or enable %s on the machine",
			e.Scheme, strings.Join(e.Offers, ", "), e.Scheme)
	}
	return fmt.Sprintf("winrm: the server refuses the credentials of %q (%s authentication, %d attempts); check winrm_username and winrm_password, and that the user may log in over the network",
		e.User, e.Scheme, e.Attempts)
}

// post sends a request and reads the answer. Errors are *fault, *AuthError,
// *statusError, ctx's cause, or those of the connection.
func (c *client) post(ctx context.Context, m *soap.SoapMessage) (*envelope, error) {
	body := []byte(m.String())
	m.Free()
	for delay, n := 100*time.Millisecond, 1; ; delay, n = 2*delay, n+1 {
		e, err := c.once(ctx, body)
		var s *statusError
		if n == busyAttempts || !errors.As(err, &s) || !s.busy() {
			return e, err
		}
		if err := c.clock.Sleep(ctx, delay); err != nil {
			return nil, err
		}
	}
}

func (c *client) once(ctx context.Context, body []byte) (*envelope, error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.answerLimit, fmt.Errorf("no answer within %s", c.answerLimit))
	defer cancel()
	e, err := c.exchange(limited, body)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && limited.Err() != nil {
		return nil, fmt.Errorf("%w: %w", context.Cause(limited), context.DeadlineExceeded)
	}
	return e, err
}

func (c *client) exchange(ctx context.Context, body []byte) (*envelope, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/soap+xml;charset=UTF-8")
	req.Header.Set("User-Agent", "ingot")
	resp, err := c.login.do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer+1))
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, &AuthError{User: c.login.user(), Scheme: c.login.scheme(), Offers: offers(resp.Header), Attempts: 1}
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(answer) > largestAnswer:
		return nil, fmt.Errorf("the answer is larger than %d MB", largestAnswer>>20)
	case !strings.Contains(resp.Header.Get("Content-Type"), "soap+xml"):
		return nil, &statusError{resp.StatusCode, resp.Status}
	}
	e, err := readEnvelope(answer)
	if err == nil && resp.StatusCode != http.StatusOK {
		return nil, &statusError{resp.StatusCode, resp.Status}
	}
	return e, err
}

// offers lists the ways to log in that a server names.
func offers(h http.Header) []string {
	var out []string
	for _, line := range h.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if scheme != "" {
			out = append(out, scheme)
		}
	}
	return out
}

// lost turns the error of a request to a machine that was reached before into
// one of the contract's.
func lost(ctx context.Context, err error) error {
	var f *fault
	var a *AuthError
	switch {
	case err == nil, errors.Is(err, component.ErrDisconnected):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &f) && !f.gone(), errors.As(err, &a):
		return err
	}
	return fmt.Errorf("%w: %w", component.ErrDisconnected, err)
}
