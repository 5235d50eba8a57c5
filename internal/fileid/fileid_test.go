package fileid

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestIdentityFollowsTheFileAndNotTheName(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	of := func(path string) string {
		t.Helper()
		id, err := Of(path)
		if err != nil || id == "" {
			t.Fatalf("%s: %q, %v", path, id, err)
		}
		return id
	}
	write(a, "1")
	first := of(a)
	write(a, "2")
	if of(a) != first {
		t.Error("writing changed it")
	}
	if err := os.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	if of(b) != first {
		t.Error("renaming changed it")
	}
	write(a, "1")
	if of(a) == first {
		t.Error("another file of the old name has it")
	}
	if _, err := Of(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
