package winrm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// login sends requests with credentials.
type login interface {
	do(*http.Request) (*http.Response, error)
	user() string
	scheme() string
	close()
}

const (
	schemeBasic = "Basic"
	schemeNTLM  = "Negotiate"
	schemeCert  = "client certificate"
)

// wire is how connections are made.
type wire struct {
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	proxy func(*http.Request) (*url.URL, error)
	tls   *tls.Config
}

// idleLimit is how long a connection stays open without a request. It is less
// than the 120 seconds after which Windows closes it, so that no request is sent
// into a connection that is being closed.
const idleLimit = 30 * time.Second

func (w wire) transport() *http.Transport {
	return &http.Transport{
		DialContext: w.dial, Proxy: w.proxy, TLSClientConfig: w.tls, TLSHandshakeTimeout: tlsLimit,
		IdleConnTimeout: idleLimit, MaxIdleConnsPerHost: 2 * maxWorkers, DisableCompression: true,
	}
}

// basic logs in with every request.
type basic struct {
	name, password string
	transport      *http.Transport
}

func (b *basic) do(r *http.Request) (*http.Response, error) {
	r.SetBasicAuth(b.name, b.password)
	return b.transport.RoundTrip(r)
}

func (b *basic) user() string   { return b.name }
func (b *basic) scheme() string { return schemeBasic }
func (b *basic) close()         { b.transport.CloseIdleConnections() }

// certificate logs in with a client certificate. The server maps it to a user.
type certificate struct {
	subject   string
	transport *http.Transport
}

// mutualTLS is what the header of a request says when the certificate of the
// connection is the login (DSP0226, annex C).
const mutualTLS = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"

// newCertificate reads the files. The key may be in the file of the certificate.
func newCertificate(certFile, keyFile string, w wire) (*certificate, error) {
	if keyFile == "" {
		keyFile = certFile
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("winrm: winrm_cert_file: %w", err)
	}
	w.tls.Certificates = []tls.Certificate{pair}
	return &certificate{pair.Leaf.Subject.String(), w.transport()}, nil
}

func (c *certificate) do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", mutualTLS)
	resp, err := c.transport.RoundTrip(r)
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" && strings.Contains(remote.Err.Error(), "certificate") {
		return nil, fmt.Errorf("%w (%w)", &AuthError{User: c.subject, Scheme: schemeCert, Attempts: 1}, err)
	}
	return resp, err
}

func (c *certificate) user() string   { return c.subject }
func (c *certificate) scheme() string { return schemeCert }
func (c *certificate) close()         { c.transport.CloseIdleConnections() }
