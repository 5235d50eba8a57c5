package base

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"ingot/internal/component"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	root := t.TempDir()
	tmp := filepath.Join(root, "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	return &Store{Root: root, Tmp: tmp, Clock: component.SystemClock{}}
}

// tarFile writes a tar of files, each with its name as content, and makes it
// old enough to be trusted.
func tarFile(t testing.TB, file string, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, n := range names {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: n, Mode: 0o644, Size: int64(len(n))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDecompress(t *testing.T) {
	text := []byte(strings.Repeat("the same again ", 1000))
	pack := func(open func(io.Writer) (io.WriteCloser, error)) []byte {
		var b bytes.Buffer
		w, err := open(&b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, packed := range map[string][]byte{
		"plain": text,
		"gzip":  pack(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
		"zstd":  pack(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
		"xz":    pack(func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		"lz4":   pack(func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil }),
		"none":  pack(Compression{Name: None}.Writer),
		"ours":  pack(Compression{Name: Gzip, Level: 9}.Writer),
		"zstd9": pack(Compression{Name: Zstd, Level: 9}.Writer),
	} {
		d, err := decompress(bytes.NewReader(packed))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := io.ReadAll(d)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if d.was == (name == "plain" || name == "none") {
			t.Errorf("%s: compressed is %v", name, d.was)
		}
	}
	for _, short := range []string{"", "x"} {
		d, err := decompress(strings.NewReader(short))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(d); err != nil || string(got) != short {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	for _, seed := range []string{"\x1f\x8b\x08", "\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "BZh9", "\x04\x22\x4d\x18", "x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := decompress(bytes.NewReader(text))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(d, 1<<20))
		_ = d.Close()
	})
}

func TestCompressionIsDeterministic(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef\n"), 300_000)
	for _, c := range []Compression{{Name: Gzip}, {Name: Gzip, Level: 1}, {Name: Zstd}, {Name: Zstd, Level: 7}} {
		var first []byte
		for range 3 {
			var b bytes.Buffer
			w, err := c.Writer(&b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(text); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = b.Bytes()
			}
			if !bytes.Equal(first, b.Bytes()) {
				t.Errorf("%+v: equal input gave different output", c)
			}
		}
	}
	if _, err := (Compression{Name: "arj"}).Writer(io.Discard); err == nil {
		t.Error("an unknown compression was accepted")
	}
}

// TestTarIsDigestedOnce: a second look takes the digest from the cache, but
// never for a file that changed.
func TestTarIsDigestedOnce(t *testing.T) {
	s := newStore(t)
	file := tarFile(t, filepath.Join(t.TempDir(), "base.tar"), "a")
	digest := func() v1.Hash {
		img, err := s.Load(t.Context(), Request{Kind: "tar", Ref: file})
		if err != nil {
			t.Fatal(err)
		}
		return img.Layers[0].DiffID
	}
	first := digest()
	index := filepath.Join(s.Root, "index")
	if entries, _ := os.ReadDir(index); len(entries) > 0 {
		t.Error("the digest of a file that has just been written was trusted")
	}
	if err := (component.SystemClock{}).Sleep(t.Context(), racy+100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if digest() != first {
		t.Error("the digest changed")
	}
	if entries, _ := os.ReadDir(index); len(entries) != 1 {
		t.Errorf("%d entries in the index", len(entries))
	}
	// Same size and same times: the change time tells.
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	tarFile(t, file, "b")
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if digest() == first {
		t.Error("a change was not noticed")
	}
}

func TestRootfs(t *testing.T) {
	s := newStore(t)
	img, err := s.Load(t.Context(), Request{Kind: "tar", Ref: tarFile(t, filepath.Join(t.TempDir(), "base.tar"), "a")})
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	broken := errors.New("broken")
	unpack := func(fail error) Unpacker {
		return func(_ context.Context, lowers []string, dest string, layer io.Reader) error {
			calls++
			if err := os.Mkdir(filepath.Join(dest, "d"), 0o755); err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, layer); err != nil {
				return err
			}
			return fail
		}
	}
	if _, err := s.Rootfs(t.Context(), "host", img, unpack(broken)); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.Root, "rootfs", "host")); len(left) > 0 {
		t.Errorf("half a layer has a name: %v", left)
	}
	for range 2 {
		dirs, err := s.Rootfs(t.Context(), "host", img, unpack(nil))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("%v, %v", dirs, err)
		}
	}
	if calls != 2 {
		t.Errorf("unpacked %d times, want once after the failure", calls)
	}
	if info, err := os.Stat(filepath.Join(s.Root, "rootfs")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can enter the cache: %v, %v", info.Mode(), err)
	}
	// Content that is not what the digest promises never gets a name.
	other := *img
	other.Layers = []*Layer{{DiffID: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}, uncompressed: img.Layers[0].uncompressed}}
	other.Config = newConfig(v1.Platform{}, other.Layers[0].DiffID)
	if _, err := s.Rootfs(t.Context(), "host", &other, unpack(nil)); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("wrong content: %v", err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	s := newStore(t)
	unlock, err := s.Lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	waited := make(chan error, 1)
	go func() { _, err := s.Lock(ctx, "x"); waited <- err }()
	other, err := s.Lock(t.Context(), "y")
	if err != nil {
		t.Fatal(err)
	}
	other()
	cancel(stop)
	if err := <-waited; !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	unlock()
	again, err := s.Lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestWriteChecksTheDigest(t *testing.T) {
	s := newStore(t)
	want := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1", 64)}
	_, _, err := s.write(&want, func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err })
	if err == nil || s.has(want, -1) {
		t.Errorf("wrong content was stored: %v", err)
	}
	h, n, err := s.write(nil, func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err })
	if err != nil || n != 1 || !s.has(h, 1) || s.has(h, 2) {
		t.Errorf("%v %d %v", h, n, err)
	}
	if left, _ := os.ReadDir(s.Tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func desc(digit, ref, platform string) v1.Descriptor {
	d := v1.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(digit, 64)}}
	if ref != "" {
		d.Annotations = map[string]string{"org.opencontainers.image.ref.name": ref}
	}
	if platform != "" {
		d.Platform, _ = v1.ParsePlatform(platform)
	}
	return d
}

func TestChoose(t *testing.T) {
	amd := v1.Platform{OS: "linux", Architecture: "amd64"}
	attestation := desc("9", "", "unknown/unknown")
	for name, c := range map[string]struct {
		all  []v1.Descriptor
		tag  string
		want string // digit, or part of the error
	}{
		"the only one":         {[]v1.Descriptor{desc("1", "", "")}, "", "1"},
		"by tag":               {[]v1.Descriptor{desc("1", "a:1", ""), desc("2", "a:2", "")}, "a:2", "2"},
		"by tag alone":         {[]v1.Descriptor{desc("1", "x/a:1", ""), desc("2", "x/a:2", "")}, "2", "2"},
		"by full name":         {[]v1.Descriptor{desc("1", "docker.io/library/a:1", ""), desc("2", "b:1", "")}, "a:1", "1"},
		"by digest":            {[]v1.Descriptor{desc("1", "", ""), desc("2", "", "")}, "sha256:" + strings.Repeat("2", 64), "2"},
		"by platform":          {[]v1.Descriptor{desc("1", "", "linux/arm64"), desc("2", "", "linux/amd64"), attestation}, "", "2"},
		"attestations are not": {[]v1.Descriptor{desc("1", "", "linux/arm64"), attestation}, "", "1"},
		"unknown tag":          {[]v1.Descriptor{desc("1", "a:1", ""), desc("2", "b:1", "")}, "c", "a:1, b:1"},
		"too many":             {[]v1.Descriptor{desc("1", "a:1", ""), desc("2", "b:1", "")}, "", "there are 2 images"},
		"nothing":              {nil, "", "no image for linux/amd64"},
	} {
		d, err := chooseIn(c.all, c.tag, amd)
		switch {
		case len(c.want) == 1 && (err != nil || d.Digest.Hex != strings.Repeat(c.want, 64)):
			t.Errorf("%s: %v, %v", name, d.Digest, err)
		case len(c.want) > 1 && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, %v", name, d.Digest, err)
		}
	}
}

// memory is a set of files for tests.
type memory map[string]string

func (m memory) open(name string) (io.ReadCloser, error) {
	text, ok := m[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func FuzzIndex(f *testing.F) {
	f.Add(`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:00","size":1}]}`, "a")
	f.Add(`{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:`+strings.Repeat("0", 64)+`"}]}`, "")
	f.Fuzz(func(t *testing.T, text, tag string) {
		_, _ = choose(memory{"blobs/sha256/" + strings.Repeat("0", 64): text}, []byte(text), tag, v1.Platform{OS: "linux"})
	})
}

func FuzzDockerManifest(f *testing.F) {
	f.Add(`[{"Config":"c","RepoTags":["a:1"],"Layers":["l"]}]`, "a:1")
	f.Add(`[]`, "")
	f.Fuzz(func(t *testing.T, text, tag string) {
		e, err := chooseDocker([]byte(text), tag)
		if err == nil && tag != "" && len(e.RepoTags) == 0 {
			t.Errorf("an image without a name was found as %q", tag)
		}
	})
}

func FuzzArchive(f *testing.F) {
	dir := f.TempDir()
	text, err := os.ReadFile(tarFile(f, filepath.Join(dir, "x.tar"), "a", "b/c"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		a, err := listArchive(file)
		if err != nil {
			return
		}
		for name := range a.entries {
			if _, err := readFile(a, name); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				continue
			}
		}
		for name := range a.links {
			_, _ = readFile(a, name)
		}
	})
}

func TestArchiveLinks(t *testing.T) {
	a := &archiveFiles{path: tarFile(t, filepath.Join(t.TempDir(), "x.tar"), "a"), links: map[string]string{"l": "m", "m": "./a", "x": "y", "y": "x"}}
	listed, err := listArchive(a.path)
	if err != nil {
		t.Fatal(err)
	}
	a.entries = listed.entries
	a.links["m"] = "a"
	if text, err := readFile(a, "l"); err != nil || string(text) != "a" {
		t.Errorf("%q, %v", text, err)
	}
	for _, name := range []string{"x", "missing"} {
		if _, err := readFile(a, name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSplitTag(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "with:colon")
	for _, d := range []string{odd, filepath.Join(dir, "plain")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for ref, want := range map[string][2]string{
		odd:                         {odd, ""},
		odd + ":1":                  {odd, "1"},
		dir + "/plain:host:5/app:1": {dir + "/plain", "host:5/app:1"},
		dir + "/missing:1":          {dir + "/missing:1", ""},
	} {
		if path, tag := splitTag(ref); path != want[0] || tag != want[1] {
			t.Errorf("%s: %q, %q", ref, path, tag)
		}
	}
}

func TestChainIDs(t *testing.T) {
	h := func(hex string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex} }
	got := ChainIDs([]v1.Hash{h("aa"), h("bb"), h("cc")})
	// sha256 of "sha256:aa sha256:bb", and of that with "sha256:cc".
	if len(got) != 3 || got[0] != "aa" || got[1] == got[2] || len(got[1]) != 64 {
		t.Errorf("got %v", got)
	}
	if other := ChainIDs([]v1.Hash{h("aa"), h("cc"), h("bb")}); other[2] == got[2] {
		t.Error("the order of layers does not matter")
	}
}

func TestBootstrapCommands(t *testing.T) {
	b := Bootstrap{Variant: "buildd", Mirror: "http://m", Packages: []string{"a", "b"}, Components: []string{"main", "contrib"}}
	got := strings.Join(b.mmdebstrap("mm", "sid", "amd64", "out.tar"), " ")
	if want := "mm --mode=root --format=tar --variant=buildd --skip=output/dev --architectures=amd64 --include=a,b --components=main,contrib sid out.tar http://m"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	args, err := b.debootstrap("de", "sid", "amd64", "dir")
	if want := "de --arch=amd64 --variant=buildd --include=a,b --components=main,contrib sid dir http://m"; err != nil || strings.Join(args, " ") != want {
		t.Errorf("got %v, %v", args, err)
	}
	if _, err := (Bootstrap{Variant: "apt"}).debootstrap("de", "sid", "amd64", "dir"); err == nil {
		t.Error("debootstrap has no such variant")
	}
	keys := map[string]bool{}
	epoch := time.Unix(5, 0)
	for _, b := range []Bootstrap{{}, {Mirror: "x"}, {Variant: "apt"}, {Packages: []string{"a", "b"}}, {Packages: []string{"a b"}}, {Components: []string{"a"}}, {Epoch: &epoch}, {Platform: v1.Platform{OS: "linux", Architecture: "arm64"}}} {
		keys[b.key("sid")] = true
	}
	if len(keys) != 8 {
		t.Errorf("%d keys for 8 different root file systems", len(keys))
	}
	if (Bootstrap{Variant: "minbase"}).key("sid") != (Bootstrap{}).key("sid") {
		t.Error("the default variant is another one when named")
	}
}

// TestBootstrapCache runs the tools only when needed.
func TestBootstrapCache(t *testing.T) {
	if find("mmdebstrap") == "" {
		t.Skip("mmdebstrap is not installed")
	}
	s := newStore(t)
	runs := 0
	b := Bootstrap{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, Run: func(_ context.Context, args, _ []string) error {
		runs++
		tarFile(t, args[len(args)-1], fmt.Sprint("run", runs))
		return nil
	}}
	load := func() v1.Hash {
		img, err := s.Load(t.Context(), Request{Kind: "debootstrap", Ref: "sid", Bootstrap: b})
		if err != nil {
			t.Fatal(err)
		}
		return img.Layers[0].DiffID
	}
	first := load()
	if load() != first || runs != 1 {
		t.Errorf("made %d times", runs)
	}
	b.Refresh = true
	if load() == first || runs != 2 {
		t.Errorf("not made anew: %d", runs)
	}
	b.Single = true
	if _, err := s.Load(t.Context(), Request{Kind: "debootstrap", Ref: "sid", Bootstrap: b}); err == nil || !strings.Contains(err.Error(), "newuidmap") {
		t.Errorf("without users: %v", err)
	}
}

func TestDebianArchitecture(t *testing.T) {
	for platform, want := range map[string]string{"linux/amd64": "amd64", "linux/arm/v7": "armhf", "linux/arm64/v8": "arm64", "linux/386": "i386", "linux/ppc64le": "ppc64el"} {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := debianArchitecture(*p); err != nil || got != want {
			t.Errorf("%s: %q, %v", platform, got, err)
		}
	}
	if _, err := debianArchitecture(v1.Platform{Architecture: "wasm"}); err == nil {
		t.Error("Debian runs on wasm")
	}
}

func TestLoadRefuses(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	file := tarFile(t, filepath.Join(dir, "x.tar"), "a")
	for _, q := range []Request{
		{Kind: "tar", Ref: dir + "/missing"}, {Kind: "tar", Ref: dir}, {Kind: "oci", Ref: dir}, {Kind: "oci-archive", Ref: file},
		{Kind: "docker-archive", Ref: file}, {Kind: "oci-archive", Ref: dir + "/missing"}, {Kind: "weird"},
	} {
		if _, err := s.Load(t.Context(), q); err == nil || !strings.Contains(err.Error(), "base image "+q.Kind) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := ociType("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"); err == nil {
		t.Error("a layer that may not be copied was accepted")
	}
}

func TestScratch(t *testing.T) {
	img, err := newStore(t).Load(t.Context(), Request{Kind: "scratch", Platform: v1.Platform{OS: "linux", Architecture: "arm64"}})
	if err != nil || len(img.Layers) > 0 || img.Config.Architecture != "arm64" || !slices.Equal(img.Config.RootFS.DiffIDs, nil) {
		t.Errorf("%+v, %v", img, err)
	}
}
