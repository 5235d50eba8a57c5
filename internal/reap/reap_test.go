package reap

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"ingot/internal/component"
	"ingot/internal/fileid"
	"ingot/internal/procid"
)

func TestFilesAreRemovedOnceAndAgain(t *testing.T) {
	dir := t.TempDir()
	file, tree := filepath.Join(dir, "f"), filepath.Join(dir, "d")
	write(t, file)
	write(t, filepath.Join(tree, "a", "b"))
	if err := os.Chmod(filepath.Join(tree, "a"), 0o500); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "other"))
	for range 2 {
		for _, r := range []component.Resource{
			{Kind: component.FileKind, ID: file},
			{Kind: component.DirKind, Attrs: map[string]string{PathAttr: tree}},
		} {
			if err := (Files{}).Reap(context.Background(), r); err != nil {
				t.Errorf("%v: %v", r, err)
			}
		}
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 || left[0].Name() != "other" {
		t.Errorf("left: %v", left)
	}
}

func TestFilesRefusesWhatCannotBeOurs(t *testing.T) {
	dir := t.TempDir()
	for _, r := range []component.Resource{
		{Kind: component.DirKind, ID: "/"},
		{Kind: component.DirKind, ID: "relative"},
		{Kind: component.FileKind, ID: dir},
	} {
		if err := (Files{}).Reap(context.Background(), r); err == nil {
			t.Errorf("%v was removed", r)
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

// Ensure that a file which came to the path later is not taken for the one
// that a run had made there.
func TestAnotherFileOfTheNameStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path)
	id, err := fileid.Of(path)
	if err != nil {
		t.Fatal(err)
	}
	r := component.Resource{Kind: component.FileKind, ID: path, Attrs: map[string]string{fileid.Attr: id}}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	write(t, path)
	if err := (Files{}).Reap(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("another file was removed: %v", err)
	}
	if err := os.Rename(path+".old", path); err != nil {
		t.Fatal(err)
	}
	if err := (Files{}).Reap(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the run's own file is still there")
	}
}

func TestProcessIDsThatMakeNoSense(t *testing.T) {
	for _, id := range []string{"x", "0", "1", "-5"} {
		if err := (Processes{}).Reap(context.Background(), component.Resource{ID: id, Token: "t"}); err == nil {
			t.Errorf("process id %q was taken", id)
		}
	}
	gone := component.Resource{ID: strconv.Itoa(1 << 22), Token: "ingot-test-none", Attrs: map[string]string{procid.StartAttr: "1"}}
	if err := (Processes{}).Reap(context.Background(), gone); err != nil {
		t.Errorf("a process that is gone: %v", err)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}
