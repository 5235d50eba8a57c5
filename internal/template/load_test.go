package template_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/diag"
	"ingot/internal/template"
)

// Ensure that standard input is read as HCL2 when told so, and that a reader
// that fails is reported.
func TestLoadStdin(t *testing.T) {
	tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader("source \"a\" \"b\" {}\n")})
	if len(diags) > 0 || len(tmpl.SourceBlocks) != 1 || tmpl.Dir != "." {
		t.Errorf("got %+v and %v", tmpl, diags.Err())
	}
	_, diags = template.Load("-", template.Options{ConfigType: "hcl2", Stdin: failing{}})
	if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), "broken pipe dream") {
		t.Errorf("got %v", diags.Err())
	}
	if _, diags = template.Load("-", template.Options{ConfigType: "hcl2"}); !diags.HasErrors() {
		t.Error("no standard input is no error")
	}
	if _, diags = template.Load("-", template.Options{}); !diags.HasErrors() {
		t.Error("legacy JSON on standard input is no error")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken pipe dream") }

// Ensure that a folder is read in the order of names, without hidden files
// and sub-folders, and that Dir stays as it was given.
func TestLoadFolder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"t/b.pkr.hcl": "build {}\n", "t/a.pkr.hcl": "source \"a\" \"b\" {}\n", "t/c.pkr.json": `{"variable": {"x": {"type": "list(string)"}}}`,
		"t/.hidden.pkr.hcl": "nonsense", "t/sub/d.pkr.hcl": "nonsense", "t/notes.txt": "nonsense",
		"t/z.auto.pkrvars.hcl": "", "t/y.auto.pkrvars.hcl": "", "t/a.auto.pkrvars.json": "{}", "t/e.pkrvars.hcl": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tmpl, diags := template.Load("./t/", template.Options{WorkDir: dir})
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	if tmpl.Dir != "./t/" {
		t.Errorf("Dir is %q", tmpl.Dir)
	}
	if len(tmpl.Builds) != 1 || len(tmpl.SourceBlocks) != 1 || len(tmpl.Variables) != 1 || len(tmpl.Sources) != 3 {
		t.Errorf("read %+v", tmpl)
	}
	if got := strings.Join(tmpl.AutoVarFiles, " "); got != "t/y.auto.pkrvars.hcl t/z.auto.pkrvars.hcl t/a.auto.pkrvars.json" {
		t.Errorf("automatic var files: %s", got)
	}
}

// Ensure that required_version is checked before anything else, in every file.
func TestRequiredVersion(t *testing.T) {
	for _, c := range []struct {
		want, core string
		ok         bool
	}{
		{">= 1.9.0", "1.16.0", true},
		{"~> 1.16.0", "1.16.0", true},
		{">= 1.9, < 1.16", "1.16.0", false},
		{"1.15.0", "1.16.0", false},
		{">= 99", "", true},
	} {
		_, diags := template.Load("-", template.Options{
			ConfigType: "hcl2", CoreVersion: c.core,
			Stdin: strings.NewReader("packer {\n  required_version = \"" + c.want + "\"\n}\n"),
		})
		if diags.HasErrors() == c.ok {
			t.Errorf("%s with %q: %v", c.want, c.core, diags.Err())
		}
	}
}

// FuzzLoad feeds arbitrary text to the reader of templates, in both syntaxes.
// It must neither panic nor report an error without words.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "source \"a\" \"b\" {\n  x = \"${var.y}\"\n}\n", "build {\n  sources = [\"a.b\"]\n  provisioner \"x\" {\n    only = 1\n  }\n}\n",
		"variable \"v\" {\n  type = list(string)\n  validation {\n    condition = var.v != 1\n    error_message = \"X.\"\n  }\n}\n",
		"packer {\n  required_version = \">= 1\"\n  required_plugins {\n    a = { source = \"a/b/c\", version = \"1\" }\n  }\n}\n",
		"locals {\n  a = <<-E\n  x\n  E\n}\nlocal \"b\" {}\n", `{"build": {"provisioner": [{"x": {}}]}, "locals": {"a": "${b}"}}`, `{"packer": [{"required_plugins": {"a": {"source": 1}}}]}`,
		"build {\n  dynamic \"source\" {\n    for_each = 1\n  }\n}\n", "a = " + strings.Repeat("!", 100), `{"variable": {"x": {"validation": [{}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		for _, name := range []string{"t.pkr.hcl", "t.pkr.json"} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
			tmpl, diags := template.Load(name, template.Options{WorkDir: dir, CoreVersion: "1.16.0"})
			check(t, tmpl, diags)
		}
	})
}

// FuzzVarFile does the same for var files.
func FuzzVarFile(f *testing.F) {
	for _, seed := range []string{"", "a = 1\n", "a = \"${b}\"\n", "a {}\n", `{"a": [1, {"b": null}]}`, `[]`, `{"a": "${x}"}`, "a = [for x in [1] : x]\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "t.pkr.hcl"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		tmpl, _ := template.Load("t.pkr.hcl", template.Options{WorkDir: dir})
		for _, name := range []string{"v.hcl", "v.json"} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
			_, diags := tmpl.ReadVarFile(name)
			check(t, tmpl, diags)
		}
	})
}

// check formats what was found, which walks every range.
func check(t *testing.T, tmpl *template.Template, diags diag.List) {
	t.Helper()
	for _, d := range diags {
		if d.Summary == "" {
			t.Errorf("a finding without a summary: %+v", d)
		}
	}
	var out strings.Builder
	if err := diag.Format(&out, diags, tmpl.Sources, diag.FormatOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Ensure that a byte that is no character is found wherever it stands, and named
// with its place: HCL's scanner lets some of them pass.
func TestNotUTF8(t *testing.T) {
	for _, c := range []struct {
		src          string
		line, column int
		names        string
	}{
		{"A=\xd0 ", 1, 3, "0xd0"},
		{"# é\nlocals {\n  ö = b\xd0 c\n}\n", 3, 8, "0xd0"},
		{"\xff\xfea\x00", 1, 1, "0xff"},
	} {
		diags := template.CheckText("t.pkr.hcl", []byte(c.src))
		if len(diags) != 1 || diags[0].Subject == nil {
			t.Errorf("%q: got %v", c.src, diags.Err())
			continue
		}
		if at := diags[0].Subject.Start; at.Line != c.line || at.Column != c.column || !strings.Contains(diags[0].Detail, c.names) {
			t.Errorf("%q: got %d:%d %s, want %d:%d", c.src, at.Line, at.Column, diags[0].Detail, c.line, c.column)
		}
	}
	if diags := template.CheckText("t.pkr.hcl", []byte("\ufeffa = \"ö\ufffd\"\n")); diags != nil {
		t.Error(diags.Err())
	}
}
