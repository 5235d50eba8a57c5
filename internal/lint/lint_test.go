package lint_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/component"
	"ingot/internal/lint"
	"ingot/internal/plan"
	"ingot/internal/template"
)

// provider has no components, as if all of them were part of missing plugins.
type provider struct{}

func (provider) Builder(string) component.Builder             { return nil }
func (provider) Provisioner(string) component.Provisioner     { return nil }
func (provider) PostProcessor(string) component.PostProcessor { return nil }
func (provider) DataSource(string) component.DataSource       { return nil }
func (provider) Close() error                                 { return nil }
func (provider) Manifest() component.Manifest {
	return component.Manifest{
		Builders:       []string{"docker", "file", "null", "oci"},
		Provisioners:   []string{"breakpoint", "file", "shell", "shell-local", "sleep"},
		PostProcessors: []string{"docker-tag", "docker-push", "manifest", "shell-local"},
	}
}

// lintFiles writes files into a folder and applies all rules to it.
func lintFiles(t testing.TB, files map[string]string) *lint.Result {
	t.Helper()
	return lintDir(t, writeFiles(t, files), lint.Options{})
}

func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func lintDir(t testing.TB, dir string, o lint.Options) *lint.Result {
	t.Helper()
	tmpl, diags := template.Load(".", template.Options{CoreVersion: "1.16.0", WorkDir: dir})
	if diags.HasErrors() {
		t.Fatalf("load: %v", diags.Err())
	}
	survey, diags := plan.NewSurvey(context.Background(), tmpl, plan.Inputs{Provider: provider{}, WorkDir: dir, CoreVersion: "1.16.0"})
	if diags.HasErrors() {
		t.Fatalf("survey: %v", diags.Err())
	}
	r, err := lint.Run(context.Background(), lint.Input{Template: tmpl, Survey: survey, BuiltIn: provider{}.Manifest(), WorkDir: dir}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	in := lint.Input{Template: &template.Template{}, Survey: &plan.Survey{}}
	if r, err := lint.Run(ctx, in, lint.Options{}); err == nil || r != nil {
		t.Errorf("Run returned %v and the error %v", r, err)
	}
}

// TestLongHereDocument finds the place of each line in a long text; when that was
// looked for in a copy of the rest of the file, this took minutes.
func TestLongHereDocument(t *testing.T) {
	const before, lines = 6, 3000
	text := "source \"docker\" \"d\" {}\nbuild {\n  sources = [\"docker.d\"]\n  provisioner \"shell\" {\n    inline = [<<EOT\n" +
		"set -e\n" + strings.Repeat("echo a line of a script that is as long as they often are\n", lines) + "chmod 777 /srv\nEOT\n    ]\n  }\n}\n"
	var at []int
	for _, f := range lintFiles(t, map[string]string{"t.pkr.hcl": text}).Findings {
		if f.Rule.ID == "SH112" {
			at = append(at, f.Range.Start.Line)
		}
	}
	if want := before + lines + 1; !slices.Equal(at, []int{want}) {
		t.Errorf("found in the lines %v, want %d", at, want)
	}
}
