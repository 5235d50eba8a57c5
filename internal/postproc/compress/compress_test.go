package compress

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

// half is bytes of which one half, but not more than a megabyte, does not
// compress, and the rest is empty, as in a disk image.
func half(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range min(n/2, 1<<20) {
		b[i] = byte(r.Uint32())
	}
	return b
}

func artifact(t testing.TB, dir string, files map[string][]byte) *component.Artifact {
	t.Helper()
	a := &component.Artifact{Producer: "test"}
	for _, name := range keys(files) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, files[name], 0o640); err != nil {
			t.Fatal(err)
		}
		a.Files = append(a.Files, component.File{Path: path, Size: int64(len(files[name]))})
		a.Resources = append(a.Resources, component.Resource{Kind: component.FileKind, ID: path})
	}
	return a
}

func keys(m map[string][]byte) []string { return slices.Sorted(maps.Keys(m)) }

func TestContract(t *testing.T) {
	one := func(name string) map[string]cty.Value { return map[string]cty.Value{"output": cty.StringVal(name)} }
	componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
		New: New,
		Valid: componenttest.Configs{
			"default": {}, "gz": one("x.gz"), "bgzf": one("x.bgzf"), "lz4": one("x.lz4"), "xz": one("x.xz"), "zst": one("x.zst"),
			"bz2": one("x.bz2"), "tar": one("x.tar"), "zip": one("sub/{{.BuildName}}.zip"),
			"format": {"output": cty.StringVal("plain"), "format": cty.StringVal("tar.zst"), "compression_level": cty.NumberIntVal(12)},
		},
		Invalid: componenttest.Configs{
			"level":    {"compression_level": cty.NumberIntVal(-2)},
			"template": {"output": cty.StringVal("{{")},
			"fraction": {"compression_level": cty.NumberFloatVal(1.5)},
		},
		Input: func(t testing.TB, dir string) *component.Artifact {
			return artifact(t, dir, map[string][]byte{"disk.img": half(30_000)})
		},
	})
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]format{
		"a":                 {"tar", "gz"},
		"a.tar":             {"tar", ""},
		"a.zip":             {"zip", ""},
		"a.gz":              {"", "gz"},
		"a.tar.gz":          {"tar", "gz"},
		"ubuntu-22.04":      {"tar", "gz"},
		"x.tar.bzip2":       {"tar", "bz2"},
		"x.bz2":             {"", "bz2"},
		"x.zstd":            {"", "zst"},
		"dir.tar/x.xz":      {"", "xz"},
		"tar.gz":            {"", "gz"},
		"x.img":             {"tar", "gz"},
		"x.tar.lz4":         {"tar", "lz4"},
		"plain|gz":          {"", "gz"},
		"plain|tar.xz":      {"tar", "xz"},
		"plain.tar|gz":      {"tar", "gz"},
		"plain.gz|zip":      {"zip", ""},
		"x.TAR.GZ":          {"tar", "gz"},
		"packer_a.b_c.bgzf": {"", "bgzf"},
	} {
		path, extra, _ := strings.Cut(name, "|")
		if got := formatOf(path, extra); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// TestSystemTools: what comes out is what the usual tools read, whatever the
// size and level.
func TestSystemTools(t *testing.T) {
	for ext, tool := range map[string][]string{
		"gz": {"gzip", "-dc"}, "bgzf": {"gzip", "-dc"}, "lz4": {"lz4", "-dc"}, "xz": {"xz", "-dc"}, "zst": {"zstd", "-dcq"}, "bz2": {"bzip2", "-dc"},
	} {
		for _, size := range []int{0, 1, bgzfBlock, bgzfBlock + 1, 4 << 20, xzPiece + 1} {
			if size > xzPiece && ext != "xz" {
				continue // the others have smaller pieces
			}
			t.Run(fmt.Sprint(ext, "/", size), func(t *testing.T) {
				if _, err := exec.LookPath(tool[0]); err != nil {
					t.Skip("the tool is not installed")
				}
				t.Chdir(t.TempDir())
				content := half(size)
				r, _, _ := componenttest.NewRun(t)
				out, use, err := transform{Output: "out." + ext, Level: size % 10}.Process(t.Context(), r, artifact(t, t.TempDir(), map[string][]byte{"in": content}))
				if err != nil {
					t.Fatal(err)
				}
				if use != component.Consumes || out.Summary != "compressed artifacts in: out."+ext {
					t.Errorf("use %d, summary %q", use, out.Summary)
				}
				f, err := os.Open("out." + ext)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				cmd := exec.Command(tool[0], tool[1:]...)
				cmd.Stdin = f
				got, err := cmd.Output()
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %v, %d bytes, want %d", tool[0], err, len(got), len(content))
				}
			})
		}
	}
}

// TestBGZFBlocks: the extra field leads from block to block up to the mark at
// the end.
func TestBGZFBlocks(t *testing.T) {
	var out bytes.Buffer
	enc, err := newEncoder(&out, bgzfAlgorithm, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := finished(enc, half(1_000_000)); err != nil {
		t.Fatal(err)
	}
	rest, blocks := out.Bytes(), 0
	for len(rest) > len(bgzfEOF) {
		if !bytes.HasPrefix(rest, []byte(bgzfHeader)) {
			t.Fatalf("block %d does not start with a header", blocks)
		}
		size := int(rest[16]) + int(rest[17])<<8 + 1
		if size > len(rest) {
			t.Fatalf("block %d is longer than the file", blocks)
		}
		rest = rest[size:]
		blocks++
	}
	if string(rest) != bgzfEOF || blocks != 1_000_000/bgzfBlock+1 {
		t.Errorf("%d blocks, then %q", blocks, rest)
	}
}

func TestArchives(t *testing.T) {
	files := map[string][]byte{"a": half(100_000), "b": []byte("b"), "sub/c": {}}
	for _, ext := range []string{"tar", "tar.gz", "tar.xz", "tar.zst", "tar.bz2", "tar.lz4", "zip"} {
		t.Run(ext, func(t *testing.T) {
			t.Chdir(t.TempDir())
			r, _, _ := componenttest.NewRun(t)
			if _, _, err := (transform{Output: "out." + ext}).Process(t.Context(), r, artifact(t, ".", files)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir("x", 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("tar", "-C", "x", "-xf", "out."+ext)
			if ext == "zip" {
				cmd = exec.Command("unzip", "-q", "out.zip", "-d", "x")
			} else if strings.HasSuffix(ext, "lz4") {
				cmd = exec.Command("sh", "-c", "lz4 -dc out.tar.lz4 | tar -C x -xf -")
			}
			if out, err := cmd.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
				t.Skip("the tool is not installed")
			} else if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for name, content := range files {
				if ext != "zip" {
					name = filepath.Base(name)
				}
				got, err := os.ReadFile(filepath.Join("x", name))
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %v, %d bytes, want %d", name, err, len(got), len(content))
				}
			}
		})
	}
}

// TestNames: base names in a tar, given paths in a zip, and longer ones for
// all where those would clash or lead outside.
func TestNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, c := range map[string]struct {
		archive string
		paths   []string
		want    []string
	}{
		"tar":              {"tar", []string{"out/a", "sums/b"}, []string{"a", "b"}},
		"tar, clash":       {"tar", []string{"out/x/disk", "out/y/disk", "sum"}, []string{"out/x/disk", "out/y/disk", "sum"}},
		"tar, clash below": {"tar", []string{"out/x/disk", "out/y/disk"}, []string{"x/disk", "y/disk"}},
		"zip":              {"zip", []string{"out/a", "b"}, []string{"out/a", "b"}},
		"zip, absolute":    {"zip", []string{"/o/x/a", "/o/y/b"}, []string{"x/a", "y/b"}},
		"zip, outside":     {"zip", []string{"../a", "b"}, nil},
		"one":              {"tar", []string{"/o/a"}, []string{"a"}},
		"folder and file":  {"tar", []string{"/o/x", "/o/x/x"}, []string{"x", "x/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := entryNames(format{archive: c.archive}, c.paths)
			if err != nil {
				t.Fatal(err)
			}
			if c.want != nil {
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			}
			for _, n := range got {
				if !filepath.IsLocal(n) {
					t.Errorf("%q leads out of the archive", n)
				}
			}
		})
	}
}

func TestFolder(t *testing.T) {
	for _, ext := range []string{"tar", "zip"} {
		t.Chdir(t.TempDir())
		artifact(t, ".", map[string][]byte{"vm/disk": half(1000), "vm/nested/x": []byte("x")})
		if err := os.Symlink("disk", "vm/link"); err != nil {
			t.Fatal(err)
		}
		r, _, _ := componenttest.NewRun(t)
		in := &component.Artifact{Files: []component.File{{Path: "vm"}}}
		if _, _, err := (transform{Output: "o." + ext}).Process(t.Context(), r, in); err != nil {
			t.Fatal(err)
		}
		want := []string{"vm/", "vm/disk", "vm/link -> disk", "vm/nested/", "vm/nested/x"}
		if diff := cmp.Diff(want, list(t, "o."+ext)); diff != "" {
			t.Errorf("%s: %s", ext, diff)
		}
	}
}

func list(t *testing.T, path string) []string {
	t.Helper()
	var out []string
	if strings.HasSuffix(path, "zip") {
		z, err := zip.OpenReader(path)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		for _, f := range z.File {
			name := f.Name
			if f.Mode()&os.ModeSymlink != 0 {
				r, err := f.Open()
				if err != nil {
					t.Fatal(err)
				}
				to, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				name += " -> " + string(to)
			}
			out = append(out, name)
		}
		return out
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		name := h.Name
		if h.Linkname != "" {
			name += " -> " + h.Linkname
		}
		out = append(out, name)
	}
}

// TestFailures: an output that cannot be made is not there, what was there
// before still is, and so are the inputs.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		output string
		files  map[string][]byte
		want   string
	}{
		"no files":           {"out.tar", nil, "no files to compress"},
		"two into one":       {"out.gz", map[string][]byte{"a": nil, "b": nil}, "use an archive such as .tar.gz"},
		"onto an input":      {"a", map[string][]byte{"a": nil}, "is one of the files"},
		"missing input":      {"out.tar", map[string][]byte{"a": nil, "gone": nil}, "gone"},
		"output is a folder": {"folder", map[string][]byte{"a": nil}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			in := artifact(t, ".", c.files)
			if err := os.Mkdir("folder", 0o755); err != nil {
				t.Fatal(err)
			}
			if name == "missing input" {
				if err := os.Remove("gone"); err != nil {
					t.Fatal(err)
				}
			}
			if strings.HasPrefix(c.output, "out") {
				if err := os.WriteFile(c.output, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, j, _ := componenttest.NewRun(t)
			out, _, err := transform{Output: c.output}.Process(t.Context(), r, in)
			if out != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v", out, err)
			}
			if len(j.Open()) > 0 {
				t.Errorf("it holds %v", j.Open())
			}
			if old, err := os.ReadFile(c.output); strings.HasPrefix(c.output, "out") && string(old) != "old" {
				t.Errorf("the old output: %q, %v", old, err)
			}
			if left, _ := filepath.Glob(".ingot-part-*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// full is a writer with room for n bytes.
type full struct{ n int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// TestWriteErrors: an error counts wherever the disk gets full, also when it
// is the very last byte.
func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	in := artifact(t, dir, map[string][]byte{"a": half(200_000)})
	r, _, _ := componenttest.NewRun(t)
	for _, f := range []format{
		{"tar", ""}, {"zip", ""}, {"tar", "gz"}, {"", "gz"}, {"", "bgzf"}, {"", "lz4"}, {"", "xz"}, {"", "zst"}, {"", "bz2"},
	} {
		inputs, err := listInputs(f, in.Files)
		if err != nil {
			t.Fatal(err)
		}
		var whole bytes.Buffer
		if err := pack(t.Context(), &whole, f, 0, inputs, newProgress(r, "", inputs)); err != nil {
			t.Fatal(err)
		}
		for _, room := range []int{0, 1, whole.Len() / 2, whole.Len() - 1} {
			err := pack(t.Context(), &full{room}, f, 0, inputs, newProgress(r, "", inputs))
			if !errors.Is(err, errFull) {
				t.Errorf("%s with room for %d of %d bytes: got %v", f, room, whole.Len(), err)
			}
		}
	}
}

func TestInputChanges(t *testing.T) {
	dir := t.TempDir()
	in := artifact(t, dir, map[string][]byte{"a": half(1000)})
	r, _, _ := componenttest.NewRun(t)
	for _, f := range []format{{"tar", ""}, {"zip", ""}, {"", "gz"}} {
		inputs, err := listInputs(f, in.Files)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int64{500, 1500} {
			if err := os.Truncate(inputs[0].path, size); err != nil {
				t.Fatal(err)
			}
			if err := pack(t.Context(), io.Discard, f, 0, inputs, newProgress(r, "", inputs)); err == nil {
				t.Errorf("%s: a file of 1000 bytes that has %d now was packed", f, size)
			}
		}
		if err := os.Truncate(inputs[0].path, 1000); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCancelled(t *testing.T) {
	t.Chdir(t.TempDir())
	in := artifact(t, ".", map[string][]byte{"a": half(8 << 20)})
	r, j, _ := componenttest.NewRun(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if _, _, err := (transform{Output: "x.xz"}).Process(ctx, r, in); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir("."); len(left) != 1 || len(j.Open()) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func BenchmarkEncoders(b *testing.B) {
	data := half(32 << 20)
	for _, algorithm := range []string{gzipAlgorithm, bgzfAlgorithm, lz4Algorithm, xzAlgorithm, zstdAlgorithm, bzip2Algorithm} {
		b.Run(algorithm, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				enc, err := newEncoder(io.Discard, algorithm, 0)
				if err != nil {
					b.Fatal(err)
				}
				if err := finished(enc, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
