//go:build unix

package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestInputsOfFolder: what is in a folder counts, behind links too; of large files the
// size and the time.
func TestInputsOfFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	elsewhere := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) error { return os.WriteFile(name, data, 0o644) }
	then := time.Unix(1_700_000_000, 0)
	large := bytes.Repeat([]byte("x"), readWhole+1)
	for _, err := range []error{
		os.MkdirAll(path("sub"), 0o755), write(path("sub/small"), []byte("one")), write(path("large"), large),
		os.Chtimes(path("large"), then, then), write(filepath.Join(elsewhere, "behind"), []byte("one")),
		os.Symlink(elsewhere, path("link")), os.Symlink("..", path("sub/up")), os.Symlink("nowhere", path("dangling")),
		os.Symlink(dir, dir+"-link"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	digest := func(of string) string {
		part, err := (&inputs{ctx: t.Context()}).file(of)
		if err != nil {
			t.Fatal(err)
		}
		return part.Digest
	}
	small := func(text string) error { return write(path("sub/small"), []byte(text)) }
	for _, c := range []struct {
		what   string
		counts bool
		do     func() error
	}{
		{"nothing", false, func() error { return nil }},
		{"the time of a small file", false, func() error { return os.Chtimes(path("sub/small"), then, then) }},
		{"a small file", true, func() error { return small("two") }},
		{"a file behind a link", true, func() error { return write(filepath.Join(elsewhere, "behind"), []byte("two")) }},
		{"the mode of a file", true, func() error { return os.Chmod(path("sub/small"), 0o755) }},
		{"a new file", true, func() error { return write(path("sub/new"), nil) }},
		{"the time of a large file", true, func() error { return os.Chtimes(path("large"), then, then.Add(time.Second)) }},
	} {
		before, linked := digest(dir), digest(dir+"-link")
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if counts := digest(dir) != before; counts != c.counts {
			t.Errorf("%s counts: %v, want %v", c.what, counts, c.counts)
		}
		if counts := digest(dir+"-link") != linked; counts != c.counts {
			t.Errorf("%s counts in a folder behind a link: %v, want %v", c.what, counts, c.counts)
		}
	}
}
