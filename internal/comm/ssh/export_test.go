package ssh

import "ingot/internal/component"

// Connected reports whether the connection is not known to be lost.
func Connected(c component.Communicator) bool { return c.(*comm).current().alive() }

// Boot is what names the machine's present start.
func Boot(c component.Communicator) string { return c.(*comm).current().boot }
