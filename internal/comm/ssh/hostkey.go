package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync"

	ports "github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// HostKeyError says that a host's key is not the expected one, or not known
// where it must be.
type HostKeyError struct {
	Host string
	// Got describes the key that the host has; Want the ones that it
	// should have, empty when none is known.
	Got  string
	Want []string
	// Source is where Want comes from.
	Source string
}

// Error names both keys and what to do.
func (e *HostKeyError) Error() string {
	if len(e.Want) == 0 {
		return fmt.Sprintf("ssh: the host key of %s is not known: it is %s; "+
			"add the key to ssh_host_key or the known_hosts file, or set ssh_host_key_check = \"auto\" to trust the first key that is seen", e.Host, e.Got)
	}
	return fmt.Sprintf("ssh: the host key of %s has changed or somebody is in between: it is %s, but %s says %s; "+
		"correct that if the machine is new, or set ssh_host_key_check = \"off\" to accept any key", e.Host, e.Got, e.Source, strings.Join(e.Want, " or "))
}

// RetryClass is Fatal: the key will not change back.
func (e *HostKeyError) RetryClass() retry.Class { return retry.Fatal }

// hostKeys decides about the keys of one host for one build. It is made once
// and used for every connection to the host.
type hostKeys struct {
	mode string
	// knownHosts is the file to look in; missing is not an error unless
	// named is set, the name of the attribute that it came from.
	knownHosts string
	named      bool

	mu     sync.Mutex // guards what follows
	pinned ssh.PublicKey
	told   bool
	warned bool
}

// verdict is what one handshake needs to check a host.
type verdict struct {
	// algorithms is the order of preference; nil for the library's.
	algorithms []string
	check      ssh.HostKeyCallback
	// seen is the key that was accepted without being known.
	seen ssh.PublicKey
}

// expected reads authorized_keys lines.
func expected(lines []string) ([]ssh.PublicKey, error) {
	var out []ssh.PublicKey
	for _, l := range lines {
		k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l))
		if err != nil {
			return nil, fmt.Errorf("ssh: parse ssh_host_key %q: %w", l, err)
		}
		out = append(out, k)
	}
	return out, nil
}

// forHost prepares the check of one handshake with address; known are the
// keys that the user or the builder gave. warn is told of a file that cannot
// be used.
func (h *hostKeys) forHost(address string, known []ssh.PublicKey, warn func(error)) (*verdict, error) {
	v := &verdict{}
	switch {
	case h.mode == component.HostKeyOff:
		v.check = ssh.InsecureIgnoreHostKey()
		return v, nil
	case len(known) > 0:
		v.prefer(known)
		v.check = func(_ string, _ net.Addr, key ssh.PublicKey) error {
			return mustBe(address, key, known, "ssh_host_key or the builder")
		}
		return v, nil
	}
	file, err := h.open(warn)
	if err != nil {
		return nil, err
	}
	if file != nil {
		v.prefer(listed(file, address))
	}
	v.check = func(_ string, remote net.Addr, key ssh.PublicKey) error {
		return h.decide(v, file, address, remote, key)
	}
	return v, nil
}

// open reads the known_hosts file. The user's own one, which nobody has asked
// us to read, may hold what this program does not know.
func (h *hostKeys) open(warn func(error)) (ssh.HostKeyCallback, error) {
	if h.knownHosts == "" {
		return nil, nil
	}
	// Unlike the one of x/crypto, it knows that a pattern such as "*" is for
	// all ports.
	file, err := ports.NewDB(h.knownHosts)
	switch {
	case err == nil:
		return file.HostKeyCallback(), nil
	case errors.Is(err, fs.ErrNotExist) && !h.named:
		return nil, nil
	}
	err = fmt.Errorf("ssh: read the known_hosts file %s: %w", h.knownHosts, err)
	if h.named || h.mode == component.HostKeyStrict {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.warned {
		h.warned = true
		warn(err)
	}
	return nil, nil
}

// decide looks a key up in the file, then among what was seen before.
func (h *hostKeys) decide(v *verdict, file ssh.HostKeyCallback, address string, remote net.Addr, key ssh.PublicKey) error {
	if file != nil {
		err := file(address, remote, key)
		var unknown *knownhosts.KeyError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &unknown):
			return retry.As(retry.Fatal, fmt.Errorf("ssh: host key %s of %s: %s: %w", describe(key), address, h.knownHosts, err))
		case len(unknown.Want) > 0:
			out := &HostKeyError{Host: address, Got: describe(key), Source: h.knownHosts}
			for _, k := range unknown.Want {
				out.Want = append(out.Want, describe(k.Key))
			}
			return out
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.mode == component.HostKeyStrict:
		return &HostKeyError{Host: address, Got: describe(key)}
	case h.pinned != nil:
		return mustBe(address, key, []ssh.PublicKey{h.pinned}, "the first connection of this build")
	}
	v.seen = key
	return nil
}

// trust makes the key that was seen the only one from now on. It is called
// when the machine is in use: an installer that answers first and gives way
// to the installed system may have another key.
func (h *hostKeys) trust(r component.Run, address string, v *verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.seen == nil {
		return
	}
	h.pinned = v.seen
	if !h.told {
		h.told = true
		r.Say(fmt.Sprintf("Trusting the SSH host key of %s for this build: %s", address, describe(v.seen)))
	}
}

func mustBe(address string, key ssh.PublicKey, known []ssh.PublicKey, source string) error {
	out := &HostKeyError{Host: address, Got: describe(key), Source: source}
	for _, k := range known {
		if bytes.Equal(k.Marshal(), key.Marshal()) {
			return nil
		}
		out.Want = append(out.Want, describe(k))
	}
	return out
}

// prefer asks the server for a key of the types that are known, so that it
// does not present another one that nothing can be said about.
func (v *verdict) prefer(known []ssh.PublicKey) {
	if len(known) == 0 {
		return
	}
	var first, rest []string
	mine := map[string]bool{}
	for _, k := range known {
		for _, a := range signatures(k.Type()) {
			mine[a] = true
		}
	}
	// SHA-1 signatures are last: old machines have nothing else.
	for _, a := range append(ssh.SupportedAlgorithms().HostKeys, ssh.KeyAlgoRSA) {
		if mine[a] {
			first = append(first, a)
		} else {
			rest = append(rest, a)
		}
	}
	v.algorithms = append(first, rest...)
}

// signatures are the algorithms that a key of a type can sign with.
func signatures(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{keyType}
}

// listed are the keys that a known_hosts file has for an address. The
// callback tells them only when it is shown a wrong one.
func listed(file ssh.HostKeyCallback, address string) []ssh.PublicKey {
	var e *knownhosts.KeyError
	if !errors.As(file(address, &net.TCPAddr{}, noKey{}), &e) {
		return nil
	}
	var out []ssh.PublicKey
	for _, k := range e.Want {
		out = append(out, k.Key)
	}
	return out
}

// noKey is a public key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
