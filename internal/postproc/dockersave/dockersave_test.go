package dockersave

import (
	"archive/tar"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/dockerengine"
	"ingot/internal/testkit/dockerrig"
)

func TestPlan(t *testing.T) {
	for path, bad := range map[cty.Value]bool{cty.StringVal("x.tar"): false, cty.StringVal(t.TempDir()): true, cty.StringVal(""): true, cty.UnknownVal(cty.String): false} {
		p := New()
		x, diags := p.Plan(t.Context(), p.Schema().Object(map[string]cty.Value{"path": path}))
		if diags.HasErrors() != bad || (x == nil) != bad {
			t.Errorf("%#v: %v", path, diags)
		}
	}
}

// manifest reads what a saved image says of itself.
func manifest(t *testing.T, file string) (tags []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%s has no manifest: %v", file, err)
		}
		if h.Name != "manifest.json" {
			continue
		}
		var m []struct{ RepoTags []string }
		if err := json.NewDecoder(r).Decode(&m); err != nil || len(m) != 1 {
			t.Fatalf("manifest %+v: %v", m, err)
		}
		return m[0].RepoTags
	}
}

func TestSave(t *testing.T) {
	g := dockerrig.New(t)
	file := filepath.Join(t.TempDir(), "new", "image.tar")
	x := &transform{env: g.Env, path: file}
	in := g.Tiny(t)
	out, use, err := x.Process(t.Context(), g.Run, in)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if use != component.Keeps || out.ID != in.ID || out.Files[0].Size != st.Size() || out.Resources[0].ID != file {
		t.Errorf("use %v, artifact %+v", use, out)
	}
	if tags := manifest(t, file); len(tags) > 0 {
		t.Errorf("tags %q", tags)
	}
	last := g.Journal.Leases[len(g.Journal.Leases)-1]
	if !last.Kept || last.Res.Kind != component.FileKind || last.Res.ID != file {
		t.Errorf("last lease %+v", last)
	}

	// A named image keeps its names, and an older file is replaced.
	name := g.Name(t, "")
	tags := []string{name + ":1", name + ":2"}
	for _, tag := range tags {
		if _, err := g.Engine.ImageTag(t.Context(), client.ImageTagOptions{Source: g.Live.TinyImage, Target: tag}); err != nil {
			t.Fatal(err)
		}
	}
	tagged := &component.Artifact{Producer: dockerengine.ProducerTag, ID: tags[1], Data: map[string]cty.Value{dockerengine.DataTags: dockerengine.TagData(tags)}}
	if _, _, err := x.Process(t.Context(), g.Run, tagged); err != nil {
		t.Fatal(err)
	}
	got := manifest(t, file)
	if slices.Sort(got); !slices.Equal(got, tags) {
		t.Errorf("tags %q", got)
	}
}

func TestSaveThatFails(t *testing.T) {
	g := dockerrig.New(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "image.tar")
	if err := os.WriteFile(file, []byte("older"), 0o644); err != nil {
		t.Fatal(err)
	}
	x := &transform{env: g.Env, path: file}
	gone := &component.Artifact{Producer: dockerengine.ProducerImport, ID: "sha256:" + strings.Repeat("0", 64)}
	if _, _, err := x.Process(t.Context(), g.Run, gone); err == nil {
		t.Error("an image that is not there was saved")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := x.Process(ctx, g.Run, g.Tiny(t)); err == nil {
		t.Error("a cancelled save succeeded")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "older" {
		t.Errorf("the older file: %q, %v", text, err)
	}
	if _, _, err := x.Process(t.Context(), g.Run, &component.Artifact{Producer: "packer.file"}); err == nil || !strings.Contains(err.Error(), "docker-save") {
		t.Errorf("a file: %v", err)
	}
}

func TestContract(t *testing.T) {
	g := dockerrig.New(t)
	componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
		New:     func() component.PostProcessor { return postProcessor{env: g.Env} },
		Valid:   componenttest.Configs{"plain": {"path": cty.StringVal("image.tar")}},
		Invalid: componenttest.Configs{"a folder": {"path": cty.StringVal("/")}},
		Input:   func(testing.TB, string) *component.Artifact { return g.Tiny(t) },
	})
}
