package layers

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openRoot(t testing.TB, dir string) *Root {
	t.Helper()
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// archive makes a tar; entries are "NAME/" for directories, "NAME -> TARGET"
// for links, "NAME => TARGET" for hard links and "NAME=CONTENT" for files.
func archive(t testing.TB, entries ...string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e, Mode: 0o644, ModTime: time.Unix(1000, 0)}
		var body string
		if name, to, ok := strings.Cut(e, " -> "); ok {
			h.Typeflag, h.Name, h.Linkname = tar.TypeSymlink, name, to
		} else if name, to, ok := strings.Cut(e, " => "); ok {
			h.Typeflag, h.Name, h.Linkname = tar.TypeLink, name, to
		} else if name, text, ok := strings.Cut(e, "="); ok {
			h.Name, body = name, text
			h.Size = int64(len(body))
		} else if strings.HasSuffix(e, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func extract(t testing.TB, dir string, opt ExtractOptions, entries ...string) error {
	t.Helper()
	if os.Geteuid() != 0 {
		opt.Owners = KeepOwners
	}
	_, err := Extract(openRoot(t, dir), archive(t, entries...), opt)
	return err
}

// tree lists a directory in the notation of archive.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			rel += " -> " + to
		case d.Type().IsRegular():
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			rel += "=" + string(text)
		}
		out = append(out, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func TestExtractLayers(t *testing.T) {
	for name, c := range map[string]struct {
		layers [][]string
		want   []string
		opt    ExtractOptions
	}{
		"replace": {
			layers: [][]string{{"a=1", "d/", "d/x=1"}, {"a=2", "d=file"}},
			want:   []string{"a=2", "d=file"},
		},
		"file becomes directory": {
			layers: [][]string{{"a=1"}, {"a/", "a/b=2"}},
			want:   []string{"a/", "a/b=2"},
		},
		"whiteout": {
			layers: [][]string{{"a=1", "d/", "d/x=1"}, {".wh.a", ".wh.d", ".wh.missing"}},
			want:   nil,
		},
		"whiteout spares what the same layer brings": {
			layers: [][]string{{"d/", "d/old=1", "f=old"}, {"d/", "d/new=2", "f=new", ".wh.d", ".wh.f"}},
			want:   []string{"d/", "d/new=2", "f=new"},
		},
		"opaque first and last": {
			layers: [][]string{{"d/", "d/a=1", "d/s/", "d/s/b=1", "e/", "e/a=1"}, {"d/", "d/.wh..wh..opq", "d/n=2", "e/", "e/n=2", "e/.wh..wh..opq"}},
			want:   []string{"d/", "d/n=2", "e/", "e/n=2"},
		},
		"opaque deep": {
			layers: [][]string{{"d/", "d/s/", "d/s/old=1"}, {"d/s/new=2", "d/.wh..wh..opq"}},
			want:   []string{"d/", "d/s/", "d/s/new=2"},
		},
		"aufs notes": {
			layers: [][]string{{".wh..wh.aufs", ".wh..wh.plnk/", "a=1"}},
			want:   []string{"a=1"},
		},
		"missing parents": {
			layers: [][]string{{"a/b/c=1"}},
			want:   []string{"a/", "a/b/", "a/b/c=1"},
		},
		"through a link of a lower layer": {
			layers: [][]string{{"usr/", "usr/lib/", "lib -> usr/lib"}, {"lib/x=1"}},
			want:   []string{"lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/x=1"},
		},
		"directory replaces link": {
			layers: [][]string{{"usr/", "lib -> usr"}, {"lib/", "lib/x=1"}},
			want:   []string{"lib/", "lib/x=1", "usr/"},
		},
		"dangling link is filled": {
			layers: [][]string{{"l -> /made/here", "l/x=1"}},
			want:   []string{"l -> /made/here", "made/", "made/here/", "made/here/x=1"},
		},
		"climbing stays inside": {
			layers: [][]string{{"../../a=1", "l -> ../../..", "l/b=1", "/abs=1", "./c=1"}},
			want:   []string{"a=1", "abs=1", "b=1", "c=1", "l -> ../../.."},
		},
		"hard links": {
			layers: [][]string{{"a=1", "d/", "d/b => a", "c => ./d/b"}},
			want:   []string{"a=1", "c=1", "d/", "d/b=1"},
		},
		"plain: whiteouts are files, links to directories stay": {
			layers: [][]string{{"usr/", "lib -> usr"}, {"lib/", "lib/x=1", ".wh.usr"}},
			want:   []string{".wh.usr=", "lib -> usr", "usr/", "usr/x=1"},
			opt:    ExtractOptions{Owners: RootOwners},
		},
		"plain: below a prefix": {
			layers: [][]string{{"a=1", "b => a", "../c=1"}},
			want:   []string{"p/", "p/a=1", "p/b=1", "p/c=1"},
			opt:    ExtractOptions{Owners: RootOwners, Prefix: "/p"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.opt.Owners == 0 {
				c.opt = ExtractOptions{Owners: KeepOwners, Layer: true}
			}
			dir := t.TempDir()
			for _, l := range c.layers {
				if err := extract(t, dir, c.opt, l...); err != nil {
					t.Fatal(err)
				}
			}
			if got := tree(t, dir); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestExtractRefuses(t *testing.T) {
	for name, entries := range map[string][]string{
		"loop of links":       {"a -> b", "b -> a", "a/x=1"},
		"hard link to nobody": {"a => missing"},
		"below a file":        {"a=1", "a/b=1"},
	} {
		if err := extract(t, t.TempDir(), ExtractOptions{Owners: KeepOwners, Layer: true}, entries...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// everything is a tree with all that an archive must keep.
func everything(t testing.TB, dir string) {
	t.Helper()
	if err := extract(t, dir, ExtractOptions{Owners: KeepOwners, Layer: true},
		"d/", "d/a=1", "d/b => d/a", "link -> d/a", "empty/", strings.Repeat("long/", 40)+"x=1", "sp ace=2", "ünï=3"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Chmod(filepath.Join(dir, "d"), 0o1777|fs.ModeSticky),
		unix.Chmod(filepath.Join(dir, "d/a"), 0o4755),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
		unix.Setxattr(filepath.Join(dir, "d/a"), "user.note", []byte("kept"), 0),
		unix.Setxattr(filepath.Join(dir, "d/a"), "user.overlay.origin", []byte("dropped"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(t testing.TB, dir string, opt WriteOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Write(t.Context(), openRoot(t, dir), &b, opt); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	everything(t, src)
	first := write(t, src, WriteOptions{Self: true})
	if _, err := Extract(openRoot(t, dst), bytes.NewReader(first), ExtractOptions{Owners: KeepOwners, Layer: true}); err != nil {
		t.Fatal(err)
	}
	if second := write(t, dst, WriteOptions{Self: true}); !bytes.Equal(first, second) {
		t.Errorf("the archive of what was unpacked differs:\n%s\n%s", headers(t, first), headers(t, second))
	}
	h := headers(t, first)
	for _, want := range []string{"SCHILY.xattr.user.note:kept", "1 d/b d/a", "fifo", "2 link d/a", " 4755 "} {
		if !strings.Contains(h, want) {
			t.Errorf("%q is missing in\n%s", want, h)
		}
	}
	if strings.Contains(h, "overlay") {
		t.Errorf("notes of the overlay are archived:\n%s", h)
	}
}

func headers(t testing.TB, text []byte) string {
	t.Helper()
	var out []string
	tr := tar.NewReader(bytes.NewReader(text))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return strings.Join(out, "\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%c %s %s %o %d:%d %d %v", h.Typeflag, h.Name, h.Linkname, h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), h.PAXRecords))
	}
}

func TestClamp(t *testing.T) {
	dir := t.TempDir()
	for name, at := range map[string]int64{"old": 100, "new": 300} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(p, nil, 0o644), os.Chtimes(p, time.Unix(at, 5), time.Unix(at, 5))); err != nil {
			t.Fatal(err)
		}
	}
	clamp := time.Unix(200, 0)
	h := headers(t, write(t, dir, WriteOptions{Clamp: &clamp}))
	if !strings.Contains(h, "0 new  644 0:0 200") && os.Geteuid() == 0 || !strings.Contains(h, " 100 ") {
		t.Errorf("times: %s", h)
	}
}

// TestDifference writes the layer of an upper directory that was made by hand,
// as an overlay would make it.
func TestDifference(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("device nodes need root")
	}
	lower, upper := t.TempDir(), t.TempDir()
	if err := extract(t, lower, ExtractOptions{Owners: KeepOwners, Layer: true}, "same/", "same/deep/", "perm/", "opq/", "opq/old=1", "gone=1", "dir/", "dir/f=1"); err != nil {
		t.Fatal(err)
	}
	if err := extract(t, upper, ExtractOptions{Owners: KeepOwners, Layer: true}, "same/", "same/deep/", "perm/", "opq/", "opq/new=1", "dir/", "dir/f=2", "fresh/"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Chmod(upper, 0o755), os.Chmod(lower, 0o755),
		os.Chmod(filepath.Join(upper, "perm"), 0o700),
		unix.Mknod(filepath.Join(upper, "gone"), unix.S_IFCHR, 0),
		unix.Mknod(filepath.Join(upper, "dir", "sub"), unix.S_IFCHR, 0),
		unix.Setxattr(filepath.Join(upper, "opq"), "trusted.overlay.opaque", []byte("y"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, line := range strings.Split(headers(t, write(t, upper, WriteOptions{Lower: openRoot(t, lower)})), "\n") {
		names = append(names, strings.Fields(line)[1])
	}
	want := []string{"dir/", "dir/f", "dir/.wh.sub", "fresh/", ".wh.gone", "opq/", "opq/.wh..wh..opq", "opq/new", "perm/"}
	if !slices.Equal(names, want) {
		t.Errorf("got  %q\nwant %q", names, want)
	}
	// A change of the root directory's mode alone is a change.
	if err := os.Chmod(lower, 0o711); err != nil {
		t.Fatal(err)
	}
	if h := headers(t, write(t, upper, WriteOptions{Lower: openRoot(t, lower)})); !strings.HasPrefix(h, "5 ./  755") {
		t.Errorf("the root directory is missing: %s", h)
	}
}

func TestRootConfines(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o644),
		os.Symlink(outside, filepath.Join(inside, "abs")),
		os.Symlink(strings.Repeat("../", 20)+outside, filepath.Join(inside, "rel")),
		os.Symlink("/proc/self/root"+outside, filepath.Join(inside, "magic")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := openRoot(t, inside)
	for _, dir := range []string{"abs", "rel", "magic", "../../" + outside, outside} {
		if f, err := r.OpenFile(dir+"/secret", unix.O_RDONLY, 0); err == nil {
			_ = f.Close()
			t.Errorf("%s leads out", dir)
		}
		if err := r.RemoveAll(dir + "/secret"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Logf("remove: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "secret")); err != nil {
		t.Error(err)
	}
}

// FuzzExtract unpacks anything; whatever it is, nothing appears outside.
func FuzzExtract(f *testing.F) {
	for _, entries := range [][]string{
		{"a=1", "b -> a", "c => a", ".wh.a", "d/.wh..wh..opq"},
		{"l -> ../..", "l/x=1", "../y=1"},
	} {
		text, err := io.ReadAll(archive(f, entries...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text []byte, layer bool) {
		if len(text) > 64<<10 || claimed(text) > 1<<20 {
			t.Skip("a sparse file of a few bytes may be as large as the disk")
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "root")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		owners := KeepOwners
		if !layer {
			owners = RootOwners
		}
		_, _ = Extract(openRoot(t, dir), bytes.NewReader(text), ExtractOptions{Owners: owners, Layer: layer})
		if got := tree(t, parent); len(got) > 0 && got[0] != "root/" {
			t.Errorf("outside: %q", got)
		}
		_ = openRoot(t, parent).RemoveAll("root")
	})
}

// claimed is how large the files of an archive are said to be.
func claimed(text []byte) int64 {
	var n int64
	tr := tar.NewReader(bytes.NewReader(text))
	for {
		h, err := tr.Next()
		if err != nil {
			return n
		}
		if n += h.Size; n > 1<<20 || n < 0 {
			return 1 << 40
		}
	}
}
