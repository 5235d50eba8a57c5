package oci

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/live"
)

// victim is set for the process that TestKilled kills: the base and a
// directory to work in.
const victim = "INGOT_TEST_VICTIM"

// TestKilled kills a build with SIGKILL while commands run in it. The kernel
// must end everything, and the reaper find what is left.
func TestKilled(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestVictim$")
	// Its own temporary folders must be somewhere where they get removed.
	cmd.Env = append(os.Environ(), victim+"="+env.TinyTar+"="+dir, "TMPDIR="+dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	var left []component.Resource
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the victim never got ready: %v", err)
		}
		if text, ok := strings.CutPrefix(line, "ready "); ok {
			if err := json.Unmarshal([]byte(text), &left); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	// One that is being replaced by another program has no command line for a moment.
	await(t, "two processes inside", func() error {
		if n := len(commandsWith(dir)); n < 2 {
			return fmt.Errorf("%d run", n)
		}
		return nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, lines)
	_ = cmd.Wait()
	await(t, "the processes to end", func() error {
		if pids := commandsWith(dir); len(pids) > 0 {
			return fmt.Errorf("%v still run", pids)
		}
		return nil
	})
	if mounts := mountsBelow(t, dir); mounts != "" {
		t.Errorf("mounts are left: %s", mounts)
	}
	if len(left) != 2 {
		t.Fatalf("the journal has %v", left)
	}
	for i := len(left) - 1; i >= 0; i-- {
		// A run that was killed sooner never learned the id.
		for _, id := range []string{"", left[i].ID} {
			r := left[i]
			r.ID = id
			if err := NewReaper().Reap(t.Context(), r); err != nil {
				t.Errorf("reap %s %q: %v", r.Kind, r.ID, err)
			}
		}
		if left[i].Kind == DirKind {
			if _, err := os.Lstat(left[i].ID); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is still there", left[i].ID)
			}
		}
	}
}

// TestVictim is the build that TestKilled kills.
func TestVictim(t *testing.T) {
	base, dir, ok := strings.Cut(os.Getenv(victim), "=")
	if !ok {
		t.Skip("runs as part of TestKilled")
	}
	run, journal, _ := componenttest.NewRun(t)
	run.WorkDir, run.CacheDir = filepath.Join(dir, "work"), filepath.Join(dir, "cache")
	if err := os.Mkdir(run.WorkDir, 0o755); err != nil {
		t.Fatal(err)
	}
	job, diags := New().Plan(t.Context(), schema().Object(attrs{"from": str("tar:" + base), "output": str(dir + "/x")}))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if err := job.Prepare(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	m, err := job.Boot(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.(component.SelfDialer).Dial(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	// The directory's name on the command lines makes them findable.
	line := fmt.Sprintf("(trap '' TERM; exec sleep 1000 %s) 2>/dev/null & sh -c 'setsid sh -c \"while :; do sleep 1; done\" %s & echo up; wait' %s", dir, dir, dir)
	pr, pw := io.Pipe()
	go func() {
		_, _ = bufio.NewReader(pr).ReadString('\n')
		text, _ := json.Marshal(journal.Open())
		fmt.Printf("\nready %s\n", text)
	}()
	exit, err := c.Run(t.Context(), component.Command{Line: line, Stdout: pw})
	t.Fatalf("the command ended: %v, %v", exit, err)
}

// commandsWith finds processes by their command line, this one excepted.
func commandsWith(text string) []string {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var out []string
	for _, n := range names {
		line, err := os.ReadFile(n)
		if err == nil && strings.Contains(string(line), text) {
			out = append(out, filepath.Base(filepath.Dir(n)))
		}
	}
	return out
}

func mountsBelow(t testing.TB, dir string) string {
	t.Helper()
	var out []string
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.Contains(line, dir) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// await waits until check succeeds.
func await(t testing.TB, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		if sleep := (component.SystemClock{}).Sleep(ctx, 20*time.Millisecond); sleep != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}

// TestStraysEnd: what a step leaves running is ended with the step, and said.
func TestStraysEnd(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	b := boot(t, "", nil, attrs{"from": str("tar:" + env.TinyTar), "output": str(t.TempDir() + "/x")})
	b.step(`sleep 1000 > /dev/null 2>&1 & echo $! > /pid; until test "$(tr '\0' '\n' < /proc/$!/cmdline | head -n 1)" = sleep; do :; done`)
	if said := b.events.Said(); !strings.Contains(said, "left running: sleep") {
		t.Errorf("said: %q", said)
	}
	b.sh("test ! -e /proc/$(cat /pid)")
}

// TestSandboxDies: when the sandbox is gone, operations fail as disconnected.
func TestSandboxDies(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	b := boot(t, "", nil, attrs{"from": str("tar:" + env.TinyTar), "output": str(t.TempDir() + "/x")})
	for _, r := range b.journal.Open() {
		if r.Kind == SandboxKind {
			if err := NewReaper().Reap(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := b.comm.Run(t.Context(), component.Command{Line: "true"}); !errors.Is(err, component.ErrDisconnected) {
		t.Errorf("after its end: %v", err)
	}
}

// TestCancelledBuild: a build that is given up in the middle leaves nothing.
func TestCancelledBuild(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	stop := errors.New("given up")
	for _, phase := range []string{"prepare", "run", "capture"} {
		t.Run(phase, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			run, journal, _ := componenttest.NewRun(t)
			journal.Reap = NewReaper().Reap
			target := t.TempDir() + "/x.oci.tar"
			job, diags := New().Plan(ctx, schema().Object(attrs{"from": str("tar:" + env.TinyTar), "output": str(target)}))
			if diags.HasErrors() {
				t.Fatal(diags.Err())
			}
			if phase == "prepare" {
				cancel(stop)
			}
			err := job.Prepare(ctx, run)
			if phase != "prepare" {
				err = cancelLater(t, ctx, cancel, stop, phase, run, job)
			}
			if !errors.Is(err, stop) {
				t.Errorf("the error is %v", err)
			}
			if err := journal.ReleaseAll(context.Background()); err != nil {
				t.Error(err)
			}
			if left, _ := filepath.Glob(filepath.Dir(target) + "/*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if left, _ := os.ReadDir(filepath.Join(run.CacheDir, "oci", "builds")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func cancelLater(t *testing.T, ctx context.Context, cancel context.CancelCauseFunc, stop error, phase string, run component.Run, job component.Job) error {
	m, err := job.Boot(ctx, run)
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.(component.SelfDialer).Dial(ctx, run)
	if err != nil {
		t.Fatal(err)
	}
	if phase == "capture" {
		cancel(stop)
		_, err := job.Capture(ctx, run, m)
		return err
	}
	go func() {
		_ = component.SystemClock{}.Sleep(context.Background(), 50*time.Millisecond)
		cancel(stop)
	}()
	_, err = c.Run(ctx, component.Command{Line: "sleep 1000 & sleep 1000"})
	return err
}

func TestReapIsCareful(t *testing.T) {
	dir := filepath.Join(t.TempDir(), dirName("mine"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	other := component.Resource{Kind: DirKind, ID: dir, Token: "somebody-elses"}
	if err := NewReaper().Reap(t.Context(), other); err == nil {
		t.Error("a directory without the token was removed")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	// This process has neither the token nor the start time.
	me := fmt.Sprintf("%d:1", os.Getpid())
	id, err := processID(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []component.Resource{
		{Kind: SandboxKind, ID: me, Token: "t"},
		{Kind: SandboxKind, ID: id, Token: "t"},
		{Kind: SandboxKind, Token: "t"},
		{Kind: SandboxKind, ID: "999999999:7", Token: "t"},
		{Kind: DirKind, Token: "t", Attrs: map[string]string{attrParent: t.TempDir()}},
	} {
		if err := NewReaper().Reap(t.Context(), r); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, r := range []component.Resource{{Kind: SandboxKind, ID: "1:5", Token: "t"}, {Kind: SandboxKind, ID: "x", Token: "t"}, {Kind: "other"}} {
		if err := NewReaper().Reap(t.Context(), r); err == nil {
			t.Errorf("%+v was reaped", r)
		}
	}
}
