//go:build unix

package winrm_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/testkit/winrmd"
)

// later makes a fault happen at every request for an action from when it is
// armed.
func later(action string, armed *atomic.Bool, f winrmd.Fault) func(winrmd.Request) winrmd.Fault {
	return func(r winrmd.Request) winrmd.Fault {
		if r.Action == action && armed.Load() {
			return f
		}
		return winrmd.Fault{}
	}
}

// A command that says nothing for longer than the server waits is no failure.
func TestSilentCommandIsPolledOn(t *testing.T) {
	s := start(t, winrmd.Config{OperationTimeout: 50 * time.Millisecond})
	c := dial(t, s, connection())
	before := s.Requests("Receive")
	var out bytes.Buffer
	exit, err := c.Run(t.Context(), component.Command{Line: "sleep 0.6; echo done; exit 7", Stdout: &out})
	if err != nil || exit.Code != 7 || out.String() != "done\n" {
		t.Errorf("got %v, %v, %q", exit, err, out.String())
	}
	if n := s.Requests("Receive") - before; n < 4 {
		t.Errorf("only %d requests for output: the time-out never happened", n)
	}
}

func TestBusyServiceIsAskedAgain(t *testing.T) {
	s := start(t, winrmd.Config{Fault: func(r winrmd.Request) winrmd.Fault {
		switch {
		case r.Action == "Receive" && r.N%3 == 0:
			return winrmd.Fault{Status: 500}
		case r.N%4 == 0:
			return winrmd.Fault{Status: 503}
		}
		return winrmd.Fault{}
	}})
	c := dial(t, s, connection())
	for range 6 {
		var out bytes.Buffer
		exit, err := c.Run(t.Context(), component.Command{Line: "cat; exit 5", Stdin: strings.NewReader("input"), Stdout: &out})
		if err != nil || exit.Code != 5 || out.String() != "input" {
			t.Errorf("got %v, %v, %q", exit, err, out.String())
		}
	}
}

func TestLostConnections(t *testing.T) {
	for name, f := range map[string]struct {
		action string
		fault  winrmd.Fault
	}{
		"while a shell is made":      {"Create", winrmd.Fault{Drop: true}},
		"while a command is started": {"Command", winrmd.Fault{Lose: true}},
		"while it is waited for":     {"Receive", winrmd.Fault{Drop: true}},
		"with its output":            {"Receive", winrmd.Fault{Lose: true}},
		"for good":                   {"Receive", winrmd.Fault{Status: 500}},
	} {
		t.Run(name, func(t *testing.T) {
			var armed atomic.Bool
			s := start(t, winrmd.Config{Fault: later(f.action, &armed, f.fault)})
			c := dial(t, s, connection())
			armed.Store(true)
			exit, err := c.Run(t.Context(), component.Command{Line: "echo x"})
			if !errors.Is(err, component.ErrDisconnected) {
				t.Errorf("got %v, %v", exit, err)
			}
		})
	}
}

func TestRestartOfTheMachine(t *testing.T) {
	s := start(t, winrmd.Config{})
	c := dial(t, s, connection())
	started := &signalling{text: "started", seen: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Run(t.Context(), component.Command{Line: "echo started; sleep 60", Stdout: started})
		ended <- err
	}()
	<-started.seen
	s.Reboot()
	if err := <-ended; !errors.Is(err, component.ErrDisconnected) {
		t.Errorf("got %v", err)
	}
	exit, err := c.Run(t.Context(), component.Command{Line: "exit 4"})
	if err != nil || exit.Code != 4 {
		t.Errorf("after the restart: %v, %v", exit, err)
	}
}

// signalling closes seen when text has been written to it.
type signalling struct {
	text string
	buf  bytes.Buffer
	seen chan struct{}
}

func (w *signalling) Write(p []byte) (int, error) {
	before := strings.Contains(w.buf.String(), w.text)
	w.buf.Write(p)
	if !before && strings.Contains(w.buf.String(), w.text) {
		close(w.seen)
	}
	return len(p), nil
}

// An upload that fails in the middle leaves neither a damaged file nor a
// temporary one, and the file that was there stays.
func TestDroppedUploadLeavesNothing(t *testing.T) {
	var armed atomic.Bool
	body := make([]byte, 8<<20)
	_, _ = rand.Read(body) // never fails
	s := start(t, winrmd.Config{Fault: func(r winrmd.Request) winrmd.Fault {
		if r.Action == "Send" && r.N > 60 && armed.CompareAndSwap(true, false) {
			return winrmd.Fault{Drop: true}
		}
		return winrmd.Fault{}
	}})
	c := dial(t, s, connection())
	dir := t.TempDir()
	target := filepath.Join(dir, "file")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	if err := c.Put(t.Context(), target, bytes.NewReader(body), component.FileMeta{Size: int64(len(body))}); err == nil {
		t.Error("no error")
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "old" {
		t.Errorf("the file that was there: %d bytes, %v", len(got), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
	noShells(t, s)
	if err := c.Put(t.Context(), target, bytes.NewReader(body), component.FileMeta{Size: -1}); err != nil {
		t.Errorf("the next upload: %v", err)
	}
	if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, body) {
		t.Errorf("the next upload: %d bytes, %v", len(got), err)
	}
}

// A server that allows few shells makes an upload slower, not impossible.
func TestUploadWithFewShells(t *testing.T) {
	s := start(t, winrmd.Config{MaxShells: 2})
	c := dial(t, s, connection())
	body := make([]byte, 12<<20)
	_, _ = rand.Read(body) // never fails
	target := filepath.Join(t.TempDir(), "file")
	if err := c.Put(t.Context(), target, bytes.NewReader(body), component.FileMeta{Size: -1}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestLinesThatWinRMCannotCarry(t *testing.T) {
	s := start(t, winrmd.Config{})
	c := dial(t, s, connection())
	for _, line := range []string{"echo \x01", "echo \xff", strings.Repeat("x", 8192)} {
		if _, err := c.Run(t.Context(), component.Command{Line: line}); err == nil {
			t.Errorf("%.20q was taken", line)
		}
	}
	var out bytes.Buffer
	if _, err := c.Run(t.Context(), component.Command{Line: "echo 'a]]>b & <c> \"é\"'", Stdout: &out}); err != nil || out.String() != "a]]>b & <c> \"é\"\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestPTYIsUnsupported(t *testing.T) {
	c := dial(t, start(t, winrmd.Config{}), connection())
	if _, err := c.Run(context.Background(), component.Command{Line: "true", PTY: true}); !errors.Is(err, component.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkUpload sends 50 MB.
func BenchmarkUpload(b *testing.B) {
	s := start(b, winrmd.Config{})
	c := dial(b, s, connection())
	body := make([]byte, 50<<20)
	_, _ = rand.Read(body) // never fails
	target := filepath.Join(b.TempDir(), "file")
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := c.Put(b.Context(), target, bytes.NewReader(body), component.FileMeta{Size: int64(len(body))}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDownload fetches 50 MB.
func BenchmarkDownload(b *testing.B) {
	s := start(b, winrmd.Config{})
	c := dial(b, s, connection())
	target := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(target, make([]byte, 50<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(50 << 20)
	for b.Loop() {
		if err := c.Get(b.Context(), target, &discard{}); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (*discard) Write(p []byte) (int, error) { return len(p), nil }
