//go:build unix

package ssh_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"ingot/internal/comm/ssh"
	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/testkit/sshd"
)

// through adds a bastion to a connection.
func through(b *sshd.Server, c component.Connection) component.Connection {
	c.SSHBastionHost, c.SSHBastionPort = b.Host(), b.Port()
	return c
}

type person struct {
	answers []string
	asked   []string
}

func (p *person) Interactive() bool { return true }

func (p *person) Ask(_ context.Context, question string) (string, error) {
	p.asked = append(p.asked, question)
	if len(p.answers) == 0 {
		return "", errors.New("nobody answers")
	}
	a := p.answers[0]
	p.answers = p.answers[1:]
	return a, nil
}

func TestBastion(t *testing.T) {
	k, authority := newKeyPair(t), newKeyPair(t)
	machine := sshd.Options{User: "me", Password: "secret"}
	own := component.Connection{SSHUsername: "me", SSHPassword: "secret"}
	with := func(change func(*component.Connection)) component.Connection {
		c := own
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		bastion    sshd.Options
		connection component.Connection
	}{
		"password": {sshd.Options{User: "jump", Password: "other"}, with(func(c *component.Connection) { c.SSHBastionUsername, c.SSHBastionPassword = "jump", "other" })},
		"key":      {sshd.Options{User: "jump", Keys: []xssh.PublicKey{k.signer.PublicKey()}}, with(func(c *component.Connection) { c.SSHBastionUsername, c.SSHBastionPrivateKeyFile = "jump", k.file })},
		"certificate": {sshd.Options{Authorities: []xssh.PublicKey{authority.signer.PublicKey()}}, with(func(c *component.Connection) {
			c.SSHBastionPrivateKeyFile, c.SSHBastionCertFile = k.file, certificate(t, authority.signer, k, "me")
		})},
		"machine's key":  {sshd.Options{User: "me", Keys: []xssh.PublicKey{k.signer.PublicKey()}}, with(func(c *component.Connection) { c.SSHPrivateKeyFile = k.file })},
		"agent":          {sshd.Options{Keys: []xssh.PublicKey{k.signer.PublicKey()}}, with(func(c *component.Connection) { c.SSHBastionAgentAuth = true })},
		"questions":      {sshd.Options{Answers: []sshd.Answer{{Question: "Code: ", Answer: "123456"}}}, with(func(c *component.Connection) { c.SSHBastionInteractive = true })},
		"typed password": {sshd.Options{Password: "123456"}, with(func(c *component.Connection) { c.SSHBastionInteractive = true })},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := sshd.Start(t, c.bastion), sshd.Start(t, machine)
			a := hasty(t)
			someone := &person{answers: []string{"123456"}}
			a.run.Prompt = someone
			a.deps.AgentSocket = startAgent(t, k)
			comm := a.mustDial(t, to(s, through(b, c.connection)))
			works(t, comm)
			if b.Logins() != 1 || s.Logins() != 1 {
				t.Errorf("%d logins to the bastion, %d to the machine", b.Logins(), s.Logins())
			}
			if asks := c.connection.SSHBastionInteractive; asks != (len(someone.asked) == 1) {
				t.Errorf("asked %q", someone.asked)
			}
			contains(t, strings.Join(a.log.messages(), "\n"), b.Fingerprint(), s.Fingerprint())
			// Both connections come back.
			b.Drop()
			someone.answers = []string{"123456"}
			if _, err := comm.Run(t.Context(), component.Command{Line: "sleep 0"}); err != nil && !errors.Is(err, component.ErrDisconnected) {
				t.Error(err)
			}
			works(t, comm)
		})
	}
}

func TestBastionRefusesForGood(t *testing.T) {
	b := sshd.Start(t, sshd.Options{User: "me", Password: "other"})
	s := sshd.Start(t, sshd.Options{})
	a := hasty(t)
	_, err := a.dial(t, to(s, through(b, component.Connection{SSHUsername: "me", SSHBastionPassword: "wrong"})))
	var refused *ssh.AuthError
	if !errors.As(err, &refused) || refused.Host != b.Addr() || b.Connections() != 1 {
		t.Fatalf("%d connections: %v", b.Connections(), err)
	}
	contains(t, err.Error(), "bastion", b.Addr(), "tried: password")
}

func TestBastionHostKey(t *testing.T) {
	b, s := sshd.Start(t, sshd.Options{}), sshd.Start(t, sshd.Options{})
	a := hasty(t)
	file := knownHosts(t, t.TempDir()+"/known_hosts", b, sshd.NewKey(t).PublicKey())
	_, err := a.dial(t, to(s, through(b, component.Connection{SSHKnownHostsFile: file})))
	var bad *ssh.HostKeyError
	if !errors.As(err, &bad) || bad.Host != b.Addr() {
		t.Errorf("got %v", err)
	}
}

// TestW9SilentBastion: nothing waits for ever.
func TestW9SilentBastion(t *testing.T) {
	b := sshd.Start(t, sshd.Options{Connected: func(int, net.Conn) bool { return false }})
	s := sshd.Start(t, sshd.Options{})
	_, err := patient(t).dial(t, to(s, through(b, component.Connection{SSHTimeout: 300 * time.Millisecond})))
	var w *readiness.TimeoutError
	if !errors.As(err, &w) {
		t.Fatalf("got %v", err)
	}
	contains(t, err.Error(), "ssh bastion", "ssh_bastion_host")
}

func TestMachineBehindBastionIsNotThere(t *testing.T) {
	b := sshd.Start(t, sshd.Options{})
	free := freeAddress(t)
	c := through(b, component.Connection{SSHTimeout: time.Minute})
	_, err := hasty(t).dial(t, at("127.0.0.1", free.Port, c))
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "tcp "+free.String(), "from the bastion "+b.Addr(), "connection refused")
	if b.Logins() != 1 {
		t.Errorf("%d logins to the bastion for one wait", b.Logins())
	}
}

// socks is a SOCKS5 proxy (RFC 1928, 1929) that asks for a password if one is
// set.
type socks struct {
	user, password string

	mu      sync.Mutex // guards targets
	targets []string
}

func (s *socks) start(t testing.TB) *net.TCPAddr {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_ = s.serve(c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr)
}

func (s *socks) serve(c net.Conn) error {
	r := bufio.NewReader(c)
	text := func() (string, error) {
		n, err := r.ReadByte()
		b := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(r, b)
		}
		return string(b), err
	}
	if _, err := r.Discard(1); err != nil {
		return err
	}
	if _, err := text(); err != nil {
		return err
	}
	if s.password == "" {
		_, _ = c.Write([]byte{5, 0})
	} else {
		_, _ = c.Write([]byte{5, 2})
		_, _ = r.Discard(1)
		user, err := text()
		password, err2 := text()
		if err != nil || err2 != nil || user != s.user || password != s.password {
			_, _ = c.Write([]byte{1, 1})
			return errors.New("refused")
		}
		_, _ = c.Write([]byte{1, 0})
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	var host string
	switch head[3] {
	case 1:
		ip := make([]byte, 4)
		if _, err := io.ReadFull(r, ip); err != nil {
			return err
		}
		host = net.IP(ip).String()
	case 3:
		name, err := text()
		if err != nil {
			return err
		}
		host = name
	}
	port := make([]byte, 2)
	if _, err := io.ReadFull(r, port); err != nil {
		return err
	}
	target := net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(port)))
	s.mu.Lock()
	s.targets = append(s.targets, target)
	s.mu.Unlock()
	out, err := net.Dial("tcp", target)
	if err != nil {
		_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return err
	}
	defer func() { _ = out.Close() }()
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go func() { _, _ = io.Copy(out, r) }()
	_, err = io.Copy(c, out)
	return err
}

func TestProxy(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	for name, p := range map[string]*socks{"open": {}, "with a password": {user: "u", password: "p"}} {
		t.Run(name, func(t *testing.T) {
			addr := p.start(t)
			works(t, hasty(t).mustDial(t, to(s, component.Connection{SSHProxyHost: "127.0.0.1", SSHProxyPort: addr.Port, SSHProxyUsername: p.user, SSHProxyPassword: p.password})))
			if len(p.targets) != 1 || p.targets[0] != s.Addr() {
				t.Errorf("the proxy was asked for %q", p.targets)
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		addr := (&socks{user: "u", password: "p"}).start(t)
		_, err := hasty(t).dial(t, to(s, component.Connection{SSHProxyHost: "127.0.0.1", SSHProxyPort: addr.Port, SSHProxyUsername: "u", SSHProxyPassword: "wrong"}))
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "ssh_proxy_username", "authentication failed")
	})
}

// echoServer answers every line with its name.
func echoServer(t testing.TB, name string) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				for r := bufio.NewScanner(c); r.Scan(); {
					_, _ = fmt.Fprintln(c, name, r.Text())
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr)
}

// talk says hello to a port. The listener may be a moment late.
func talk(t testing.TB, port int) string {
	t.Helper()
	var c net.Conn
	var err error
	for range 100 {
		if c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			break
		}
		_ = (component.SystemClock{}).Sleep(t.Context(), 20*time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = fmt.Fprintln(c, "hello")
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line)
}

func TestTunnels(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	here, there := echoServer(t, "here"), echoServer(t, "there")
	in, out := freeAddress(t).Port, freeAddress(t).Port
	c := hasty(t).mustDial(t, to(s, component.Connection{
		SSHLocalTunnels:  []string{fmt.Sprintf("%d:127.0.0.1:%d", in, there.Port)},
		SSHRemoteTunnels: []string{fmt.Sprintf("%d:127.0.0.1:%d", out, here.Port)},
	}))
	check := func(when string) {
		t.Helper()
		if got := talk(t, in); got != "there hello" {
			t.Errorf("%s: the local tunnel says %q", when, got)
		}
		if got := talk(t, out); got != "here hello" {
			t.Errorf("%s: the remote tunnel says %q", when, got)
		}
	}
	check("at first")
	s.Drop()
	works(t, c)
	check("on a new connection")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if isOpen(in) {
		t.Errorf("the local port %d is still open after Close", in)
	}
	// The other one is the server's, which hears of the end a moment later.
	for try := 0; isOpen(out); try++ {
		if try == 250 {
			t.Fatalf("the remote port %d is still open long after Close", out)
		}
		_ = (component.SystemClock{}).Sleep(t.Context(), 20*time.Millisecond)
	}
}

// TestTunnelsComeBackByThemselves: whoever uses a tunnel need not know that the
// connection was lost.
func TestTunnelsComeBackByThemselves(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	here, there := echoServer(t, "here"), echoServer(t, "there")
	in, out := freeAddress(t).Port, freeAddress(t).Port
	for name, x := range map[string]struct {
		connection component.Connection
		port       int
		want       string
	}{
		"local":  {component.Connection{SSHLocalTunnels: []string{fmt.Sprintf("%d:127.0.0.1:%d", in, there.Port)}}, in, "there hello"},
		"remote": {component.Connection{SSHRemoteTunnels: []string{fmt.Sprintf("%d:127.0.0.1:%d", out, here.Port)}}, out, "here hello"},
	} {
		patient(t).mustDial(t, to(s, x.connection))
		for i := range 3 {
			if got := talk(t, x.port); got != x.want {
				t.Errorf("%s: after %d losses the tunnel says %q", name, i, got)
			}
			logins := s.Logins()
			s.Drop()
			for try := 0; name == "remote" && s.Logins() == logins; try++ {
				if try == 500 {
					t.Fatal("it does not connect again")
				}
				_ = (component.SystemClock{}).Sleep(t.Context(), 20*time.Millisecond)
			}
		}
	}
}

func isOpen(port int) bool {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func TestBadTunnels(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	taken := echoServer(t, "x")
	for _, c := range []component.Connection{
		{SSHLocalTunnels: []string{"nonsense"}},
		{SSHLocalTunnels: []string{"80:host"}},
		{SSHLocalTunnels: []string{"http:host:80"}},
		{SSHRemoteTunnels: []string{"70000:host:80"}},
		{SSHRemoteTunnels: []string{"80::80"}},
		{SSHRemoteTunnels: []string{"80:host:0"}},
		{SSHLocalTunnels: []string{fmt.Sprintf("%d:host:80", taken.Port)}},
	} {
		attr, text := "ssh_local_tunnels", strings.Join(c.SSHLocalTunnels, "")
		if text == "" {
			attr, text = "ssh_remote_tunnels", strings.Join(c.SSHRemoteTunnels, "")
		}
		_, err := hasty(t).dial(t, to(s, c))
		if err == nil {
			t.Errorf("%s %s: no error", attr, text)
			continue
		}
		contains(t, err.Error(), attr, text)
	}
	if _, err := hasty(t).dial(t, to(sshd.Start(t, sshd.Options{NoForwarding: true}), component.Connection{SSHRemoteTunnels: []string{"0:host:80"}})); err == nil {
		t.Error("a server that does not forward: no error")
	}
}
