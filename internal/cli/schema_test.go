package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/component"
	"ingot/internal/plan"
	"ingot/internal/schemadoc"
	"ingot/internal/template"
)

func testApp(t *testing.T) *app {
	t.Helper()
	return &app{getenv: func(string) string { return "" }, streams: Streams{Out: os.Stdout, Err: os.Stderr}}
}

// TestReferenceIsCurrent compares docs/reference with what the schemas say now.
func TestReferenceIsCurrent(t *testing.T) {
	const dir = "../../docs/reference"
	pages := testApp(t).document().Pages()
	if len(pages) < 20 {
		t.Fatalf("there are only %d pages", len(pages))
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("docs/reference/%s is out of date; run %s (-file +schema)\n%s", name, schemadoc.Command, cmp.Diff(string(got), want))
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if _, ok := pages[filepath.ToSlash(name)]; !ok {
			t.Errorf("docs/reference/%s describes nothing that exists; remove it", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEverythingIsDescribed: every component, block and attribute has a
// description, and a default that is described is the one that is used.
func TestEverythingIsDescribed(t *testing.T) {
	d := testApp(t).document()
	var check func(where string, b schemadoc.Body)
	check = func(where string, b schemadoc.Body) {
		for _, a := range b.Attributes {
			if !strings.HasSuffix(a.Description, ".") {
				t.Errorf("%s: the description of %q is not a sentence: %q", where, a.Name, a.Description)
			}
			if stated := schemadoc.StatedDefault(a.Description); len(a.Default) > 0 && stated != "" && stated != strings.Trim(string(a.Default), `"`) {
				t.Errorf("%s: the default of %q is %s, and the description says %s", where, a.Name, a.Default, stated)
			}
		}
		for _, block := range b.Blocks {
			if block.Description == "" {
				t.Errorf("%s: block %q has no description", where, block.Type)
			}
			check(where+" "+block.Type, block.Body)
		}
	}
	for _, c := range d.Components {
		where := string(c.Kind) + " " + c.Name
		if !strings.HasSuffix(c.Description, ".") {
			t.Errorf("%s: the description is not a sentence: %q", where, c.Description)
		}
		if c.Example == "" && c.Kind != schemadoc.Communicator {
			t.Errorf("%s has no example: set Manual in its schema", where)
		}
		if c.Artifact == "" && (c.Kind == schemadoc.Builder || c.Kind == schemadoc.PostProcessor) {
			t.Errorf("%s does not say what its artifact is", where)
		}
		check(where, c.Body)
	}
	for _, b := range d.Blocks {
		check("block "+b.Type, b.Body)
	}
}

// inTemplate puts an example into a template that uses it.
func inTemplate(c schemadoc.Component) string {
	const source = "source \"docker\" \"base\" {\n  image  = \"debian:12\"\n  commit = true\n}\n"
	switch c.Kind {
	case schemadoc.Builder:
		return c.Example + "build {\n  sources = [\"" + c.Name + ".example\"]\n}\n"
	case schemadoc.DataSource:
		return c.Example + source + "build {\n  sources = [\"docker.base\"]\n}\n"
	}
	return source + "build {\n  sources = [\"docker.base\"]\n" + c.Example + "}\n"
}

// TestExamplesAreValid plans every example of the reference, and compares what
// the manual of a builder says that templates see with what its jobs say.
func TestExamplesAreValid(t *testing.T) {
	// What examples for other programs name has to be there.
	t.Chdir(t.TempDir())
	for _, dir := range []string{"roles/web", "modules"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"site.yml", "site.pp"} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range testApp(t).document().Components {
		if c.Kind == schemadoc.Communicator || c.Name == "oci" && runtime.GOOS != "linux" {
			continue
		}
		t.Run(string(c.Kind)+"/"+c.Name, func(t *testing.T) {
			src := inTemplate(c)
			tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(src), CoreVersion: packerVersion})
			p, more := plan.Make(t.Context(), tmpl, plan.Inputs{Provider: builtins(), CoreVersion: packerVersion, WorkDir: t.TempDir()})
			if diags = append(diags, more...); len(diags) > 0 {
				t.Fatalf("%v in\n%s", diags[0].Error(), src)
			}
			if c.Kind == schemadoc.Builder {
				checkFacts(t, c, p.Builds[0].Job)
			}
		})
	}
}

func checkFacts(t *testing.T, c schemadoc.Component, job component.Job) {
	t.Helper()
	names := func(l []schemadoc.Term) []string {
		out := []string{}
		for _, term := range l {
			out = append(out, term.Name)
		}
		slices.Sort(out)
		return out
	}
	facts, data := []string{}, []string{}
	if f, ok := job.(component.FactNames); ok {
		facts = append(facts, f.FactNames()...)
	}
	if d, ok := job.(component.DataNames); ok {
		data = append(data, d.DataNames()...)
	}
	slices.Sort(facts)
	slices.Sort(data)
	if diff := cmp.Diff(facts, names(c.Facts)); diff != "" {
		t.Errorf("facts of the job and of the manual (-job +manual)\n%s", diff)
	}
	if diff := cmp.Diff(data, names(c.Data)); diff != "" {
		t.Errorf("data of the job and of the manual (-job +manual)\n%s", diff)
	}
}

// TestBuildValuesExist: what is described as build.NAME can be used in a
// provisioner.
func TestBuildValuesExist(t *testing.T) {
	var lines strings.Builder
	for _, v := range testApp(t).document().Values {
		if strings.HasPrefix(v.Name, "build.") && !strings.Contains(v.Name, "BLOCK") || strings.HasPrefix(v.Name, "source.") || strings.HasPrefix(v.Name, "p") {
			lines.WriteString("    \"${" + v.Name + "}\",\n")
		}
	}
	src := "source \"null\" \"n\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"null.n\"]\n  provisioner \"shell-local\" {\n    inline = [\n" + lines.String() + "    ]\n  }\n}\n"
	tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(src), CoreVersion: packerVersion})
	_, more := plan.Make(t.Context(), tmpl, plan.Inputs{Provider: builtins(), CoreVersion: packerVersion, WorkDir: t.TempDir()})
	if diags = append(diags, more...); len(diags) > 0 {
		t.Fatalf("%v in\n%s", diags[0].Error(), src)
	}
}

// TestResultsAreDescribed: the manual of a data source has the attributes of
// its result.
func TestResultsAreDescribed(t *testing.T) {
	d := testApp(t).document()
	for _, c := range d.Of(schemadoc.DataSource) {
		want := []string{}
		result := builtins().DataSource(c.Name).Result()
		for name := range result.AttributeTypes() {
			want = append(want, name)
		}
		got := []string{}
		for _, r := range c.Results {
			got = append(got, r.Name)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-result +manual)\n%s", c.Name, diff)
		}
	}
}
