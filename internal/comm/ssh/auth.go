package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"ingot/internal/retry"
)

// credentials are what a login may be proved with.
type credentials struct {
	user     string
	password string
	// keyFile and certFile are paths; keyBytes is a key that a builder made.
	keyFile, certFile string
	keyBytes          []byte
	// keyName and certName are the attributes the files come from.
	keyName, certName string
	// agent is the agent's socket; empty when it is not to be used.
	agent string
	// ask, when set, is given the questions that the password does not
	// answer.
	ask func(ctx context.Context, question string) (string, error)
}

// AuthError says that the server refused the credentials.
type AuthError struct {
	User, Host string
	// Attempts is how many logins were refused.
	Attempts int
	// Tried are the methods that were used, with the keys' fingerprints;
	// Offered are the ones that the server would have accepted.
	Tried, Offered []string
	Err            error
}

// Error says all of it in one line.
func (e *AuthError) Error() string {
	tried, offered := "nothing, because no credentials fit", "no method"
	if len(e.Tried) > 0 {
		tried = strings.Join(e.Tried, ", ")
	}
	if len(e.Offered) > 0 {
		offered = strings.Join(e.Offered, ", ")
	}
	times := ""
	if e.Attempts > 1 {
		times = fmt.Sprintf(" %d times", e.Attempts)
	}
	return fmt.Sprintf("ssh: authentication as %q at %s was refused%s; tried: %s; the server offers: %s (%v)",
		e.User, e.Host, times, tried, offered, e.Err)
}

// Unwrap returns what the SSH library said.
func (e *AuthError) Unwrap() error { return e.Err }

// RetryClass is Permission.
func (e *AuthError) RetryClass() retry.Class { return retry.Permission }

// login is the record of one authentication.
type login struct {
	methods []ssh.AuthMethod
	closers []io.Closer

	mu      sync.Mutex // guards what follows
	tried   []string
	offered []string
}

// close ends the connection to the agent.
func (l *login) close() {
	for _, c := range l.closers {
		_ = c.Close() // it was only read from
	}
}

// triedKey begins the note of a key.
const triedKey = "public key "

func (l *login) note(method string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.tried, method) {
		l.tried = append(l.tried, method)
	}
}

// keyless reports whether what was tried last, and so has succeeded, is no key.
func (l *login) keyless() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tried) == 0 || !strings.HasPrefix(l.tried[len(l.tried)-1], triedKey)
}

// observe is asked by the SSH library before each method; it lets it go on
// with its own choice.
func (l *login) observe(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range c.AllowedMethods {
		if !slices.Contains(l.offered, m) {
			l.offered = append(l.offered, m)
		}
	}
	return nil, nil
}

// failure makes an AuthError of what the handshake returned.
func (l *login) failure(user, host string, err error) *AuthError {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &AuthError{User: user, Host: host, Attempts: 1, Tried: slices.Clone(l.tried), Offered: slices.Clone(l.offered), Err: err}
}

// login reads keys and reaches the agent. Its errors are final: they are
// about local files.
func (c *credentials) login(ctx context.Context) (*login, error) {
	l := &login{}
	signers, err := c.keys()
	if err != nil {
		return nil, err
	}
	if c.agent != "" {
		held, err := l.openAgent(ctx, c.agent)
		if err != nil {
			return nil, err
		}
		signers = append(signers, held...)
	}
	// The library uses the first method of each name only, so all keys go
	// into one.
	if len(signers) > 0 {
		l.methods = append(l.methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			for _, s := range signers {
				l.note(triedKey + describe(s.PublicKey()))
			}
			return signers, nil
		}))
	}
	if c.password != "" {
		l.methods = append(l.methods, ssh.PasswordCallback(func() (string, error) {
			l.note("password")
			return c.password, nil
		}))
	} else if c.ask != nil {
		l.methods = append(l.methods, ssh.PasswordCallback(func() (string, error) {
			l.note("password")
			return c.ask(ctx, fmt.Sprintf("Password of %s: ", c.user))
		}))
	}
	if c.password != "" || c.ask != nil {
		l.methods = append(l.methods, ssh.KeyboardInteractive(func(name, instruction string, questions []string, _ []bool) ([]string, error) {
			l.note("keyboard-interactive")
			return c.answer(ctx, instruction, questions)
		}))
	}
	return l, nil
}

// answer replies to keyboard-interactive questions.
func (c *credentials) answer(ctx context.Context, instruction string, questions []string) ([]string, error) {
	answers := make([]string, len(questions))
	for i, q := range questions {
		if c.ask == nil {
			answers[i] = c.password
			continue
		}
		a, err := c.ask(ctx, strings.TrimLeft(instruction+"\n"+q, "\n"))
		if err != nil {
			return nil, err
		}
		answers[i] = a
	}
	return answers, nil
}

// keys are the signers of the key file and the key bytes.
func (c *credentials) keys() ([]ssh.Signer, error) {
	var out []ssh.Signer
	if c.keyFile != "" {
		s, err := readKey(c.keyName, c.keyFile)
		if err != nil {
			return nil, err
		}
		if c.certFile != "" {
			certified, err := certify(c.certName, c.certFile, s)
			if err != nil {
				return nil, err
			}
			// The bare key stays, as OpenSSH does it: the server may
			// know the key and not the authority.
			out = append(out, certified)
		}
		out = append(out, s)
	}
	if len(c.keyBytes) > 0 {
		s, err := ssh.ParsePrivateKey(c.keyBytes)
		if err != nil {
			return nil, fmt.Errorf("ssh: parse ssh_private_key: %w", explainKey(err))
		}
		if len(out) == 0 || !bytes.Equal(out[len(out)-1].PublicKey().Marshal(), s.PublicKey().Marshal()) {
			out = append(out, s)
		}
	}
	return out, nil
}

func readKey(attr, path string) (ssh.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ssh: read %s: %w", attr, err)
	}
	s, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("ssh: parse %s %s: %w", attr, path, explainKey(err))
	}
	return s, nil
}

// explainKey says what to do about a key that cannot be used as it is.
func explainKey(err error) error {
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return fmt.Errorf("the key is protected by a passphrase; add it to an SSH agent and set ssh_agent_auth, or use a key without one: %w", err)
	}
	return err
}

func certify(attr, path string, s ssh.Signer) (ssh.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ssh: read %s: %w", attr, err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, fmt.Errorf("ssh: parse %s %s: %w", attr, path, err)
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("ssh: %s %s holds a plain public key and no certificate", attr, path)
	}
	out, err := ssh.NewCertSigner(cert, s)
	if err != nil {
		return nil, fmt.Errorf("ssh: %s %s does not belong to the private key: %w", attr, path, err)
	}
	return out, nil
}

func (l *login) openAgent(ctx context.Context, socket string) ([]ssh.Signer, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("ssh: connect to the SSH agent: %w", err)
	}
	l.closers = append(l.closers, conn)
	held, err := agent.NewClient(conn).Signers()
	if err != nil {
		l.close()
		return nil, fmt.Errorf("ssh: list the keys of the SSH agent: %w", err)
	}
	return held, nil
}

// describe is a key's type and fingerprint.
func describe(k ssh.PublicKey) string {
	return k.Type() + " " + ssh.FingerprintSHA256(k)
}

// expandHome replaces a leading "~/".
func expandHome(path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && home != "" {
		return filepath.Join(home, rest)
	}
	return path
}
