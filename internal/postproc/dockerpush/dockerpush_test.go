package dockerpush

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/dockerengine"
	"ingot/internal/retry"
	"ingot/internal/testkit/dockerrig"
)

func TestPlan(t *testing.T) {
	for _, k := range []struct {
		values map[string]cty.Value
		bad    string
	}{
		{nil, ""},
		{map[string]cty.Value{"login": cty.True, "login_username": cty.StringVal("u"), "login_password": cty.StringVal("p")}, ""},
		{map[string]cty.Value{"login": cty.True, "login_username": cty.StringVal("u"), "login_password": cty.UnknownVal(cty.String)}, ""},
		{map[string]cty.Value{"login": cty.True, "login_password": cty.StringVal("p")}, "login_username"},
		{map[string]cty.Value{"ecr_login": cty.True}, "ecr_login"},
		{map[string]cty.Value{"ecr_login": cty.True, "login_server": cty.StringVal("public.ecr.aws/x"), "aws_access_key": cty.StringVal("a")}, "aws_access_key"},
		{map[string]cty.Value{"platform": cty.StringVal("a/b/c/d")}, "platform"},
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

// tagged is the artifact of docker-tag.
func tagged(g *dockerrig.Rig, t *testing.T, registry string) *component.Artifact {
	t.Helper()
	name := g.Name(t, registry+"/")
	names := []string{name + ":1", name + ":2"}
	for _, n := range names {
		if _, err := g.Engine.ImageTag(t.Context(), client.ImageTagOptions{Source: g.Live.TinyImage, Target: n}); err != nil {
			t.Fatal(err)
		}
	}
	return &component.Artifact{Producer: dockerengine.ProducerTag, ID: names[1], Data: map[string]cty.Value{dockerengine.DataTags: dockerengine.TagData(names), "more": cty.True}}
}

// pullable reports whether the registry has the image.
func pullable(g *dockerrig.Rig, name, auth string) error {
	stream, err := g.Engine.ImagePull(context.Background(), name, client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	return stream.Wait(context.Background())
}

func TestPush(t *testing.T) {
	g := dockerrig.New(t)
	in := tagged(g, t, g.Live.Registry)
	out, use, err := (&transform{env: g.Env}).Process(t.Context(), g.Run, in)
	if err != nil {
		t.Fatal(err)
	}
	if use != component.Keeps || out.ID != in.ID || len(out.Resources) > 0 || !out.Data["more"].True() {
		t.Errorf("use %v, artifact %+v", use, out)
	}
	if d := out.Data[dockerengine.DataDigest].AsString(); !strings.HasPrefix(d, "sha256:") || !strings.Contains(out.Summary, d) {
		t.Errorf("digest %q in %q", d, out.Summary)
	}
	if !slices.ContainsFunc(g.Events, func(e component.Event) bool {
		p, ok := e.(component.Progress)
		return ok && p.Finished
	}) {
		t.Error("no transfer was reported as finished")
	}
	for _, name := range []string{in.ID, strings.TrimSuffix(in.ID, "2") + "1"} {
		if err := pullable(g, name, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPushWithLogin(t *testing.T) {
	g := dockerrig.New(t)
	in := tagged(g, t, g.Live.AuthRegistry)
	_, _, err := (&transform{env: g.Env}).Process(t.Context(), g.Run, in)
	if err == nil || retry.ClassOf(err) != retry.Permission || !strings.Contains(err.Error(), "login_username") {
		t.Errorf("without login: %v", err)
	}
	x := &transform{env: g.Env, login: dockerengine.Login{Login: true, Username: g.Live.AuthUser, Password: "wrong"}}
	if _, _, err := x.Process(t.Context(), g.Run, in); err == nil || retry.ClassOf(err) != retry.Permission || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong password: %v", err)
	}
	x.login.Password = g.Live.AuthPassword
	if _, _, err := x.Process(t.Context(), g.Run, in); err != nil {
		t.Errorf("with login: %v", err)
	}
	if entries, _ := os.ReadDir(g.Env("DOCKER_CONFIG")); len(entries) > 0 {
		t.Errorf("the login was written down: %v", entries)
	}
}

func TestPushRefusals(t *testing.T) {
	g := dockerrig.New(t)
	x := &transform{env: g.Env}
	if _, _, err := x.Process(t.Context(), g.Run, g.Tiny(t)); err == nil || !strings.Contains(err.Error(), "docker-tag") {
		t.Errorf("an image without a name: %v", err)
	}
	gone := &component.Artifact{Producer: dockerengine.ProducerTag, ID: g.Live.Registry + "/ingot-test/none:1"}
	if _, _, err := x.Process(t.Context(), g.Run, gone); err == nil {
		t.Error("an image that is not there was pushed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := x.Process(ctx, g.Run, tagged(g, t, g.Live.Registry)); err == nil {
		t.Error("a cancelled push succeeded")
	}
}

func TestContract(t *testing.T) {
	g := dockerrig.New(t)
	in := tagged(g, t, g.Live.Registry)
	componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
		New:     func() component.PostProcessor { return postProcessor{env: g.Env} },
		Valid:   componenttest.Configs{"plain": {}, "with a login": {"login": cty.True, "login_username": cty.StringVal("u"), "login_password": cty.StringVal("p")}},
		Invalid: componenttest.Configs{"bad platform": {"platform": cty.StringVal("//")}, "half a login": {"login": cty.True}},
		Input:   func(testing.TB, string) *component.Artifact { return in },
	})
}
