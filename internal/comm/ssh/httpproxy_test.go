//go:build unix

package ssh_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/testkit/sshd"
)

// tunnelProxy is an HTTP proxy for one connection at a time. answer is given
// the request and says what to send; when it is a 200, the stream follows.
func tunnelProxy(t testing.TB, answer func(*http.Request) string) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		q, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		text := answer(q)
		if !strings.HasPrefix(text, "HTTP/1.1 200") {
			_, _ = io.WriteString(c, text)
			return
		}
		out, err := net.Dial("tcp", q.RequestURI)
		if err != nil {
			return
		}
		defer func() { _ = out.Close() }()
		// The server's first words come in one piece with the answer.
		first := make([]byte, 100)
		n, _ := out.Read(first)
		_, _ = io.WriteString(c, text+string(first[:n]))
		go func() { _, _ = io.Copy(out, in) }()
		_, _ = io.Copy(c, out)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().(*net.TCPAddr)
}

func proxied(a *net.TCPAddr, c component.Connection) component.Connection {
	c.SSHProxyType, c.SSHProxyHost, c.SSHProxyPort = component.ProxyHTTP, "127.0.0.1", a.Port
	return c
}

func TestHTTPProxy(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	for name, c := range map[string]struct {
		user, password string
	}{
		"open": {}, "with a password": {"user", "pass:word"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan string, 10)
			p := tunnelProxy(t, func(q *http.Request) string {
				user, password, _ := (&http.Request{Header: http.Header{"Authorization": q.Header["Proxy-Authorization"]}}).BasicAuth()
				asked <- fmt.Sprint(q.Method, " ", q.RequestURI, " ", q.Host, " ", user, " ", password)
				return "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"
			})
			comm := hasty(t).mustDial(t, to(s, proxied(p, component.Connection{SSHProxyUsername: c.user, SSHProxyPassword: c.password})))
			works(t, comm)
			if got, want := <-asked, fmt.Sprint("CONNECT ", s.Addr(), " ", s.Addr(), " ", c.user, " ", c.password); got != want {
				t.Errorf("the proxy was asked %q, want %q", got, want)
			}
			s.Drop()
			works(t, comm)
		})
	}
}

func TestHTTPProxyRefuses(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	for name, c := range map[string]struct {
		answer string
		waits  bool
		says   []string
	}{
		"credentials": {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", false, []string{"ssh_proxy_username", "407"}},
		"machine":     {"HTTP/1.1 503 No such host\r\n\r\n", true, []string{"does not connect to " + s.Addr(), "503 No such host"}},
		"no HTTP":     {"SSH-2.0-OpenSSH\r\n", true, []string{"read the answer", "malformed HTTP"}},
		"nothing":     {"", true, []string{"read the answer", "EOF"}},
		"too much":    {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", true, []string{"read the answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan bool, 1000)
			p := tunnelProxy(t, func(*http.Request) string {
				asked <- true
				return c.answer
			})
			_, err := hasty(t).dial(t, to(s, proxied(p, component.Connection{SSHTimeout: time.Second})))
			if err == nil {
				t.Fatal("no error")
			}
			contains(t, err.Error(), c.says...)
			var late *readiness.TimeoutError
			if errors.As(err, &late) != c.waits || !c.waits && len(asked) != 1 {
				t.Errorf("asked %d times: %v", len(asked), err)
			}
		})
	}
}

// TestSilentProxies: nothing waits for ever.
func TestSilentProxies(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for _, kind := range []string{component.ProxyHTTP, component.ProxySOCKS5} {
		c := proxied(l.Addr().(*net.TCPAddr), component.Connection{SSHTimeout: 300 * time.Millisecond})
		c.SSHProxyType = kind
		_, err := patient(t).dial(t, at("127.0.0.1", 22, c))
		var late *readiness.TimeoutError
		if !errors.As(err, &late) {
			t.Errorf("%s: got %v", kind, err)
			continue
		}
		contains(t, err.Error(), "proxy "+l.Addr().String(), "took longer")
	}
}
