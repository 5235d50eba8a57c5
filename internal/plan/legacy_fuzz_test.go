package plan_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"ingot/internal/plan"
	"ingot/internal/template"
)

// FuzzMakeLegacy is FuzzMake for legacy JSON templates.
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
		f.Add(string(ar.Files[0].Data), "x={{upper `y`}}", "a*")
	}
	f.Add(doublingVariables(4), "v1={{range 3}}x{{end}}", "[")
	f.Fuzz(func(t *testing.T, text, set, only string) {
		tmpl, diags := template.Load("-", template.Options{Stdin: strings.NewReader(text), CoreVersion: "1.16.0"})
		// A value may call what reaches outside, too.
		fuzzPlan(t, tmpl, diags, text+set, set, only)
	})
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
	tmpl, diags := template.Load("-", template.Options{Stdin: strings.NewReader(doublingVariables(40)), CoreVersion: "1.16.0"})
	if diags != nil {
		t.Fatal(diags.Err())
	}
	_, diags = plan.Make(t.Context(), tmpl, plan.Inputs{Provider: provider{}, CoreVersion: "1.16.0", WorkDir: t.TempDir()})
	if errs := diags.Errors(); len(errs) != 1 || errs[0].Summary != "Text too long" {
		t.Errorf("found %v", diags.Err())
	}
}
