package artifice

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func files(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContract(t *testing.T) {
	dir := t.TempDir()
	files(t, filepath.Join(dir, "a.img"), filepath.Join(dir, "b.img"))
	componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
		New:   New,
		Valid: componenttest.Configs{"two": {"files": strs(filepath.Join(dir, "*.img"))}},
		Invalid: componenttest.Configs{
			"none":    {"files": cty.ListValEmpty(cty.String)},
			"pattern": {"files": strs("[")},
			"empty":   {"files": strs("")},
		},
		Input: func(testing.TB, string) *component.Artifact { return &component.Artifact{ID: "x"} },
	})
}

func TestMatches(t *testing.T) {
	t.Chdir(t.TempDir())
	files(t, "out/a.img", "out/b.img", "out/sub/c", "notes")
	for name, c := range map[string]struct {
		patterns []string
		files    []string
		owned    int
		warns    bool
	}{
		"path":           {[]string{"notes"}, []string{"notes"}, 1, false},
		"pattern":        {[]string{"out/*.img"}, []string{"out/a.img", "out/b.img"}, 2, false},
		"twice":          {[]string{"out/a.img", "out/*.img"}, []string{"out/a.img", "out/b.img"}, 2, false},
		"folder":         {[]string{"out/*"}, []string{"out/a.img", "out/b.img", "out/sub"}, 2, false},
		"one of two":     {[]string{"notes", "nothing*"}, []string{"notes"}, 1, true},
		"nothing at all": {[]string{"nothing*", "none"}, nil, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, events := componenttest.NewRun(t)
			out, use, err := transform{Files: c.patterns}.Process(t.Context(), r, &component.Artifact{ID: "x"})
			if use != component.Keeps {
				t.Errorf("use is %d", use)
			}
			if c.warns != strings.Contains(events.Said(), "warning") {
				t.Errorf("said %q", events.Said())
			}
			if c.files == nil {
				if err == nil || out != nil || !strings.Contains(err.Error(), "no file matches nothing*, none") {
					t.Errorf("got %v, %v", out, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.files, names(out.Files)); diff != "" {
				t.Error(diff)
			}
			if len(out.Resources) != c.owned {
				t.Errorf("it owns %v", out.Resources)
			}
			if out.ID != "" || out.Producer != "packer.post-processor.artifice" {
				t.Errorf("got %+v", out)
			}
		})
	}
}
