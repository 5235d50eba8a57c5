package plan_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/template"
)

// FuzzMakeLegacy does for legacy JSON templates what FuzzMake does for HCL.
func FuzzMakeLegacy(f *testing.F) {
	files, err := filepath.Glob("testdata/diag/legacy-*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range files {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ar.Files[0].Data, "x={{upper `y`}}", "a*")
	}
	f.Add([]byte(doublingVariables(4)), "", "")
	f.Fuzz(func(t *testing.T, text []byte, set, only string) {
		if outside := string(text) + set; strings.Contains(outside, "vault") || strings.Contains(outside, "consul") || strings.Contains(outside, "aws") {
			return // functions that reach outside
		}
		in := plan.Inputs{
			Provider: provider{}, CoreVersion: "1.16.0", WorkDir: os.TempDir(), Vars: []string{set}, Except: []string{only},
			Secrets: func(string) {},
		}
		planLegacy(t, text, in)
	})
}

// planLegacy does all that commands do with a template before a build runs,
// and formats what was found.
func planLegacy(t *testing.T, text []byte, in plan.Inputs) diag.List {
	t.Helper()
	tmpl, diags := template.Load("-", template.Options{Stdin: strings.NewReader(string(text)), CoreVersion: "1.16.0"})
	if !diags.HasErrors() {
		p, more := plan.Make(context.Background(), tmpl, in)
		diags = append(diags, more...)
		diags = append(diags, bindAll(p, map[string]cty.Value{"ID": cty.StringVal("i"), "Host": cty.StringVal("{{")})...)
		_, more = plan.Inspect(context.Background(), tmpl, in)
		diags = append(diags, more...)
	}
	var out strings.Builder
	if err := diag.Format(&out, diags, tmpl.Sources, diag.FormatOptions{Width: 60}); err != nil {
		t.Fatal(err)
	}
	return diags
}

// doublingVariables is a template with n variables, each twice as long as the
// one before.
func doublingVariables(n int) string {
	text := `{"variables": {"v0": "x"`
	for i := 1; i <= n; i++ {
		call := "{{user `v" + strconv.Itoa(i-1) + "`}}"
		text += `, "v` + strconv.Itoa(i) + `": "` + call + call + `"`
	}
	return text + `}, "builders": [{"type": "null", "image": "{{user ` + "`v" + strconv.Itoa(n) + "`" + `}}"}]}`
}

// Ensure that variables cannot grow without end.
func TestLegacyVariablesAreBounded(t *testing.T) {
	diags := planLegacy(t, []byte(doublingVariables(40)), plan.Inputs{Provider: provider{}, CoreVersion: "1.16.0", WorkDir: t.TempDir()})
	if errs := diags.Errors(); len(errs) == 0 || errs[0].Summary != "Text too long" {
		t.Errorf("found %v", diags.Err())
	}
}
