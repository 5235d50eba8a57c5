//go:build unix

package staging_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/comm/fake"
	"ingot/internal/comm/local"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/staging"
)

func TestCheck(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		dir   string
		clean *bool
		wrong bool
	}{
		{"", &yes, false},
		{"/srv/x", &yes, false},
		{"/home/me/x", &yes, false},
		{"/tmp", nil, false},
		{"/tmp", &no, false},
		{"x", nil, true},
		{"/", &yes, true},
		{"/tmp/", &yes, true},
		{"/srv/../etc", &yes, true},
		{"/home/me", &yes, true},
	} {
		if got := staging.Check(c.dir, c.clean); got.HasErrors() != c.wrong {
			t.Errorf("%q: %v", c.dir, got.Err())
		}
	}
}

// TestArea: files and folders arrive as they are, in a folder that only the
// user can read, and which is gone afterwards, also after an interrupt.
func TestArea(t *testing.T) {
	comm := local.New(new(componenttest.MemoryJournal))
	defer comm.Close()
	r, _, events := componenttest.NewRun(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	target := component.Target{Run: r, Comm: comm}
	a, err := staging.Open(ctx, target, staging.Options{Prefix: "ingot-staging-test-"})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(a.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info, err)
	}
	src := t.TempDir()
	if err := os.MkdirAll(filepath.Join(src, "tree", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "tree/leaf", "tree/sub/it's"} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(strings.Repeat(name, 100_000)), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{a.Put(ctx, filepath.Join(src, "file"), "a"), a.Put(ctx, filepath.Join(src, "tree"), "b"), a.PutText(ctx, "c", "text"), a.MakeFolder(ctx, "d/e")} {
		if err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]string{"a": strings.Repeat("file", 100_000), "b/leaf": strings.Repeat("tree/leaf", 100_000), "b/sub/it's": strings.Repeat("tree/sub/it's", 100_000), "c": "text"} {
		if text, err := os.ReadFile(a.Path(name)); err != nil || string(text) != want {
			t.Errorf("%s: %.20q, %v", name, text, err)
		}
	}
	if info, err := os.Stat(a.Path("c")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a text is %v, %v", info, err)
	}
	if exit, err := a.Run(ctx, "echo out; echo err >&2; exit 3"); err != nil || exit.Code != 3 {
		t.Errorf("a command: %v, %v", exit, err)
	}
	if diff := cmp.Diff([]string{"out"}, events.Lines(component.Stdout)); diff != "" {
		t.Error(diff)
	}
	if err := a.Put(ctx, filepath.Join(src, "none"), "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	cancel(errors.New("enough"))
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(a.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestOpenFails(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	if _, err := staging.Open(t.Context(), component.Target{Run: r, Comm: fake.NewMachine().Connect(fake.Options{NoFiles: true})}, staging.Options{}); !errors.Is(err, component.ErrUnsupported) {
		t.Errorf("a machine without files: %v", err)
	}
	m := fake.NewMachine()
	m.ReadOnly("/srv")
	if _, err := staging.Open(t.Context(), component.Target{Run: r, Comm: m.Connect(fake.Options{})}, staging.Options{Dir: "/srv/x"}); err == nil || !strings.Contains(err.Error(), "make the folder /srv/x on the machine") {
		t.Errorf("a folder that cannot be made: %v", err)
	}
}

// TestTreeFails: when either side of an upload fails, the error is that of the
// side that failed.
func TestTreeFails(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	broken := errors.New("broken")
	comm := fake.NewMachine().Connect(fake.Options{Before: func(_ context.Context, op fake.Op) error {
		if op.Name == "puttree" {
			return broken
		}
		return nil
	}})
	a, err := staging.Open(t.Context(), component.Target{Run: r, Comm: comm}, staging.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Put(t.Context(), dir, "x"); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
