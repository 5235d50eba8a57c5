// Package dockerrig puts a docker post-processor on the live engine.
package dockerrig

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

// Recorder is a journal that remembers what was acquired.
type Recorder struct{ Leases []*Lease }

type Lease struct {
	Res  component.Resource
	Kept bool
}

func (r *Recorder) Acquire(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error) {
	want.Token = "ingot-test-" + strings.ToLower(rand.Text())
	l := &Lease{Res: want}
	r.Leases = append(r.Leases, l)
	id, err := create(ctx, want)
	if l.Res.ID = id; err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Lease) Resource() component.Resource  { return l.Res }
func (l *Lease) Release(context.Context) error { return nil }
func (l *Lease) Keep(context.Context) error    { l.Kept = true; return nil }

// Rig is the live engine with a run on it.
type Rig struct {
	Live    live.Env
	Env     dockerengine.Env
	Engine  *dockerengine.Engine
	Run     component.Run
	Journal *Recorder
	Events  []component.Event
}

func New(t *testing.T) *Rig {
	t.Helper()
	l := live.Require(t)
	home := t.TempDir()
	env := func(name string) string {
		return map[string]string{"DOCKER_HOST": l.DockerHost, "DOCKER_CONFIG": home}[name]
	}
	engine, err := dockerengine.Open(env, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &Rig{Live: l, Env: env, Engine: engine, Journal: &Recorder{}}
	g.Run = component.Run{
		Journal: g.Journal, WorkDir: t.TempDir(), Clock: component.SystemClock{},
		Events: component.SinkFunc(func(e component.Event) { g.Events = append(g.Events, e) }),
	}
	return g
}

// Name is an image name that no other test uses; what has it is removed.
func (g *Rig) Name(t *testing.T, prefix string) string {
	t.Helper()
	name := prefix + "ingot-test/" + strings.ToLower(rand.Text())
	t.Cleanup(func() {
		list, err := g.Engine.ImageList(context.Background(), client.ImageListOptions{Filters: make(client.Filters).Add("reference", name)})
		if err != nil {
			t.Error(err)
		}
		for _, img := range list.Items {
			for _, tag := range img.RepoTags {
				if _, err := g.Engine.ImageRemove(context.Background(), tag, client.ImageRemoveOptions{}); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return name
}

// Tiny is the artifact of a commit: the tiny image by its ID.
func (g *Rig) Tiny(t *testing.T) *component.Artifact {
	t.Helper()
	img, err := g.Engine.ImageInspect(t.Context(), g.Live.TinyImage)
	if err != nil {
		t.Fatal(err)
	}
	return &component.Artifact{Producer: dockerengine.ProducerImport, ID: img.ID, Images: []component.Image{{Provider: "docker", ID: img.ID, Parent: "sha256:parent"}}}
}
