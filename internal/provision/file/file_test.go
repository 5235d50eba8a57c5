//go:build unix

package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/comm/local"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/treecopy"
)

// machine is a folder of this machine.
type machine struct {
	caps component.Caps
	// broken is what every operation fails with.
	broken error
}

func newMachine() *machine {
	return &machine{caps: component.Caps{Run: true, Put: true, Get: true, Tree: true, Shell: component.POSIX, Transport: "test"}}
}

func (m *machine) fails(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return m.broken
}

func (m *machine) Run(ctx context.Context, c component.Command) (component.Exit, error) {
	if err := m.fails(ctx); err != nil {
		return component.Exit{}, err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", c.Line)
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return component.Exit{}, err
	}
	return component.Exit{Code: cmd.ProcessState.ExitCode()}, nil
}

func (m *machine) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	if err := m.fails(ctx); err != nil {
		return err
	}
	data, err := io.ReadAll(src)
	if err != nil {
		return err
	}
	if meta.Size >= 0 && meta.Size != int64(len(data)) {
		return errors.New("the announced size is wrong")
	}
	if err := os.WriteFile(dst, data, 0o600); err != nil {
		return err
	}
	if !meta.ModTime.IsZero() {
		if err := os.Chtimes(dst, meta.ModTime, meta.ModTime); err != nil {
			return err
		}
	}
	return os.Chmod(dst, meta.Mode)
}

func (m *machine) Get(ctx context.Context, src string, dst io.Writer) error {
	if err := m.fails(ctx); err != nil {
		return err
	}
	f, err := os.Open(src)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(dst, f)
	return err
}

func (m *machine) PutTree(ctx context.Context, dst string, archive io.Reader) error {
	if err := m.fails(ctx); err != nil {
		return err
	}
	return treecopy.Unpack(ctx, archive, dst, treecopy.UnpackOptions{})
}

func (m *machine) GetTree(ctx context.Context, src string, archive io.Writer) error {
	if err := m.fails(ctx); err != nil {
		return err
	}
	return treecopy.Pack(ctx, archive, src, treecopy.PackOptions{})
}

func (m *machine) Caps() component.Caps { return m.caps }
func (m *machine) Close() error         { return nil }

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

// files makes files below a folder; a name that ends with a slash is a folder.
func files(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, []byte("text of "+filepath.Base(name)), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tree lists all files below a folder.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	out := []string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		out = append(out, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// place is a local and a remote folder, and the configuration's words for
// them.
type place struct{ local, remote string }

func newPlace(t *testing.T) place {
	p := place{t.TempDir(), t.TempDir()}
	t.Chdir(p.local)
	return p
}

func (p place) apply(t *testing.T, m *machine, values map[string]cty.Value) (*componenttest.Events, error) {
	t.Helper()
	for name, v := range values {
		if v.Type() == cty.String {
			values[name] = cty.StringVal(strings.ReplaceAll(v.AsString(), "R:", p.remote))
		} else if v.Type() == cty.List(cty.String) {
			var all []string
			for _, e := range v.AsValueSlice() {
				all = append(all, strings.ReplaceAll(e.AsString(), "R:", p.remote))
			}
			values[name] = strs(all...)
		}
	}
	r, j, events := componenttest.NewRun(t)
	s, diags := New().Plan(t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		return events, diags.Err()
	}
	err := s.Apply(t.Context(), component.Target{Run: r, Comm: m})
	if open := j.Open(); len(open) > 0 {
		t.Errorf("it holds %v", open)
	}
	return events, err
}

func TestContract(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, "a", "d/b", "e/")
	for name, comm := range map[string]func(r component.Run) component.Communicator{
		"double": func(component.Run) component.Communicator { return newMachine() },
		"local":  func(r component.Run) component.Communicator { return local.New(r.Journal) },
	} {
		t.Run(name, func(t *testing.T) { contract(t, dir, comm) })
	}
}

func contract(t *testing.T, dir string, comm func(component.Run) component.Communicator) {
	str := func(name string) cty.Value { return cty.StringVal(filepath.Join(dir, name)) }
	out := cty.StringVal(t.TempDir() + "/")
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"file":     {"source": str("a"), "destination": out},
			"folder":   {"source": str("d"), "destination": out},
			"content":  {"content": cty.StringVal("x"), "destination": cty.StringVal(filepath.Join(t.TempDir(), "f"))},
			"download": {"sources": strs(filepath.Join(dir, "a"), dir+"/d/", dir+"/*"), "destination": cty.StringVal(t.TempDir() + "/x/"), "direction": cty.StringVal("download")},
		},
		Invalid: componenttest.Configs{
			"nothing":            {"destination": out},
			"empty source":       {"source": cty.StringVal(""), "destination": out},
			"no destination":     {"source": str("a"), "destination": cty.StringVal("")},
			"both":               {"source": str("a"), "content": cty.StringVal("x"), "destination": out},
			"not there":          {"source": str("gone"), "destination": out},
			"direction":          {"source": str("a"), "destination": out, "direction": cty.StringVal("sideways")},
			"content and folder": {"content": cty.StringVal("x"), "destination": out},
			"content, download":  {"content": cty.StringVal("x"), "destination": str("y"), "direction": cty.StringVal("download")},
			"two into one":       {"sources": strs(filepath.Join(dir, "a"), filepath.Join(dir, "d/b")), "destination": str("y")},
		},
		Target: func(_ testing.TB, r component.Run) component.Target {
			return component.Target{Run: r, Comm: comm(r)}
		},
	})
}

func TestUpload(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]cty.Value
		want   []string
	}{
		"file":                   {map[string]cty.Value{"source": cty.StringVal("a"), "destination": cty.StringVal("R:/x")}, []string{"x"}},
		"file into folder":       {map[string]cty.Value{"source": cty.StringVal("d/b"), "destination": cty.StringVal("R:/")}, []string{"b"}},
		"folder":                 {map[string]cty.Value{"source": cty.StringVal("d"), "destination": cty.StringVal("R:/x")}, []string{"x/d/b", "x/d/sub/c"}},
		"folder, slash":          {map[string]cty.Value{"source": cty.StringVal("d"), "destination": cty.StringVal("R:/x/")}, []string{"x/d/b", "x/d/sub/c"}},
		"contents":               {map[string]cty.Value{"source": cty.StringVal("d/"), "destination": cty.StringVal("R:/x")}, []string{"x/b", "x/sub/c"}},
		"content":                {map[string]cty.Value{"content": cty.StringVal("text of x"), "destination": cty.StringVal("R:/x")}, []string{"x"}},
		"empty content":          {map[string]cty.Value{"content": cty.StringVal(""), "destination": cty.StringVal("R:/x")}, []string{"x"}},
		"several":                {map[string]cty.Value{"sources": strs("a", "d"), "source": cty.StringVal("z"), "destination": cty.StringVal("R:/")}, []string{"a", "d/b", "d/sub/c", "z"}},
		"this folder":            {map[string]cty.Value{"source": cty.StringVal("./"), "destination": cty.StringVal("R:")}, []string{"a", "d/b", "d/sub/c", "z"}},
		"contents of the link":   {map[string]cty.Value{"source": cty.StringVal("l/"), "destination": cty.StringVal("R:/")}, []string{"b", "sub/c"}},
		"links inside, as files": {map[string]cty.Value{"source": cty.StringVal("links/"), "destination": cty.StringVal("R:/")}, []string{"f", "g/b", "g/sub/c"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			files(t, ".", "a", "z", "d/b", "d/sub/c")
			if strings.Contains(name, "link") {
				if err := errors.Join(os.Symlink("d", "l"), os.Mkdir("links", 0o755), os.Symlink("../a", "links/f"), os.Symlink("../d", "links/g")); err != nil {
					t.Fatal(err)
				}
			}
			_, err := p.apply(t, newMachine(), c.values)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, tree(t, p.remote)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUploadKeepsModeAndTime(t *testing.T) {
	p := newPlace(t)
	files(t, ".", "a")
	when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := errors.Join(os.Chtimes("a", when, when), os.Chmod("a", 0o751)); err != nil {
		t.Fatal(err)
	}
	events, err := p.apply(t, newMachine(), map[string]cty.Value{"source": cty.StringVal("a"), "destination": cty.StringVal("R:/")})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(p.remote, "a"))
	if err != nil || info.Mode().Perm() != 0o751 || !info.ModTime().Equal(when) {
		t.Errorf("got %v, %v, %v", info.Mode(), info.ModTime(), err)
	}
	var last component.Progress
	for _, e := range events.All() {
		if pr, ok := e.(component.Progress); ok {
			last = pr
		}
	}
	if want := (component.Progress{ID: "a", Label: "a", Done: 9, Total: 9, Finished: true}); last != want {
		t.Errorf("the last progress is %+v, want %+v", last, want)
	}
	if !strings.Contains(events.Said(), "Uploading a => "+p.remote+"/a") {
		t.Errorf("said %q", events.Said())
	}
}

func TestW18ContentLeavesNothingHere(t *testing.T) {
	p := newPlace(t)
	t.Setenv("TMPDIR", p.local)
	if _, err := p.apply(t, newMachine(), map[string]cty.Value{"content": cty.StringVal("x"), "destination": cty.StringVal("R:/x")}); err != nil {
		t.Fatal(err)
	}
	for _, name := range tree(t, p.local) {
		t.Errorf("left behind: %s", name)
	}
}

func TestGenerated(t *testing.T) {
	p := newPlace(t)
	values := func(generated bool) map[string]cty.Value {
		return map[string]cty.Value{"source": cty.StringVal("late"), "destination": cty.StringVal("R:/"), "generated": cty.BoolVal(generated)}
	}
	if _, err := p.apply(t, newMachine(), values(false)); err == nil || !strings.Contains(err.Error(), "generated = true") {
		t.Errorf("got %v", err)
	}
	if _, err := p.apply(t, newMachine(), values(true)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	// Several for one path are found when they are there, too.
	files(t, ".", "late", "later")
	two := map[string]cty.Value{"sources": strs("late", "later"), "destination": cty.StringVal("R:/x"), "generated": cty.True}
	if _, err := p.apply(t, newMachine(), two); err == nil || !strings.Contains(err.Error(), "would both be written") {
		t.Errorf("got %v", err)
	}
}

func TestDownload(t *testing.T) {
	for name, c := range map[string]struct {
		sources     []string
		destination string
		want        []string
	}{
		"file":                     {[]string{"R:/a"}, "x/y", []string{"x/y"}},
		"file into folder":         {[]string{"R:/a"}, "x/", []string{"x/a"}},
		"contents":                 {[]string{"R:/d/"}, "x", []string{"x/b", "x/sub/c"}},
		"pattern":                  {[]string{"R:/*"}, "x", []string{"x/a", "x/d/b", "x/d/sub/c", "x/it's $HOME"}},
		"pattern, one letter":      {[]string{"R:/?"}, "x/", []string{"x/a", "x/d/b", "x/d/sub/c"}},
		"pattern, set":             {[]string{"R:/[!ad]*"}, "x/", []string{"x/it's $HOME"}},
		"pattern with odd letters": {[]string{"R:/it's $H*"}, "x/", []string{"x/it's $HOME"}},
		"all of several":           {[]string{"R:/d/", "R:/it*", "R:/a"}, "x/", []string{"x/a", "x/b", "x/it's $HOME", "x/sub/c"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			files(t, p.remote, "a", "d/b", "d/sub/c", "it's $HOME")
			_, err := p.apply(t, newMachine(), map[string]cty.Value{
				"direction": cty.StringVal("download"), "sources": strs(c.sources...), "destination": cty.StringVal(c.destination),
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, tree(t, p.local)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDownloadFailures(t *testing.T) {
	for name, c := range map[string]struct {
		sources     []string
		destination string
		want        string
	}{
		"missing":      {[]string{"R:/gone"}, "x", "gone"},
		"no match":     {[]string{"R:/gone*"}, "x", "nothing on the machine matches"},
		"two into one": {[]string{"R:/a", "R:/d/b"}, "x", "would both be written"},
		"same name":    {[]string{"R:/*/same"}, "x", "would both be written"},
		"onto folder":  {[]string{"R:/a"}, "folder", "end destination with a slash"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			files(t, p.remote, "a", "d/b", "d/same", "e/same")
			files(t, p.local, "folder/")
			_, err := p.apply(t, newMachine(), map[string]cty.Value{
				"direction": cty.StringVal("download"), "sources": strs(c.sources...), "destination": cty.StringVal(c.destination),
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if left, _ := filepath.Glob(".ingot-part-*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestBrokenConnection: the error survives, and nothing half is left here.
func TestBrokenConnection(t *testing.T) {
	p := newPlace(t)
	files(t, ".", "a", "d/b")
	files(t, p.remote, "a", "d/b")
	m := newMachine()
	m.broken = component.ErrDisconnected
	for name, values := range map[string]map[string]cty.Value{
		"file":            {"source": cty.StringVal("a"), "destination": cty.StringVal("R:/x")},
		"folder":          {"source": cty.StringVal("d"), "destination": cty.StringVal("R:/x")},
		"content":         {"content": cty.StringVal("a"), "destination": cty.StringVal("R:/x")},
		"download":        {"direction": cty.StringVal("download"), "source": cty.StringVal("R:/a"), "destination": cty.StringVal("y")},
		"download folder": {"direction": cty.StringVal("download"), "source": cty.StringVal("R:/d/"), "destination": cty.StringVal("x/")},
		"pattern":         {"direction": cty.StringVal("download"), "source": cty.StringVal("R:/*"), "destination": cty.StringVal("x/")},
	} {
		if _, err := p.apply(t, m, values); !errors.Is(err, component.ErrDisconnected) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if diff := cmp.Diff([]string{"a", "d/b"}, tree(t, p.local)); diff != "" {
		t.Error(diff)
	}
}

func TestThrough(t *testing.T) {
	one, two := errors.New("one"), errors.New("two")
	big := make([]byte, 1<<20)
	for name, c := range map[string]struct {
		write func(io.Writer) error
		read  func(io.Reader) error
		want  error
	}{
		"good":         {func(w io.Writer) error { _, err := w.Write(big); return err }, func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }, nil},
		"reads a part": {func(w io.Writer) error { _, err := w.Write(big); return err }, func(r io.Reader) error { _, err := io.CopyN(io.Discard, r, 10); return err }, nil},
		"write fails":  {func(w io.Writer) error { return one }, func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }, one},
		"read fails":   {func(w io.Writer) error { _, err := w.Write(big); return err }, func(r io.Reader) error { return two }, two},
		"read fails, the other side hides why": {func(w io.Writer) error {
			if _, err := w.Write(big); err != nil {
				return one
			}
			return nil
		}, func(r io.Reader) error { return two }, two},
		"fails after reading": {func(w io.Writer) error { _, _ = w.Write([]byte("x")); return one }, func(r io.Reader) error { _, err := io.CopyN(io.Discard, r, 1); return err }, one},
	} {
		if got := through(c.write, c.read); !errors.Is(got, c.want) || c.want == nil && got != nil {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestInputs(t *testing.T) {
	newPlace(t)
	files(t, ".", "d/a", "b")
	for name, c := range map[string]struct {
		values   map[string]cty.Value
		files    []string
		volatile bool
	}{
		"sources":   {map[string]cty.Value{"sources": strs("b"), "source": cty.StringVal("d")}, []string{"b", "d"}, false},
		"content":   {map[string]cty.Value{"content": cty.StringVal("x")}, nil, false},
		"generated": {map[string]cty.Value{"source": cty.StringVal("later"), "generated": cty.True}, nil, true},
		"download":  {map[string]cty.Value{"source": cty.StringVal("x"), "direction": cty.StringVal("download")}, nil, true},
	} {
		c.values["destination"] = cty.StringVal("/x")
		s, diags := New().Plan(t.Context(), New().Schema().Object(c.values))
		if diags.HasErrors() {
			t.Fatalf("%s: %v", name, diags.Err())
		}
		in := s.(component.InputReader).Inputs()
		if !slices.Equal(in.Files, c.files) || (in.Volatile != "") != c.volatile || in.Neutral {
			t.Errorf("%s: got %+v", name, in)
		}
	}
}

func FuzzShellPattern(f *testing.F) {
	for _, s := range []string{"a b", "it's", "$(touch x)", "`x`", "a;b", "a\nb", "x\\y", "é&|<>", "#", "(a)", "{a,b}", "!"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if strings.ContainsAny(name, "\x00/*?[]~") || name == "" || name == "." || name == ".." || len(name) > 100 {
			t.Skip("no plain file name")
		}
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Skip(err)
		}
		out, err := exec.Command("sh", "-c", "for f in "+shellPattern(dir+"/"+name+"*")+"; do printf '%s\\000' \"$f\"; done").Output()
		if err != nil || string(out) != path+"\x00" {
			t.Errorf("%q: got %q, %v", name, out, err)
		}
	})
}
