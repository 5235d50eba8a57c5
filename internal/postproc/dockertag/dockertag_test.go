package dockertag

import (
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/dockerengine"
	"ingot/internal/testkit/dockerrig"
)

func texts(s ...string) cty.Value {
	var out []cty.Value
	for _, v := range s {
		out = append(out, cty.StringVal(v))
	}
	return cty.ListVal(out)
}

func TestNames(t *testing.T) {
	repo := cty.StringVal("r.example:5000/a/b")
	for _, k := range []struct {
		values map[string]cty.Value
		want   []string
		// bad is the attribute of the error, if there is to be one.
		bad string
	}{
		{map[string]cty.Value{"repository": repo}, []string{"r.example:5000/a/b"}, ""},
		{map[string]cty.Value{"repository": repo, "tags": texts("1", "2", "1")}, []string{"r.example:5000/a/b:1", "r.example:5000/a/b:2"}, ""},
		{map[string]cty.Value{"repository": repo, "tag": texts("0.7, other"), "tags": texts("other", "third")}, []string{"r.example:5000/a/b:0.7", "r.example:5000/a/b:other", "r.example:5000/a/b:third"}, ""},
		{map[string]cty.Value{"repository": repo, "tags": texts("-x")}, nil, "tags"},
		{map[string]cty.Value{"repository": repo, "tag": texts("a b")}, nil, "tag"},
		{map[string]cty.Value{"repository": cty.StringVal("a:1")}, nil, "repository"},
		{map[string]cty.Value{"repository": cty.StringVal("A")}, nil, "repository"},
		{map[string]cty.Value{"repository": cty.StringVal("")}, nil, "repository"},
		{map[string]cty.Value{"repository": cty.UnknownVal(cty.String)}, []string{""}, ""},
	} {
		p := New()
		x, diags := p.Plan(t.Context(), p.Schema().Object(k.values))
		if k.bad != "" {
			if len(diags.Errors()) != 1 || diags[0].Path[0].(cty.GetAttrStep).Name != k.bad || x != nil {
				t.Errorf("%v: %v", k.values, diags)
			}
			continue
		}
		if diags.HasErrors() {
			t.Errorf("%v: %v", k.values, diags.Err())
			continue
		}
		if got := x.(*transform).names(); !slices.Equal(got, k.want) {
			t.Errorf("%v: %q", k.values, got)
		}
	}
}

func TestTag(t *testing.T) {
	g := dockerrig.New(t)
	name := g.Name(t, "")
	in := g.Tiny(t)
	in.Data = map[string]cty.Value{dockerengine.DataSHA: cty.StringVal(in.ID)}
	x := &transform{env: g.Env, repository: name, tags: []string{"one", "two"}}
	out, use, err := x.Process(t.Context(), g.Run, in)
	if err != nil {
		t.Fatal(err)
	}
	if use != component.Requires || out.Producer != "packer.post-processor.docker-tag" || out.ID != name+":two" || out.Images[0].Parent != "sha256:parent" {
		t.Errorf("use %v, artifact %+v", use, out)
	}
	if tags, err := dockerengine.Tags(out); err != nil || !slices.Equal(tags, []string{name + ":one", name + ":two"}) {
		t.Errorf("tags %q, %v", tags, err)
	}
	if out.Data[dockerengine.DataSHA].AsString() != in.ID || len(out.Resources) != 2 || out.Resources[1].ID != name+":two" {
		t.Errorf("artifact %+v", out)
	}
	for _, tag := range []string{":one", ":two"} {
		if img, err := g.Engine.ImageInspect(t.Context(), name+tag); err != nil || img.ID != in.ID {
			t.Errorf("%s: %v, %v", tag, img.ID, err)
		}
	}
	// Without tags it is latest.
	x = &transform{env: g.Env, repository: name}
	if out, _, err = x.Process(t.Context(), g.Run, out); err != nil || out.ID != name {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := g.Engine.ImageInspect(t.Context(), name+":latest"); err != nil {
		t.Error(err)
	}
}

func TestTagRefusals(t *testing.T) {
	g := dockerrig.New(t)
	x := &transform{env: g.Env, repository: "a"}
	gone := &component.Artifact{Producer: dockerengine.ProducerImport, ID: "sha256:" + strings.Repeat("0", 64)}
	for _, in := range []*component.Artifact{nil, {Producer: "packer.file", Files: []component.File{{Path: "x"}}}, gone} {
		if _, _, err := x.Process(t.Context(), g.Run, in); err == nil || !strings.Contains(err.Error(), "docker-tag") {
			t.Errorf("%+v: %v", in, err)
		}
	}
}

func TestContract(t *testing.T) {
	g := dockerrig.New(t)
	name := cty.StringVal(g.Name(t, ""))
	componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
		New: func() component.PostProcessor { return postProcessor{env: g.Env} },
		Valid: componenttest.Configs{
			"tags":   {"repository": name, "tags": texts("1", "2"), "force": cty.True},
			"latest": {"repository": name},
		},
		Invalid: componenttest.Configs{"tag in the name": {"repository": cty.StringVal("a:b")}, "bad tag": {"repository": name, "tags": texts("a b")}},
		Input:   func(testing.TB, string) *component.Artifact { return g.Tiny(t) },
	})
}
