package plan_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/plan"
)

const pipeline = `
source "fake" "a" {
  image = build.base.artifact.id
  dynamic "disk" {
    for_each = build.base.artifact.files
    content {
      size  = disk.key + 1
      label = disk.value
    }
  }
}
source "fake" "b" {}
build {
  name    = "app"
  sources = ["fake.a"]
  provisioner "shell" {
    inline = [build.pair.artifacts["fake.b"].data.kernel, build.ID]
  }
  post-processor "manifest" {
    output = join(" ", [for k, a in build.pair.artifacts : "${k}=${a.images[0].region}"])
  }
}
build {
  name    = "pair"
  sources = ["fake.b", "null.c"]
}
source "null" "c" {}
build {
  name    = "base"
  sources = ["fake.b"]
}
`

func build(block, typ, name string) addr.Build {
	return addr.Build{Block: block, Source: addr.Source{Type: typ, Name: name}}
}

// made is what the builds of pipeline end with.
func made() plan.Made {
	region := func(r string) []component.Image { return []component.Image{{Provider: "p", Region: r, ID: "i"}} }
	return plan.Made{
		build("base", "fake", "b"): {nil, {ID: "img-1", Files: []component.File{{Path: "x"}, {Path: "y"}}}, {ID: "second"}},
		build("pair", "fake", "b"): {{ID: "p1", Images: region("eu"), Data: map[string]cty.Value{"kernel": cty.StringVal("6.1")}}},
		build("pair", "null", "c"): {{ID: "p2", Images: region("us")}},
	}
}

// Ensure that a build knows which ones it needs, is planned with unknown
// artifacts first and with known ones later.
func TestBuildsUseArtifactsOfOthers(t *testing.T) {
	p := planned(t, pipeline)
	want(t, "builds", names(p), []string{"app.fake.a", "pair.fake.b", "pair.null.c", "base.fake.b"})
	app := p.Builds[0]
	want(t, "needs", app.Needs, []addr.Build{build("pair", "fake", "b"), build("pair", "null", "c"), build("base", "fake", "b")})
	if image := attr(t, app.Job, "image"); image.IsKnown() {
		t.Errorf("the image is %#v already", image)
	}
	for _, b := range p.Builds[1:] {
		if b.Needs != nil || b.Bind != nil {
			t.Errorf("%s needs %v", b.Addr, b.Needs)
		}
	}
	bound, diags := app.Bind(context.Background(), made())
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	wantValue(t, "image", attr(t, bound.Job, "image"), cty.StringVal("img-1"))
	disk := func(size int64, label string) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"size": cty.NumberIntVal(size), "label": cty.StringVal(label)})
	}
	wantValue(t, "disks", attr(t, bound.Job, "disk"), cty.ListVal([]cty.Value{disk(1, "x"), disk(2, "y")}))
	step, diags := bound.Provisioners[0].Bind(context.Background(), map[string]cty.Value{"ID": cty.StringVal("m")})
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	wantValue(t, "inline", step.(*fakeStep).cfg.GetAttr("inline"), list("6.1", "m"))
	post, diags := bound.Chains[0][0].Bind(context.Background(), map[string]cty.Value{})
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	wantValue(t, "output", post.(*fakeTransform).cfg.GetAttr("output"), cty.StringVal("fake.b=eu null.c=us"))
}

// Ensure that what is missing in an artifact is found when it is there.
func TestArtifactsThatLackSomething(t *testing.T) {
	app := planned(t, pipeline).Builds[0]
	for _, c := range []struct {
		name, want string
		change     func(plan.Made)
	}{
		{"no artifact", "The build base.fake.b has finished without an artifact", func(m plan.Made) { m[build("base", "fake", "b")] = nil }},
		{"no data", `has no attribute "kernel"`, func(m plan.Made) { m[build("pair", "fake", "b")][0].Data = nil }},
		{"refused", "is refused", func(m plan.Made) { m[build("base", "fake", "b")][1].ID = "refused" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := made()
			c.change(m)
			_, diags := app.Bind(context.Background(), m)
			if err := diags.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Ensure that warnings are not given a second time.
func TestBindKeepsQuietAboutWhatWasSaid(t *testing.T) {
	p := planned(t, `
source "fake" "a" {
  img   = "old"
  image = build.base.artifact.id
}
source "fake" "b" {}
build {
  sources = ["fake.a"]
}
build {
  name    = "base"
  sources = ["fake.b"]
}
`)
	if _, diags := p.Builds[0].Bind(context.Background(), made()); len(diags) > 0 {
		t.Error(diags[0])
	}
}

// Ensure that a reference to another build changes nothing for templates that
// have own values of that name.
func TestOwnValueNamedLikeABuildBlock(t *testing.T) {
	p := planned(t, `
source "fake" "a" {}
build {
  name    = "SourceImageName"
  sources = ["fake.a"]
}
build {
  sources = ["fake.a"]
  provisioner "shell" {
    inline = [build.SourceImageName]
  }
}
`)
	if b := p.Builds[1]; b.Needs != nil {
		t.Errorf("needs %v", b.Needs)
	}
}

// Ensure that a selection pulls in what the selected builds need, and nothing
// else, in the order of the template.
func TestOnlyPullsInNeededBuilds(t *testing.T) {
	p := planned(t, `
source "fake" "a" {
  image = build.base.artifact.id
}
source "fake" "b" {}
build {
  name    = "other"
  sources = ["fake.b"]
}
build {
  name    = "base"
  sources = ["fake.b"]
}
build {
  name    = "app"
  sources = ["fake.a"]
}
`, func(in *plan.Inputs) { in.Only = []string{"app.*"} })
	want(t, "builds", names(p), []string{"base.fake.b", "app.fake.a"})
}

// Ensure that a long chain of builds is planned in linear time.
func TestLongPipeline(t *testing.T) {
	const n = 2000
	var b strings.Builder
	for i := range n {
		image := ""
		if i < n-1 {
			image = fmt.Sprintf("image = build.b%d.artifact.id", i+1)
		}
		fmt.Fprintf(&b, "source \"fake\" \"s%d\" {\n  %s\n}\nbuild {\n  name = \"b%d\"\n  sources = [\"fake.s%d\"]\n}\n", i, image, i, i)
	}
	p := planned(t, b.String(), func(in *plan.Inputs) { in.Only = []string{"b0.*"} })
	want(t, "builds", len(p.Builds), n)
}
