//go:build unix

package ssh_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/sshd"
)

// to is an endpoint function for a server in this process.
func to(s *sshd.Server, c component.Connection) endpoint { return at(s.Host(), s.Port(), c) }

// toolsFor makes a folder with some of this machine's programs, to be the
// PATH of a server.
func toolsFor(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		at, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("this machine has no %s", name)
		}
		if err := os.Symlink(at, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// noTar is a PATH without tar.
func noTar(t testing.TB) string {
	return toolsFor(t, "sh", "cat", "mkdir", "rm", "ln", "chmod", "touch", "sleep", "wc", "id", "scp")
}

// noShell makes a server whose shell is not a POSIX one as far as the
// communicator can tell, but runs the suite's lines all the same.
func noShell(s **sshd.Server) func(*sshd.Call) sshd.Status {
	return func(c *sshd.Call) sshd.Status {
		if strings.Contains(c.Line, "ingot-tar") || strings.HasPrefix(c.Line, "cmd ") {
			return sshd.Status{Code: 1}
		}
		return (*s).Local(c)
	}
}

// TestContractInProcess runs the suite against servers that lack one thing
// or another.
func TestContractInProcess(t *testing.T) {
	var bare *sshd.Server
	for name, c := range map[string]struct {
		server     sshd.Options
		connection component.Connection
		cannotKill bool
	}{
		"everything":             {},
		"no terminal, no sftp":   {server: sshd.Options{NoPTY: true, NoSFTP: true}},
		"few sessions":           {server: sshd.Options{MaxSessions: 9}},
		"no tar":                 {server: sshd.Options{Path: noTar(t)}},
		"no POSIX shell":         {server: sshd.Options{Exec: noShell(&bare)}, cannotKill: true},
		"no POSIX shell, by scp": {server: sshd.Options{Exec: noShell(&bare)}, connection: component.Connection{SSHFileTransferMethod: "scp"}, cannotKill: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := sshd.Start(t, c.server)
			bare = s
			componenttest.Communicator(t, componenttest.CommunicatorConfig{
				New:        func(t testing.TB) component.Communicator { return dial(t, to(s, c.connection)) },
				Dir:        t.TempDir(),
				CannotKill: c.cannotKill,
				NoShell:    true,
			})
		})
	}
}
