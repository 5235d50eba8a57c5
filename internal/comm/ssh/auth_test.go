//go:build unix

package ssh_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"ingot/internal/comm/ssh"
	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/retry"
	"ingot/internal/sshkey"
	"ingot/internal/testkit/sshd"
)

// keyPair is a private key in all forms that tests need.
type keyPair struct {
	private ed25519.PrivateKey
	signer  xssh.Signer
	pem     []byte
	file    string
}

func newKeyPair(t testing.TB) keyPair {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := xssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	k := keyPair{private, signer, pem.EncodeToMemory(block), filepath.Join(t.TempDir(), "key")}
	if err := os.WriteFile(k.file, k.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// startAgent serves an SSH agent with some keys and returns its socket.
func startAgent(t testing.TB, keys ...keyPair) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k.private}); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "agent") // t.TempDir is too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
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
				_ = agent.ServeAgent(ring, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// certificate signs a key for a user and writes it to a file.
func certificate(t testing.TB, authority xssh.Signer, k keyPair, user string, extensions ...string) string {
	t.Helper()
	may := map[string]string{}
	for _, e := range extensions {
		may[e] = ""
	}
	cert := &xssh.Certificate{
		Key: k.signer.PublicKey(), CertType: xssh.UserCert, ValidPrincipals: []string{user},
		ValidBefore: xssh.CertTimeInfinity, Permissions: xssh.Permissions{Extensions: may},
	}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "cert.pub")
	if err := os.WriteFile(name, xssh.MarshalAuthorizedKey(cert), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAuthentication(t *testing.T) {
	k, other, authority := newKeyPair(t), newKeyPair(t), newKeyPair(t)
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "id"), k.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	knows := sshd.Options{User: "me", Keys: []xssh.PublicKey{k.signer.PublicKey()}}
	for name, c := range map[string]struct {
		server     sshd.Options
		agent      []keyPair
		connection component.Connection
	}{
		"nothing":                     {sshd.Options{User: "me"}, nil, component.Connection{}},
		"key file":                    {knows, nil, component.Connection{SSHPrivateKeyFile: k.file}},
		"key file below home":         {knows, nil, component.Connection{SSHPrivateKeyFile: "~/id"}},
		"key bytes":                   {knows, nil, component.Connection{SSHPrivateKey: k.pem}},
		"the second of two keys":      {knows, nil, component.Connection{SSHPrivateKeyFile: other.file, SSHPrivateKey: k.pem}},
		"agent":                       {knows, []keyPair{other, k}, component.Connection{SSHAgentAuth: true}},
		"agent after a key":           {knows, []keyPair{k}, component.Connection{SSHAgentAuth: true, SSHPrivateKeyFile: other.file}},
		"certificate":                 {sshd.Options{User: "me", Authorities: []xssh.PublicKey{authority.signer.PublicKey()}}, nil, component.Connection{SSHPrivateKeyFile: k.file, SSHCertificateFile: certificate(t, authority.signer, k, "me")}},
		"the key without certificate": {knows, nil, component.Connection{SSHPrivateKeyFile: k.file, SSHCertificateFile: certificate(t, authority.signer, k, "me")}},
		"password":                    {sshd.Options{User: "me", Password: "secret"}, nil, component.Connection{SSHPassword: "secret"}},
		"password after a key":        {sshd.Options{User: "me", Password: "secret", Keys: []xssh.PublicKey{other.signer.PublicKey()}}, nil, component.Connection{SSHPassword: "secret", SSHPrivateKeyFile: k.file}},
		"questions":                   {sshd.Options{User: "me", Answers: []sshd.Answer{{Question: "Password: ", Answer: "secret"}, {Question: "Again: ", Answer: "secret"}}}, nil, component.Connection{SSHPassword: "secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := hasty(t)
			a.deps.Home = home
			if c.agent != nil {
				a.deps.AgentSocket = startAgent(t, c.agent...)
			}
			c.connection.SSHUsername = "me"
			works(t, a.mustDial(t, to(sshd.Start(t, c.server), c.connection)))
		})
	}
}

// TestGeneratedKeys: what builders put into a Connection opens the door.
func TestGeneratedKeys(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run(kind, func(t *testing.T) {
			pair, err := sshkey.Generate(kind, 0, "packer")
			if err != nil {
				t.Fatal(err)
			}
			public, _, _, _, err := xssh.ParseAuthorizedKey(pair.Public)
			if err != nil {
				t.Fatal(err)
			}
			s := sshd.Start(t, sshd.Options{User: "me", Keys: []xssh.PublicKey{public}})
			works(t, hasty(t).mustDial(t, to(s, component.Connection{SSHUsername: "me", SSHPrivateKey: pair.Private, SSHPublicKey: pair.Public})))
		})
	}
}

// TestBadCredentialFiles: mistakes in local files end the wait at once.
func TestBadCredentialFiles(t *testing.T) {
	k, other := newKeyPair(t), newKeyPair(t)
	file := func(text []byte) string {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	block, err := xssh.MarshalPrivateKeyWithPassphrase(k.private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	locked := pem.EncodeToMemory(block)
	public := xssh.MarshalAuthorizedKey(k.signer.PublicKey())
	for name, c := range map[string]struct {
		connection component.Connection
		want       []string
	}{
		"missing key":             {component.Connection{SSHPrivateKeyFile: "/missing/key"}, []string{"ssh_private_key_file", "/missing/key", "no such file"}},
		"no key":                  {component.Connection{SSHPrivateKeyFile: file([]byte("nonsense"))}, []string{"ssh_private_key_file", "no key"}},
		"locked key file":         {component.Connection{SSHPrivateKeyFile: file(locked)}, []string{"ssh_private_key_file", "passphrase", "ssh_agent_auth"}},
		"locked key bytes":        {component.Connection{SSHPrivateKey: locked}, []string{"ssh_private_key", "passphrase"}},
		"public key":              {component.Connection{SSHPrivateKeyFile: file(public)}, []string{"ssh_private_key_file"}},
		"missing certificate":     {component.Connection{SSHPrivateKeyFile: k.file, SSHCertificateFile: "/missing"}, []string{"ssh_certificate_file", "/missing"}},
		"no certificate":          {component.Connection{SSHPrivateKeyFile: k.file, SSHCertificateFile: file(public)}, []string{"ssh_certificate_file", "plain public key"}},
		"another key's":           {component.Connection{SSHPrivateKeyFile: k.file, SSHCertificateFile: certificate(t, k.signer, other, "me")}, []string{"ssh_certificate_file", "does not belong"}},
		"no agent":                {component.Connection{SSHAgentAuth: true}, []string{"ssh_agent_auth", "SSH_AUTH_SOCK"}},
		"no agent for bastion":    {component.Connection{SSHBastionHost: "b", SSHBastionAgentAuth: true}, []string{"ssh_bastion_agent_auth"}},
		"no terminal for bastion": {component.Connection{SSHBastionHost: "b", SSHBastionInteractive: true}, []string{"ssh_bastion_interactive"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := hasty(t)
			_, err := a.dial(t, to(sshd.Start(t, sshd.Options{}), c.connection))
			if err == nil || len(a.clock.slept) > 0 {
				t.Fatalf("slept %v: %v", a.clock.slept, err)
			}
			contains(t, err.Error(), c.want...)
		})
	}
}

// TestRefusedLogins: how many are accepted before giving up. All kinds of
// refusal count.
func TestRefusedLogins(t *testing.T) {
	k := newKeyPair(t)
	server := sshd.Options{User: "me", Password: "secret", Keys: []xssh.PublicKey{sshd.NewKey(t).PublicKey()}}
	questions := sshd.Options{User: "me", Answers: []sshd.Answer{{Question: "Password: ", Answer: "secret"}}}
	for name, c := range map[string]struct {
		server     sshd.Options
		connection component.Connection
		want       int
		text       []string
	}{
		"the default":        {server, component.Connection{SSHPassword: "wrong", SSHPrivateKeyFile: k.file}, 10, []string{"10 times", "public key ssh-ed25519 " + xssh.FingerprintSHA256(k.signer.PublicKey()), "password", `"me"`, "offers: ", "publickey"}},
		"set":                {server, component.Connection{SSHPassword: "wrong", SSHHandshakeAttempts: 3}, 3, []string{"3 times"}},
		"set with a timeout": {server, component.Connection{SSHPassword: "wrong", SSHHandshakeAttempts: 1, SSHTimeout: time.Hour}, 1, []string{"was refused;"}},
		"questions":          {questions, component.Connection{SSHPassword: "wrong", SSHHandshakeAttempts: 2}, 2, []string{"keyboard-interactive"}},
		"nothing fits":       {questions, component.Connection{SSHPrivateKeyFile: k.file, SSHHandshakeAttempts: 2}, 2, []string{"tried: nothing, because no credentials fit", "offers: keyboard-interactive"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.connection.SSHUsername = "me"
			s := sshd.Start(t, c.server)
			_, err := hasty(t).dial(t, to(s, c.connection))
			var refused *ssh.AuthError
			if !errors.As(err, &refused) || refused.Attempts != c.want || s.Connections() != c.want || retry.ClassOf(err) != retry.Permission {
				t.Fatalf("%d connections: %v", s.Connections(), err)
			}
			contains(t, err.Error(), c.text...)
			if strings.Contains(err.Error(), "wrong") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

// TestW37AttemptsAloneKeepTheTimeLimit: a machine that is never there is given
// up after the default time, however many refusals would be accepted.
func TestW37AttemptsAloneKeepTheTimeLimit(t *testing.T) {
	free := freeAddress(t)
	a := hasty(t)
	_, err := a.dial(t, at("127.0.0.1", free.Port, component.Connection{SSHHandshakeAttempts: 1 << 30}))
	var w *readiness.TimeoutError
	if !errors.As(err, &w) || w.Elapsed < 5*time.Minute || w.Elapsed > 6*time.Minute {
		t.Errorf("got %v", err)
	}
}

// TestTimeOutAloneAllowsAnyNumber: as with an installer that answers for a
// long time.
func TestTimeOutAloneAllowsAnyNumber(t *testing.T) {
	s := sshd.Start(t, sshd.Options{Password: "secret"})
	s.RefuseLogins(25)
	a := hasty(t)
	works(t, a.mustDial(t, to(s, component.Connection{SSHPassword: "secret", SSHTimeout: time.Hour})))
	var total time.Duration
	for _, d := range a.clock.slept {
		total += d
	}
	// A server that counts failures must not be hammered.
	if total < 2*time.Minute || len(a.clock.slept) != 25 {
		t.Errorf("slept %v", a.clock.slept)
	}
}

func TestAgentForwarding(t *testing.T) {
	k := newKeyPair(t)
	for name, c := range map[string]struct {
		connection component.Connection
		want       bool
	}{
		"by default":       {component.Connection{}, false},
		"on":               {component.Connection{SSHAgentForwarding: true}, true},
		"on and forbidden": {component.Connection{SSHAgentForwarding: true, SSHDisableAgentForward: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			offered, keys := false, 0
			s := sshd.Start(t, sshd.Options{Exec: func(c *sshd.Call) sshd.Status {
				if !strings.Contains(c.Line, "ask the agent") {
					return sshd.Status{}
				}
				offered = c.Agent
				ch, reqs, err := c.Conn.OpenChannel("auth-agent@openssh.com", nil)
				if err != nil {
					return sshd.Status{Code: 1}
				}
				defer func() { _ = ch.Close() }()
				go xssh.DiscardRequests(reqs)
				list, err := agent.NewClient(ch).List()
				if err != nil {
					return sshd.Status{Code: 2}
				}
				keys = len(list)
				return sshd.Status{}
			}})
			a := hasty(t)
			a.deps.AgentSocket = startAgent(t, k)
			comm := a.mustDial(t, to(s, c.connection))
			exit, err := comm.Run(t.Context(), component.Command{Line: "ask the agent"})
			if err != nil || offered != c.want || (exit.Code == 0) != c.want || (keys == 1) != c.want {
				t.Errorf("offered %v, %d keys, %v, %v", offered, keys, exit, err)
			}
		})
	}
}

func TestClearAuthorizedKeys(t *testing.T) {
	const name = "packer_key 'x"
	const public = "ssh-ed25519 DDDD"
	lines := "ssh-ed25519 AAAA someone\nssh-ed25519 BBBB " + name + "\nssh-rsa CCCC not-" + name + "\n# comment\n"
	renamed := lines + "no-pty ssh-ed25519 DDDD\n" + public + " cloud\nssh-ed25519 DDDDE other\n"
	for title, c := range map[string]struct {
		connection component.Connection
		finish     bool
		lines      string
		want       string
	}{
		"by the key":  {component.Connection{SSHClearAuthorizedKeys: true, TemporaryKeyPairName: "x", SSHPublicKey: []byte(public + " x\n")}, true, renamed, lines + "ssh-ed25519 DDDDE other\n"},
		"by Finish":   {component.Connection{SSHClearAuthorizedKeys: true, TemporaryKeyPairName: name}, true, lines, "ssh-ed25519 AAAA someone\nssh-rsa CCCC not-" + name + "\n# comment\n"},
		"by Close":    {component.Connection{SSHClearAuthorizedKeys: true, TemporaryKeyPairName: name}, false, lines, "ssh-ed25519 AAAA someone\nssh-rsa CCCC not-" + name + "\n# comment\n"},
		"not wanted":  {component.Connection{TemporaryKeyPairName: name}, true, lines, lines},
		"no such key": {component.Connection{SSHClearAuthorizedKeys: true, TemporaryKeyPairName: "other"}, true, lines, lines},
	} {
		t.Run(title, func(t *testing.T) {
			home := t.TempDir()
			file := filepath.Join(home, ".ssh", "authorized_keys")
			if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(c.lines), 0o640)); err != nil {
				t.Fatal(err)
			}
			// Without sudo, so that nothing of this machine's root is touched.
			s := sshd.Start(t, sshd.Options{Env: []string{"HOME=" + home}, Path: toolsFor(t, "awk", "id", "cat", "rm", "tar")})
			comm := hasty(t).mustDial(t, to(s, c.connection))
			if c.finish {
				if err := comm.(component.Finisher).Finish(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := comm.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			info, _ := os.Stat(file)
			if err != nil || string(got) != c.want || info.Mode() != 0o640 {
				t.Errorf("%v, %v, %q", err, info.Mode(), got)
			}
			if list, _ := os.ReadDir(filepath.Dir(file)); len(list) != 1 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
}
