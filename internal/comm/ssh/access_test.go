//go:build unix

package ssh_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	xssh "golang.org/x/crypto/ssh"

	"ingot/internal/component"
	"ingot/internal/testkit/sshd"
)

// TestAccess: another program can be told to connect as the communicator has
// done, with the key that the host has shown.
func TestAccess(t *testing.T) {
	k := newKeyPair(t)
	s := sshd.Start(t, sshd.Options{Keys: []xssh.PublicKey{k.signer.PublicKey()}})
	bastion := sshd.Start(t, sshd.Options{})
	refusing := sshd.Start(t, sshd.Options{Keys: []xssh.PublicKey{sshd.NewKey(t).PublicKey()}, Password: "secret"})
	text, err := os.ReadFile(k.file)
	if err != nil {
		t.Fatal(err)
	}
	base := component.Connection{SSHUsername: "me", SSHPrivateKeyFile: k.file}
	want := component.Access{Transport: "ssh", Host: s.Host(), Port: s.Port(), User: "me", PrivateKey: text, HostKeys: []string{s.HostKey()}}
	for name, c := range map[string]struct {
		change func(*component.Connection)
		want   func(*component.Access)
	}{
		"key refused": {func(c *component.Connection) { c.SSHPassword = "secret" }, func(a *component.Access) {
			a.Host, a.Port, a.HostKeys = refusing.Host(), refusing.Port(), []string{refusing.HostKey()}
			a.Password, a.PrivateKey = "secret", nil
		}},
		"first key seen": {func(*component.Connection) {}, func(*component.Access) {}},
		"known key":      {func(c *component.Connection) { c.SSHHostKey = []string{s.HostKey()} }, func(*component.Access) {}},
		"no check":       {func(c *component.Connection) { c.SSHHostKeyCheck = component.HostKeyOff }, func(a *component.Access) { a.HostKeys = nil }},
		"bytes":          {func(c *component.Connection) { c.SSHPrivateKeyFile, c.SSHPrivateKey = "", text }, func(*component.Access) {}},
		"password":       {func(c *component.Connection) { c.SSHPassword = "secret" }, func(a *component.Access) { a.Password = "secret" }},
		"ciphers":        {func(c *component.Connection) { c.SSHCiphers = []string{"aes128-ctr"} }, func(a *component.Access) { a.Ciphers = []string{"aes128-ctr"} }},
		"bastion": {func(c *component.Connection) {
			c.SSHBastionHost, c.SSHBastionPort, c.SSHBastionPassword = bastion.Host(), bastion.Port(), "any"
		}, func(a *component.Access) { a.Through = "the bastion host " + bastion.Addr() }},
	} {
		t.Run(name, func(t *testing.T) {
			connection, expected := base, want
			c.change(&connection)
			c.want(&expected)
			server := s
			if name == "key refused" {
				server = refusing
			}
			comm := hasty(t).mustDial(t, to(server, connection))
			got, err := comm.(component.Accessible).Access()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Error(diff)
			}
			if err := comm.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := comm.(component.Accessible).Access(); err == nil {
				t.Error("a closed communicator tells how it is connected")
			}
		})
	}
}
