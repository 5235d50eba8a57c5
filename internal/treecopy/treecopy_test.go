//go:build unix

package treecopy_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/treecopy"
)

// tree is what a folder holds: for every path its type, mode and contents or
// target.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		switch info.Mode().Type() {
		case fs.ModeDir:
			out[name] = info.Mode().String()
		case fs.ModeSymlink:
			to, err := os.Readlink(p)
			out[name] = "-> " + to
			return err
		default:
			body, err := os.ReadFile(p)
			out[name] = info.Mode().String() + " " + string(body) + " " + info.ModTime().UTC().Format(time.RFC3339)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var long = strings.Repeat("long name ", 20)

// sample makes a folder with one of everything.
func sample(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, body string, mode fs.FileMode) {
		p := filepath.Join(dir, name)
		must(os.MkdirAll(filepath.Dir(p), 0o755))
		must(os.WriteFile(p, []byte(body), 0o600))
		must(os.Chmod(p, mode))
		must(os.Chtimes(p, time.Time{}, time.Unix(1_500_000_000, 0)))
	}
	write("file", "contents", 0o644)
	write("sub/script", "#!/bin/sh\n", 0o755)
	write("sub/deeper/secret", "s", 0o600)
	write("sub/read only", "r", 0o444)
	write("-dash 'quote\nnewline", "odd", 0o644)
	write("ünï/"+long+"/"+long, "deep", 0o640)
	must(os.MkdirAll(filepath.Join(dir, "empty"), 0o700))
	must(os.Symlink("file", filepath.Join(dir, "link")))
	must(os.Symlink("/nowhere/at/all", filepath.Join(dir, "sub/dangling")))
	must(os.Symlink("sub", filepath.Join(dir, "to folder")))
	must(os.Mkdir(filepath.Join(dir, "closed"), 0o755))
	write("closed/inside", "x", 0o644)
	must(os.Chmod(filepath.Join(dir, "closed"), 0o555))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "closed"), 0o755) })
	return dir
}

func packed(t testing.TB, dir string, o treecopy.PackOptions) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	if err := treecopy.Pack(t.Context(), &out, dir, o); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestRoundTrip(t *testing.T) {
	src, dst := sample(t), filepath.Join(t.TempDir(), "new", "folder")
	var progress []int64
	o := treecopy.PackOptions{Progress: func(n int64) { progress = append(progress, n) }}
	if err := treecopy.Unpack(t.Context(), packed(t, src, o), dst, treecopy.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dst, "closed"), 0o755) })
	if d := cmp.Diff(tree(t, src), tree(t, dst)); d != "" {
		t.Error(d)
	}
	size, err := treecopy.Size(t.Context(), src, o)
	if err != nil || len(progress) == 0 || progress[len(progress)-1] != size {
		t.Errorf("Size is %d, %v; the progress was %v", size, err, progress)
	}
}

func TestPackIsReproducible(t *testing.T) {
	src := sample(t)
	if a, b := packed(t, src, treecopy.PackOptions{}), packed(t, src, treecopy.PackOptions{}); !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two streams of one folder differ")
	}
}

func TestPrefixAddsTheFolderItself(t *testing.T) {
	dst := t.TempDir()
	if err := treecopy.Unpack(t.Context(), packed(t, sample(t), treecopy.PackOptions{Prefix: "top/"}), dst, treecopy.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dst, "top/closed"), 0o755) })
	list, err := os.ReadDir(dst)
	if err != nil || len(list) != 1 || list[0].Name() != "top" || !list[0].IsDir() {
		t.Errorf("got %v, %v", list, err)
	}
	if got := tree(t, dst)["top/file"]; !strings.Contains(got, "contents") {
		t.Errorf("top/file is %q", got)
	}
}

func TestFollowLinks(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	if err := errors.Join(
		os.WriteFile(filepath.Join(src, "file"), []byte("contents"), 0o644),
		os.Mkdir(filepath.Join(src, "d"), 0o755),
		os.WriteFile(filepath.Join(src, "d/f"), []byte("below"), 0o644),
		os.Symlink("file", filepath.Join(src, "link")),
		os.Symlink("d", filepath.Join(src, "e")),
	); err != nil {
		t.Fatal(err)
	}
	o := treecopy.PackOptions{FollowLinks: true}
	if err := treecopy.Unpack(t.Context(), packed(t, src, o), dst, treecopy.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	got := tree(t, dst)
	if !strings.Contains(got["link"], "contents") || !strings.Contains(got["e/f"], "below") {
		t.Errorf("got %v", got)
	}
	if err := os.Symlink("..", filepath.Join(src, "d/up")); err != nil {
		t.Fatal(err)
	}
	if err := treecopy.Pack(t.Context(), io.Discard, src, o); err == nil || !strings.Contains(err.Error(), "leads back") {
		t.Errorf("a loop: got %v", err)
	}
}

func TestPackErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := treecopy.Pack(t.Context(), io.Discard, filepath.Join(dir, "missing"), treecopy.PackOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
	if err := treecopy.Pack(t.Context(), io.Discard, file, treecopy.PackOptions{}); err == nil {
		t.Error("a file in place of a folder: no error")
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := treecopy.Pack(t.Context(), io.Discard, dir, treecopy.PackOptions{}); err == nil || !strings.Contains(err.Error(), "pipe") {
		t.Errorf("a pipe: %v", err)
	}
	var skipped []string
	o := treecopy.PackOptions{Skipped: func(name string, _ fs.FileMode) { skipped = append(skipped, name) }}
	if err := treecopy.Pack(t.Context(), io.Discard, dir, o); err != nil || len(skipped) != 1 || skipped[0] != "pipe" {
		t.Errorf("a pipe that is skipped: %v, %v", skipped, err)
	}
}

func TestCancel(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	stream := packed(t, sample(t), treecopy.PackOptions{})
	cancel(cause)
	if err := treecopy.Pack(ctx, io.Discard, sample(t), treecopy.PackOptions{}); !errors.Is(err, cause) {
		t.Errorf("Pack: %v", err)
	}
	if err := treecopy.Unpack(ctx, stream, t.TempDir(), treecopy.UnpackOptions{}); !errors.Is(err, cause) {
		t.Errorf("Unpack: %v", err)
	}
}

// stream makes a tar stream of headers, each regular file with the contents
// "evil".
func stream(t testing.TB, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		body := ""
		if h.Typeflag == tar.TypeReg {
			body = "evil"
		}
		h.Size = int64(len(body))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, body)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestNothingLeavesTheFolder(t *testing.T) {
	for name, headers := range map[string][]tar.Header{
		"parent":              {{Name: "../victim", Typeflag: tar.TypeReg}},
		"parent inside":       {{Name: "a/../../victim", Typeflag: tar.TypeReg}},
		"through a link":      {{Name: "up", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "up/victim", Typeflag: tar.TypeReg}},
		"through two links":   {{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "b"}, {Name: "b", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "a/victim", Typeflag: tar.TypeReg}},
		"folder over a link":  {{Name: "up", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "up", Typeflag: tar.TypeDir, Mode: 0o700}, {Name: "up/victim", Typeflag: tar.TypeReg}},
		"hard link to parent": {{Name: "l", Typeflag: tar.TypeLink, Linkname: "../victim"}, {Name: "l", Typeflag: tar.TypeReg}},
	} {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			victim := filepath.Join(outer, "victim")
			if err := os.WriteFile(victim, []byte("safe"), 0o644); err != nil {
				t.Fatal(err)
			}
			before := tree(t, outer)
			if err := treecopy.Unpack(t.Context(), stream(t, headers...), filepath.Join(outer, "dst"), treecopy.UnpackOptions{}); err == nil {
				t.Error("no error")
			}
			after := tree(t, outer)
			for p := range after {
				if p == "dst" || strings.HasPrefix(p, "dst/") {
					delete(after, p)
				}
			}
			if d := cmp.Diff(before, after); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAbsoluteNamesStayBelow(t *testing.T) {
	dst := t.TempDir()
	if err := treecopy.Unpack(t.Context(), stream(t, tar.Header{Name: "/etc/passwd", Typeflag: tar.TypeReg}), dst, treecopy.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dst)["etc/passwd"]; !strings.Contains(got, "evil") {
		t.Errorf("etc/passwd is %q", got)
	}
}

func TestReplaceAndKeep(t *testing.T) {
	dst := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(
		os.WriteFile(outside, []byte("safe"), 0o644),
		os.Symlink(outside, filepath.Join(dst, "replaced")),
		os.WriteFile(filepath.Join(dst, "kept"), []byte("kept"), 0o644),
		os.Mkdir(filepath.Join(dst, "usr"), 0o755),
		os.Symlink("usr", filepath.Join(dst, "lib")),
	); err != nil {
		t.Fatal(err)
	}
	s := stream(t, tar.Header{Name: "replaced", Typeflag: tar.TypeReg}, tar.Header{Name: "lib/", Typeflag: tar.TypeDir, Mode: 0o755}, tar.Header{Name: "lib/new", Typeflag: tar.TypeReg}, tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "lib/new"})
	if err := treecopy.Unpack(t.Context(), s, dst, treecopy.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	got := tree(t, dst)
	for name, want := range map[string]string{"replaced": "evil", "kept": "kept", "usr/new": "evil", "lib": "-> usr", "hard": "evil"} {
		if !strings.Contains(got[name], want) {
			t.Errorf("%s is %q, want %q in it", name, got[name], want)
		}
	}
	if body, err := os.ReadFile(outside); string(body) != "safe" {
		t.Errorf("what the replaced link pointed to: %q, %v", body, err)
	}
	if err := treecopy.Unpack(t.Context(), stream(t, tar.Header{Name: "usr", Typeflag: tar.TypeReg}), dst, treecopy.UnpackOptions{}); err == nil {
		t.Error("a file over a folder: no error")
	}
	if err := treecopy.Unpack(t.Context(), stream(t, tar.Header{Name: "kept", Typeflag: tar.TypeDir}), dst, treecopy.UnpackOptions{}); err == nil {
		t.Error("a folder over a file: no error")
	}
}

func TestSpecialBits(t *testing.T) {
	h := tar.Header{Name: "tool", Typeflag: tar.TypeReg, Mode: 0o4755}
	for keep, want := range map[bool]fs.FileMode{false: 0o755, true: 0o755 | fs.ModeSetuid} {
		dst := t.TempDir()
		if err := treecopy.Unpack(t.Context(), stream(t, h), dst, treecopy.UnpackOptions{SpecialBits: keep}); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dst, "tool")); err != nil || info.Mode() != want {
			t.Errorf("SpecialBits %v: %v, %v, want %v", keep, info.Mode(), err, want)
		}
	}
}

func TestDevices(t *testing.T) {
	h := tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}
	if err := treecopy.Unpack(t.Context(), stream(t, h), t.TempDir(), treecopy.UnpackOptions{}); err == nil {
		t.Error("no error")
	}
	var skipped []string
	o := treecopy.UnpackOptions{Skipped: func(name string, _ fs.FileMode) { skipped = append(skipped, name) }}
	if err := treecopy.Unpack(t.Context(), stream(t, h), t.TempDir(), o); err != nil || len(skipped) != 1 {
		t.Errorf("%v, %v", skipped, err)
	}
}

func TestTruncatedStream(t *testing.T) {
	s := stream(t, tar.Header{Name: "f", Typeflag: tar.TypeReg}).Bytes()
	if err := treecopy.Unpack(t.Context(), bytes.NewReader(s[:514]), t.TempDir(), treecopy.UnpackOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// FuzzUnpack: whatever the stream says, nothing beside the folder changes.
func FuzzUnpack(f *testing.F) {
	f.Add(stream(f, tar.Header{Name: "a/b", Typeflag: tar.TypeReg}).Bytes())
	f.Add(stream(f, tar.Header{Name: "../victim", Typeflag: tar.TypeReg}).Bytes())
	f.Add(stream(f, tar.Header{Name: "up", Typeflag: tar.TypeSymlink, Linkname: ".."}, tar.Header{Name: "up/victim", Typeflag: tar.TypeReg}).Bytes())
	f.Add(stream(f, tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0}, tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "d/x"}).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		if err := os.WriteFile(filepath.Join(outer, "victim"), []byte("safe"), 0o644); err != nil {
			t.Fatal(err)
		}
		_ = treecopy.Unpack(t.Context(), bytes.NewReader(data), filepath.Join(outer, "dst"), treecopy.UnpackOptions{Skipped: func(string, fs.FileMode) {}})
		list, err := os.ReadDir(outer)
		if err != nil || len(list) != 2 || list[0].Name() != "dst" || !list[0].IsDir() || list[1].Name() != "victim" {
			t.Fatalf("the folder's neighbours: %v, %v", list, err)
		}
		if info, err := os.Stat(filepath.Join(outer, "victim")); err != nil || info.Mode() != 0o644 {
			t.Fatalf("the neighbour: %v, %v", info, err)
		}
		if body, err := os.ReadFile(filepath.Join(outer, "victim")); string(body) != "safe" {
			t.Fatalf("the neighbour: %q, %v", body, err)
		}
	})
}
