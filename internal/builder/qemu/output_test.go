package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/component/componenttest"
)

func TestOutputFolder(t *testing.T) {
	for name, c := range map[string]struct {
		force   bool
		prepare func(t *testing.T, dir string)
		// path is the folder, "DIR" stands for the test's own.
		path string
		want string
	}{
		"new":              {path: "DIR/out"},
		"below new ones":   {path: "DIR/a/b/out"},
		"there":            {path: "DIR/out", prepare: full, want: "run with -force"},
		"there, force":     {path: "DIR/out", prepare: full, force: true},
		"a file, force":    {path: "DIR/out", prepare: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "out"), "x") }, force: true, want: "is not a folder"},
		"through a file":   {path: "DIR/out/deep", prepare: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "out"), "x") }, want: "not a directory"},
		"through a link":   {path: "DIR/link", prepare: linked, force: true},
		"a link, no force": {path: "DIR/link", prepare: linked, want: "run with -force"},
	} {
		t.Run(name, func(t *testing.T) {
			r, j, _ := componenttest.NewRun(t)
			r.Force = c.force
			dir := t.TempDir()
			if c.prepare != nil {
				c.prepare(t, dir)
			}
			p := &plan{config: config{OutputDirectory: strings.Replace(c.path, "DIR", dir, 1)}}
			o, err := p.openOutput(t.Context(), r)
			if err == nil {
				err = o.make(t.Context(), r)
			}
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if len(j.Open()) > 0 {
					t.Errorf("held: %v", j.Open())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if entries, err := os.ReadDir(o.dir); err != nil || len(entries) > 0 {
				t.Errorf("the folder has %v, %v", entries, err)
			}
			if open := j.Open(); len(open) != 1 || open[0].ID != o.dir {
				t.Errorf("held: %v", open)
			}
			if drafts, _ := filepath.Glob(filepath.Join(dir, ".ingot-*")); len(drafts) > 0 {
				t.Errorf("left: %v", drafts)
			}
		})
	}
}

func full(t *testing.T, dir string) { write(t, filepath.Join(dir, "out", "old", "file"), "x") }

func linked(t *testing.T, dir string) {
	full(t, dir)
	if err := os.Symlink(filepath.Join(dir, "out"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
}

// Ensure that folders which nobody can mean are not replaced. The check alone is
// asked: were it wrong, making the folder would remove them.
func TestOutputFolderIsNotMeant(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	for path, want := range map[string]string{
		"/": "holds the", ".": "holds the working directory", "../..": "holds the working directory",
		home: "holds the home directory", filepath.Dir(home): "holds the home directory", "testdata/out": "", "../qemu-other": "",
	} {
		dir, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		err = (&output{path: path, dir: dir}).expendable()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// Ensure that of two builds with the same folder the second one waits for the
// first, so that -force does not remove disks that are in use.
func TestOutputFolderIsLocked(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	var end []func()
	r.AtEnd = func(stop func()) { end = append(end, stop) }
	p := &plan{config: config{OutputDirectory: filepath.Join(t.TempDir(), "out")}}
	if _, err := p.openOutput(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		other := r
		other.AtEnd = t.Cleanup
		_, err := p.openOutput(t.Context(), other)
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("the second build went on: %v", err)
	default:
	}
	for _, stop := range end {
		stop()
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
}
