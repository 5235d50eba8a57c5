package guestrig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/testkit/live"
)

// The saved machine: what a resumed one has to be the same as.
const (
	savedMemory = 256
	savedCPUs   = 1
)

// Resume gives the environment's guest as [Boot] does with no options, in about
// a second: it goes on from a state that is saved when first needed. All guests
// resumed are the same machine, with the same addresses and host keys, each on
// a disk of its own.
func Resume(t testing.TB, env live.Env) *Guest {
	t.Helper()
	files := live.RequireGuest(t, env)
	saved, err := savedState(t, env, files)
	if err != nil {
		t.Fatalf("save a running guest: %v", err)
	}
	dir := t.TempDir()
	m := machine{
		dir: dir, overlay: filepath.Join(dir, "disk.qcow2"), memory: savedMemory, cpus: savedCPUs,
		args: []string{"-incoming", "exec:lz4 -q -dc '" + filepath.Join(saved, "state.lz4") + "'"},
	}
	if err := createOverlay(t.Context(), m.overlay, filepath.Join(saved, "disk.qcow2"), "qcow2"); err != nil {
		t.Fatal(err)
	}
	g, err := m.start(t)
	if err != nil {
		t.Fatal(err)
	}
	g.Login = withDefaults(Options{}, files).Login
	if err := g.resume(t.Context()); err != nil {
		t.Fatalf("resume the guest: %v", err)
	}
	return g
}

// resume waits for the state to be read, lets the guest run, and sets its clock,
// which stood still.
func (g *Guest) resume(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, DefaultWait, fmt.Errorf("it took longer than %s", DefaultWait))
	defer cancel()
	if err := g.migrated(ctx); err != nil {
		return err
	}
	if err := g.QMP.Execute(ctx, "cont", nil, nil); err != nil {
		return err
	}
	if err := g.await(ctx, "-"); err != nil {
		return err
	}
	if out, err := g.Try(ctx, fmt.Sprintf("date -s @%d", time.Now().Unix())); err != nil {
		return fmt.Errorf("set the clock: %w: %s", err, out)
	}
	return nil
}

// migrated waits for the end of a migration in either direction.
func (g *Guest) migrated(ctx context.Context) error {
	for {
		var answer struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := g.QMP.Execute(ctx, "query-migrate", nil, &answer); err != nil {
			if errors.Is(err, context.Cause(ctx)) {
				return err
			}
			return fmt.Errorf("%w: %s", err, tail(g.file("stderr")))
		}
		switch answer.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("migration %s: %s: %s", answer.Status, answer.Error, tail(g.file("stderr")))
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// savedState returns the folder with a saved guest: its disk and its state. It
// is made unless there is one of this QEMU.
func savedState(t testing.TB, env live.Env, files live.Guest) (string, error) {
	version, err := exec.CommandContext(t.Context(), "qemu-system-x86_64", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("qemu-system-x86_64: %w", err)
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune("0123456789.", r) {
			return r
		}
		return -1
	}, strings.SplitN(string(version), "(", 2)[0])
	folder := filepath.Join(files.SavedDir, "qemu-"+name)
	if _, err := os.Stat(filepath.Join(folder, "state.lz4")); err == nil {
		return folder, nil
	}
	// Test programs that run at the same time may each make one. They are
	// equal; the first to be complete is kept.
	work, err := os.MkdirTemp(files.SavedDir, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := save(t, env, files, work, folder); err != nil {
		return "", err
	}
	return folder, nil
}

// save boots a guest whose disk is already where it will be found, stores its
// state beside it, and gives both their name.
func save(t testing.TB, env live.Env, files live.Guest, work, folder string) error {
	o := withDefaults(Options{}, files)
	m := machine{dir: work, overlay: filepath.Join(work, "disk.qcow2"), memory: savedMemory, cpus: savedCPUs}
	if err := createOverlay(t.Context(), m.overlay, files.Disk, "qcow2"); err != nil {
		return err
	}
	g, err := m.start(t)
	if err != nil {
		return err
	}
	g.Login = o.Login
	ctx, cancel := context.WithTimeoutCause(t.Context(), o.Wait, fmt.Errorf("it took longer than %s", o.Wait))
	defer cancel()
	if err := g.await(ctx, o.Ready); err != nil {
		return fmt.Errorf("%w\nIts serial port says:\n%s", err, tail(g.SerialLog))
	}
	// Pages nobody needs are not worth reading back each time.
	if out, err := g.Try(ctx, "sync; echo 3 >/proc/sys/vm/drop_caches"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := g.QMP.Execute(ctx, "stop", nil, nil); err != nil {
		return err
	}
	state := filepath.Join(work, "state.lz4")
	uri := map[string]string{"uri": "exec:lz4 -q -1 > '" + state + "'"}
	if err := g.QMP.Execute(ctx, "migrate", uri, nil); err != nil {
		return err
	}
	if err := g.migrated(ctx); err != nil {
		return err
	}
	g.Kill()
	for _, leftover := range []string{g.SerialLog, g.file("stderr")} {
		if err := os.Remove(leftover); err != nil {
			return err
		}
	}
	if err := os.Rename(work, folder); err != nil {
		// Another one was quicker.
		if _, statErr := os.Stat(filepath.Join(folder, "state.lz4")); statErr != nil {
			return err
		}
	}
	return nil
}
