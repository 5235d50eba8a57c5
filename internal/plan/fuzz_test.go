package plan_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/template"
)

// FuzzMake plans arbitrary templates with doubles for components and binds
// what could be planned. It must not panic, and only a template without
// errors may have all its builds.
func FuzzMake(f *testing.F) {
	files, err := filepath.Glob("testdata/diag/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range ar.Files {
			if strings.HasSuffix(file.Name, ".pkr.hcl") && len(file.Data) < 2000 {
				f.Add(string(file.Data), "x=1", "*.a")
			}
		}
	}
	f.Fuzz(func(t *testing.T, text, set, only string) {
		if strings.Contains(text, "file") || strings.Contains(text, "vault") || strings.Contains(text, "consul") || strings.Contains(text, "aws") {
			return // functions that reach outside
		}
		tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(text), CoreVersion: "1.16.0"})
		if !diags.HasErrors() {
			in := plan.Inputs{
				Provider: provider{}, CoreVersion: "1.16.0", WorkDir: os.TempDir(), Vars: []string{set}, Except: []string{only},
				EvaluateData: len(text)%2 == 0, Environ: []string{"PKR_VAR_y=" + set}, Secrets: func(string) {},
			}
			p, more := plan.Make(context.Background(), tmpl, in)
			diags = append(diags, more...)
			facts := map[string]cty.Value{"ID": cty.StringVal("i"), "Host": cty.StringVal("{{")}
			diags = append(diags, bindAll(p, facts)...)
			_, more = plan.Inspect(context.Background(), tmpl, in)
			diags = append(diags, more...)
		}
		var out strings.Builder
		if err := diag.Format(&out, diags, tmpl.Sources, diag.FormatOptions{Width: 60}); err != nil {
			t.Fatal(err)
		}
	})
}
