//go:build unix

package ssh_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"ingot/internal/component"
	"ingot/internal/testkit/live"
)

// TestW13CancelLeavesNothing: commands of all kinds are gone from an OpenSSH
// server after they were cancelled.
func TestW13CancelLeavesNothing(t *testing.T) {
	host := liveHost(t)
	c := dial(t, host)
	marker := strings.ReplaceAll(strings.ToLower(t.Name()), "/", "") + "-" + strings.ReplaceAll(remoteDir(t, host), "/", "-")
	for name, cmd := range map[string]component.Command{
		"a single program":          {Line: "exec sh -c 'echo started; sleep 1000; true' " + marker},
		"with a child":              {Line: "echo started; sh -c 'sleep 1000; true' " + marker + "; true"},
		"deaf to signals":           {Line: "trap '' TERM HUP INT; echo started; sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1; done; true' " + marker + "; true"},
		"in a session of its own":   {Line: "echo started; setsid -w sh -c 'sleep 1000; true' " + marker + "; true"},
		"in a terminal":             {Line: "trap '' HUP; echo started; sh -c 'trap \"\" HUP; sleep 1000; true' " + marker + "; true", PTY: true},
		"what the end left behind":  {Line: "sh -c 'sleep 1000; true' " + marker + " & echo started; exec sleep 0"},
		"over more lines":           {Line: "# comment\necho started\nsh -c 'sleep 1000; true' " + marker + "\ntrue\n"},
		"that reads standard input": {Line: "echo started; sh -c 'cat; true' " + marker + "; true", Stdin: neverEnding{t.Context()}},
	} {
		t.Run(name, func(t *testing.T) {
			enough := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			cmd.Stdout = writer(func([]byte) { cancel(enough) })
			if _, err := c.Run(ctx, cmd); !errors.Is(err, enough) {
				t.Errorf("got %v", err)
			}
			var out lockedBuffer
			if _, err := c.Run(t.Context(), component.Command{Line: "ps -A -o args | grep -v grep | grep -e " + marker, Stdout: &out}); err != nil {
				t.Fatal(err)
			}
			if out.String() != "" {
				t.Errorf("still there:\n%s", out.String())
			}
		})
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// neverEnding is an input that blocks.
type neverEnding struct{ ctx context.Context }

func (n neverEnding) Read([]byte) (int, error) {
	<-n.ctx.Done()
	return 0, context.Cause(n.ctx)
}

// TestOpenSSHCredentials logs in to a real server in other ways than the
// contract test does.
func TestOpenSSHCredentials(t *testing.T) {
	env := live.Require(t).SSH
	for name, c := range map[string]component.Connection{
		"password":                     {SSHPassword: env.Password},
		"known host key":               {SSHPrivateKeyFile: env.KeyFile, SSHHostKey: []string{env.HostKey}, SSHHostKeyCheck: component.HostKeyStrict},
		"a wrong key and the password": {SSHPrivateKeyFile: newKeyPair(t).file, SSHPassword: env.Password},
	} {
		t.Run(name, func(t *testing.T) {
			c.SSHUsername = env.User
			works(t, hasty(t).mustDial(t, at(env.Host, env.Port, c)))
		})
	}
}
