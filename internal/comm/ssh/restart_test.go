//go:build unix

package ssh_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"ingot/internal/comm/ssh"
	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/testkit/sshd"
)

// guest is a machine that can be started again, as far as the commands of the
// communicator see it.
type guest struct {
	t   testing.TB
	dir string
	key xssh.Signer

	mu     sync.Mutex // guards server
	server *sshd.Server
}

// newGuest starts one. It has systemd when init is not empty, which is what
// systemd says of itself, and a boot id when boot is not.
func newGuest(t testing.TB, boot, init string) *guest {
	g := &guest{t: t, dir: t.TempDir(), key: sshd.NewKey(t)}
	if init != "" {
		script := "#!/bin/sh\ncat " + g.dir + "/init\n"
		if err := os.WriteFile(filepath.Join(g.dir, "systemctl"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g.start(boot, init)
	return g
}

func (g *guest) write(name, text string) {
	file := filepath.Join(g.dir, name)
	err := os.Remove(file)
	if text != "" {
		err = os.WriteFile(file, []byte(text+"\n"), 0o644)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.t.Errorf("guest: %v", err)
	}
}

func (g *guest) start(boot, init string) {
	g.write("boot_id", boot)
	g.write("init", init)
	var s *sshd.Server
	s = sshd.Start(g.t, sshd.Options{
		HostKey: g.key, Path: g.dir + ":" + toolsFor(g.t, "cat", "tar"),
		Exec: func(c *sshd.Call) sshd.Status {
			c.Line = strings.ReplaceAll(c.Line, "/proc/sys/kernel/random", g.dir)
			return s.Local(c)
		},
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.server = s
}

func (g *guest) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.server.Stop()
}

func (g *guest) drop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.server.Drop()
}

// where is the guest's present address: like with DHCP, it may be another one
// after a restart.
func (g *guest) where(c component.Connection) endpoint {
	return func(context.Context) (component.Endpoint, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		return component.Endpoint{Host: g.server.Host(), Port: g.server.Port(), Connection: &c}, nil
	}
}

// boot runs a command that prints the boot id as it is then.
func (g *guest) boot(c component.Communicator) (string, error) {
	var out lockedBuffer
	exit, err := c.Run(g.t.Context(), component.Command{Line: "cat " + g.dir + "/boot_id", Stdout: &out})
	if err == nil && exit.Code != 0 {
		err = errors.New(exit.String())
	}
	return out.line(), err
}

// TestRestartIsWaitedFor: the machine goes on answering for a while after the
// command that restarts it; nothing runs before it is there again.
func TestRestartIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		init  string
		lost  bool // the connection is lost before anything is asked
		grace time.Duration
	}{
		"systemd, connection still there":    {"running", false, 300 * time.Millisecond},
		"systemd, connection lost at once":   {"running", true, 300 * time.Millisecond},
		"other init, connection still there": {"", false, 300 * time.Millisecond},
		"other init, connection lost":        {"", true, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuest(t, "first", c.init)
			a := patient(t)
			comm := a.mustDial(t, g.where(component.Connection{SSHTimeout: time.Minute}))
			works(t, comm)
			if c.init != "" {
				g.write("init", "stopping")
			}
			if c.lost {
				g.drop()
			}
			var down sync.WaitGroup
			down.Go(func() {
				time.Sleep(c.grace)
				g.stop()
				g.start("second", c.init)
			})
			defer down.Wait()
			comm.(component.RestartAware).ExpectRestart()
			if got, err := g.boot(comm); err != nil || got != "second" {
				t.Errorf("a command ran at the %s start: %v", got, err)
			}
			contains(t, strings.Join(a.log.messages(), "\n"), "The machine has restarted.")
			if ended := a.log.ended(); len(ended) != 2 || ended[1].Err != nil {
				t.Errorf("waits: %+v", ended)
			}
			before := len(a.log.messages())
			works(t, comm)
			if n := len(a.log.messages()); n != before {
				t.Error("it is told again")
			}
		})
	}
}

// TestNoRestart: what was expected does not come, and nothing waits for it.
func TestNoRestart(t *testing.T) {
	for name, c := range map[string]struct {
		boot, init string
		lost       bool
		says       string
		slept      time.Duration
	}{
		"nothing happens":                {"first", "running", false, "", 0},
		"nothing happens, degraded":      {"first", "degraded", false, "", 0},
		"nothing happens, no systemd":    {"first", "", false, "", 3 * time.Second},
		"nothing happens, nothing known": {"", "", false, "", 3 * time.Second},
		"network":                        {"first", "running", true, "The connection was lost and is back. The machine has not restarted.", 0},
		"network, no systemd":            {"first", "", true, "The connection was lost and is back. The machine has not restarted.", 3 * time.Second},
		"network, nothing known":         {"", "", true, "The machine does not tell whether it has restarted.", 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, c.boot, c.init)
			a := hasty(t)
			comm := a.mustDial(t, g.where(component.Connection{}))
			works(t, comm)
			if c.lost {
				g.drop()
				untilLost(t, comm)
			}
			begin, before := a.clock.Now(), len(a.log.messages())
			comm.(component.RestartAware).ExpectRestart()
			works(t, comm)
			if d := a.clock.Now().Sub(begin); d != c.slept {
				t.Errorf("it waited for %s", d)
			}
			said := strings.Join(a.log.messages()[before:], "\n")
			contains(t, said, c.says)
			if c.says == "" && said != "" {
				t.Errorf("it says %q", said)
			}
		})
	}
}

// untilLost returns when the communicator's connection is known to be lost.
func untilLost(t testing.TB, c component.Communicator) {
	t.Helper()
	for range 500 {
		if !ssh.Connected(c) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the connection is not lost")
}

func TestMachineThatStaysAway(t *testing.T) {
	g := newGuest(t, "first", "running")
	a := hasty(t)
	comm := a.mustDial(t, g.where(component.Connection{SSHTimeout: 10 * time.Minute}))
	g.stop()
	untilLost(t, comm)
	comm.(component.RestartAware).ExpectRestart()
	begin := a.clock.Now()
	_, err := g.boot(comm)
	var late *readiness.TimeoutError
	if !errors.As(err, &late) || !errors.Is(err, component.ErrDisconnected) {
		t.Fatalf("got %v", err)
	}
	if d := a.clock.Now().Sub(begin); d < 10*time.Minute || d > 11*time.Minute {
		t.Errorf("it waited for %s", d)
	}
	if ended := a.log.ended(); len(ended) != 2 || ended[1].Err == nil {
		t.Errorf("waits: %+v", ended)
	}
}

func TestShutdownThatHangs(t *testing.T) {
	g := newGuest(t, "first", "stopping")
	a := hasty(t)
	comm := a.mustDial(t, g.where(component.Connection{SSHTimeout: 10 * time.Minute}))
	comm.(component.RestartAware).ExpectRestart()
	_, err := g.boot(comm)
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "going down", "10m0s", "ssh_timeout")
}

// TestUnexpectedRestartIsTold: a machine that crashed does not look like one
// that lost its network for a moment.
func TestUnexpectedRestartIsTold(t *testing.T) {
	g := newGuest(t, "first", "running")
	a := patient(t)
	comm := a.mustDial(t, g.where(component.Connection{}))
	g.stop()
	g.start("second", "running")
	untilLost(t, comm)
	works(t, comm)
	var warned []string
	for _, e := range a.log.all() {
		if w, ok := e.(component.Warning); ok {
			warned = append(warned, w.Summary)
		}
	}
	if len(warned) != 1 || warned[0] != "Machine restarted" {
		t.Errorf("warned of %q", warned)
	}
}

// TestRealBootID reads this machine's.
func TestRealBootID(t *testing.T) {
	want, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Skip("no Linux")
	}
	comm := patient(t).mustDial(t, to(sshd.Start(t, sshd.Options{}), component.Connection{}))
	if got := ssh.Boot(comm); !strings.HasPrefix(got, strings.TrimSpace(string(want))+"/") || strings.HasSuffix(got, "/") {
		t.Errorf("got %q, want %q and the start of process 1", got, want)
	}
}
