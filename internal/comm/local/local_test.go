//go:build unix

package local_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/comm/local"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

// journal remembers what was acquired and what became of it.
type journal struct {
	mu     sync.Mutex // guards fates
	fates  []string
	refuse error
}

func (j *journal) Acquire(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error) {
	if j.refuse != nil {
		return nil, j.refuse
	}
	want.Token = "token-of-the-test"
	id, err := create(ctx, want)
	if err != nil {
		return nil, err
	}
	want.ID = id
	return &lease{j, want}, nil
}

func (j *journal) end(fate string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fates = append(j.fates, fate)
	return nil
}

type lease struct {
	j *journal
	r component.Resource
}

func (l *lease) Resource() component.Resource  { return l.r }
func (l *lease) Release(context.Context) error { return l.j.end("released " + l.r.Kind) }
func (l *lease) Keep(context.Context) error    { return l.j.end("kept " + l.r.Kind) }

func TestContract(t *testing.T) {
	componenttest.Communicator(t, componenttest.CommunicatorConfig{
		New: func(testing.TB) component.Communicator { return local.New(&journal{}) },
		Dir: t.TempDir(),
	})
}

func TestProcessesAreLeased(t *testing.T) {
	j := &journal{}
	c := local.New(j)
	t.Cleanup(func() { _ = c.Close() })
	var out bytes.Buffer
	if _, err := c.Run(t.Context(), component.Command{Line: "echo $INGOT_TOKEN", Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Run(ctx, component.Command{Line: "echo x; sleep 600", Stdout: writer(func([]byte) { cancel() })})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled command: %v", err)
	}
	if got := strings.Join(j.fates, ", "); out.String() != "token-of-the-test\n" || got != "kept os.process, released os.process" {
		t.Errorf("token %q, leases %s", out.String(), got)
	}
	j.refuse = errors.New("disk full")
	marker := filepath.Join(t.TempDir(), "marker")
	if _, err := c.Run(t.Context(), component.Command{Line: "echo > " + marker}); !errors.Is(err, j.refuse) {
		t.Errorf("without a journal: %v", err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the command ran although the journal had refused")
	}
}

// TestBackgroundDoesNotBlock: a daemon that keeps the output open does not
// keep Run, and goes on.
func TestBackgroundDoesNotBlock(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		c := local.New(&journal{})
		t.Cleanup(func() { _ = c.Close() })
		marker := filepath.Join(t.TempDir(), "marker")
		var out bytes.Buffer
		line := "trap '' HUP; (while [ ! -e " + marker + " ]; do sleep 0.1; done) & echo started"
		exit, err := c.Run(t.Context(), component.Command{Line: line, Stdout: &out, PTY: terminal})
		if got := strings.ReplaceAll(out.String(), "\r", ""); err != nil || exit.Code != 0 || got != "started\n" {
			t.Errorf("terminal %v: got %v, %v, %q", terminal, exit, err, got)
		}
		if err := os.WriteFile(marker, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestModTime(t *testing.T) {
	c := local.New(&journal{})
	t.Cleanup(func() { _ = c.Close() })
	name := filepath.Join(t.TempDir(), "file")
	want := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := c.Put(t.Context(), name, strings.NewReader("x"), component.FileMeta{Size: 1, ModTime: want}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || !info.ModTime().Equal(want) {
		t.Errorf("got %v, %v", info.ModTime(), err)
	}
}

func TestTypingIsNotRepeated(t *testing.T) {
	c := local.New(&journal{})
	t.Cleanup(func() { _ = c.Close() })
	var out bytes.Buffer
	_, err := c.Run(t.Context(), component.Command{Line: "read x; echo got $x", Stdin: strings.NewReader("typed\n"), Stdout: &out, PTY: true})
	if got := strings.ReplaceAll(out.String(), "\r", ""); err != nil || got != "got typed\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }
