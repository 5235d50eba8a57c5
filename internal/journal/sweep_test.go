package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"ingot/internal/journal"
)

// TestSweep: folders of runs that have no journal go, all others stay.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := journal.FileStore{Dir: dir}
	alive := create(t, s, "alive")
	defer alive.Close()
	if err := create(t, s, "dead").Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"begun", "locked-and-begun", "foreign", ".hidden"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"locked-and-begun/lock", "foreign/notes", "file"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".hidden", "alive", "dead", "file", "foreign"}; !slices.Equal(names, want) {
		t.Errorf("there are %v, want %v", names, want)
	}
	if err := (journal.FileStore{Dir: filepath.Join(dir, "missing")}).Sweep(context.Background()); err != nil {
		t.Errorf("a store that is not there yet: %v", err)
	}
}

// TestSweepDisturbsNobody: runs can begin and end while another process
// sweeps.
func TestSweepDisturbsNobody(t *testing.T) {
	s := journal.FileStore{Dir: filepath.Join(t.TempDir(), "runs")}
	stop := make(chan struct{})
	var sweeping, creating sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Sweep(context.Background()); err != nil {
				t.Errorf("sweep: %v", err)
				return
			}
		}
	})
	for worker := range 2 {
		creating.Go(func() {
			for n := range 30 {
				log, err := s.Create(context.Background(), journal.RunInfo{ID: fmt.Sprintf("%d-%d", worker, n)})
				if err != nil {
					t.Errorf("create: %v", err)
					return
				}
				if err := errors.Join(s.Remove(context.Background(), log), log.Close()); err != nil {
					t.Errorf("remove: %v", err)
					return
				}
			}
		})
	}
	creating.Wait()
	close(stop)
	sweeping.Wait()
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func create(t *testing.T, s journal.Store, id string) journal.Log {
	t.Helper()
	log, err := s.Create(context.Background(), journal.RunInfo{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return log
}
