package journal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"ingot/internal/component"
	"ingot/internal/journal"
	"ingot/internal/journal/disk"
)

var errDark = errors.New("the power is off")

// machine is a computer with a disk that forgets, and a world outside of it that
// does not. At the step numbered cut the power goes; nothing is done after that.
type machine struct {
	disk  *disk.Forgetful
	steps int
	cut   int
	world map[string]bool // what exists, by token
	kept  []string        // what Keep has returned for
}

func newMachine(cut int) *machine {
	m := &machine{cut: cut, world: map[string]bool{}}
	m.disk = disk.NewForgetful(m.step)
	return m
}

// step is one thing that is done to the disk or to the world.
func (m *machine) step() error {
	if m.steps++; m.cut > 0 && m.steps >= m.cut {
		return errDark
	}
	return nil
}

func (*machine) Kinds() []string { return []string{"thing"} }

func (m *machine) Reap(_ context.Context, r component.Resource) error {
	if err := m.step(); err != nil {
		return err
	}
	delete(m.world, r.Token)
	return nil
}

// build makes five things, releases two on its way, keeps one, and releases the
// rest.
func (m *machine) build(dir string) error {
	ctx := context.Background()
	store := journal.FileStore{Dir: dir, Disk: m.disk}
	log, err := store.Create(ctx, journal.RunInfo{ID: "run"})
	if err != nil {
		return err
	}
	defer log.Close()
	book := journal.NewLedger(log, journal.NewReapers(m), component.SystemClock{}).
		Book("null.a", component.SinkFunc(func(component.Event) {}))
	for n := range 5 {
		lease, err := book.Acquire(ctx, component.Resource{Kind: "thing", Token: fmt.Sprint("t", n)},
			func(_ context.Context, r component.Resource) (string, error) {
				if err := m.step(); err != nil {
					return "", err
				}
				m.world[r.Token] = true
				return "id-" + r.Token, nil
			})
		if err != nil {
			return err
		}
		switch n {
		case 1, 3:
			err = lease.Release(ctx)
		case 2:
			if err = lease.Keep(ctx); err == nil {
				m.kept = append(m.kept, "t2")
			}
		}
		if err != nil {
			return err
		}
	}
	if err := book.ReleaseAll(ctx); err != nil {
		return err
	}
	return store.Remove(ctx, log)
}

// reap is the next start of the computer.
func (m *machine) reap(t *testing.T, dir string) {
	t.Helper()
	store := journal.FileStore{Dir: dir}
	_, err := journal.Recover(context.Background(), store, journal.NewReapers(m), journal.RecoverOptions{
		Damaged: func(_ journal.RunInfo, what string) { t.Errorf("a power cut has damaged the journal: %s", what) },
	})
	if err != nil {
		t.Errorf("reap: %v", err)
	}
	if left, err := store.List(context.Background()); err != nil || len(left) > 0 {
		t.Errorf("journals are left: %+v, %v", left, err)
	}
}

// TestPowerCutAtEveryStep takes the power away before each single thing that a run
// does to the disk and to the world, with all that was not synced lost, and with
// half of it lost. After that a reap leaves nothing but what was kept, and that.
func TestPowerCutAtEveryStep(t *testing.T) {
	for _, torn := range []bool{false, true} {
		through, resources := false, 0
		for cut := 1; !through; cut++ {
			// The folders above the journal do not exist yet, as in a first run.
			dir := filepath.Join(t.TempDir(), "state", "ingot", "runs")
			m := newMachine(cut)
			err := m.build(dir)
			if err != nil && !errors.Is(err, errDark) {
				t.Fatalf("cut at step %d: %v", cut, err)
			}
			through = err == nil
			resources = max(resources, len(m.world))
			m.cut = 0
			if err := m.disk.Cut(torn); err != nil {
				t.Fatal(err)
			}
			m.reap(t, dir)
			left := slices.Sorted(maps.Keys(m.world))
			// Keep may not have come to return although its record is safe.
			fine := slices.Equal(left, m.kept) || len(m.kept) == 0 && slices.Equal(left, []string{"t2"}) && !through
			if !fine {
				t.Errorf("cut at step %d, torn %v: %v exist, kept were %v", cut, torn, left, m.kept)
			}
			if cut > 500 {
				t.Fatal("the run does not come to its end")
			}
		}
		if resources < 3 {
			t.Errorf("at most %d things existed when the power went: the sweep is blind", resources)
		}
	}
}

// TestPowerCutWhileReaping: a reap that loses power is done again.
func TestPowerCutWhileReaping(t *testing.T) {
	for cut, through := 1, false; !through; cut++ {
		dir := filepath.Join(t.TempDir(), "runs")
		m := newMachine(40)
		if err := m.build(dir); !errors.Is(err, errDark) {
			t.Fatalf("the run was not cut: %v", err)
		}
		if err := m.disk.Cut(true); err != nil {
			t.Fatal(err)
		}
		if cut == 1 && len(m.world) < 2 {
			t.Fatalf("only %d things are there to be reaped", len(m.world))
		}
		m.steps, m.cut = 0, cut
		m.disk = disk.NewForgetful(m.step)
		_, err := journal.Recover(context.Background(), journal.FileStore{Dir: dir, Disk: m.disk}, journal.NewReapers(m), journal.RecoverOptions{})
		through = err == nil
		m.cut = 0
		if err := m.disk.Cut(false); err != nil {
			t.Fatal(err)
		}
		m.reap(t, dir)
		left := slices.Sorted(maps.Keys(m.world))
		if !slices.Equal(left, m.kept) {
			t.Errorf("cut at step %d of the reap: %v exist, kept were %v", cut, left, m.kept)
		}
	}
}

// TestUnsyncedJournalIsForgotten proves that the disk of these tests forgets.
func TestUnsyncedJournalIsForgotten(t *testing.T) {
	dir := t.TempDir()
	d := disk.NewForgetful(nil)
	write := func(name, text string, syncFile, syncDir bool) {
		t.Helper()
		f, err := d.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write([]byte("safe ")); err != nil {
			t.Fatal(err)
		}
		if syncFile {
			err = f.Sync()
		}
		if syncDir {
			err = errors.Join(err, d.SyncDir(dir))
		}
		if _, writeErr := f.Write([]byte(text)); errors.Join(err, writeErr) != nil {
			t.Fatal(err, writeErr)
		}
	}
	write("no-name", "lost", true, false)
	write("no-text", "lost", false, true)
	write("both", "lost", true, true)
	if err := d.Cut(false); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	entries, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range entries {
		text := new([100]byte)
		f, err := (disk.OS{}).Open(path)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := f.Read(text[:]) // an empty file has only its end
		got[filepath.Base(path)] = string(text[:n])
		f.Close()
	}
	// no-name was opened before the folder was synced for others.
	want := map[string]string{"no-name": "safe ", "no-text": "", "both": "safe "}
	if !maps.Equal(got, want) {
		t.Errorf("after the cut there are %q, want %q", got, want)
	}
}
