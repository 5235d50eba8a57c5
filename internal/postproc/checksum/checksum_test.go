package checksum

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

const (
	md5abc    = "900150983cd24fb0d6963f7d28e17f72"
	sha1abc   = "a9993e364706816aba3e25717850c26c9cd0d89d"
	sha256abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	md5empty  = "d41d8cd98f00b204e9800998ecf8427e"
)

func input(t testing.TB, dir string) *component.Artifact {
	t.Helper()
	a := &component.Artifact{ID: "x"}
	for name, text := range map[string]string{"a": "abc", "e": ""} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a.Resources = append(a.Resources, component.Resource{Kind: component.FileKind, ID: path})
	}
	a.Files = []component.File{{Path: filepath.Join(dir, "a"), Size: 3}, {Path: filepath.Join(dir, "e")}}
	return a
}

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func TestContract(t *testing.T) {
	componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
		New: New,
		Valid: componenttest.Configs{
			"default": {},
			"all":     {"checksum_types": strs(types()...), "output": cty.StringVal("sub/{{.BuildName}}.{{.ChecksumType}}")},
			"one":     {"checksum_types": strs("sha1", "sha256"), "output": cty.StringVal("sums")},
		},
		Invalid: componenttest.Configs{
			"type":     {"checksum_types": strs("crc32")},
			"template": {"output": cty.StringVal("{{.ChecksumType")},
		},
		Input: input,
	})
}

func process(t testing.TB, r component.Run, in *component.Artifact, values map[string]cty.Value) *component.Artifact {
	t.Helper()
	tr, diags := New().Plan(t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	out, use, err := tr.Process(t.Context(), r, in)
	if err != nil || use != component.Requires {
		t.Fatalf("got %d, %v", use, err)
	}
	return out
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestFiles: the lines, the names, and what the artifact owns.
func TestFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	r, _, _ := componenttest.NewRun(t)
	out := process(t, r, input(t, "."), map[string]cty.Value{"checksum_types": strs("md5", "sha256")})
	if diff := cmp.Diff(md5abc+"\ta\n"+md5empty+"\te\n", content(t, "packer_test_null_md5.checksum")); diff != "" {
		t.Error(diff)
	}
	if got := content(t, "packer_test_null_sha256.checksum"); !strings.HasPrefix(got, sha256abc+"\ta\n") {
		t.Errorf("got %q", got)
	}
	var names []string
	for _, f := range out.Files {
		names = append(names, f.Path)
	}
	if diff := cmp.Diff([]string{"a", "e", "packer_test_null_md5.checksum", "packer_test_null_sha256.checksum"}, names); diff != "" {
		t.Error(diff)
	}
	if len(out.Resources) != 2 {
		t.Errorf("the artifact owns %v, want the two checksum files", out.Resources)
	}
}

// TestSecondRun: the same again gives the same file, and stale lines go.
func TestSecondRun(t *testing.T) {
	t.Chdir(t.TempDir())
	r, _, _ := componenttest.NewRun(t)
	values := map[string]cty.Value{"checksum_types": strs("md5", "sha1"), "output": cty.StringVal("sums")}
	in := input(t, ".")
	process(t, r, in, values)
	want := content(t, "sums")
	if lines := strings.Split(strings.TrimSpace(want), "\n"); len(lines) != 4 || lines[2] != sha1abc+"\ta" {
		t.Fatalf("got %q", want)
	}
	process(t, r, in, values)
	if got := content(t, "sums"); got != want {
		t.Errorf("twice in one run: %q, want %q", got, want)
	}
	// A later run: what an earlier one has written is out of date.
	if err := os.WriteFile("sums", []byte(md5empty+"\tgone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Template.Start = time.Now().Add(time.Hour)
	process(t, r, in, values)
	if got := content(t, "sums"); got != want {
		t.Errorf("in another run: %q, want %q", got, want)
	}
}

// TestShared: builds of one run that write to one file keep each other's
// lines.
func TestShared(t *testing.T) {
	t.Chdir(t.TempDir())
	var all sync.WaitGroup
	start := time.Now().Add(-time.Hour)
	for i := range 10 {
		r, _, _ := componenttest.NewRun(t)
		r.Template.Start = start
		name := string(rune('a' + i))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			process(t, r, &component.Artifact{Files: []component.File{{Path: name}}}, map[string]cty.Value{"output": cty.StringVal("sums")})
		})
	}
	all.Wait()
	if n := strings.Count(content(t, "sums"), "\n"); n != 10 {
		t.Errorf("%d lines, want 10", n)
	}
}

func TestNoFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	r, _, events := componenttest.NewRun(t)
	in := &component.Artifact{ID: "ami-1"}
	if out := process(t, r, in, nil); out != in {
		t.Errorf("got %v", out)
	}
	if !strings.Contains(events.Said(), "warning") {
		t.Error("nobody was told")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(md5abc + "\ta\n\nx\n" + sha1abc + "\tb\tc")
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range parse(text) {
			if !strings.Contains(text, l.sum+"\t"+l.name) || strings.Contains(l.sum, "\n") || strings.Contains(l.name, "\n") {
				t.Errorf("%q is no line of %q", l, text)
			}
		}
	})
}
