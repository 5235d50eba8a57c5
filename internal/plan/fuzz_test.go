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
		tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(text), CoreVersion: "1.16.0"})
		fuzzPlan(t, tmpl, diags, text, set, only)
	})
}

// FuzzMakeJSON is FuzzMake for templates in HCL's JSON syntax.
func FuzzMakeJSON(f *testing.F) {
	files, err := filepath.Glob("testdata/diag/*json*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range ar.Files {
			if strings.HasSuffix(file.Name, ".pkr.json") && len(file.Data) < 4000 {
				f.Add(string(file.Data), "x=1", "*.a")
			}
		}
	}
	f.Add(everyJSONBlock, "v={a=2}", "b.fake.*")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text, set, only string) {
		path := filepath.Join(dir, "t.pkr.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		tmpl, diags := template.Load(path, template.Options{CoreVersion: "1.16.0"})
		fuzzPlan(t, tmpl, diags, text, set, only)
	})
}

// everyJSONBlock has every block in its JSON form.
const everyJSONBlock = `{"//": "c", "packer": {"required_version": ">= 1.0.0", "required_plugins": {"p": {"source": "github.com/a/b", "version": ">= 1.0.0"}}},
"variable": {"v": {"type": "object({a=number,b=optional(string,\"x\")})", "default": {"a": 1}, "sensitive": true,
  "validation": {"condition": "${var.v.a > 0}", "error_message": "Too small."}}},
"variables": {"w": ["x"]}, "local": {"l": {"expression": "${var.v}", "sensitive": true}}, "locals": {"m": "${[for x in var.w : upper(x)]}"},
"data": {"lookup": {"d": {"key": "${local.m[0]}"}}},
"source": {"fake": {"a": {"image": "${data.lookup.d.value}", "dynamic": {"disk": {"for_each": "${var.w}", "content": {"size": 1}}}, "network": {"name": "n"}}}},
"build": [{"name": "b", "sources": ["fake.a"], "source": {"fake.a": {"name": "c"}},
  "provisioner": [{"shell": {"inline": ["${build.ID} ${source.name} {{build_name}}"], "override": {"c": {"script": "x"}}, "only": ["fake.c"], "timeout": "1m"}}],
  "error-cleanup-provisioner": {"shell": {"inline": "x"}},
  "post-processor": {"manifest": {"output": "x"}}, "post-processors": [{"post-processor": [{"compress": {"output": "y"}}]}]}],
"hcp_packer_registry": {}, "communicator": {"ssh": {"c": {}}}}`

// fuzzPlan plans and inspects what was loaded, and binds what was planned.
func fuzzPlan(t *testing.T, tmpl *template.Template, diags diag.List, text, set, only string) {
	if strings.Contains(text, "file") || strings.Contains(text, "vault") || strings.Contains(text, "consul") || strings.Contains(text, "aws") {
		return // functions that reach outside
	}
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
}
