package docker

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/dockerengine"
	"ingot/internal/testkit/live"
)

func TestCommunicatorContract(t *testing.T) {
	for name, more := range map[string]map[string]cty.Value{
		"root":      {},
		"exec user": {"exec_user": cty.StringVal("nobody")},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "root" && testing.Short() {
				t.Skip("takes as long as the one for root")
			}
			t.Parallel()
			g := newRig(t)
			m := g.start(g.plan(g.tiny(more)))
			componenttest.Communicator(t, componenttest.CommunicatorConfig{
				// Uploads are made by the engine, which may write everywhere.
				Dir: "/tmp",
				New: func(t testing.TB) component.Communicator {
					c, err := m.(component.SelfDialer).Dial(t.Context(), g.run)
					if err != nil {
						t.Fatal(err)
					}
					return c
				},
			})
		})
	}
}

func TestBuilderContract(t *testing.T) {
	l := live.Require(t)
	home := t.TempDir()
	env := func(name string) string {
		return map[string]string{"DOCKER_HOST": l.DockerHost, "DOCKER_CONFIG": home}[name]
	}
	engine, err := dockerengine.Open(env, nil)
	if err != nil {
		t.Fatal(err)
	}
	image := cty.StringVal(l.TinyImage)
	dockerfile := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(dockerfile, []byte("FROM "+l.TinyImage+"\nENV made=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	componenttest.Builder(t, componenttest.BuilderConfig{
		New: func() component.Builder { return builder{env: env} },
		Valid: func(t testing.TB) componenttest.Configs {
			dir := t.TempDir()
			return componenttest.Configs{
				"commit": {"image": image, "pull": cty.False, "commit": cty.True, "message": cty.StringVal("m"), "exec_user": cty.StringVal("nobody")},
				"export": {"image": image, "pull": cty.False, "export_path": cty.StringVal(filepath.Join(dir, "x.tar"))},
				"discard": {"discard": cty.True, "build": schema().Blocks[0].Schema.Object(map[string]cty.Value{
					"path": cty.StringVal(dockerfile), "build_dir": cty.StringVal(filepath.Dir(dockerfile)), "pull": cty.False,
				})},
				"ssh": {"image": image, "pull": cty.False, "discard": cty.True, "communicator": cty.StringVal("ssh"), "ssh_username": cty.StringVal("root"), "ssh_host": cty.StringVal("192.0.2.1")},
			}
		},
		Invalid: componenttest.Configs{
			"nothing":     {},
			"two results": {"image": image, "commit": cty.True, "export_path": cty.StringVal("x")},
			"no image":    {"commit": cty.True},
			"bad command": {"image": image, "commit": cty.True, "run_command": texts("--nonsense")},
		},
		Reap: reaper{env: env}.Reap,
		Exists: func(ctx context.Context, r component.Resource) bool {
			var err error
			if r.Kind == containerKind {
				_, err = engine.ContainerInspect(ctx, r.ID, client.ContainerInspectOptions{})
			} else {
				_, err = engine.ImageInspect(ctx, r.ID)
			}
			return err == nil
		},
	})
}
