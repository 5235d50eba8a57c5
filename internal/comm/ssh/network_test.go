//go:build linux

package ssh_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/testkit/netlab"
)

// from is an attempt whose connections begin at a host.
func from(t testing.TB, h *netlab.Host) *attempt {
	a := patient(t)
	a.deps.Dial = h.Dial
	return a
}

// login adds what a server accepts, and its host key.
func login(s *netlab.SSHD, c component.Connection) component.Connection {
	c.SSHUsername, c.SSHPrivateKey = "root", s.Key
	c.SSHHostKeyCheck, c.SSHHostKey = component.HostKeyStrict, []string{s.HostKey}
	return c
}

// random are bytes that do not compress.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// copies checks that a file arrives and comes back.
func copies(t testing.TB, c component.Communicator, n int) {
	t.Helper()
	body, name := random(n), filepath.Join(t.TempDir(), "file")
	if err := c.Put(t.Context(), name, bytes.NewReader(body), component.FileMeta{Size: int64(n)}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d of %d bytes arrived: %v", len(got), n, err)
	}
	var back bytes.Buffer
	if err := c.Get(t.Context(), name, &back); err != nil || !bytes.Equal(back.Bytes(), body) {
		t.Errorf("%d of %d bytes came back: %v", back.Len(), n, err)
	}
}

// TestNetworkBastion: a machine that only the bastion can reach, with
// credentials and a host key of its own for each of the two.
func TestNetworkBastion(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	client, jump := lab.Host("client"), lab.Host("jump")
	inner := jump.Behind("machine")
	machine := inner.SSHD()
	authority, key := newKeyPair(t), newKeyPair(t)
	trusted := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(trusted, xssh.MarshalAuthorizedKey(authority.signer.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	bastion := jump.SSHD("TrustedUserCAKeys " + trusted)

	_, err := from(t, client).dial(t, at(inner.Addr(), 22, login(machine, component.Connection{SSHTimeout: time.Second})))
	var late *readiness.TimeoutError
	if !errors.As(err, &late) {
		t.Fatalf("without the bastion: %v", err)
	}

	known := filepath.Join(t.TempDir(), "known_hosts")
	through := login(machine, component.Connection{
		SSHTimeout: time.Minute, SSHBastionHost: jump.Addr(), SSHBastionUsername: "root", SSHBastionPrivateKeyFile: bastion.KeyFile, SSHKnownHostsFile: known,
	})
	wrong := knownhosts.Line([]string{jump.Addr()}, newKeyPair(t).signer.PublicKey())
	if err := os.WriteFile(known, []byte(wrong+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := from(t, client).dial(t, at(inner.Addr(), 22, through)); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("with a wrong key of the bastion: %v", err)
	}
	if err := os.WriteFile(known, []byte(knownhosts.HashHostname(jump.Addr())+" "+bastion.HostKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := from(t, client).mustDial(t, at(inner.Addr(), 22, through))
	works(t, c)
	copies(t, c, 3<<20)

	// Both connections break, and both come back.
	broken := &onOutput{do: jump.Reset}
	if _, err := c.Run(t.Context(), component.Command{Line: "while echo x; do sleep 0.1; done", Stdout: broken}); !errors.Is(err, component.ErrDisconnected) {
		t.Errorf("when the bastion is gone: %v", err)
	}
	jump.Heal()
	works(t, c)

	certified := through
	certified.SSHBastionPrivateKeyFile, certified.SSHBastionCertFile = key.file, certificate(t, authority.signer, key, "root")
	if _, err := from(t, client).dial(t, at(inner.Addr(), 22, certified)); errors.As(err, &late) || err == nil || !strings.Contains(err.Error(), "permit-port-forwarding") {
		t.Errorf("with a certificate that does not allow forwarding: %v", err)
	}
	certified.SSHBastionCertFile = certificate(t, authority.signer, key, "root", "permit-port-forwarding")
	works(t, from(t, client).mustDial(t, at(inner.Addr(), 22, certified)))
}

// onOutput does something at the first output.
type onOutput struct {
	do   func()
	done bool
}

func (o *onOutput) Write(p []byte) (int, error) {
	if !o.done {
		o.done = true
		o.do()
	}
	return len(p), nil
}

// TestNetworkProxies: OpenSSH's SOCKS5 proxy, and one for HTTP.
func TestNetworkProxies(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	client, office, jump := lab.Host("client"), lab.Host("office"), lab.Host("jump")
	inner := jump.Behind("machine")
	machine, gate := inner.SSHD(), jump.SSHD()

	socks := exec.Command("ssh", "-N", "-F", "none", "-D", "0.0.0.0:1080", "-i", gate.KeyFile, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "ExitOnForwardFailure=yes", "root@"+jump.Addr())
	office.Start(socks)
	t.Cleanup(func() { _ = socks.Wait() })
	t.Cleanup(func() { _ = socks.Process.Kill() })
	c := from(t, client).mustDial(t, at(inner.Addr(), 22, login(machine, component.Connection{SSHTimeout: time.Minute, SSHProxyHost: office.Addr()})))
	works(t, c)
	copies(t, c, 1<<20)

	httpProxy(t, jump)
	c = from(t, client).mustDial(t, at(inner.Addr(), 22, login(machine, component.Connection{
		SSHTimeout: time.Minute, SSHProxyType: component.ProxyHTTP, SSHProxyHost: jump.Addr(), SSHProxyUsername: "me", SSHProxyPassword: "secret",
	})))
	works(t, c)
	copies(t, c, 1<<20)
}

// httpProxy runs one on a host.
func httpProxy(t testing.TB, h *netlab.Host) {
	l := h.Listen(3128)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = in.Close() }()
				r := bufio.NewReader(in)
				q, err := http.ReadRequest(r)
				if err != nil || q.Header.Get("Proxy-Authorization") != "Basic bWU6c2VjcmV0" {
					return
				}
				out, err := h.Dial(t.Context(), "tcp", q.RequestURI)
				if err != nil {
					_, _ = io.WriteString(in, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
					return
				}
				defer func() { _ = out.Close() }()
				_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
				go func() { _, _ = io.Copy(out, r) }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
}

// TestNetworkBadLinks: packets that are lost and a link that is full make
// things slow and nothing else, keep-alives included.
func TestNetworkBadLinks(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	client, host := lab.Host("client"), lab.Host("machine")
	s := host.SSHD()
	c := from(t, client).mustDial(t, at(host.Addr(), 22, login(s, component.Connection{SSHTimeout: time.Minute, SSHKeepAliveInterval: 100 * time.Millisecond})))
	host.Loss(0.03)
	copies(t, c, 1<<20)
	host.Heal()
	host.Rate("8mbit")
	copies(t, c, 1<<20)
	host.Heal()
	copies(t, c, 1<<20)
}

// TestNetworkBrokenTransfers: a connection that breaks in the middle is
// noticed, whether the other side says so or not, and the next transfer
// works.
func TestNetworkBrokenTransfers(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	client, host := lab.Host("client"), lab.Host("machine")
	s := host.SSHD()
	c := from(t, client).mustDial(t, at(host.Addr(), 22, login(s, component.Connection{
		SSHTimeout: time.Minute, SSHKeepAliveInterval: 200 * time.Millisecond, SSHReadWriteTimeout: 1500 * time.Millisecond,
	})))
	name := filepath.Join(t.TempDir(), "file")
	for what, spoil := range map[string]func(){"cut": host.Cut, "reset": host.Reset} {
		spoiled := &onOutput{do: spoil}
		endless := io.TeeReader(zeros{}, spoiled)
		if err := c.Put(t.Context(), name, endless, component.FileMeta{Size: -1}); !errors.Is(err, component.ErrDisconnected) {
			t.Errorf("%s while sending: %v", what, err)
		}
		host.Heal()
		copies(t, c, 1<<20)
		spoiled = &onOutput{do: spoil}
		if err := c.Get(t.Context(), "/dev/zero", spoiled); !errors.Is(err, component.ErrDisconnected) {
			t.Errorf("%s while receiving: %v", what, err)
		}
		host.Heal()
		copies(t, c, 1<<20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestNetworkServerThatStalls: a server that does nothing for a while is
// waited for.
func TestNetworkServerThatStalls(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	client, host := lab.Host("client"), lab.Host("machine")
	s := host.SSHD()
	s.Pause()
	a := from(t, client)
	events := a.run.Events
	resumed := false
	a.run.Events = component.SinkFunc(func(e component.Event) {
		events.Emit(e)
		if w, ok := e.(component.Waiting); ok && strings.Contains(w.For, "banner") && !resumed {
			resumed = true
			s.Resume()
		}
	})
	c := a.mustDial(t, at(host.Addr(), 22, login(s, component.Connection{SSHTimeout: time.Minute, SSHKeepAliveInterval: 50 * time.Millisecond})))
	var out bytes.Buffer
	stalled := &onOutput{do: func() {
		s.Pause()
		time.Sleep(time.Second) // many keep-alive messages without an answer
		s.Resume()
	}}
	exit, err := c.Run(t.Context(), component.Command{Line: "echo started; sleep 0.2; echo ended; exit 3", Stdout: io.MultiWriter(&out, stalled)})
	if err != nil || exit.Code != 3 || out.String() != "started\nended\n" {
		t.Errorf("got %v, %v, %q", exit, err, out.String())
	}
	if ended := a.log.ended(); len(ended) != 1 {
		t.Errorf("it connected %d times", len(ended))
	}
}

// TestNetworkOnlySFTP: an account that may copy files and nothing else.
func TestNetworkOnlySFTP(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	client, host := lab.Host("client"), lab.Host("machine")
	s := host.SSHD("ForceCommand internal-sftp", "AllowTcpForwarding no", "PermitTTY no")
	c := from(t, client).mustDial(t, at(host.Addr(), 22, login(s, component.Connection{SSHTimeout: time.Minute})))
	copies(t, c, 1<<20)
	var tree bytes.Buffer
	src := t.TempDir()
	for i := range 3 {
		if err := os.WriteFile(fmt.Sprint(src, "/", i), random(1000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.GetTree(t.Context(), src, &tree); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "new")
	if err := c.PutTree(t.Context(), dst, &tree); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		want, _ := os.ReadFile(fmt.Sprint(src, "/", i))
		if got, err := os.ReadFile(fmt.Sprint(dst, "/", i)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("file %d: %v", i, err)
		}
	}
	if caps := c.Caps(); caps.Run || caps.Shell != 0 || !caps.Put || !caps.Tree {
		t.Errorf("it can do %+v", caps)
	}
	if _, err := c.Run(t.Context(), component.Command{Line: "echo hello"}); !errors.Is(err, component.ErrUnsupported) {
		t.Errorf("a command: %v", err)
	}
}
