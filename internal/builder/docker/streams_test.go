package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/component"
)

func TestPIDFilter(t *testing.T) {
	for _, k := range []struct {
		in   []string
		out  string
		want int
	}{
		{[]string{"42\nrest\n"}, "rest\n", 42},
		{[]string{"4", "2", "\r\n", "rest"}, "rest", 42},
		{[]string{"42\n"}, "", 42},
		{[]string{"sh: not found\n"}, "sh: not found\n", 0},
		{[]string{"no line end at all, and longer than any number could be"}, "no line end at all, and longer than any number could be", 0},
		{[]string{"1\nx"}, "1\nx", 0},
	} {
		var out bytes.Buffer
		f := newPIDFilter(&out)
		for _, p := range k.in {
			if n, err := f.Write([]byte(p)); err != nil || n != len(p) {
				t.Fatalf("%q: %d, %v", p, n, err)
			}
		}
		if out.String() != k.out {
			t.Errorf("%q: passed on %q", k.in, out.String())
		}
		if got := <-f.announced; got != k.want {
			t.Errorf("%q: id %d", k.in, got)
		}
	}
}

// The scanner must find its marker however the stream is cut, and hold back
// nothing else.
func TestScanner(t *testing.T) {
	mark := newMark()
	text := "before \x01ingot- not it " + mark[:len(mark)-1] + " nor that\x01" + mark + "7 held\nafter"
	want := strings.TrimSuffix(text, mark+"7 held\nafter")
	for size := range len(text) {
		var out bytes.Buffer
		s := &scanner{}
		e := &expectation{done: make(chan struct{}), failed: make(chan struct{}), left: 1}
		s.begin(mark, &out, e)
		for part := range slices.Chunk([]byte(text), size+1) {
			_, _ = s.Write(part)
		}
		select {
		case <-e.done:
		default:
			t.Fatalf("in parts of %d: the marker was not found", size+1)
		}
		if out.String() != want {
			t.Fatalf("in parts of %d: got %q, want %q", size+1, out.String(), want)
		}
		if code, held, ok := parseEnd(e.answer); code != 7 || !held || !ok {
			t.Fatalf("in parts of %d: answer %q", size+1, e.answer)
		}
	}
	var out bytes.Buffer
	s := &scanner{}
	s.begin(mark, &out, &expectation{})
	_, _ = s.Write([]byte("prompt> "))
	if out.String() != "prompt> " {
		t.Errorf("held back: %q", out.String())
	}
}

func TestPump(t *testing.T) {
	small := func(src io.Reader) ([]byte, bool, *pump) {
		p := newPump(t.Context(), src)
		t.Cleanup(p.stop)
		got, ok := p.small(1000)
		return got, ok, p
	}
	if got, ok, _ := small(strings.NewReader("short")); !ok || string(got) != "short" {
		t.Errorf("short: %q, %v", got, ok)
	}
	long := strings.Repeat("x", 200_000)
	_, ok, p := small(strings.NewReader(long))
	if all, err := io.ReadAll(p); ok || err != nil || string(all) != long {
		t.Errorf("long: %v, %d bytes, %v", ok, len(all), err)
	}
	r, w := io.Pipe()
	_, ok, p = small(r)
	go func() { _, _ = io.WriteString(w, "late"); w.Close() }()
	if all, err := io.ReadAll(p); ok || err != nil || string(all) != "late" {
		t.Errorf("late: %v, %q, %v", ok, all, err)
	}
	broken := errors.New("broken")
	_, ok, p = small(io.MultiReader(strings.NewReader("ab"), failing{broken}))
	all, err := io.ReadAll(p)
	if ok || !errors.Is(errors.Unwrap(err), broken) || string(all) != "ab" {
		t.Errorf("broken: %v, %q, %v", ok, all, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	blocked, _ := io.Pipe()
	p = newPump(ctx, blocked)
	defer p.stop()
	cancel(broken)
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, broken) {
		t.Errorf("cancelled: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestAccount(t *testing.T) {
	passwd := []byte("root:x:0:0::/root:/bin/sh\n1000:x:7:8::/:/bin/sh\nuser:x:1000:1001::/:/bin/sh\nbad line\nlast:x:5:6")
	for who, want := range map[string]accountEntry{"root": {0, 0}, "user": {1000, 1001}, "1000": {7, 8}, "5": {5, 6}, "last": {5, 6}} {
		if got, ok := account(passwd, who); !ok || got != want {
			t.Errorf("%s: %v, %v", who, got, ok)
		}
	}
	if _, ok := account(passwd, "nobody"); ok {
		t.Error("found an account that is not there")
	}
}

func TestNeedsBuildKit(t *testing.T) {
	for text, want := range map[string]bool{
		"FROM x\nRUN echo --mount\n":                  false,
		"# syntax=docker/dockerfile:1\nFROM x":        true,
		"FROM x\nRUN --mount=type=cache,target=/c ls": true,
		"FROM x\nCOPY --link a b":                     true,
		"FROM x\nCOPY --from=y --chown=a a b":         false,
		"FROM x\nRUN <<EOF\nls\nEOF":                  true,
		"FROM x\nrun --network=none ls":               true,
	} {
		if got := needsBuildKit([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestBuildContext(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Dockerfile": "FROM x", "a": "1", "skip/b": "2", "skip/keep": "3", "sub/c.log": "4", "sub/d": "5", ".dockerignore": "skip\n!skip/keep\n**/*.log\nDockerfile\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	names := func(dockerfile string) map[string]string {
		c, err := openBuildContext(dir, dockerfile, []byte("outside"), false)
		if err != nil {
			t.Fatal(err)
		}
		body, done := c.stream()
		out := map[string]string{}
		for r := tar.NewReader(body); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(r)
			out[h.Name] = string(text) + h.Linkname
		}
		if err := done(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	inside := map[string]string{"Dockerfile": "FROM x", ".dockerignore": "skip\n!skip/keep\n**/*.log\nDockerfile\n", "a": "1", "link": "a", "skip/keep": "3", "sub/": "", "sub/d": "5"}
	if got := names(filepath.Join(dir, "Dockerfile")); !maps.Equal(got, inside) {
		t.Errorf("got %q", got)
	}
	other := filepath.Join(t.TempDir(), "Other")
	if got := names(other); got[outsideName] != "outside" || got["Dockerfile"] != "" {
		t.Errorf("with a Dockerfile from elsewhere: %q", got)
	}
	c, err := openBuildContext(dir, other, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	body, done := c.stream()
	_, _ = body.Read(make([]byte, 10))
	if err := done(); err != nil {
		t.Errorf("an engine that stops reading: %v", err)
	}
}

func TestTreesThatClimb(t *testing.T) {
	c := &comm{clock: component.SystemClock{}}
	for name, bad := range map[string]bool{"a/../b": false, "../b": true, "a/../../b": true, "/abs": false, "..": true, "..x": false} {
		var in, out bytes.Buffer
		w := tar.NewWriter(&in)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		if err := c.copyTree(&out, &in, "", owner{}, nil); (err != nil) != bad {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzStripTree(f *testing.F) {
	var tree bytes.Buffer
	w := tar.NewWriter(&tree)
	_ = w.WriteHeader(&tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755})
	_ = w.WriteHeader(&tar.Header{Name: "d/f", Size: 1, Mode: 0o600})
	_, _ = w.Write([]byte("x"))
	_ = w.Close()
	f.Add(tree.Bytes())
	f.Fuzz(func(t *testing.T, archive []byte) {
		// A sparse file may claim to be as long as it likes.
		var out bytes.Buffer
		if err := stripTree(&bounded{&out, 1 << 20}, bytes.NewReader(archive)); err != nil {
			return
		}
		for r := tar.NewReader(&out); ; {
			if _, err := r.Next(); err != nil {
				if err != io.EOF {
					t.Errorf("made an archive that cannot be read: %v", err)
				}
				return
			}
		}
	})
}

// bounded takes so many bytes and then fails.
type bounded struct {
	io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrShortWrite
	}
	return b.Writer.Write(p)
}

func FuzzBuildTrace(f *testing.F) {
	f.Add([]byte("\x0a\x07\x0a\x01d\x1a\x02ab"))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, raw []byte) {
		trace := &buildTrace{out: io.Discard, named: map[string]bool{}}
		trace.take(raw)
	})
}

func FuzzAccount(f *testing.F) {
	f.Add([]byte("root:x:0:0::/:/bin/sh\n"), "root")
	f.Fuzz(func(t *testing.T, file []byte, who string) { account(file, who) })
}
