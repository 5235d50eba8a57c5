package outfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestWrite(t *testing.T) {
	r, j, _ := componenttest.NewRun(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "file")
	if err := Write(t.Context(), r, path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("new/file", link); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), r, link, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	info, statErr := os.Lstat(link)
	if err != nil || string(data) != "two" || statErr != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("through a link: %q, %v, %v, %v", data, err, info, statErr)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode has become %v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 || len(j.Open()) > 0 {
		t.Errorf("left: %v, %v, %v", left, err, j.Open())
	}
	if err := Write(t.Context(), r, dir, nil, 0o600); err == nil {
		t.Error("a folder was replaced")
	}
}

// TestUnfinished: until Commit the old file is there, and the journal knows
// of the new one.
func TestUnfinished(t *testing.T) {
	r, j, _ := componenttest.NewRun(t)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Create(t.Context(), r, path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
		t.Errorf("before Commit: %q, %v", data, err)
	}
	open := j.Open()
	if len(open) != 1 || open[0].Kind != component.FileKind || open[0].Attrs["path"] != f.Name() || open[0].ID != f.Name() {
		t.Errorf("the journal has %+v", open)
	}
	if err := f.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(t.Context()); err != nil {
		t.Errorf("Commit after Abort: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
		t.Errorf("after Abort: %q, %v", data, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestLock: what many do under the lock is not mixed up, and no lock file is
// left.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counter")
	var all sync.WaitGroup
	for range 8 {
		r, _, _ := componenttest.NewRun(t)
		all.Go(func() {
			for range 5 {
				unlock, err := Lock(t.Context(), r, path)
				if err != nil {
					t.Error(err)
					return
				}
				data, _ := os.ReadFile(path)
				n, _ := strconv.Atoi(string(data))
				err = Write(t.Context(), r, path, []byte(strconv.Itoa(n+1)), 0o600)
				if err = errors.Join(err, unlock()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if data, err := os.ReadFile(path); err != nil || string(data) != "40" {
		t.Errorf("counted to %q, %v", data, err)
	}
	if _, err := os.Stat(path + ".lock"); !os.IsNotExist(err) {
		t.Errorf("the lock file is left: %v", err)
	}
}

func TestLockHeld(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	path := filepath.Join(t.TempDir(), "file")
	unlock, err := Lock(t.Context(), r, path)
	if err != nil {
		t.Fatal(err)
	}
	clock := &counted{now: time.Now()}
	r.Clock = clock
	if _, err := Lock(t.Context(), r, path); !errors.Is(err, errHeld) || !strings.Contains(err.Error(), "still after 1m0s") {
		t.Errorf("got %v", err)
	}
	waited := false
	for _, e := range events.All() {
		_, ok := e.(component.Waiting)
		waited = waited || ok
	}
	if !waited {
		t.Error("nobody was told what it waits for")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := Lock(ctx, r, path); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	// A file that somebody has left is no lock.
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unlock, err = Lock(t.Context(), r, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// counted is a clock that passes time as it is slept.
type counted struct{ now time.Time }

func (c *counted) Now() time.Time { return c.now }

func (c *counted) Sleep(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return context.Cause(ctx)
}
