package dockerimport

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/dockerengine"
	"ingot/internal/testkit/dockerrig"
)

func TestPlan(t *testing.T) {
	repo := cty.StringVal("a/b")
	for _, k := range []struct {
		values map[string]cty.Value
		bad    string
	}{
		{map[string]cty.Value{"repository": repo}, ""},
		{map[string]cty.Value{"repository": repo, "tag": cty.StringVal("1"), "platform": cty.StringVal("linux/amd64"), "changes": cty.ListVal([]cty.Value{cty.StringVal("USER a")})}, ""},
		{map[string]cty.Value{"repository": cty.StringVal("a:1")}, "repository"},
		{map[string]cty.Value{"repository": repo, "tag": cty.StringVal("a b")}, "tag"},
		{map[string]cty.Value{"repository": repo, "platform": cty.StringVal("//")}, "platform"},
		{map[string]cty.Value{"repository": repo, "changes": cty.ListVal([]cty.Value{cty.StringVal("RUN a")})}, "changes"},
	} {
		p := New()
		x, diags := p.Plan(t.Context(), p.Schema().Object(k.values))
		if k.bad == "" {
			if diags.HasErrors() || x == nil {
				t.Errorf("%v: %v", k.values, diags.Err())
			}
			continue
		}
		if len(diags.Errors()) != 1 || diags.Errors()[0].Path[0].(cty.GetAttrStep).Name != k.bad {
			t.Errorf("%v: %v", k.values, diags)
		}
	}
}

func TestImport(t *testing.T) {
	g := dockerrig.New(t)
	name := g.Name(t, "")
	in := &component.Artifact{Producer: dockerengine.ProducerBuilder, Files: []component.File{{Path: g.Live.TinyTar}}}
	x := &transform{env: g.Env, config: config{Repository: name, Tag: "v1", Platform: "linux/" + "amd64",
		Changes: []string{"USER nobody", "ENV A b", `CMD ["/bin/sh"]`, "LABEL k=v"}}}
	out, use, err := x.Process(t.Context(), g.Run, in)
	if err != nil {
		t.Fatal(err)
	}
	img, err := g.Engine.ImageInspect(t.Context(), name+":v1")
	if err != nil {
		t.Fatal(err)
	}
	if use != component.Consumes || out.ID != name+":v1" || out.Producer != "packer.post-processor.docker-import" || out.Data[dockerengine.DataSHA].AsString() != img.ID {
		t.Errorf("use %v, artifact %+v", use, out)
	}
	if img.Config.User != "nobody" || !slices.Contains(img.Config.Env, "A=b") || img.Config.Labels["k"] != "v" || !slices.Equal(img.Config.Cmd, []string{"/bin/sh"}) {
		t.Errorf("config %+v", img.Config)
	}
	l := g.Journal.Leases[0]
	if !l.Kept || l.Res.ID != img.ID || img.Comment != l.Res.Token || l.Res.Attrs[dockerengine.AttrName] != name+":v1" {
		t.Errorf("lease %+v, comment %q", l, img.Comment)
	}
	last, ok := g.Events[len(g.Events)-1].(component.Progress)
	st, _ := os.Stat(g.Live.TinyTar)
	if !ok || !last.Finished || last.Done != st.Size() || last.Total != st.Size() {
		t.Errorf("last event %+v", g.Events[len(g.Events)-1])
	}
	if tags, err := dockerengine.Tags(out); err != nil || !slices.Equal(tags, []string{name + ":v1"}) {
		t.Errorf("tags %q, %v", tags, err)
	}
}

func TestImportThatFails(t *testing.T) {
	g := dockerrig.New(t)
	x := &transform{env: g.Env, config: config{Repository: g.Name(t, "")}}
	broken := filepath.Join(t.TempDir(), "broken.tar")
	if err := os.WriteFile(broken, []byte(strings.Repeat("no tar at all ", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	from := func(files ...string) *component.Artifact {
		a := &component.Artifact{Producer: dockerengine.ProducerBuilder}
		for _, f := range files {
			a.Files = append(a.Files, component.File{Path: f})
		}
		return a
	}
	for _, in := range []*component.Artifact{from(broken), from(broken + ".none"), from(), from(broken, broken), g.Tiny(t)} {
		if _, _, err := x.Process(t.Context(), g.Run, in); err == nil {
			t.Errorf("%+v was imported", in)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := x.Process(ctx, g.Run, from(g.Live.TinyTar)); err == nil {
		t.Error("a cancelled import succeeded")
	}
}

func TestContract(t *testing.T) {
	g := dockerrig.New(t)
	name := cty.StringVal(g.Name(t, ""))
	componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
		New:     func() component.PostProcessor { return postProcessor{env: g.Env} },
		Valid:   componenttest.Configs{"plain": {"repository": name}, "all": {"repository": name, "tag": cty.StringVal("1"), "platform": cty.StringVal("linux/amd64"), "changes": cty.ListVal([]cty.Value{cty.StringVal("USER a")})}},
		Invalid: componenttest.Configs{"tag in the name": {"repository": cty.StringVal("a:b")}, "bad tag": {"repository": name, "tag": cty.StringVal("a b")}},
		Input: func(t testing.TB, dir string) *component.Artifact {
			data, err := os.ReadFile(g.Live.TinyTar)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "in.tar")
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
			return &component.Artifact{Producer: dockerengine.ProducerBuilder, Files: []component.File{{Path: file, Size: int64(len(data))}}}
		},
	})
}
