//go:build unix

package ssh_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/retry"
	"ingot/internal/testkit/live"
	"ingot/internal/testkit/sshd"
)

func TestW31ExitIsNeverMadeUp(t *testing.T) {
	s := sshd.Start(t, sshd.Options{Exec: func(c *sshd.Call) sshd.Status {
		switch {
		case strings.Contains(c.Line, "no status"):
			_, _ = io.WriteString(c.Stdout, "output")
			return sshd.Status{None: true}
		case strings.Contains(c.Line, "drop"):
			return sshd.Status{Drop: true}
		case strings.Contains(c.Line, "signal"):
			return sshd.Status{Signal: "SEGV"}
		case strings.Contains(c.Line, "strange"):
			return sshd.Status{Signal: "STRANGE@example.com"}
		}
		return sshd.Status{}
	}})
	c := hasty(t).mustDial(t, to(s, component.Connection{}))
	for _, line := range []string{"no status", "drop"} {
		exit, err := c.Run(t.Context(), component.Command{Line: line})
		if !errors.Is(err, component.ErrDisconnected) {
			t.Errorf("%s: got %v, %v", line, exit, err)
		}
	}
	for line, want := range map[string]component.Exit{"signal": {Code: 139, Signal: "SEGV"}, "strange": {Code: 128, Signal: "STRANGE@example.com"}} {
		if exit, err := c.Run(t.Context(), component.Command{Line: line}); err != nil || exit != want {
			t.Errorf("%s: got %v, %v", line, exit, err)
		}
	}
}

// TestConnectsAgain: what was running fails, what comes next works.
func TestConnectsAgain(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	c := hasty(t).mustDial(t, to(s, component.Connection{}))
	for i := range 3 {
		out := &dropping{s: s}
		if _, err := c.Run(t.Context(), component.Command{Line: "echo started; sleep 600", Stdout: out}); !errors.Is(err, component.ErrDisconnected) {
			t.Fatalf("drop %d: %v", i, err)
		}
		works(t, c)
		if got := s.Logins(); got != i+2 {
			t.Errorf("%d logins after %d drops", got, i+1)
		}
	}
}

// dropping drops all connections at the first output.
type dropping struct{ s *sshd.Server }

func (d *dropping) Write(p []byte) (int, error) {
	d.s.Drop()
	return len(p), nil
}

// TestMachineThatDoesNotComeBack: the operation fails soon, and can be
// repeated by whoever waits for the machine.
func TestMachineThatDoesNotComeBack(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	address := s.Addr()
	a := hasty(t)
	c := a.mustDial(t, to(s, component.Connection{}))
	key := s.HostKey()
	s.Stop()
	for range 2 {
		_, err := c.Run(t.Context(), component.Command{Line: "true"})
		if !errors.Is(err, component.ErrDisconnected) || retry.ClassOf(err) != retry.Transient {
			t.Errorf("got %v (%v)", err, retry.ClassOf(err))
		}
		contains(t, err.Error(), "connect again", "tcp "+address, "connection refused")
	}
	var total time.Duration
	for _, d := range a.clock.slept {
		total += d
	}
	if total > 25*time.Second {
		t.Errorf("it waited for %s", total)
	}
	_ = key
}

func TestUploadsThatBreak(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	p := live.NewFaultProxy(t, s.Addr())
	c := hasty(t).mustDial(t, at(p.Host(), p.Port(), component.Connection{}))
	dir := t.TempDir()
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	p.DropAfter(p.Carried() + 1<<20)
	if err := c.Put(t.Context(), dir+"/f", bytes.NewReader(body), component.FileMeta{Size: int64(len(body))}); !errors.Is(err, component.ErrDisconnected) {
		t.Errorf("a connection that breaks: %v", err)
	}
	p.Heal()
	if err := c.Put(t.Context(), dir+"/f", bytes.NewReader(body), component.FileMeta{Size: int64(len(body))}); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if got, err := os.ReadFile(dir + "/f"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	p.Delay(time.Millisecond)
	p.Bandwidth(8 << 20)
	var out bytes.Buffer
	if err := c.Get(t.Context(), dir+"/f", &out); err != nil || !bytes.Equal(out.Bytes(), body) {
		t.Errorf("over a slow connection: %d bytes, %v", out.Len(), err)
	}
	p.Heal()
	p.DropAfter(1 << 20)
	if err := c.Get(t.Context(), dir+"/f", io.Discard); !errors.Is(err, component.ErrDisconnected) {
		t.Errorf("a download that breaks: %v", err)
	}
}

// TestSourceOfAnotherSize: a file that changes while it is sent is found out.
func TestSourceOfAnotherSize(t *testing.T) {
	c := hasty(t).mustDial(t, to(sshd.Start(t, sshd.Options{}), component.Connection{}))
	for _, size := range []int64{3, 9} {
		err := c.Put(t.Context(), t.TempDir()+"/f", strings.NewReader("12345"), component.FileMeta{Size: size})
		if err == nil {
			t.Errorf("size %d: no error", size)
			continue
		}
		contains(t, err.Error(), fmt.Sprint(size))
	}
}

// TestReadWriteTimeOut: a peer that falls silent is given up, without
// keep-alives too.
func TestReadWriteTimeOut(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	c := hasty(t).mustDial(t, to(s, component.Connection{SSHReadWriteTimeout: 400 * time.Millisecond, SSHKeepAliveInterval: -1}))
	silence := &silencing{s: s}
	_, err := c.Run(t.Context(), component.Command{Line: "echo started; sleep 600", Stdout: silence})
	if !errors.Is(err, component.ErrDisconnected) {
		t.Fatalf("got %v", err)
	}
	contains(t, err.Error(), "ssh_read_write_timeout")
	s.Silence(false)
	works(t, c)
}

// TestKeepAlivesKeepReadsShort: a command that prints nothing for longer than
// the limit is not taken for a dead connection.
func TestKeepAlivesKeepReadsShort(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	c := hasty(t).mustDial(t, to(s, component.Connection{SSHReadWriteTimeout: 2 * time.Second, SSHKeepAliveInterval: 50 * time.Millisecond}))
	if exit, err := c.Run(t.Context(), component.Command{Line: "sleep 3; exit 5"}); err != nil || exit.Code != 5 {
		t.Errorf("got %v, %v", exit, err)
	}
}

type silencing struct{ s *sshd.Server }

func (d *silencing) Write(p []byte) (int, error) {
	d.s.Silence(true)
	return len(p), nil
}

// TestBackgroundDoesNotBlock: something that keeps the output open does not
// keep Run.
func TestBackgroundDoesNotBlock(t *testing.T) {
	host := liveHost(t)
	c := dial(t, host)
	marker := remoteDir(t, host) + "/marker"
	var out lockedBuffer
	exit, err := c.Run(t.Context(), component.Command{Line: "(while [ ! -e " + marker + " ]; do sleep 0.1; done; rm " + marker + ") & echo started; exit 3", Stdout: &out})
	if err != nil || exit.Code != 3 || out.line() != "started" {
		t.Errorf("got %v, %v, %q", exit, err, out.String())
	}
	if exit, err := c.Run(t.Context(), component.Command{Line: "touch " + marker + "; i=0; while [ -e " + marker + " ]; do i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.1; done"}); err != nil || exit.Code != 0 {
		t.Errorf("the background process did not go on: %v, %v", exit, err)
	}
}

// TestManySessionsOnASmallServer: the server's limit makes us wait, not fail.
func TestManySessionsOnASmallServer(t *testing.T) {
	s := sshd.Start(t, sshd.Options{MaxSessions: 2})
	c := hasty(t).mustDial(t, to(s, component.Connection{}))
	done := make(chan error)
	for range 6 {
		go func() {
			_, err := c.Run(t.Context(), component.Command{Line: "sleep 0.05"})
			done <- err
		}()
	}
	for range 6 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestNoSpareConnections: a build has one.
func TestNoSpareConnections(t *testing.T) {
	var opened []net.Addr
	s := sshd.Start(t, sshd.Options{Connected: func(_ int, c net.Conn) bool {
		opened = append(opened, c.RemoteAddr())
		return true
	}})
	c := hasty(t).mustDial(t, to(s, component.Connection{}))
	dir := t.TempDir()
	for range 3 {
		works(t, c)
		if err := c.Put(t.Context(), dir+"/f", strings.NewReader("x"), component.FileMeta{}); err != nil {
			t.Error(err)
		}
	}
	if len(opened) != 1 {
		t.Errorf("%d connections", len(opened))
	}
}
