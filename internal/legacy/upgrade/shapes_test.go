package upgrade_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/legacy"
	"ingot/internal/legacy/upgrade"
)

// TestShapesAgreeWithSettings compares what the conversion knows of settings
// with the settings that components have: the listed ones and those of this
// module.
func TestShapesAgreeWithSettings(t *testing.T) {
	files, err := filepath.Glob(testdata + "/settings/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d lists, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name, what := strings.TrimSuffix(filepath.Base(f), ".txt"), "builder"
		if plain, ok := strings.CutSuffix(name, ".post-processor"); ok {
			name, what = plain, "post-processor"
		}
		checkShapes(t, what, name, listed(string(text)))
	}
	real := provider{&legacy.Template{}}
	for _, name := range real.Manifest().Builders {
		checkShapes(t, "builder", name, real.Builder(name).Schema())
	}
	for _, name := range real.Manifest().Provisioners {
		checkShapes(t, "provisioner", name, real.Provisioner(name).Schema())
	}
	for _, name := range real.Manifest().PostProcessors {
		checkShapes(t, "post-processor", name, real.PostProcessor(name).Schema())
	}
}

func checkShapes(t *testing.T, what, name string, s component.Schema) {
	t.Helper()
	known := upgrade.Shapes(what, name)
	for setting, want := range settingKinds("", s) {
		if got := known[setting]; got != want {
			t.Errorf("%s %q: %s is known as a %q, and is a %q", what, name, setting, got, want)
		}
	}
}

// settingKinds are the kinds of the settings that are written in different
// ways in JSON and in HCL.
func settingKinds(prefix string, s component.Schema) map[string]string {
	out := map[string]string{}
	for _, a := range s.Attributes {
		switch {
		case a.Name == "ssh_private_key" || a.Name == "ssh_public_key": // bytes, never written
		case a.Type.IsListType() && a.Type.ElementType().IsPrimitiveType():
			out[prefix+a.Name] = "list"
		case a.Type.IsMapType():
			out[prefix+a.Name] = "map"
		case a.Type == cty.String || a.Type == cty.Bool || a.Type == cty.Number:
			out[prefix+a.Name] = ""
		}
	}
	for _, b := range s.Blocks {
		out[prefix+b.Name] = "block"
		for n, k := range settingKinds(prefix+b.Name+".", b.Schema) {
			out[n] = k
		}
	}
	return out
}
