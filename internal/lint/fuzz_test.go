package lint_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/lint"
	"ingot/internal/plan"
	"ingot/internal/template"
)

// FuzzLint judges whatever can be read as a template, with a script. It must
// not panic, every place must lie in its file, and every form can be written.
func FuzzLint(f *testing.F) {
	_, sections := readDocument(f)
	for _, s := range sections {
		for _, e := range []example{s.bad, s.good} {
			files := e.frame()
			f.Add(files["image.pkr.hcl"]+files["plugins.pkr.hcl"], files["setup.sh"])
		}
	}
	f.Add("source \"docker\" \"x\" {\n  image = <<EOT\n${var.x}\nEOT\n}\n", "a <<EOF\n$(\nEOF\n")
	f.Fuzz(func(t *testing.T, text, script string) {
		// Functions that read files would read those of this machine.
		if strings.Contains(text, "file") && strings.Contains(text, "(") || len(text)+len(script) > 20_000 {
			return
		}
		judge(t, text, "hcl2", script)
	})
}

// FuzzLegacy is FuzzLint for legacy templates.
func FuzzLegacy(f *testing.F) {
	f.Add(`{"variables": {"x": "y"}, "builders": [{"type": "docker", "image": "debian", "changes": ["ENV A_TOKEN=1"]}], "provisioners": [{"type": "shell", "script": "s", "env": {"A": "{{user ` + "`x`" + `}}"}}]}`)
	f.Add(`{"_c": ["ingot:ignore=SH101"], "builders": [{"type": "amazon-ebs", "//": "ingot:ignore=X", "source_ami_filter": [{"filters": {}}], "launch_block_device_mappings": {}}], "post-processors": [["manifest", {"type": "x"}]]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 20_000 {
			return
		}
		judge(t, text, "json", "a\nb\n")
	})
}

// judge lints a template, if it is one, with two scripts beside it.
func judge(t *testing.T, text, kind, script string) {
	tmpl, diags := template.Load("-", template.Options{ConfigType: kind, Stdin: strings.NewReader(text), CoreVersion: "1.16.0"})
	if diags.HasErrors() {
		return
	}
	dir := t.TempDir()
	for _, name := range []string{"setup.sh", "s"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	survey, _ := plan.NewSurvey(ctx, tmpl, plan.Inputs{Provider: provider{}, WorkDir: dir, CoreVersion: "1.16.0"})
	r, err := lint.Run(ctx, lint.Input{Template: tmpl, Survey: survey, BuiltIn: provider{}.Manifest(), WorkDir: dir, Home: dir}, lint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range r.Findings {
		src, ok := r.Sources[x.Range.Filename]
		if !ok || x.Range.Start.Byte < 0 || x.Range.End.Byte > len(src) || x.Range.End.Byte < x.Range.Start.Byte {
			t.Errorf("%s is at %v of %d bytes (file known: %v)", x.Rule.ID, x.Range, len(src), ok)
		}
	}
	everyForm(t, r)
}

// FuzzShell is FuzzLint for the script alone, which finds more of its forms.
func FuzzShell(f *testing.F) {
	for _, c := range shellCases() {
		for _, text := range c.files {
			f.Add(text)
		}
		f.Add(strings.ReplaceAll(c.text, "\n", ";"))
	}
	f.Add("#!/bin/bash\nsudo -u x env A=b timeout 5 sh -c 'bash -c \"eval '\"$(curl x)\"'\"' | su -c y\n")
	f.Fuzz(func(t *testing.T, script string) {
		if len(script) > 20_000 {
			return
		}
		everyForm(t, lintFiles(t, example{"setup.sh": script + "\n"}.frame()))
	})
}
