package plan_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/plan"
)

// writeTree is write for files in folders.
func writeTree(t *testing.T, files map[string]string) plan.Inputs {
	t.Helper()
	in := write(t, nil)
	for name, text := range files {
		path := filepath.Join(in.WorkDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

var moduleFiles = map[string]string{
	"main.pkr.hcl": `
variable "suffix" {
  default = "S"
}
locals {
  twice = "${module.base.image} ${module.base.image}"
}
data "lookup" "d" {
  key = module.base.image
}
module "base" {
  source = "./modules/base"
  image  = "img-${var.suffix}"
  extra  = { n = 2 }
}
module "second" {
  source = "./modules/base"
  image  = module.base.deep["key"]
}
source "fake" "own" {
  image = local.twice
}
provisioners "tidy" {
  provisioner "shell" {
    name   = "tidy up"
    inline = ["rm ${var.suffix}", build.ID]
  }
}
build {
  name    = "b"
  sources = ["source.fake.own", "module.base.source.fake.debian"]
  source "module.second.fake.many" {
    name = "local"
    tags = [source.name]
  }
  provisioner "shell" {
    name   = "first"
    inline = ["x"]
  }
  provisioners "module.base.hardening" {}
  provisioners "module.base.module.inner.deepest" {
    except = ["fake.own", "fake.local"]
  }
  provisioners "tidy" {
    only = ["fake.own"]
  }
}
`,
	"modules/base/main.pkr.hcl": `
variable "image" {
  type = string
}
variable "extra" {
  type = object({ n = number, m = optional(string, "M") })
}
locals {
  image = "base:${var.image}:${var.extra.m}"
}
data "lookup" "d" {
  key = "of ${var.image}"
}
module "inner" {
  source = "../inner"
  root   = path.root
}
source "fake" "debian" {
  image = local.image
  size  = var.extra.n
  dynamic "disk" {
    for_each = range(var.extra.n)
    content {
      size  = disk.value + 1
      label = var.image
    }
  }
  labels = { source = source.name, block = build.name, data = data.lookup.d.value }
}
source "fake" "many" {
  for_each = { x = "X", y = "Y" }
  image    = "${each.value}${var.image}"
}
`,
	"modules/base/provisioners.pkr.hcl": `
provisioners "hardening" {
  provisioner "shell" {
    name   = "harden"
    inline = [var.image, build.ID, path.root, source.name]
    override = {
      debian = { script = "for-${var.image}" }
    }
  }
  dynamic "provisioner" {
    for_each = range(var.extra.n)
    labels   = ["shell"]
    content {
      name   = "n${provisioner.value}"
      inline = ["x"]
      only   = ["fake.debian"]
    }
  }
}
output "image" {
  value       = "${local.image}${file("${path.root}/empty")}${file("empty")}"
  description = "Name of the image."
}
output "deep" {
  value     = { key = "${module.inner.out}" }
  sensitive = false
}
`,
	"modules/base/empty": "",
	"modules/inner/inner.pkr.hcl": `
variable "root" {}
provisioners "deepest" {
  provisioner "shell" {
    name   = "deepest"
    inline = [var.root]
  }
}
output "out" {
  value = "from ${var.root}, in ${path.root}"
}
`,
}

func withDefault(files map[string]string, name, old, text string) map[string]string {
	out := map[string]string{}
	for n, t := range files {
		out[n] = t
	}
	out[name] = strings.Replace(out[name], old, text, 1)
	return out
}

// Ensure that modules give sources, provisioners and values, each evaluated in
// the module, with its own variables and paths.
func TestModules(t *testing.T) {
	files := withDefault(moduleFiles, "modules/base/main.pkr.hcl", `variable "extra" {`, "variable \"extra\" {\n  default = { n = 1 }")
	in := writeTree(t, files)
	in.EvaluateData = true
	// None of these concerns the modules.
	in.Vars, in.Environ = []string{"suffix=V"}, []string{"PKR_VAR_image=wrong"}
	p, diags := plan.Make(context.Background(), load(t, ".", in), in)
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	want(t, "builds", names(p), []string{"b.fake.own", "b.fake.debian", "b.fake.local-x", "b.fake.local-y"})
	root := filepath.ToSlash(in.WorkDir) + "/modules/"
	own, debian, localY := p.Builds[0], p.Builds[1], p.Builds[3]
	wantValue(t, "output", attr(t, own.Job, "image"), cty.StringVal("base:img-V:M base:img-V:M"))
	wantValue(t, "image", attr(t, debian.Job, "image"), cty.StringVal("base:img-V:M"))
	want(t, "disks", attr(t, debian.Job, "disk").LengthInt(), 2)
	wantValue(t, "labels", attr(t, debian.Job, "labels"), cty.MapVal(map[string]cty.Value{
		"source": cty.StringVal("debian"), "block": cty.StringVal("b"), "data": cty.StringVal("value of of img-V"),
	}))
	wantValue(t, "second", attr(t, localY.Job, "image"), cty.StringVal("Yfrom "+root+"base, in "+root+"inner"))
	wantValue(t, "addition", attr(t, localY.Job, "tags"), list("local-y"))

	steps := func(b *plan.Build) []string {
		var out []string
		for i, s := range b.Provisioners {
			bound, diags := s.Bind(context.Background(), map[string]cty.Value{"ID": cty.StringVal("i")})
			if len(diags) > 0 {
				t.Fatal(diags.Err())
			}
			cfg := bound.(*fakeStep).cfg
			text := s.Addr.Name
			for _, v := range cfg.GetAttr("inline").AsValueSlice() {
				text += "," + v.AsString()
			}
			if v := cfg.GetAttr("script"); !v.IsNull() {
				text += "," + v.AsString()
			}
			if i > 0 && s.Addr.Index <= b.Provisioners[i-1].Addr.Index {
				t.Errorf("%s comes after %s", s.Addr, b.Provisioners[i-1].Addr)
			}
			out = append(out, text)
		}
		return out
	}
	want(t, "steps of own", steps(own), []string{"first,x", "harden,img-V,i," + root + "base,own", "tidy up,rm V,i"})
	want(t, "steps of debian", steps(debian), []string{
		"first,x", "harden,img-V,i," + root + "base,debian,for-img-V", "n0,x", "n1,x", "deepest," + root + "base",
	})
	want(t, "place", filepath.ToSlash(own.Provisioners[1].Range.Filename), "modules/base/provisioners.pkr.hcl")
}

// Ensure that what a module gets and gives may be unknown or secret.
func TestModuleValuesKeepTheirNature(t *testing.T) {
	in := writeTree(t, map[string]string{
		"main.pkr.hcl": `
variable "pw" {
  default   = "hunter2"
  sensitive = true
}
data "lookup" "d" {
  key = "k"
}
module "m" {
  source = "./m"
  pw     = var.pw
  later  = data.lookup.d.value
}
source "fake" "a" {
  image  = module.m.later
  labels = { a = module.m.hidden, b = module.m.encoded }
}
build {
  sources = ["fake.a"]
}
`,
		"m/m.pkr.hcl": `
variable "pw" {
  type = string
  validation {
    condition     = length(var.pw) > 3
    error_message = "Too short."
  }
}
variable "later" {
  type     = string
  nullable = false
  default  = "d"
}
output "later" {
  value = "${var.later}!"
}
output "hidden" {
  value     = "inside it"
  sensitive = true
}
output "encoded" {
  value = base64encode(var.pw)
}
`,
	})
	var got []string
	in.Secrets = func(s string) { got = append(got, s) }
	p, diags := plan.Make(context.Background(), load(t, ".", in), in)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if v := attr(t, p.Builds[0].Job, "image"); v.IsKnown() {
		t.Errorf("image is %#v", v)
	}
	sort.Strings(got)
	want(t, "secrets", got, []string{"aHVudGVyMg==", "hunter2", "inside it"})
}

// Ensure that a module that is somewhere else is asked for, and that failures
// and notes are shown at its source.
func TestFetchedModules(t *testing.T) {
	in := writeTree(t, map[string]string{
		"main.pkr.hcl": `
module "m" {
  source = "git::https://example.com/m.git//sub?ref=v1"
}
source "fake" "a" {
  image = module.m.x
}
build {
  sources = ["fake.a"]
}
`,
		"fetched/m.pkr.hcl": `
output "x" {
  value = path.root
}
`,
	})
	var asked []string
	in.FetchModule = func(_ context.Context, source string) (string, []string, error) {
		asked = append(asked, source)
		return filepath.Join(in.WorkDir, "fetched"), []string{"It is old."}, nil
	}
	p, diags := plan.Make(context.Background(), load(t, ".", in), in)
	if diags.HasErrors() || len(diags) != 1 || !strings.Contains(diags[0].Error(), "main.pkr.hcl:3: Module from the cache: It is old.") {
		t.Fatal(diags)
	}
	want(t, "asked", asked, []string{"git::https://example.com/m.git//sub?ref=v1"})
	wantValue(t, "image", attr(t, p.Builds[0].Job, "image"), cty.StringVal(filepath.ToSlash(filepath.Join(in.WorkDir, "fetched"))))

	in.FetchModule = func(context.Context, string) (string, []string, error) { return "", nil, errors.New("no route") }
	p, diags = plan.Make(context.Background(), load(t, ".", in), in)
	if err := diags.Err(); len(p.Builds) != 0 || err == nil || err.Error() != "main.pkr.hcl:3: Cannot fetch the module: no route." {
		t.Errorf("%d builds, %v", len(p.Builds), err)
	}
}

// Ensure that a survey finds its way through modules.
func TestSurveyOfModules(t *testing.T) {
	in := writeTree(t, moduleFiles)
	s, diags := plan.NewSurvey(context.Background(), load(t, ".", in), in)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	b := s.Builds[0]
	var uses []string
	for _, u := range b.Uses {
		if u.Source == nil || u.Source.Section == nil {
			t.Fatalf("%s has no source", u.Addr)
		}
		uses = append(uses, u.Addr.String())
	}
	want(t, "uses", uses, []string{"b.fake.own", "b.fake.debian", "b.fake.local-x", "b.fake.local-y"})
	want(t, "steps", len(b.Provisioners), 6)
}
