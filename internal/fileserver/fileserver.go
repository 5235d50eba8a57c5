// Package fileserver serves files to the machine that is being built over HTTP:
// answers for installers, scripts, packages. It serves a folder, and nothing
// outside it, or texts from the template, and ends with the build.
package fileserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"ingot/internal/component"
)

// Server is a server that runs.
type Server struct {
	listener net.Listener
	http     *http.Server
	run      component.Run
	// serving is done when no request is being answered any more.
	serving sync.WaitGroup
	mu      sync.Mutex
	stopped bool // guarded by mu
}

// Start serves what c asks for until the build is done with its machine; without
// a folder and texts it returns nil. It listens on the first free port of the range.
// host is the address to listen on when neither http_bind_address nor
// http_interface says one: the loopback address is enough for a machine whose
// network is emulated by its own process.
func Start(ctx context.Context, r component.Run, c Config, host string) (*Server, error) {
	if !c.Enabled() {
		return nil, nil
	}
	if c.HTTPBindAddress != "" {
		host = c.HTTPBindAddress
	}
	if c.HTTPInterface != "" {
		var err error
		if host, err = InterfaceAddress(c.HTTPInterface); err != nil {
			return nil, fmt.Errorf("http server: %w", err)
		}
	}
	s := &Server{run: r}
	handler, closeFiles, err := s.handler(c)
	if err != nil {
		return nil, fmt.Errorf("http server: %w", err)
	}
	if s.listener, err = listen(ctx, c, host); err != nil {
		closeFiles()
		return nil, fmt.Errorf("http server: %w", err)
	}
	s.http = &http.Server{Handler: s.count(handler), ReadHeaderTimeout: 30 * time.Second}
	s.serving.Go(func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			r.Emit(component.Problem{Text: fmt.Sprintf("The HTTP server on port %d has ended: %v", s.Port(), err)})
		}
	})
	r.AtEnd(func() { s.Stop(); closeFiles() })
	r.Say(fmt.Sprintf("Starting HTTP server on port %d", s.Port()))
	return s, nil
}

// Port is the port that the server listens on.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Addr is the address that the server listens on.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// Stop ends the server with the requests that it is answering. It may be called
// more than once.
func (s *Server) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	_ = s.http.Close()
	s.serving.Wait()
}

// count lets Stop wait for the requests.
func (s *Server) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.mu.Lock()
		if s.stopped {
			s.mu.Unlock()
			return
		}
		s.serving.Add(1)
		s.mu.Unlock()
		defer s.serving.Done()
		next.ServeHTTP(w, q)
	})
}

// listen takes the first free port of the range, beginning anywhere in it, so that
// parallel builds seldom meet. Each port is tried once: listening is what takes it,
// so nobody can come between, and when all are taken there is no point in going on.
func listen(ctx context.Context, c Config, host string) (net.Listener, error) {
	low, high := c.ports()
	network := c.HTTPNetworkProtocol
	if network == "" {
		network = "tcp"
	}
	n := high - low + 1
	first := rand.IntN(n)
	var last error
	for i := range n {
		port := low + (first+i)%n
		l, err := new(net.ListenConfig).Listen(ctx, network, net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		last = err
		if !taken(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no port from %d to %d is free (http_port_min, http_port_max): %w", low, high, last)
}

// taken reports whether another port of the same address may be free.
func taken(err error) bool {
	var sys *os.SyscallError
	return errors.As(err, &sys) && (sys.Syscall == "bind" || sys.Syscall == "listen") && !errors.Is(err, syscall.EADDRNOTAVAIL)
}

// InterfaceAddress is the address of a network interface of this machine: the
// first of IPv4, else the first that is global, else none.
func InterfaceAddress(name string) (string, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return "", fmt.Errorf("http_interface %q: %w%s", name, err, interfaceNames())
	}
	addrs, err := i.Addrs()
	if err != nil {
		return "", fmt.Errorf("http_interface %q: %w", name, err)
	}
	v6 := ""
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		switch {
		case !ok:
		case ip.IP.To4() != nil:
			return ip.IP.String(), nil
		case v6 == "" && !ip.IP.IsLinkLocalUnicast():
			v6 = ip.IP.String()
		}
	}
	if v6 == "" {
		return "", fmt.Errorf("http_interface %q: it has no address", name)
	}
	return v6, nil
}

func interfaceNames() string {
	all, err := net.Interfaces()
	if err != nil || len(all) == 0 {
		return ""
	}
	text := "; there are:"
	for _, i := range all {
		text += " " + i.Name
	}
	return text
}
