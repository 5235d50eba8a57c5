package guestrig

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// helloLimit bounds one try to log in. A connection QEMU took while the guest
// was not listening may never get an answer.
const helloLimit = 10 * time.Second

// hello logs in and runs nothing.
func (g *Guest) hello(ctx context.Context) error {
	client, err := g.dial(ctx)
	if err != nil {
		return err
	}
	return client.Close()
}

func (g *Guest) dial(ctx context.Context) (*ssh.Client, error) {
	config, err := g.Login.config()
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: helloLimit}
	conn, err := dialer.DialContext(ctx, "tcp", g.Addr())
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(helloLimit)); err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, g.Addr(), config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

func (l Login) config() (*ssh.ClientConfig, error) {
	pem, err := os.ReadFile(l.KeyFile)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.KeyFile, err)
	}
	config := &ssh.ClientConfig{User: l.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}}
	if l.HostKey == "any" {
		config.HostKeyCallback = ssh.InsecureIgnoreHostKey()
		return config, nil
	}
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l.HostKey))
	if err != nil {
		return nil, fmt.Errorf("host key %q: %w", l.HostKey, err)
	}
	config.HostKeyCallback = ssh.FixedHostKey(hostKey)
	config.HostKeyAlgorithms = []string{hostKey.Type()}
	return config, nil
}

// Client returns a connection of the test's own to the guest, closed with the
// test.
func (g *Guest) Client(t testing.TB) *ssh.Client {
	t.Helper()
	client, err := g.dial(t.Context())
	if err != nil {
		t.Fatalf("log in to the guest: %v", err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// Run runs a command in the guest and returns what it printed, both streams
// together. The test fails when the command does.
func (g *Guest) Run(t testing.TB, command string) string {
	t.Helper()
	out, err := g.Try(t.Context(), command)
	if err != nil {
		t.Fatalf("in the guest, %s: %v\n%s", command, err, out)
	}
	return out
}

// Try is Run for commands that may fail.
func (g *Guest) Try(ctx context.Context, command string) (string, error) {
	client, err := g.dial(ctx)
	if err != nil {
		return "", err
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	out, err := session.CombinedOutput(command)
	return string(out), err
}
