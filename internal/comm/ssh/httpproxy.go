package ssh

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxProxyAnswer bounds what an HTTP proxy may say before the stream begins.
const maxProxyAnswer = 64 << 10

// throughHTTP opens a stream to target through an HTTP proxy, by its CONNECT
// method. The end of ctx ends the exchange, too.
func throughHTTP(ctx context.Context, dial dialFunc, proxyAddress string, login *url.Userinfo, target string) (net.Conn, error) {
	conn, err := dial(ctx, "tcp", proxyAddress)
	if err != nil {
		return nil, fmt.Errorf("http proxy: %w", err)
	}
	unhook := context.AfterFunc(ctx, func() {
		_ = conn.Close() // makes the reads and writes below return
	})
	stream, err := requestTunnel(conn, login, target)
	if !unhook() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close() // ctx may have done so
		return nil, fmt.Errorf("http proxy %s: %w", proxyAddress, err)
	}
	return stream, nil
}

// requestTunnel asks for the stream.
func requestTunnel(conn net.Conn, login *url.Userinfo, target string) (net.Conn, error) {
	q := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{"User-Agent": {"Ingot"}}}
	if login != nil {
		password, _ := login.Password()
		basic := &http.Request{Header: http.Header{}}
		basic.SetBasicAuth(login.Username(), password)
		q.Header.Set("Proxy-Authorization", basic.Header.Get("Authorization"))
	}
	if err := q.Write(conn); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", target, err)
	}
	limited := &io.LimitedReader{R: conn, N: maxProxyAnswer}
	in := bufio.NewReader(limited)
	a, err := http.ReadResponse(in, q)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	switch {
	case a.StatusCode == http.StatusProxyAuthRequired:
		// It will not change its mind.
		return nil, final(fmt.Errorf("ssh: the HTTP proxy does not accept ssh_proxy_username and ssh_proxy_password: %s", a.Status))
	case a.StatusCode/100 != 2:
		return nil, fmt.Errorf("it does not connect to %s: %s", target, a.Status)
	}
	// The server speaks first, so its first words may have been read already.
	return &resumed{Conn: conn, early: io.LimitReader(in, int64(in.Buffered()))}, nil
}

// resumed is a connection of which a part has been read already.
type resumed struct {
	net.Conn
	early io.Reader
}

// Read reads that part first.
func (r *resumed) Read(p []byte) (int, error) {
	if r.early != nil {
		if n, err := r.early.Read(p); n > 0 || err != nil && err != io.EOF {
			return n, err
		}
		r.early = nil
	}
	return r.Conn.Read(p)
}
