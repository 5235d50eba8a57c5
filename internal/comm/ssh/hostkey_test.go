//go:build unix

package ssh_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"ingot/internal/comm/ssh"
	"ingot/internal/component"
	"ingot/internal/retry"
	"ingot/internal/testkit/sshd"
)

func authorized(k xssh.PublicKey) string {
	return strings.TrimSpace(string(xssh.MarshalAuthorizedKey(k)))
}

// knownHosts writes a file that knows one key of a server.
func knownHosts(t testing.TB, name string, s *sshd.Server, k xssh.PublicKey) string {
	t.Helper()
	line := knownhosts.Line([]string{s.Addr()}, k) + "\n"
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestW43HostKeys goes through the settings with a right, a wrong and no key
// known from every source.
func TestW43HostKeys(t *testing.T) {
	key, other := sshd.NewKey(t), sshd.NewKey(t)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := xssh.NewSignerFromKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	// The library prefers the ECDSA key; only the other one is known.
	s := sshd.Start(t, sshd.Options{HostKey: key, MoreHostKeys: []xssh.Signer{ec}})
	right, wrong := authorized(key.PublicKey()), authorized(other.PublicKey())
	rightFile := knownHosts(t, filepath.Join(t.TempDir(), "right"), s, key.PublicKey())
	wrongFile := knownHosts(t, filepath.Join(t.TempDir(), "wrong"), s, other.PublicKey())
	const auto, strict, off = component.HostKeyAuto, component.HostKeyStrict, component.HostKeyOff
	for name, c := range map[string]struct {
		mode    string
		given   string // ssh_host_key
		builder string // Endpoint.HostKeys
		file    string
		want    string // "ok", "trusted", "mismatch", "unknown"
	}{
		"nothing known":         {"", "", "", "", "trusted"},
		"auto, nothing":         {auto, "", "", "", "trusted"},
		"strict, nothing":       {strict, "", "", "", "unknown"},
		"off, nothing":          {off, "", "", "", "ok"},
		"given right":           {auto, right, "", "", "ok"},
		"given wrong":           {auto, wrong, "", "", "mismatch"},
		"strict, given right":   {strict, right, "", "", "ok"},
		"strict, given wrong":   {strict, wrong, "", "", "mismatch"},
		"off, given wrong":      {off, wrong, "", "", "ok"},
		"builder right":         {auto, "", right, "", "ok"},
		"builder wrong":         {auto, "", wrong, "", "mismatch"},
		"one of two":            {auto, wrong, right, "", "ok"},
		"file right":            {auto, "", "", rightFile, "ok"},
		"file wrong":            {auto, "", "", wrongFile, "mismatch"},
		"strict, file right":    {strict, "", "", rightFile, "ok"},
		"given beats file":      {auto, right, "", wrongFile, "ok"},
		"the other type is one": {auto, authorized(ec.PublicKey()), "", "", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			a := hasty(t)
			connection := component.Connection{SSHHostKeyCheck: c.mode, SSHKnownHostsFile: c.file}
			if c.given != "" {
				connection.SSHHostKey = []string{c.given}
			}
			e := component.Endpoint{Host: s.Host(), Port: s.Port(), Connection: &connection}
			if c.builder != "" {
				e.HostKeys = []string{c.builder}
			}
			asked := 0
			got, err := a.dial(t, func(context.Context) (component.Endpoint, error) { asked++; return e, nil })
			said := strings.Join(a.log.messages(), "\n")
			var bad *ssh.HostKeyError
			switch c.want {
			case "ok", "trusted":
				if err != nil {
					t.Fatal(err)
				}
				works(t, got)
				if (c.want == "trusted") != strings.Contains(said, "SHA256:") {
					t.Errorf("said %q", said)
				}
			default:
				if !errors.As(err, &bad) || asked != 1 || retry.ClassOf(err) != retry.Fatal {
					t.Fatalf("asked %d times: %v", asked, err)
				}
				contains(t, err.Error(), "SHA256:", "ssh_host_key_check")
				if c.want == "mismatch" {
					contains(t, err.Error(), s.Fingerprint(), xssh.FingerprintSHA256(other.PublicKey()))
				}
			}
		})
	}
}

func TestDefaultKnownHostsFile(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	a := hasty(t)
	knownHosts(t, filepath.Join(a.deps.Home, ".ssh", "known_hosts"), s, sshd.NewKey(t).PublicKey())
	_, err := a.dial(t, to(s, component.Connection{}))
	var bad *ssh.HostKeyError
	if !errors.As(err, &bad) || !strings.HasPrefix(bad.Source, a.deps.Home) {
		t.Errorf("got %v", err)
	}
}

func TestKnownHostsFileThatCannotBeRead(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	a := hasty(t)
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := a.dial(t, to(s, component.Connection{SSHKnownHostsFile: missing})); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that was named: %v", err)
	}
	// The user's own file may hold what this program does not know.
	file := filepath.Join(a.deps.Home, ".ssh", "known_hosts")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("host new-key-type AAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	works(t, a.mustDial(t, to(s, component.Connection{})))
	warned := false
	for _, e := range a.log.events {
		w, ok := e.(component.Warning)
		warned = warned || ok && strings.Contains(w.Detail, file)
	}
	if !warned {
		t.Error("no warning")
	}
	if _, err := a.dial(t, to(s, component.Connection{SSHHostKeyCheck: component.HostKeyStrict})); err == nil {
		t.Error("strict checking without a file that can be read: no error")
	}
}

func TestMalformedHostKey(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	_, err := hasty(t).dial(t, to(s, component.Connection{SSHHostKey: []string{"nonsense"}}))
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "ssh_host_key", "nonsense")
}

// TestKeyMayChangeUntilTheLogin: an installer's server answers first, then the
// installed system with another key.
func TestKeyMayChangeUntilTheLogin(t *testing.T) {
	address := freeAddress(t).String()
	installer := sshd.StartAt(t, address, sshd.Options{Password: "unknown"})
	var installed *sshd.Server
	asked := 0
	a := hasty(t)
	c := a.mustDial(t, func(context.Context) (component.Endpoint, error) {
		if asked++; asked == 3 {
			installer.Stop()
			installed = sshd.StartAt(t, address, sshd.Options{Password: "secret"})
		}
		return component.Endpoint{Host: installer.Host(), Port: installer.Port(), Connection: &component.Connection{SSHPassword: "secret"}}, nil
	})
	works(t, c)
	if got := a.log.messages(); len(got) != 1 || !strings.Contains(got[0], installed.Fingerprint()) {
		t.Errorf("said %q", got)
	}
}

// TestKeyMayNotChangeAfterTheLogin: the one that was trusted is the only one.
func TestKeyMayNotChangeAfterTheLogin(t *testing.T) {
	address := freeAddress(t).String()
	first := sshd.StartAt(t, address, sshd.Options{})
	a := hasty(t)
	c := a.mustDial(t, to(first, component.Connection{}))
	works(t, c)
	first.Stop()
	second := sshd.StartAt(t, address, sshd.Options{})
	_, err := c.Run(t.Context(), component.Command{Line: "true"})
	var bad *ssh.HostKeyError
	if !errors.As(err, &bad) || !errors.Is(err, component.ErrDisconnected) {
		t.Fatalf("got %v", err)
	}
	contains(t, err.Error(), first.Fingerprint(), second.Fingerprint())
	if second.Logins() != 0 {
		t.Error("somebody else was logged in to")
	}
}

// TestKnownHostsFiles goes through what OpenSSH may have written into one.
func TestKnownHostsFiles(t *testing.T) {
	authority, stranger := sshd.NewKey(t), sshd.NewKey(t)
	key := sshd.NewKey(t)
	cert := &xssh.Certificate{Key: key.PublicKey(), CertType: xssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: xssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	certified, err := xssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	plain, signed := sshd.Start(t, sshd.Options{HostKey: key}), sshd.Start(t, sshd.Options{HostKey: certified})
	hashed := func(s *sshd.Server, k xssh.PublicKey) string {
		return knownhosts.HashHostname(knownhosts.Normalize(s.Addr())) + " " + authorized(k)
	}
	const strict, auto = component.HostKeyStrict, component.HostKeyAuto
	for name, c := range map[string]struct {
		s     *sshd.Server
		mode  string
		lines []string
		ok    bool
	}{
		"hashed":                          {plain, strict, []string{hashed(plain, key.PublicKey())}, true},
		"hashed, of another host":         {plain, strict, []string{hashed(signed, key.PublicKey())}, false},
		"hashed, wrong":                   {plain, auto, []string{hashed(plain, stranger.PublicKey())}, false},
		"authority":                       {signed, strict, []string{"@cert-authority * " + authorized(authority.PublicKey())}, true},
		"another authority":               {signed, strict, []string{"@cert-authority * " + authorized(stranger.PublicKey())}, false},
		"authority of others":             {signed, strict, []string{"@cert-authority *.example.com " + authorized(authority.PublicKey())}, false},
		"authority, host without":         {plain, strict, []string{"@cert-authority * " + authorized(authority.PublicKey())}, false},
		"revoked":                         {plain, auto, []string{"@revoked * " + authorized(key.PublicKey())}, false},
		"revoked, though known":           {plain, strict, []string{"@revoked * " + authorized(key.PublicKey()), hashed(plain, key.PublicKey())}, false},
		"something else revoked, known":   {plain, strict, []string{"@revoked * " + authorized(stranger.PublicKey()), hashed(plain, key.PublicKey())}, true},
		"comments, and two names in line": {plain, strict, []string{"# mine", "", "other," + knownhosts.Normalize(plain.Addr()) + " " + authorized(key.PublicKey()) + " comment"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "known_hosts")
			if err := os.WriteFile(file, []byte(strings.Join(c.lines, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := c.s.Logins()
			got, err := hasty(t).dial(t, to(c.s, component.Connection{SSHHostKeyCheck: c.mode, SSHKnownHostsFile: file}))
			switch {
			case c.ok && err != nil:
				t.Error(err)
			case c.ok:
				works(t, got)
			case err == nil || retry.ClassOf(err) != retry.Fatal || c.s.Logins() != before:
				t.Errorf("%d logins: %v", c.s.Logins()-before, err)
			}
		})
	}
}
