package dockertag

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
	"ingot/internal/testkit/live"
)

// recorder is a journal that remembers what was acquired.
type recorder struct{ leases []*lease }

type lease struct {
	res  component.Resource
	kept bool
}

func (r *recorder) Acquire(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error) {
	want.Token = "ingot-test-" + strings.ToLower(rand.Text())
	l := &lease{res: want}
	r.leases = append(r.leases, l)
	id, err := create(ctx, want)
	if l.res.ID = id; err != nil {
		return nil, err
	}
	return l, nil
}

func (l *lease) Resource() component.Resource  { return l.res }
func (l *lease) Release(context.Context) error { return nil }
func (l *lease) Keep(context.Context) error    { l.kept = true; return nil }

// rig is the live engine with a run on it.
type rig struct {
	live    live.Env
	env     dockerengine.Env
	engine  *dockerengine.Engine
	run     component.Run
	journal *recorder
	events  []component.Event
}

func newRig(t *testing.T) *rig {
	t.Helper()
	l := live.Require(t)
	home := t.TempDir()
	env := func(name string) string {
		return map[string]string{"DOCKER_HOST": l.DockerHost, "DOCKER_CONFIG": home}[name]
	}
	engine, err := dockerengine.Open(env)
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{live: l, env: env, engine: engine, journal: &recorder{}}
	g.run = component.Run{
		Journal: g.journal, WorkDir: t.TempDir(), Clock: component.SystemClock{},
		Events: component.SinkFunc(func(e component.Event) { g.events = append(g.events, e) }),
	}
	return g
}

// name is an image name that no other test uses; what has it is removed.
func (g *rig) name(t *testing.T, prefix string) string {
	t.Helper()
	name := prefix + "ingot-test/" + strings.ToLower(rand.Text())
	t.Cleanup(func() {
		list, err := g.engine.ImageList(context.Background(), client.ImageListOptions{Filters: make(client.Filters).Add("reference", name)})
		if err != nil {
			t.Error(err)
		}
		for _, img := range list.Items {
			for _, tag := range img.RepoTags {
				if _, err := g.engine.ImageRemove(context.Background(), tag, client.ImageRemoveOptions{}); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return name
}

// tiny is the artifact of a commit: the tiny image by its ID.
func (g *rig) tiny(t *testing.T) *component.Artifact {
	t.Helper()
	img, err := g.engine.ImageInspect(t.Context(), g.live.TinyImage)
	if err != nil {
		t.Fatal(err)
	}
	return &component.Artifact{Producer: dockerengine.ProducerImport, ID: img.ID, Images: []component.Image{{Provider: "docker", ID: img.ID, Parent: "sha256:parent"}}}
}
