package ssh

import (
	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
)

// Connected reports whether the connection is not known to be lost.
func Connected(c component.Communicator) bool { return c.(*comm).current().alive() }

// Boot is what names the machine's present start.
func Boot(c component.Communicator) string { return c.(*comm).current().boot }

// Cipher is what the connection's output is encrypted with.
func Cipher(c component.Communicator) string {
	return c.(*comm).current().client.Conn.(ssh.AlgorithmsConnMetadata).Algorithms().Write.Cipher
}
