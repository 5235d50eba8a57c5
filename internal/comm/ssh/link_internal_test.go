//go:build unix

package ssh

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
	"ingot/internal/testkit/sshd"
)

// connect makes a bare link to a server.
func connect(t *testing.T, s *sshd.Server) *link {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	h := handshake{
		address: s.Addr(), creds: &credentials{}, settings: &settings{}, limit: 10 * time.Second,
		verdict: &verdict{check: ssh.InsecureIgnoreHostKey()}, entered: func(int) {},
	}
	l, err := h.do(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// TestKeepAlive: a peer that answers stays, one that does not is given up and
// what waits for it fails.
func TestKeepAlive(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	l := connect(t, s)
	if !l.ping(time.Minute) || !l.alive() {
		t.Fatal("a peer that answers was given up")
	}
	session, err := l.session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		_, err := session.run(context.Background(), command{line: "echo; sleep 600", stdout: signalling{started}})
		done <- err
	}()
	<-started
	s.Silence(true)
	if l.ping(100 * time.Millisecond) {
		t.Error("a silent peer was not given up")
	}
	if err := <-done; !errors.Is(err, component.ErrDisconnected) || !strings.Contains(err.Error(), "no answer to keep-alive messages") {
		t.Errorf("the command: %v", err)
	}
	<-l.down
}

// TestKeepAliveMessages: they are sent at the interval, and not at all when
// they are turned off.
func TestKeepAliveMessages(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	l := connect(t, s)
	before := l.conn.heard.Load()
	l.keepAlive(-1)
	l.keepAlive(20 * time.Millisecond)
	for range 500 {
		if l.conn.heard.Load() != before {
			return
		}
		_ = (component.SystemClock{}).Sleep(t.Context(), 10*time.Millisecond)
	}
	t.Error("no answer was heard")
}

type signalling struct{ c chan struct{} }

func (s signalling) Write(p []byte) (int, error) {
	close(s.c)
	return len(p), nil
}

// TestHandshakeLimit: a peer that accepts and says nothing does not hold us.
func TestHandshakeLimit(t *testing.T) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = theirs.Close() })
	h := handshake{
		address: "x:22", creds: &credentials{}, settings: &settings{}, limit: 50 * time.Millisecond,
		verdict: &verdict{check: ssh.InsecureIgnoreHostKey()}, entered: func(int) {},
	}
	_, err := h.do(t.Context(), ours)
	var slow slowError
	if !errors.As(err, &slow) {
		t.Errorf("got %v", err)
	}
}
