package ssh

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
)

// Access says how the machine was reached; see component.Accessible. The host
// key is the one of this connection, unless keys are not checked at all. A key
// that the machine has not accepted is left out.
func (c *comm) Access() (component.Access, error) {
	c.mu.Lock()
	s, l, closed := c.settings, c.link, c.closed
	c.mu.Unlock()
	if closed {
		return component.Access{}, errClosed
	}
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return component.Access{}, fmt.Errorf("ssh: address %s: %w", s.address, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return component.Access{}, fmt.Errorf("ssh: address %s: %w", s.address, err)
	}
	out := component.Access{
		Transport: "ssh", Host: host, Port: number, User: s.creds.user, Through: s.through(),
		Password: s.creds.password, PrivateKey: s.creds.keyBytes, AgentSocket: s.creds.agent,
		Ciphers: s.ciphers, KeyExchanges: s.kex,
	}
	if s.creds.keyFile != "" {
		if out.PrivateKey, err = os.ReadFile(s.creds.keyFile); err != nil {
			return component.Access{}, fmt.Errorf("ssh: read %s: %w", s.creds.keyName, err)
		}
	}
	if s.creds.keyFile != "" && s.creds.certFile != "" {
		if out.Certificate, err = os.ReadFile(s.creds.certFile); err != nil {
			return component.Access{}, fmt.Errorf("ssh: read %s: %w", s.creds.certName, err)
		}
	}
	if l.keyless {
		out.PrivateKey, out.Certificate, out.AgentSocket = nil, nil, ""
	}
	if s.keys.mode != component.HostKeyOff {
		for _, k := range append([]ssh.PublicKey{l.hostKey}, s.known...) {
			if line := string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(k))); len(out.HostKeys) == 0 || line != out.HostKeys[0] {
				out.HostKeys = append(out.HostKeys, line)
			}
		}
	}
	return out, nil
}

// through names what the way to the machine leads through.
func (s *settings) through() string {
	switch {
	case s.bastionAddress != "":
		return "the bastion host " + s.bastionAddress
	case s.proxyAddress != "":
		return "the proxy " + s.proxyAddress
	}
	return ""
}
