package lock

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"

	"ingot/internal/addr"
	"ingot/internal/plugin/store"
)

func plugin(t *testing.T, address, v string) *Plugin {
	t.Helper()
	p, err := addr.ParsePlugin(address)
	if err != nil {
		t.Fatal(err)
	}
	return &Plugin{Address: p, Version: version.Must(version.NewSemver(v)), Archives: map[store.Platform]string{}, Programs: map[store.Platform]string{}}
}

var digest = strings.Repeat("0123456789abcdef", 4)

// Ensure that a lock file is read as it was written, and written in one way only.
func TestRoundTrip(t *testing.T) {
	f := &File{Path: filepath.Join(t.TempDir(), Name)}
	if changed, err := f.Write(); err != nil || changed {
		t.Errorf("a file that locks nothing was written: %v, %v", changed, err)
	}
	b, a := plugin(t, "github.com/acme/b", "1.0.0-dev"), plugin(t, "github.com/acme/a", "1.2.3")
	a.Constraints, a.Origin = ">= 1.0, < 2", "https://example.com/${x}\"%{"
	for _, p := range []store.Platform{{OS: "linux", Arch: "amd64"}, {OS: "darwin", Arch: "arm64"}, {OS: "windows", Arch: "386"}} {
		a.Archives[p] = digest
	}
	a.Programs[store.Platform{OS: "linux", Arch: "amd64"}] = digest
	f.Set(b)
	f.Set(plugin(t, "github.com/acme/a", "1.0.0"))
	f.Set(a)
	if changed, err := f.Write(); err != nil || !changed {
		t.Fatalf("%v, %v", changed, err)
	}
	got, diags := Read(f.Path)
	if diags != nil {
		t.Fatal(diags.Err())
	}
	if len(got.Plugins) != 2 || got.Plugins[0].Address != a.Address || got.Plugin(b.Address) == nil {
		t.Fatalf("got %v", got.Plugins)
	}
	compare := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Range" }, cmp.Ignore())
	if d := cmp.Diff(a, got.Plugins[0], compare, cmp.Comparer(func(a, b addr.Plugin) bool { return a == b }), cmp.Comparer(func(a, b *version.Version) bool { return a.Equal(b) })); d != "" {
		t.Error(d)
	}
	if got.Plugins[0].Range == (hcl.Range{}) {
		t.Error("the place of the block is not known")
	}
	if changed, err := got.Write(); err != nil || changed {
		t.Errorf("what has not changed was written: %v, %v", changed, err)
	}
	left, err := os.ReadDir(filepath.Dir(f.Path))
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

// Ensure that what cannot be held is refused.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`plugin "a/b/c" {}`, "version"},
		{`plugin "a/b" { version = "1.0.0" }`, "is not a plugin's address"},
		{`plugin "a/../c" { version = "1.0.0" }`, "cannot be the name of a folder"},
		{`plugin "a/b/c" { version = "1.0" }`, "is not a version"},
		{`plugin "a/b/c" { version = 1 }`, "A text in quotes"},
		{`plugin "a/b/c" { version = "${x}" }`, "A text in quotes"},
		{"plugin \"a/b/c\" {\n version = \"1.0.0\"\n other = 1\n}", "other"},
		{"plugin \"a/b/c\" {\n version = \"1.0.0\"\n}\nplugin \"a/b/c\" {\n version = \"1.0.0\"\n}", "locked twice"},
		{"plugin \"a/b/c\" {\n version = \"1.0.0\"\n programs = { linux = \"sha256:" + digest + "\" }\n}", "is not a platform"},
		{"plugin \"a/b/c\" {\n version = \"1.0.0\"\n programs = { linux_amd64 = \"" + digest + "\" }\n}", "is not a checksum"},
		{"plugin \"a/b/c\" {\n version = \"1.0.0\"\n programs = { linux_amd64 = \"sha256:" + digest[1:] + "\" }\n}", "is not a checksum"},
		{"plugin \"a/b/c\" {\n version = \"1.0.0\"\n programs = { linux_amd64 = \"sha256:" + digest + "\", \"linux_amd64\" = \"sha256:" + digest + "\" }\n}", "twice"},
		{"plugin \"a/b/c\" {\n version = \"1.0.0\"\n programs = 1\n}", "is an object"},
		{`source "a" "b" {}`, "source"},
		{`plugin {`, ""},
		{strings.Repeat("[", 100_000), ""},
		{"\xff", "UTF-8"},
	} {
		path := filepath.Join(t.TempDir(), Name)
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if f, diags := Read(path); !diags.HasErrors() || !strings.Contains(diags.Err().Error(), c.want) {
			t.Errorf("%s: %v, %v", c.text, f.Plugins, diags.Err())
		}
	}
	if _, diags := Read(t.TempDir()); !diags.HasErrors() {
		t.Error("a folder was read")
	}
}

// FuzzRead looks for lock files that do not survive being written.
func FuzzRead(f *testing.F) {
	f.Add([]byte("plugin \"a/b/c\" {\n version = \"1.0.0\"\n archives = { linux_amd64 = \"sha256:" + digest + "\" }\n}"))
	f.Add([]byte(header))
	f.Fuzz(func(t *testing.T, text []byte) {
		one := &File{Path: Name, Text: text}
		if one.parse().HasErrors() {
			return
		}
		again := &File{Path: Name, Text: one.Bytes()}
		if diags := again.parse(); diags.HasErrors() {
			t.Fatalf("%v\n%s", diags.Err(), again.Text)
		}
		if !bytes.Equal(one.Bytes(), again.Bytes()) {
			t.Errorf("%s\nbecomes\n%s", one.Bytes(), again.Bytes())
		}
	})
}
