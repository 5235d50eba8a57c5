package plan_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/template"
)

var update = flag.Bool("update", false, "rewrite the expected parts of golden files")

const wantFile = "want"

// TestDiagnostics plans the templates in testdata/diag and compares what the
// user is shown. A file holds arguments, one a line, above the template's
// files; the expected text is the file "want".
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/diag/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			c := readCase(t, ar)
			got := c.run(t)
			if *update {
				c.write(t, name, got)
				return
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("findings (-want +got; run with -update to accept):\n%s", d)
			}
		})
	}
}

// diagCase is one golden file.
type diagCase struct {
	ar   *txtar.Archive
	path string
	in   plan.Inputs
	opts template.Options
	fmt  diag.FormatOptions
	// facts are given to every Bind when set.
	facts map[string]cty.Value
	want  string
}

func readCase(t *testing.T, ar *txtar.Archive) *diagCase {
	t.Helper()
	dir := t.TempDir()
	c := &diagCase{ar: ar, path: "."}
	c.opts = template.Options{CoreVersion: "1.16.0", WorkDir: dir}
	c.in = plan.Inputs{
		Provider: provider{}, WorkDir: dir, Home: "/home/u", CoreVersion: "1.16.0",
		Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	for _, f := range ar.Files {
		if f.Name == wantFile {
			c.want = string(f.Data)
			continue
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(string(ar.Comment)), "\n") {
		key, val, _ := strings.Cut(line, " ")
		switch key {
		case "", "#":
		case "-var":
			c.in.Vars = append(c.in.Vars, val)
		case "-var-file":
			c.in.VarFiles = append(c.in.VarFiles, val)
		case "-only":
			c.in.Only = append(c.in.Only, val)
		case "-except":
			c.in.Except = append(c.in.Except, val)
		case "-config-type":
			c.opts.ConfigType = val
		case "-warn-undeclared":
			c.in.WarnUndeclared = true
		case "-evaluate-data":
			c.in.EvaluateData = true
		case "env":
			c.in.Environ = append(c.in.Environ, val)
		case "path":
			c.path = val
		case "stdin":
			text, err := os.ReadFile(filepath.Join(dir, val))
			if err != nil {
				t.Fatal(err)
			}
			c.opts.Stdin = bytes.NewReader(text)
		case "color":
			c.fmt.Color = true
		case "width":
			c.fmt.Width = 40
		case "fact":
			name, text, _ := strings.Cut(val, "=")
			if c.facts == nil {
				c.facts = map[string]cty.Value{}
			}
			c.facts[name] = cty.StringVal(text)
		default:
			t.Fatalf("unknown argument %q", line)
		}
	}
	return c
}

func (c *diagCase) run(t *testing.T) string {
	t.Helper()
	tmpl, diags := template.Load(c.path, c.opts)
	if !diags.HasErrors() {
		p, more := plan.Make(context.Background(), tmpl, c.in)
		diags = append(diags, more...)
		if c.facts != nil {
			diags = append(diags, bindAll(p, c.facts)...)
		}
	}
	var out bytes.Buffer
	if err := diag.Format(&out, diags, tmpl.Sources, c.fmt); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(out.String(), c.in.WorkDir, "DIR")
}

func bindAll(p *plan.Plan, facts map[string]cty.Value) diag.List {
	var out diag.List
	for _, b := range p.Builds {
		for _, s := range b.Provisioners {
			_, diags := s.Bind(context.Background(), facts)
			out = append(out, diags...)
		}
		for _, chain := range b.Chains {
			for _, s := range chain {
				_, diags := s.Bind(context.Background(), facts)
				out = append(out, diags...)
			}
		}
	}
	return out
}

func (c *diagCase) write(t *testing.T, name, got string) {
	t.Helper()
	for i := range c.ar.Files {
		if c.ar.Files[i].Name == wantFile {
			c.ar.Files = append(c.ar.Files[:i], c.ar.Files[i+1:]...)
			break
		}
	}
	c.ar.Files = append(c.ar.Files, txtar.File{Name: wantFile, Data: []byte(got)})
	if err := os.WriteFile(name, txtar.Format(c.ar), 0o644); err != nil {
		t.Fatal(err)
	}
}
