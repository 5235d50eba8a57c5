package winrm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bodgit/ntlmssp"
)

// ntlm logs connections in, not requests: the server remembers who is at the other
// end of each. Without TLS, what goes over them is sealed, since Windows refuses
// anything else unless it is told not to.
type ntlm struct {
	name, password string
	wire           wire
	sealed         bool

	mu   sync.Mutex // guards idle
	idle []*lane
}

// lane is one connection that is logged in, or will be.
type lane struct {
	transport *http.Transport
	session   *ntlmssp.SecuritySession // nil when nothing is sealed
	used      time.Time
}

func (n *ntlm) user() string   { return n.name }
func (n *ntlm) scheme() string { return schemeNTLM }

func (n *ntlm) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.idle {
		l.transport.CloseIdleConnections()
	}
	n.idle = nil
}

// errLaneOver says that a connection was closed while it was idle. Nothing has
// been sent.
var errLaneOver = errors.New("the connection was closed while it was not used")

// do sends a request over a connection that is logged in.
func (n *ntlm) do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	for {
		l := n.take()
		fresh := l == nil
		if fresh {
			var refused *http.Response
			if l, refused, err = n.enter(r); err != nil || refused != nil {
				return refused, err
			}
		}
		resp, err := l.send(r, body)
		if err != nil {
			l.transport.CloseIdleConnections()
			if !fresh && errors.Is(err, errLaneOver) {
				continue
			}
			return nil, err
		}
		n.give(l)
		return resp, nil
	}
}

// take returns a connection that nobody uses, nil when there is none.
func (n *ntlm) take() *lane {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.idle) > 0 {
		l := n.idle[len(n.idle)-1]
		n.idle = n.idle[:len(n.idle)-1]
		if time.Since(l.used) < idleLimit-idleLimit/6 {
			return l
		}
		l.transport.CloseIdleConnections()
	}
	return nil
}

func (n *ntlm) give(l *lane) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l.used = time.Now()
	n.idle = append(n.idle, l)
}

// newLane makes a transport for exactly one connection.
func (n *ntlm) newLane() *lane {
	w, dialled := n.wire, make(chan struct{}, 1)
	dial := w.dial
	w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case dialled <- struct{}{}:
			return dial(ctx, network, address)
		default:
			return nil, errLaneOver
		}
	}
	t := w.transport()
	t.MaxConnsPerHost = 1
	return &lane{transport: t}
}

// enter makes a connection and logs it in. When the server does not let us in,
// that is the response.
func (n *ntlm) enter(r *http.Request) (*lane, *http.Response, error) {
	l := n.newLane()
	domain, name, ok := strings.Cut(n.name, `\`)
	if !ok {
		domain, name = "", n.name
	}
	c, err := ntlmssp.NewClient(ntlmssp.SetUserInfo(name, n.password), ntlmssp.SetDomain(domain), ntlmssp.SetVersion(ntlmssp.DefaultVersion()))
	if err != nil {
		return nil, nil, fmt.Errorf("prepare to log in: %w", err)
	}
	var challenge []byte
	for {
		token, err := c.Authenticate(challenge, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("log in with NTLM: %w", err)
		}
		resp, err := l.greet(r, token)
		if err != nil {
			return nil, nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized {
			_ = resp.Body.Close()
			break
		}
		challenge = challengeOf(resp.Header)
		if challenge == nil || c.Complete() {
			l.transport.CloseIdleConnections()
			return nil, resp, nil
		}
		_ = resp.Body.Close()
	}
	if !c.Complete() {
		return nil, nil, errors.New("the server accepts the login before it has asked for it")
	}
	if n.sealed {
		if l.session = c.SecuritySession(); l.session == nil {
			return nil, nil, errors.New("the server cannot encrypt; use winrm_use_ssl")
		}
	}
	return l, nil, nil
}

// greet sends a request without contents, only to log in.
func (l *lane) greet(r *http.Request, token []byte) (*http.Response, error) {
	req := r.Clone(r.Context())
	req.Body, req.ContentLength = http.NoBody, 0
	req.Header.Set("Authorization", "Negotiate "+base64.StdEncoding.EncodeToString(token))
	resp, err := l.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	// The connection is only used again when the answer was read.
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// challengeOf is the server's part of the login; nil when there is none.
func challengeOf(h http.Header) []byte {
	for _, line := range h.Values("WWW-Authenticate") {
		scheme, encoded, ok := strings.Cut(line, " ")
		if token, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded)); ok && err == nil && strings.EqualFold(scheme, schemeNTLM) && len(token) > 0 {
			return token
		}
	}
	return nil
}

// send sends a request over the connection and reads the whole answer.
func (l *lane) send(r *http.Request, body []byte) (*http.Response, error) {
	req := r.Clone(r.Context())
	if l.session != nil {
		sealed, signature, err := l.session.Wrap(body)
		if err != nil {
			return nil, fmt.Errorf("encrypt the request: %w", err)
		}
		req.Header.Set("Content-Type", sealedType)
		body = frame(sealed, signature, r.Header.Get("Content-Type"), len(body))
	}
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp, err := l.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer+1))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if l.session != nil && strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/encrypted") {
		if answer, err = l.open(answer); err != nil {
			return nil, fmt.Errorf("decrypt the answer: %w", err)
		}
		resp.Header.Set("Content-Type", "application/soap+xml")
	} else if l.session != nil && resp.StatusCode == http.StatusOK {
		return nil, errors.New("the answer is not encrypted")
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return resp, nil
}

const (
	boundary   = "--Encrypted Boundary"
	sealedType = `multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"`
)

// frame packs an encrypted message as MS-WSMV 2.2.9.1 wants it, which is almost
// MIME.
func frame(sealed, signature []byte, contentType string, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: type=%s;Length=%d\r\n%s\r\n\tContent-Type: application/octet-stream\r\n",
		boundary, contentType, size, boundary)
	_ = binary.Write(&b, binary.LittleEndian, uint32(len(signature))) // a Buffer takes everything
	b.Write(signature)
	b.Write(sealed)
	b.WriteString(boundary + "--\r\n")
	return b.Bytes()
}

// unframe takes an encrypted message apart.
func unframe(body []byte) (sealed, signature []byte, err error) {
	const head = "application/octet-stream\r\n"
	_, rest, ok := bytes.Cut(body, []byte(head))
	end := bytes.LastIndex(rest, []byte(boundary+"--"))
	if !ok || end < 4 {
		return nil, nil, errors.New("not an encrypted message")
	}
	rest = rest[:end]
	n := binary.LittleEndian.Uint32(rest)
	// NTLM's signatures have this one size.
	if n != 16 || len(rest) < 4+16 {
		return nil, nil, errors.New("an encrypted message without a signature")
	}
	return rest[20:], rest[4:20], nil
}

func (l *lane) open(body []byte) ([]byte, error) {
	sealed, signature, err := unframe(body)
	if err != nil {
		return nil, err
	}
	return l.session.Unwrap(sealed, signature)
}
