package plan_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/plan"
)

// Ensure that instances of a source are sources, with names by which
// everything else finds them.
func TestForEachOnASource(t *testing.T) {
	p := planned(t, `
locals {
  sizes = { small = 1, "22.04" = 2 }
}
source "fake" "web" {
  for_each = local.sizes
  image    = "web-${each.key}"
  size     = each.value
  dynamic "disk" {
    for_each = range(each.value)
    content {
      size  = disk.value + 10
      label = each.key
    }
  }
}
source "fake" "none" {
  for_each = []
}
source "null" "plain" {}
build {
  sources = ["source.fake.web", "fake.none", "null.plain"]
  provisioner "shell" {
    name   = "one"
    inline = [source.name]
    only   = ["fake.web-small"]
  }
  provisioner "shell" {
    name   = "all"
    inline = ["x"]
    except = ["fake.web", "fake.none"]
    override = {
      plain = { inline = ["y"] }
    }
  }
  provisioner "shell" {
    name   = "overridden"
    inline = ["x"]
    override = {
      web          = { inline = ["for all"] }
      "web-22.04"  = { inline = ["for one"] }
      none         = { inline = ["for nobody"] }
    }
  }
}
build {
  name    = "second"
  sources = ["fake.web-22.04"]
  source "fake.web" {
    name = "local"
    tags = [build.name]
  }
}
`)
	want(t, "builds", names(p), []string{"fake.web-22.04", "fake.web-small", "null.plain", "second.fake.web-22.04", "second.fake.local-22.04", "second.fake.local-small"})
	small := p.Builds[1]
	want(t, "source", small.Source, addr.Source{Type: "fake", Name: "web-small"})
	wantValue(t, "image", attr(t, small.Job, "image"), cty.StringVal("web-small"))
	wantValue(t, "size", attr(t, p.Builds[0].Job, "size"), cty.NumberIntVal(2))
	disk := func(size int64) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"size": cty.NumberIntVal(size), "label": cty.StringVal("22.04")})
	}
	wantValue(t, "disks", attr(t, p.Builds[0].Job, "disk"), cty.ListVal([]cty.Value{disk(10), disk(11)}))
	steps := func(b *plan.Build) string {
		var out []string
		for _, s := range b.Provisioners {
			bound, _ := s.Bind(context.Background(), map[string]cty.Value{})
			out = append(out, s.Addr.Name+"="+bound.(*fakeStep).cfg.GetAttr("inline").AsValueSlice()[0].AsString())
		}
		return strings.Join(out, " ")
	}
	want(t, "steps of web-22.04", steps(p.Builds[0]), "overridden=for one")
	want(t, "steps of web-small", steps(p.Builds[1]), "one=web-small overridden=for all")
	want(t, "steps of plain", steps(p.Builds[2]), "all=y overridden=x")
	wantValue(t, "tags", attr(t, p.Builds[5].Job, "tags"), list("second"))
}

// Ensure that instances of a build block are build blocks, each with the
// names that make it what it is.
func TestForEachOnABuild(t *testing.T) {
	p := planned(t, `
variable "releases" {
  default = { stable = { tag = "12" }, testing = { tag = "13" } }
}
source "fake" "a" {
  image = "from ${build.name}"
}
source "fake" "b" {
  for_each = ["x", "y"]
  tags     = [each.value]
}
build {
  name     = "os"
  for_each = var.releases
  sources  = each.key == "stable" ? ["fake.a"] : ["fake.a", "fake.b"]
  source "fake.b" {
    name   = "with"
    labels = { key = each.key }
  }
  dynamic "provisioner" {
    for_each = [each.value.tag]
    labels   = ["shell"]
    content {
      name   = "tag ${provisioner.value} ${each.key}"
      inline = [each.value.tag, build.name]
    }
  }
}
build {
  for_each = convert(["q", "p"], set(string))
  sources  = ["fake.a"]
}
build {
  name     = "v${each.key}.end"
  for_each = [ "1" ]
  sources  = ["fake.a"]
}
`)
	want(t, "builds", names(p), []string{
		"os-stable.fake.a", "os-stable.fake.with-x", "os-stable.fake.with-y",
		"os-testing.fake.a", "os-testing.fake.b-x", "os-testing.fake.b-y", "os-testing.fake.with-x", "os-testing.fake.with-y",
		"p.fake.a", "q.fake.a", "v1.end.fake.a",
	})
	wantValue(t, "image", attr(t, p.Builds[0].Job, "image"), cty.StringVal("from os-stable"))
	with := p.Builds[7].Job
	wantValue(t, "tags", attr(t, with, "tags"), list("y"))
	wantValue(t, "labels", attr(t, with, "labels"), cty.MapVal(map[string]cty.Value{"key": cty.StringVal("testing")}))
	s := p.Builds[7].Provisioners[0]
	want(t, "step", s.Addr.Name, "tag 13 testing")
	bound, _ := s.Bind(context.Background(), nil)
	wantValue(t, "inline", bound.(*fakeStep).cfg.GetAttr("inline"), list("13", "os-testing"))
}

// Ensure that instances of a data source are read at the same time, each once,
// and make an object.
func TestForEachOnData(t *testing.T) {
	const tmpl = `
locals {
  keys = [for n in range(20) : "k${n}"]
}
data "lookup" "x" {
  for_each = local.keys
  key      = "${each.key}!"
}
data "lookup" "y" {
  for_each = { for k, x in data.lookup.x : k => x.value if k == "k3" }
  key      = each.value
}
source "fake" "a" {
  image = data.lookup.y["k3"].value
  tags  = sort([for k, d in data.lookup.x : "${k}=${d.value}"])
}
build {
  sources = ["fake.a"]
}
`
	in := write(t, map[string]string{"main.pkr.hcl": tmpl})
	var reads atomic.Int32
	all := make(chan struct{})
	in.EvaluateData = true
	in.Provider = reading{read: func(ctx context.Context, key string) (cty.Value, diag.List) {
		if n := reads.Add(1); n == 20 {
			close(all)
		}
		<-all // all are under way at the same time
		return answer("<" + key + ">"), nil
	}}
	p, diags := plan.Make(context.Background(), load(t, ".", in), in)
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	wantValue(t, "image", attr(t, p.Builds[0].Job, "image"), cty.StringVal("<<k3!>>"))
	wantValue(t, "first tag", attr(t, p.Builds[0].Job, "tags").AsValueSlice()[0], cty.StringVal("k0=<k0!>"))
	want(t, "reads", int(reads.Load()), 21)

	p = planned(t, tmpl)
	if v := attr(t, p.Builds[0].Job, "image"); v.IsKnown() {
		t.Errorf("the data source was read: %#v", v)
	}
}

// Ensure that reading many instances ends with the context, without starting
// the rest.
func TestForEachOnDataStops(t *testing.T) {
	in := write(t, map[string]string{"main.pkr.hcl": `
data "lookup" "x" {
  for_each = [for n in range(1000) : "k${n}"]
  key      = each.key
}
` + oneBuild})
	ctx, cancel := context.WithCancelCause(context.Background())
	var reads atomic.Int32
	in.EvaluateData = true
	in.Provider = reading{read: func(ctx context.Context, key string) (cty.Value, diag.List) {
		if reads.Add(1) == 64 {
			cancel(errors.New("interrupted by test"))
		}
		<-ctx.Done()
		return cty.DynamicVal, diag.Errorf("Ended", "")
	}}
	_, diags := plan.Make(ctx, load(t, ".", in), in)
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "interrupted by test") {
		t.Errorf("got %v", err)
	}
	if n := reads.Load(); n >= 1000 {
		t.Errorf("%d were read", n)
	}
}

// Ensure that instances of builds use each other's artifacts, and only those
// that they name.
func TestInstancesUseEachOther(t *testing.T) {
	p := planned(t, `
source "fake" "a" {}
build {
  name     = "base"
  for_each = ["x", "y"]
  sources  = ["fake.a"]
}
build {
  name     = "app"
  for_each = ["x", "y"]
  sources  = ["fake.a"]
  provisioner "shell" {
    inline = [build["base-${each.key}"].artifact.id, build.ID]
  }
}
build {
  name    = "last"
  sources = ["fake.a"]
  provisioner "shell" {
    inline = [build.app-y.artifact.id, build["base-x"].artifacts["fake.${source.name}"].id, build.app-x.artifacts[build.ID].id]
  }
}
`)
	a := func(block string) addr.Build { return build(block, "fake", "a") }
	want(t, "needs of app-x", p.Builds[2].Needs, []addr.Build{a("base-x")})
	want(t, "needs of app-y", p.Builds[3].Needs, []addr.Build{a("base-y")})
	want(t, "needs of last", p.Builds[4].Needs, []addr.Build{a("base-x"), a("app-x"), a("app-y")})
}

// Ensure that no instances are no mistake.
func TestEmptyForEach(t *testing.T) {
	in := write(t, map[string]string{"main.pkr.hcl": `
source "fake" "a" {
  for_each = {}
}
build {
  sources = ["fake.a"]
  provisioner "shell" {
    inline = ["x"]
    only   = ["fake.a"]
  }
}
build {
  for_each = convert([], set(string))
  sources  = ["fake.nope"]
}
`})
	p, diags := plan.Make(context.Background(), load(t, ".", in), in)
	if diags.HasErrors() || len(diags) != 1 || len(p.Builds) != 0 {
		t.Errorf("%d builds, %v", len(p.Builds), diags)
	}
}
