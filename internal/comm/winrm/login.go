package winrm

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
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
