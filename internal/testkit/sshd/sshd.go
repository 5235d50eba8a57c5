//go:build unix

// Package sshd is an SSH server inside the test process. It runs commands on
// this machine, or lets the test answer them, and can be told to refuse parts
// of the protocol, to fall silent and to drop its connections.
package sshd

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Options says what the server accepts. The zero value accepts any user with
// any credentials, or none, and does everything.
type Options struct {
	// User is the only user who may log in; empty for any.
	User string
	// Password is accepted as a password.
	Password string
	// Keys are accepted public keys, and certificates signed by one of
	// Authorities are accepted too.
	Keys        []ssh.PublicKey
	Authorities []ssh.PublicKey
	// Answers are keyboard-interactive questions with the right answers.
	Answers []Answer

	// HostKey is the server's key; nil for a new one. MoreHostKeys are keys
	// of other types that it has as well.
	HostKey      ssh.Signer
	MoreHostKeys []ssh.Signer
	// Version is the identification string; empty for the library's.
	Version string
	// Ciphers and KeyExchanges are what is offered; nil for the defaults.
	Ciphers, KeyExchanges []string

	// NoPTY, NoSFTP and NoForwarding refuse these requests.
	NoPTY, NoSFTP, NoForwarding bool
	// MaxSessions is how many sessions a connection may have at a time; 0
	// for any number.
	MaxSessions int
	// Path is the PATH of commands that are run here; empty for the
	// test's own. Env is more of their environment, as NAME=value.
	Path string
	Env  []string

	// Files says where a file of the machine, with an absolute path, is on this
	// one; nil means at the same place. It is asked by SFTP.
	Files func(path string) string

	// Exec answers commands; nil runs them with /bin/sh on this machine.
	Exec func(*Call) Status
	// Connected is given every connection before anything is sent on it.
	// The first one has number 1. When it returns false, the connection is
	// not served; the server still closes it at the end.
	Connected func(number int, c net.Conn) bool
}

// Answer is a keyboard-interactive question with its right answer.
type Answer struct{ Question, Answer string }

// Server is a running server.
type Server struct {
	o        Options
	t        testing.TB
	key      ssh.Signer
	listener net.Listener
	tasks    sync.WaitGroup

	mu       sync.Mutex // guards what follows
	closed   bool
	silent   chan struct{} // not nil while silent; closed when that is over
	conns    map[*gated]bool
	accepted int
	refusals int
	logins   int
	lines    []string
	running  map[*process]bool
}

// Start starts a server on a loopback port. It is stopped, with everything
// that it runs, when the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	return StartAt(t, "127.0.0.1:0", o)
}

// StartAt is Start at a fixed address, such as that of a server that was
// stopped.
func StartAt(t testing.TB, address string, o Options) *Server {
	t.Helper()
	s := &Server{o: o, t: t, key: o.HostKey, conns: map[*gated]bool{}, running: map[*process]bool{}}
	if s.key == nil {
		s.key = NewKey(t)
	}
	var err error
	if s.listener, err = net.Listen("tcp", address); err != nil {
		t.Fatalf("sshd: %v", err)
	}
	s.tasks.Go(s.accept)
	t.Cleanup(s.Stop)
	return s
}

// NewKey makes an ed25519 key pair.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatalf("sshd: make a key: %v", err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatalf("sshd: make a key: %v", err)
	}
	return s
}

// Addr is where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Host and Port are the two halves of Addr.
func (s *Server) Host() string { return s.listener.Addr().(*net.TCPAddr).IP.String() }

// Port is where the server listens.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// HostKey is the server's public key in authorized_keys format.
func (s *Server) HostKey() string {
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(s.key.PublicKey())))
}

// Fingerprint is the server's key as users see it.
func (s *Server) Fingerprint() string { return ssh.FingerprintSHA256(s.key.PublicKey()) }

// Connections is how many connections were accepted so far.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Logins is how many of them logged in.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Lines are the commands that were asked for so far.
func (s *Server) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// RefuseLogins makes the next n attempts to authenticate fail.
func (s *Server) RefuseLogins(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = n
}

// Silence makes all connections hold back what they send and ignore what they
// get, without closing them, or ends that.
func (s *Server) Silence(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case on && s.silent == nil:
		s.silent = make(chan struct{})
	case !on && s.silent != nil:
		close(s.silent)
		s.silent = nil
	}
}

// Drop closes all connections.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.abort()
	}
}

// Stop ends the server, its connections and its commands.
func (s *Server) Stop() {
	s.Silence(false)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.listener.Close() // stopping twice is no fault
	s.Drop()
	s.mu.Lock()
	for p := range s.running {
		p.kill()
	}
	s.mu.Unlock()
	s.tasks.Wait()
}

func (s *Server) accept() {
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			return
		}
		c := &gated{Conn: raw, s: s, dropped: make(chan struct{})}
		s.mu.Lock()
		s.accepted++
		number, closed := s.accepted, s.closed
		s.conns[c] = true
		s.mu.Unlock()
		if closed {
			c.abort()
			continue
		}
		s.tasks.Go(func() {
			if s.o.Connected != nil && !s.o.Connected(number, c) {
				<-c.dropped
				return
			}
			s.serve(c)
			c.abort()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, c)
		})
	}
}

// gated is a connection that can be stopped.
type gated struct {
	net.Conn
	s       *Server
	once    sync.Once
	dropped chan struct{}
}

// pass waits while the server is silent.
func (c *gated) pass() {
	c.s.mu.Lock()
	silent := c.s.silent
	c.s.mu.Unlock()
	if silent != nil {
		select {
		case <-silent:
		case <-c.dropped:
		}
	}
}

// Read reads.
func (c *gated) Read(p []byte) (int, error) {
	c.pass()
	n, err := c.Conn.Read(p)
	c.pass()
	return n, err
}

// Write writes.
func (c *gated) Write(p []byte) (int, error) {
	c.pass()
	return c.Conn.Write(p)
}

func (c *gated) abort() {
	c.once.Do(func() {
		close(c.dropped)
		_ = c.Conn.Close() // the peer may have done so
	})
}

var errRefused = errors.New("sshd: not accepted")

// config is the library's form of the options.
func (s *Server) config() *ssh.ServerConfig {
	o := s.o
	c := &ssh.ServerConfig{ServerVersion: o.Version, MaxAuthTries: 20}
	c.Ciphers, c.KeyExchanges = o.Ciphers, o.KeyExchanges
	c.AddHostKey(s.key)
	for _, k := range o.MoreHostKeys {
		c.AddHostKey(k)
	}
	allow := func(m ssh.ConnMetadata, good bool) (*ssh.Permissions, error) {
		if !good || (o.User != "" && m.User() != o.User) || !s.mayLogin() {
			return nil, errRefused
		}
		return nil, nil
	}
	if o.Password == "" && len(o.Keys) == 0 && len(o.Authorities) == 0 && len(o.Answers) == 0 {
		c.NoClientAuth = true
		c.NoClientAuthCallback = func(m ssh.ConnMetadata) (*ssh.Permissions, error) { return allow(m, true) }
		c.PasswordCallback = func(m ssh.ConnMetadata, _ []byte) (*ssh.Permissions, error) { return allow(m, true) }
	}
	if o.Password != "" {
		c.PasswordCallback = func(m ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			return allow(m, string(p) == o.Password)
		}
	}
	if len(o.Keys) > 0 || len(o.Authorities) > 0 {
		c.PublicKeyCallback = func(m ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			return allow(m, s.knows(m, k))
		}
	}
	if len(o.Answers) > 0 {
		c.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			var questions []string
			for _, a := range o.Answers {
				questions = append(questions, a.Question)
			}
			got, err := ask("", "", questions, make([]bool, len(questions)))
			if err != nil {
				return nil, err
			}
			for i, a := range o.Answers {
				if i >= len(got) || got[i] != a.Answer {
					return nil, errRefused
				}
			}
			return allow(m, true)
		}
	}
	return c
}

// mayLogin counts down what RefuseLogins has set.
func (s *Server) mayLogin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals > 0 {
		s.refusals--
		return false
	}
	return true
}

// knows checks a key or certificate.
func (s *Server) knows(m ssh.ConnMetadata, k ssh.PublicKey) bool {
	has := func(list []ssh.PublicKey, k ssh.PublicKey) bool {
		return slices.ContainsFunc(list, func(l ssh.PublicKey) bool { return bytes.Equal(l.Marshal(), k.Marshal()) })
	}
	cert, ok := k.(*ssh.Certificate)
	if !ok {
		return has(s.o.Keys, k)
	}
	checker := ssh.CertChecker{IsUserAuthority: func(a ssh.PublicKey) bool { return has(s.o.Authorities, a) }}
	_, err := checker.Authenticate(m, cert)
	return err == nil
}

func (s *Server) serve(c net.Conn) {
	conn, chans, reqs, err := ssh.NewServerConn(c, s.config())
	if err != nil {
		return
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	var all sync.WaitGroup
	defer all.Wait()
	defer func() { _ = conn.Close() }()
	f := &forwarder{s: s, conn: conn, done: make(chan struct{}), listeners: map[string]net.Listener{}}
	defer f.close()
	all.Go(func() { f.requests(reqs) })
	slots := newSlots(s.o.MaxSessions)
	for n := range chans {
		switch n.ChannelType() {
		case "session":
			if !slots.take() {
				_ = n.Reject(ssh.ResourceShortage, "too many sessions")
				continue
			}
			all.Go(func() {
				defer slots.give()
				s.session(conn, n)
			})
		case "direct-tcpip":
			if s.o.NoForwarding {
				_ = n.Reject(ssh.Prohibited, "forwarding is turned off")
				continue
			}
			all.Go(func() { f.direct(n) })
		default:
			_ = n.Reject(ssh.UnknownChannelType, fmt.Sprintf("%s is not known", n.ChannelType()))
		}
	}
}

// slots counts sessions.
type slots struct{ free chan struct{} }

func newSlots(n int) *slots {
	if n <= 0 {
		return &slots{}
	}
	return &slots{free: make(chan struct{}, n)}
}

func (s *slots) take() bool {
	if s.free == nil {
		return true
	}
	select {
	case s.free <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *slots) give() {
	if s.free != nil {
		<-s.free
	}
}
