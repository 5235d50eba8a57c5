package ssh_test

import (
	"testing"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/sshd"
)

// to is an endpoint function for a server in this process.
func to(s *sshd.Server, c component.Connection) endpoint { return at(s.Host(), s.Port(), c) }

// TestContractInProcess runs the suite against servers that lack one thing
// or another.
func TestContractInProcess(t *testing.T) {
	for name, o := range map[string]sshd.Options{
		"everything":  {},
		"no terminal": {NoPTY: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := sshd.Start(t, o)
			componenttest.Communicator(t, componenttest.CommunicatorConfig{
				New: func(t testing.TB) component.Communicator { return dial(t, to(s, component.Connection{})) },
				Dir: t.TempDir(),
			})
		})
	}
}
