package plan_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/plan"
	"ingot/internal/template"
)

// write puts files into a new folder and returns inputs for it.
func write(t *testing.T, files map[string]string) plan.Inputs {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return plan.Inputs{
		Provider: provider{}, WorkDir: dir, Home: "/home/u", CoreVersion: "1.16.0",
		Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func load(t *testing.T, path string, in plan.Inputs) *template.Template {
	t.Helper()
	tmpl, diags := template.Load(path, template.Options{CoreVersion: "1.16.0", WorkDir: in.WorkDir})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return tmpl
}

// planned plans one template text that has to be without errors.
func planned(t *testing.T, text string, change ...func(*plan.Inputs)) *plan.Plan {
	t.Helper()
	in := write(t, map[string]string{"main.pkr.hcl": text})
	for _, f := range change {
		f(&in)
	}
	p, diags := plan.Make(context.Background(), load(t, ".", in), in)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return p
}

func names(p *plan.Plan) []string {
	var out []string
	for _, b := range p.Builds {
		out = append(out, b.Addr.String())
	}
	return out
}

func attr(t *testing.T, job component.Job, name string) cty.Value {
	t.Helper()
	return job.(*fakeJob).cfg.GetAttr(name)
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func wantValue(t *testing.T, what string, got, want cty.Value) {
	t.Helper()
	if !got.RawEquals(want) {
		t.Errorf("%s: got %#v, want %#v", what, got, want)
	}
}

// Ensure that each way of setting a variable beats those below it.
func TestVariablePrecedence(t *testing.T) {
	const tmpl = `
variable "x" {
  default = "default"
}
source "fake" "a" {
  image = var.x
}
build {
  sources = ["fake.a"]
}
`
	layers := []struct {
		name string
		add  func(files map[string]string, in *plan.Inputs)
	}{
		{"default", func(map[string]string, *plan.Inputs) {}},
		{"env", func(_ map[string]string, in *plan.Inputs) { in.Environ = []string{"PKR_VAR_x=env"} }},
		{"auto a", func(f map[string]string, _ *plan.Inputs) { f["a.auto.pkrvars.hcl"] = `x = "auto a"` }},
		{"auto b", func(f map[string]string, _ *plan.Inputs) { f["b.auto.pkrvars.hcl"] = `x = "auto b"` }},
		{"auto json", func(f map[string]string, _ *plan.Inputs) { f["a.auto.pkrvars.json"] = `{"x": "auto json"}` }},
		{"file 1", func(f map[string]string, in *plan.Inputs) {
			f["z.hcl"] = `x = "file 1"`
			in.VarFiles = append(in.VarFiles, "z.hcl")
		}},
		{"file 2", func(f map[string]string, in *plan.Inputs) {
			f["y.json"] = `{"x": "file 2"}`
			in.VarFiles = append(in.VarFiles, "y.json")
		}},
		{"flag 1", func(_ map[string]string, in *plan.Inputs) { in.Vars = append(in.Vars, "x=flag 1") }},
		{"flag 2", func(_ map[string]string, in *plan.Inputs) { in.Vars = append(in.Vars, "x=flag 2") }},
	}
	for top := range layers {
		t.Run(layers[top].name, func(t *testing.T) {
			files := map[string]string{"main.pkr.hcl": tmpl}
			var with plan.Inputs
			for _, l := range layers[:top+1] {
				l.add(files, &with)
			}
			in := write(t, files)
			in.Environ, in.VarFiles, in.Vars = with.Environ, with.VarFiles, with.Vars
			p, diags := plan.Make(context.Background(), load(t, ".", in), in)
			if len(diags) > 0 {
				t.Fatal(diags.Err())
			}
			wantValue(t, "image", attr(t, p.Builds[0].Job, "image"), cty.StringVal(layers[top].name))
		})
	}
}

// Ensure that a single file is loaded alone: neither its neighbours nor the
// automatic var files of the folder.
func TestSingleFile(t *testing.T) {
	in := write(t, map[string]string{
		"a.pkr.hcl":          "variable \"x\" {\n  default = \"own\"\n}\nsource \"fake\" \"a\" {\n  image = \"${var.x} ${path.root}\"\n}\nbuild {\n  sources = [\"fake.a\"]\n}\n",
		"b.pkr.hcl":          "this is not a template",
		"a.auto.pkrvars.hcl": `x = "auto"`,
	})
	p, diags := plan.Make(context.Background(), load(t, "a.pkr.hcl", in), in)
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	wantValue(t, "image", attr(t, p.Builds[0].Job, "image"), cty.StringVal("own ."))
}

// Ensure that texts for variables are read by the declared type.
func TestVariableText(t *testing.T) {
	for _, c := range []struct{ decl, text, want string }{
		{`type = string`, `["a"]`, `"[\"a\"]"`},
		{`type = string`, ``, `""`},
		{`type = string`, `a=b`, `"a=b"`},
		{`type = number`, `12`, `12`},
		{`type = any`, `[1]`, `"[1]"`},
		{`type = bool`, `true`, `true`},
		{`type = list(string)`, `["a", 1]`, `["a","1"]`},
		{`type = map(number)`, `{a = "1"}`, `{"a":1}`},
		{`type = object({a = string, b = optional(number, 3)})`, `{a = 1}`, `{"a":"1","b":3}`},
		{`type = set(string)`, `["b", "a", "b"]`, `["a","b"]`},
		{`type = tuple([string, number])`, `[1, "2"]`, `["1",2]`},
		{`default = 5`, `7`, `7`},
		{`default = false`, `true`, `true`},
		{`default = ["a"]`, `["b", "c"]`, `["b","c"]`},
		{`default = null`, `x`, `"x"`},
	} {
		t.Run(c.decl+" "+c.text, func(t *testing.T) {
			p := planned(t, `
variable "x" {
  `+c.decl+`
}
source "fake" "a" {
  image = jsonencode(var.x)
}
build {
  sources = ["fake.a"]
}
`, func(in *plan.Inputs) { in.Vars = []string{"x=" + c.text} })
			wantValue(t, "value", attr(t, p.Builds[0].Job, "image"), cty.StringVal(c.want))
		})
	}
}

// Ensure that configurations arrive as the schema wants them.
func TestDecode(t *testing.T) {
	p := planned(t, `
variable "port" {
  default = "8080"
}
locals {
  disks = { small = 1, big = 2 }
}
source "fake" "a" {
  image    = 12
  tags     = "one"
  labels   = { a = 1, b = true, c = "{{build_name}} {{build_type}} {{packer_version}} {{timestamp}}" }
  size     = var.port
  pull     = "true"
  timeout  = "5m"
  command  = "run {{.Path}}"
  bytes    = [1, "2"]
  key_file = "~/.ssh/id"

  network {
    name = "n-${path.cwd == "" ? "" : "x"}"
  }
  disk {
    size = "1"
  }
  dynamic "disk" {
    for_each = local.disks
    content {
      size  = disk.value
      label = "${disk.key} ${source.name}"
    }
  }
}
build {
  sources = ["fake.a"]
}
`)
	job := p.Builds[0].Job
	disk := func(size int64, label cty.Value) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"size": cty.NumberIntVal(size), "label": label})
	}
	for name, v := range map[string]cty.Value{
		"image":    cty.StringVal("12"),
		"tags":     cty.ListVal([]cty.Value{cty.StringVal("one")}),
		"labels":   cty.MapVal(map[string]cty.Value{"a": cty.StringVal("1"), "b": cty.StringVal("true"), "c": cty.StringVal("a fake 1.16.0 1767323045")}),
		"size":     cty.NumberIntVal(8080),
		"pull":     cty.True,
		"timeout":  cty.StringVal("5m"),
		"mode":     cty.StringVal("fast"),
		"command":  cty.StringVal("run {{.Path}}"),
		"bytes":    cty.ListVal([]cty.Value{cty.NumberIntVal(1), cty.NumberIntVal(2)}),
		"key_file": cty.StringVal("/home/u/.ssh/id"),
		"password": cty.NullVal(cty.String),
		"network":  cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal("n-x")}),
		"disk":     cty.ListVal([]cty.Value{disk(1, cty.NullVal(cty.String)), disk(2, cty.StringVal("big a")), disk(1, cty.StringVal("small a"))}),
	} {
		wantValue(t, name, attr(t, job, name), v)
	}
	if got, schema := job.(*fakeJob).cfg.Type(), (fakeBuilder{}).Schema().ImpliedType(); !got.Equals(schema) {
		t.Errorf("the configuration is %#v, not of the schema's type %#v", got, schema)
	}
}

func inline(t *testing.T, s component.Step) cty.Value {
	t.Helper()
	return s.(*fakeStep).cfg.GetAttr("inline").Index(cty.Zero)
}

// Ensure that a step is planned again only when it depends on the machine.
func TestBind(t *testing.T) {
	p := planned(t, `
source "fake" "a" {}
build {
  name    = "b"
  sources = ["fake.a"]
  provisioner "shell" {
    inline = ["${build.name} ${source.type} ${source.name} {{build_name}}"]
  }
  provisioner "shell" {
    inline = ["${build.ID}/{{build `+"`Host`"+`}}/${build.SourceImageName}"]
  }
  post-processor "manifest" {
    output = build.ID
  }
}
`)
	ctx := context.Background()
	b := p.Builds[0]
	one, diags := b.Provisioners[0].Bind(ctx, nil)
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	again, _ := b.Provisioners[0].Bind(ctx, map[string]cty.Value{"ID": cty.StringVal("i-1")})
	if one != again {
		t.Error("a step that does not depend on the machine was planned twice")
	}
	wantValue(t, "inline", inline(t, one), cty.StringVal("b fake a a"))

	facts := map[string]cty.Value{"ID": cty.StringVal("i-1"), "Host": cty.StringVal("h"), "SourceImageName": cty.StringVal("src")}
	s, diags := b.Provisioners[1].Bind(ctx, facts)
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	wantValue(t, "inline", inline(t, s), cty.StringVal("i-1/h/src"))
	facts["ID"] = cty.StringVal("i-2")
	s, _ = b.Provisioners[1].Bind(ctx, facts)
	wantValue(t, "inline", inline(t, s), cty.StringVal("i-2/h/src"))

	_, diags = b.Provisioners[1].Bind(ctx, nil)
	if !diags.HasErrors() {
		t.Error("a value that the machine does not have was taken as known")
	}
	tr, diags := b.Chains[0][0].Bind(ctx, facts)
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	wantValue(t, "output", tr.(*fakeTransform).cfg.GetAttr("output"), cty.StringVal("i-2"))
}

// Ensure that builds may bind their steps at the same time.
// TestBindNestedDynamic: dynamic blocks inside a step see the source and, once
// there is a machine, the values of the build.
func TestBindNestedDynamic(t *testing.T) {
	p := planned(t, `
source "fake" "a" {}
source "fake" "b" {}
build {
  sources = ["fake.a", "fake.b"]
  dynamic "provisioner" {
    for_each = ["x"]
    labels   = ["shell"]
    content {
      inline = ["true"]
      dynamic "env" {
        for_each = [source.name, build.ID, provisioner.value]
        content {
          name = env.value
        }
      }
    }
  }
}
`)
	for i, source := range []string{"a", "b"} {
		s := p.Builds[i].Provisioners[0]
		step, diags := s.Bind(context.Background(), map[string]cty.Value{"ID": cty.StringVal("i-" + source)})
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		var got []string
		for _, env := range step.(*fakeStep).cfg.GetAttr("env").AsValueSlice() {
			got = append(got, env.GetAttr("name").AsString())
		}
		want(t, "env of "+source, got, []string{source, "i-" + source, "x"})
	}
}

func TestBindConcurrently(t *testing.T) {
	p := planned(t, `
variable "secret" {
  default   = "hunter2"
  sensitive = true
}
source "fake" "a" {}
source "fake" "b" {}
build {
  sources = ["fake.a", "fake.b"]
  dynamic "provisioner" {
    for_each = ["x", "y"]
    labels   = ["shell"]
    content {
      inline = ["${base64encode("${build.ID} ${var.secret}")} ${provisioner.value}"]
    }
  }
}
`)
	done := make(chan diag.List)
	n := 0
	for _, b := range p.Builds {
		for _, s := range b.Provisioners {
			n++
			go func() {
				_, diags := s.Bind(context.Background(), map[string]cty.Value{"ID": cty.StringVal(b.Addr.String())})
				done <- diags
			}()
		}
	}
	for range n {
		if diags := <-done; len(diags) > 0 {
			t.Error(diags.Err())
		}
	}
}

// Ensure that names, local names and the order of builds are those that users
// see, also for two builds of the same name.
func TestBuildNames(t *testing.T) {
	p := planned(t, `
source "fake" "a" {}
source "null" "z" {}
build {
  name        = "first"
  description = "One."
  sources     = ["source.null.z", "fake.a"]
  source "fake.a" {
    name = "local"
    size = 3
  }
}
build {
  sources = ["fake.a"]
}
build {
  sources = ["fake.a"]
}
`)
	want(t, "builds", names(p), []string{"first.null.z", "first.fake.a", "first.fake.local", "fake.a", "fake.a#2"})
	want(t, "description", p.Builds[0].Description, "One.")
	local := p.Builds[2]
	want(t, "what template actions see", local.Template, gotmpl.Vars{
		BuildName: "local", BuildType: "fake", CoreVersion: "1.16.0", Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	wantValue(t, "added argument", attr(t, local.Job, "size"), cty.NumberIntVal(3))
	wantValue(t, "argument of the plain use", attr(t, p.Builds[1].Job, "size"), cty.NullVal(cty.Number))
}

// Ensure that all meta-arguments reach the plan, and that each source has the
// steps meant for it.
func TestMetaArguments(t *testing.T) {
	p := planned(t, `
variable "t" {
  default = "2m"
}
source "fake" "a" {}
source "fake" "b" {}
build {
  sources = ["fake.a", "fake.b"]
  provisioner "shell" {
    name              = "first"
    inline            = ["x"]
    timeout           = var.t
    pause_before      = "10s"
    max_retries       = "3"
    continue_on_error = true
    cache             = false
    cache_ttl         = "24h"
    override = {
      b = { inline = "over ${build.name}b" }
    }
  }
  provisioner "shell" {
    only   = ["fake.b"]
    inline = ["y"]
  }
  error-cleanup-provisioner "shell" {
    except = ["fake.b"]
    inline = ["z"]
  }
  post-processor "manifest" {
    only                = ["fake.a"]
    output              = "o"
    keep_input_artifact = false
  }
  post-processors {
    post-processor "compress" {
      except = ["fake.a"]
      output = "p"
    }
    post-processor "manifest" {
      name   = "list"
      output = "q"
    }
  }
}
`)
	a, b := p.Builds[0], p.Builds[1]
	s := a.Provisioners[0]
	if s.PauseBefore != 10*time.Second || s.Timeout != 2*time.Minute || s.MaxRetries != 3 || !s.ContinueOnError || !s.NoCache || s.CacheTTL != 24*time.Hour {
		t.Errorf("meta-arguments were lost: %+v", s)
	}
	steps := func(b *plan.Build) []string {
		var out []string
		for _, s := range b.Provisioners {
			out = append(out, s.Addr.String()+" "+s.Addr.Label())
		}
		if b.ErrorCleanup != nil {
			out = append(out, b.ErrorCleanup.Addr.String())
		}
		for _, c := range b.Chains {
			for _, s := range c {
				out = append(out, s.Addr.String()+" "+s.Addr.Label())
			}
		}
		return out
	}
	want(t, "steps of a", steps(a), []string{
		"provisioner[0].shell first", "error-cleanup-provisioner[0].shell",
		"post-processor[0][0].manifest manifest", "post-processor[1][1].manifest list",
	})
	want(t, "steps of b", steps(b), []string{
		"provisioner[0].shell first", "provisioner[1].shell shell",
		"post-processor[1][0].compress compress", "post-processor[1][1].manifest list",
	})
	if keep := a.Chains[0][0].KeepInput; keep == nil || *keep {
		t.Errorf("keep_input_artifact is %v", keep)
	}
	if a.Chains[1][0].KeepInput != nil {
		t.Error("keep_input_artifact is set though the template does not set it")
	}
	plain, _ := a.Provisioners[0].Bind(context.Background(), nil)
	over, _ := b.Provisioners[0].Bind(context.Background(), nil)
	wantValue(t, "inline of a", inline(t, plain), cty.StringVal("x"))
	wantValue(t, "inline of b", inline(t, over), cty.StringVal("over b"))
}

// Ensure that -only and -except select as documented.
func TestSelection(t *testing.T) {
	const tmpl = `
source "fake" "a" {}
source "fake" "b" {}
source "null" "c" {}
build {
  name    = "x"
  sources = ["fake.a", "fake.b", "null.c"]
  post-processors {
    post-processor "compress" { output = "1" }
    post-processor "manifest" {
      name   = "list"
      output = "2"
    }
    post-processor "compress" { output = "3" }
  }
}
build {
  sources = ["fake.a"]
}
`
	for _, c := range []struct {
		name         string
		only, except []string
		want         []string
		chain        int
	}{
		{"all", nil, nil, []string{"x.fake.a", "x.fake.b", "x.null.c", "fake.a"}, 3},
		{"star spans dots", []string{"x.*"}, nil, []string{"x.fake.a", "x.fake.b", "x.null.c"}, 3},
		{"full names only", []string{"fake.a"}, nil, []string{"fake.a"}, 0},
		{"braces with a comma", []string{"x.fake.{a,b}"}, nil, []string{"x.fake.a", "x.fake.b"}, 3},
		{"list", []string{"x.fake.a,fake.a"}, nil, []string{"x.fake.a", "fake.a"}, 3},
		{"class", []string{"x.fake.[!a]"}, nil, []string{"x.fake.b"}, 3},
		{"both", []string{"x.*"}, []string{"*.null.*"}, []string{"x.fake.a", "x.fake.b"}, 3},
		{"post-processor by name", []string{"x.fake.a"}, []string{"list"}, []string{"x.fake.a"}, 1},
		{"post-processor by type", []string{"x.fake.a"}, []string{"compress"}, []string{"x.fake.a"}, 0},
		{"named post-processor not by type", []string{"x.fake.a"}, []string{"manifest"}, []string{"x.fake.a"}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := planned(t, tmpl, func(in *plan.Inputs) { in.Only, in.Except = c.only, c.except })
			want(t, "builds", names(p), c.want)
			n := 0
			for _, chain := range p.Builds[0].Chains {
				n += len(chain)
			}
			want(t, "post-processors left", n, c.chain)
		})
	}
}

// Ensure that a mistake in one build leaves the others, and a shared mistake
// leaves none.
func TestPartialPlan(t *testing.T) {
	const tmpl = `
source "fake" "good" {}
source "fake" "bad" {
  image = "refused"
}
build {
  sources = ["fake.bad", "fake.good"]
}
build {
  name = "broken"
  sources = ["fake.good"]
  provisioner "shell" {
    inline  = ["x"]
    timeout = "soon"
  }
}
`
	for _, c := range []struct {
		name, more string
		want       []string
		errors     int
	}{
		{"one bad build", "", []string{"fake.good"}, 2},
		{"bad local", "locals {\n  x = local.y\n}\n", nil, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := write(t, map[string]string{"main.pkr.hcl": tmpl + c.more})
			p, diags := plan.Make(context.Background(), load(t, ".", in), in)
			want(t, "builds", names(p), c.want)
			want(t, "errors", len(diags.Errors()), c.errors)
		})
	}
}

// Ensure that data sources are read once, and only when asked for.
func TestData(t *testing.T) {
	const tmpl = `
data "lookup" "a" {
  key = "k"
}
data "lookup" "b" {
  key = data.lookup.a.value
}
locals {
  both = [for d in data.lookup : d.value]
}
source "fake" "a" {
  image = data.lookup.b.value
  tags  = local.both
}
build {
  sources = ["fake.a"]
}
`
	p := planned(t, tmpl)
	if v := attr(t, p.Builds[0].Job, "image"); v.IsKnown() {
		t.Errorf("the data source was read: %#v", v)
	}
	p = planned(t, tmpl, func(in *plan.Inputs) { in.EvaluateData = true })
	wantValue(t, "image", attr(t, p.Builds[0].Job, "image"), cty.StringVal("value of value of k"))
	wantValue(t, "tags", attr(t, p.Builds[0].Job, "tags"), cty.ListVal([]cty.Value{cty.StringVal("value of k"), cty.StringVal("value of value of k")}))
}

// Ensure that everything secret is reported, also in disguise, and nothing
// harmless is.
func TestSecrets(t *testing.T) {
	var got []string
	planned(t, `
variable "pw" {
  default   = { user = "me", password = "hunter2", pin = 1234, on = true, lines = ["first line", ""] }
  sensitive = true
}
local "token" {
  expression = "tok-${var.pw.pin}-end"
  sensitive  = true
}
locals {
  disguised = base64encode(var.pw.password)
  unused    = upper(var.pw.password)
  plain     = "nothing"
}
source "fake" "a" {
  image    = local.disguised
  tags     = ["has ${var.pw.password} in it", var.pw.on ? "enabled" : "disabled", local.plain]
  labels   = { a = upper(local.token) }
  password = "schema secret"
}
build {
  sources = ["fake.a"]
}
`, func(in *plan.Inputs) { in.Secrets = func(s string) { got = append(got, s) } })
	sort.Strings(got)
	want(t, "secrets", got, []string{"1234", "aHVudGVyMg==", "first line", "hunter2", "schema secret", "tok-1234-end"})
}

// Ensure that no component ever sees a marked value.
func TestNoMarks(t *testing.T) {
	p := planned(t, `
variable "s" {
  default   = ["aaa", "bbb"]
  sensitive = true
}
source "fake" "a" {
  image  = "${var.s[0]} x"
  tags   = [for s in var.s : upper(s)]
  labels = zipmap(var.s, var.s)
  dynamic "disk" {
    for_each = var.s
    content {
      size  = disk.key + 1
      label = disk.value
    }
  }
}
build {
  sources = ["fake.a"]
  provisioner "shell" {
    inline   = var.s
    override = { a = { environment_vars = var.s } }
  }
}
`)
	if cfg := p.Builds[0].Job.(*fakeJob).cfg; cfg.ContainsMarked() {
		t.Errorf("marked: %#v", cfg)
	}
	s, _ := p.Builds[0].Provisioners[0].Bind(context.Background(), nil)
	if cfg := s.(*fakeStep).cfg; cfg.ContainsMarked() {
		t.Errorf("marked: %#v", cfg)
	}
}

// Ensure that the overview holds what the template declares, without its
// secrets being mistaken for plain values.
func TestInspect(t *testing.T) {
	in := write(t, map[string]string{"main.pkr.hcl": `
variable "a" {
  type        = list(string)
  description = "Some."
  default     = ["x"]
}
variable "pw" {
  type      = string
  sensitive = true
}
data "lookup" "d" {
  key  = "k"
  fail = "was read"
}
locals {
  n = length(var.a)
  s = upper(var.pw)
  d = data.lookup.d.value
}
source "fake" "a" {
  image = "refused"
}
build {
  name        = "b"
  description = "Text."
  sources     = ["fake.a"]
  provisioner "shell" {
    name = "first"
  }
  provisioner "unheard-of" {}
  error-cleanup-provisioner "shell" {}
  post-processor "manifest" {}
  post-processors {
    post-processor "compress" {}
    post-processor "manifest" {
      name = "m"
    }
  }
}
`})
	in.Vars = []string{"pw=hunter2"}
	o, diags := plan.Inspect(context.Background(), load(t, ".", in), in)
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	var vars []string
	for _, v := range o.Variables {
		vars = append(vars, strings.Join([]string{v.Name, v.Type, v.Description, diag.Describe(v.Value)}, "|"))
	}
	want(t, "variables", vars, []string{`a|list(string)|Some.|list of string with 1 element`, `pw|string||"hunter2"`})
	want(t, "flags", []bool{o.Variables[0].Sensitive, o.Variables[0].Required, o.Variables[1].Sensitive, o.Variables[1].Required}, []bool{false, false, true, true})
	wantValue(t, "local.n", o.Locals[0].Value, cty.NumberIntVal(1))
	want(t, "sensitive locals", []bool{o.Locals[0].Sensitive, o.Locals[1].Sensitive, o.Locals[2].Sensitive}, []bool{false, true, false})
	if o.Locals[2].Value.IsKnown() {
		t.Error("a data source was read")
	}
	want(t, "data", o.Data, []string{"lookup.d"})
	b := o.Builds[0]
	want(t, "build", []string{
		b.Name, b.Description, b.Sources[0].String(), b.Provisioners[0].Label(), b.Provisioners[1].Type, b.ErrorCleanup.Type,
		b.Chains[0][0].Type, b.Chains[1][0].Type, b.Chains[1][1].Label(),
	}, []string{"b", "Text.", "b.fake.a", "first", "unheard-of", "shell", "manifest", "compress", "m"})
}

// Ensure that a long chain of locals is evaluated, not refused or overflown.
func TestLongChain(t *testing.T) {
	src := large(3000)
	lines := strings.Split(src, "\n")
	slices.Reverse(lines[4 : 4+2999]) // the last one first: the deepest recursion
	p := planned(t, strings.Join(lines, "\n"))
	want(t, "builds", len(p.Builds), 3000)
}

// Ensure that override replaces arguments and blocks alike.
func TestOverride(t *testing.T) {
	p := planned(t, `
source "fake" "a" {}
build {
  sources = ["fake.a"]
  provisioner "shell" {
    inline   = ["x"]
    key_file = "~"
    env {
      name = "lost"
    }
    override = {
      a = {
        execute_command = "bash {{.Path}}"
        env             = [{ name = "n", value = "5" }, { name = "m" }]
        user            = { name = "root" }
      }
    }
  }
}
`)
	s, _ := p.Builds[0].Provisioners[0].Bind(context.Background(), nil)
	cfg := s.(*fakeStep).cfg
	env := func(name string, value cty.Value) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(name), "value": value})
	}
	wantValue(t, "execute_command", cfg.GetAttr("execute_command"), cty.StringVal("bash {{.Path}}"))
	wantValue(t, "env", cfg.GetAttr("env"), cty.ListVal([]cty.Value{env("n", cty.NumberIntVal(5)), env("m", cty.NullVal(cty.Number))}))
	wantValue(t, "user", cfg.GetAttr("user"), cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal("root")}))
	wantValue(t, "key_file", cfg.GetAttr("key_file"), cty.StringVal("/home/u"))
	wantValue(t, "inline", cfg.GetAttr("inline"), list("x"))
}

func list(texts ...string) cty.Value {
	var out []cty.Value
	for _, s := range texts {
		out = append(out, cty.StringVal(s))
	}
	return cty.ListVal(out)
}

// Ensure that defaults can read the environment that was passed in.
func TestEnvDefault(t *testing.T) {
	p := planned(t, `
variable "a" {
  default = "${env("SET")}-${env("UNSET")}-"
}
source "fake" "a" {
  image = var.a
}
build {
  sources = ["fake.a"]
}
`, func(in *plan.Inputs) { in.Environ = []string{"SET=first", "SET=a=b", "OTHER=x"} })
	wantValue(t, "image", attr(t, p.Builds[0].Job, "image"), cty.StringVal("a=b--"))
}

// Ensure that build can be used as a whole, with what there is at the time.
func TestWholeBuild(t *testing.T) {
	p := planned(t, `
source "fake" "a" {}
build {
  name    = "n"
  sources = ["fake.a"]
  provisioner "shell" {
    inline = [for k, v in build : "${k}=${v}" if v != null]
  }
}
`)
	s, diags := p.Builds[0].Provisioners[0].Bind(context.Background(), map[string]cty.Value{"ID": cty.StringVal("i"), "Extra": cty.StringVal("e")})
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	wantValue(t, "inline", s.(*fakeStep).cfg.GetAttr("inline"), list("Extra=e", "ID=i", "name=n"))
}

// Ensure that the wrong values of sensitive variables are secret too, since
// findings about them show their line.
func TestSecretsOfWrongValues(t *testing.T) {
	in := write(t, map[string]string{
		"main.pkr.hcl": "variable \"a\" {\n  type = number\n  default = \"in default\"\n  sensitive = true\n}\n",
		"v.hcl":        "a = [\"in file\"]\n",
	})
	in.Vars, in.VarFiles = []string{"a=in flag"}, []string{"v.hcl"}
	var got []string
	in.Secrets = func(s string) { got = append(got, s) }
	if _, diags := plan.Make(context.Background(), load(t, ".", in), in); !diags.HasErrors() {
		t.Error("wrong values were taken")
	}
	want(t, "secrets", got, []string{"in default", "in file", "in flag"})
}

// Ensure that functions can be called with sensitive arguments.
func TestSensitiveArguments(t *testing.T) {
	planned(t, `
variable "s" {
  default   = "hunter2"
  sensitive = true
}
variable "l" {
  default   = ["bbb", "aaa"]
  sensitive = true
}
variable "m" {
  default   = { key = "value" }
  sensitive = true
}
locals {
  r = [
    upper(var.s), length(var.s), length(var.l), length(var.m), format("%s-%d", var.s, 1), formatlist("%s!", var.l),
    join(",", var.l), split("n", var.s), replace(var.s, "h", "H"), regex("[a-z]+", var.s), regexall("[a-z]", var.s),
    substr(var.s, 0, 3), startswith(var.s, "h"), contains(var.l, var.s), coalesce(var.s, "x"), concat(var.l, ["x"]),
    distinct(var.l), element(var.l, 0), flatten([var.l]), index(var.l, "aaa"), keys(var.m), values(var.m),
    lookup(var.m, "key", "d"), merge(var.m, { a = 1 }), range(length(var.l)), reverse(var.l), sort(var.l),
    zipmap(var.l, var.l), setproduct(var.l, var.l), slice(var.l, 0, 1), jsonencode(var.m), jsondecode(jsonencode(var.m)),
    yamlencode(var.m), base64encode(var.s), base64gzip(var.s), sha256(var.s), bcrypt(var.s, 4), uuidv5("dns", var.s),
    try(var.m.nope, var.s), can(var.m.nope), convert(var.l, set(string)), alltrue([var.s != ""]), sum([length(var.s), 1]),
    urlencode(var.s), textencodebase64(var.s, "UTF-16LE"), var.s == "x" ? 1 : 2, [for k, v in var.m : v if v != ""],
    { for e in var.l : e => upper(e) }, var.l[*], "%{ for e in var.l }${e}%{ endfor }", var.m["key"], var.l[length(var.l) - 1],
    compact(var.l), chunklist(var.l, 1), coalescelist(var.l, []), setunion(var.l, ["x"]), !startswith(var.s, "x"), -length(var.s),
  ]
}
source "fake" "a" {
  image = jsonencode(local.r)
}
build {
  sources = ["fake.a"]
  dynamic "provisioner" {
    for_each = var.m
    labels   = ["shell"]
    content {
      inline = [provisioner.value]
      only   = ["fake.${var.s == "" ? "b" : "a"}"]
    }
  }
}
`)
}

// Ensure that null stands for the default of a variable that is not nullable,
// and for itself in others.
func TestNullable(t *testing.T) {
	in := write(t, map[string]string{
		"main.pkr.hcl": `
variable "a" {
  default  = "default of a"
  nullable = false
}
variable "b" {
  default = "default of b"
}
variable "c" {
  type     = list(number)
  default  = [1]
  nullable = false
}
variable "d" {
  default  = "default of d"
  nullable = true
}
source "fake" "a" {
  image  = var.a
  tags   = [var.b == null ? "b is null" : var.b, var.d == null ? "d is null" : var.d]
  bytes  = var.c
}
build {
  sources = ["fake.a"]
}
`,
		"v.hcl": "a = \"first\"\nb = null\nd = null\n",
		"w.hcl": "a = null\n",
	})
	in.VarFiles, in.Vars = []string{"v.hcl", "w.hcl"}, []string{"c=null"}
	p, diags := plan.Make(context.Background(), load(t, ".", in), in)
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	job := p.Builds[0].Job
	wantValue(t, "a", attr(t, job, "image"), cty.StringVal("default of a"))
	wantValue(t, "b and d", attr(t, job, "tags"), list("b is null", "d is null"))
	wantValue(t, "c", attr(t, job, "bytes"), cty.ListVal([]cty.Value{cty.NumberIntVal(1)}))
}
