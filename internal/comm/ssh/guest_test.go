//go:build linux

package ssh_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/testkit/guestrig"
	"ingot/internal/testkit/live"
)

// guestConnection is how the environment's virtual machine is logged in to.
func guestConnection(g *guestrig.Guest) component.Connection {
	return component.Connection{SSHUsername: g.Login.User, SSHPrivateKeyFile: g.Login.KeyFile, SSHTimeout: 4 * time.Minute}
}

// TestRebootOfAGuest: what follows a reboot runs after it, on a machine that
// has really started again.
func TestRebootOfAGuest(t *testing.T) {
	g := guestrig.Resume(t, live.Require(t))
	a := patient(t)
	c := a.mustDial(t, at(g.Host, g.Port, guestConnection(g)))
	id := func() string {
		var out lockedBuffer
		if exit, err := c.Run(t.Context(), component.Command{Line: "cat /proc/sys/kernel/random/boot_id", Stdout: &out}); err != nil || exit.Code != 0 {
			t.Fatal(exit, err)
		}
		return out.line()
	}
	before := id()
	if _, err := c.Run(t.Context(), component.Command{Line: "reboot"}); err != nil && !errors.Is(err, component.ErrDisconnected) {
		t.Fatal(err)
	}
	c.(component.RestartAware).ExpectRestart()
	if after := id(); after == before {
		t.Error("a command ran on the machine that was going down")
	}
	if said := strings.Join(a.log.messages(), "\n"); !strings.Contains(said, "The machine has restarted.") {
		t.Errorf("said %q", said)
	}
	for _, e := range a.log.ended() {
		t.Logf("%s after %s: %v", e.For, e.Elapsed.Round(time.Millisecond), e.Stages)
	}
}
