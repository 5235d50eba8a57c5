package docker

import (
	"context"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// TestFind: a sweep finds the containers of builds by what they carry, and nobody
// else's, also where those look like them.
func TestFind(t *testing.T) {
	g := newRig(t)
	g.run.Expires = time.Now().Add(time.Hour).Truncate(time.Second)
	create := func(name, image string, labels map[string]string) string {
		t.Helper()
		made, err := g.engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{
			Name: name, Config: &container.Config{Image: image, Labels: labels, Cmd: []string{"true"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, _ = g.engine.ContainerRemove(context.Background(), made.ID, client.ContainerRemoveOptions{Force: true}) // it may be gone
		})
		return made.ID
	}
	const token = "ingot-01arz3ndektsv4rrffq69g5fav"
	j := g.plan(g.tiny(nil))
	if err := j.Prepare(t.Context(), g.run); err != nil {
		t.Fatal(err)
	}
	config, host := j.labelled(&runSpec{}, g.run.Labels(token))
	if host.Annotations[component.LabelRun] != "run" {
		t.Errorf("annotations: %v", host.Annotations)
	}
	labelled := create("", g.live.TinyImage, config.Labels)
	named := create("ingot-01arz3ndektsv4rrffq69g5fa0", g.live.TinyImage, nil)
	committed, err := g.engine.ContainerCommit(t.Context(), labelled, client.ContainerCommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := g.engine.ImageRemove(context.Background(), committed.ID, client.ImageRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	foreign := map[string]string{
		create("", g.live.TinyImage, nil):                                    "no label",
		create("", committed.ID, nil):                                        "a label of its image only",
		create("ingot-mine-"+token[6:12], g.live.TinyImage, nil):             "a name like ours",
		create("", g.live.TinyImage, map[string]string{"io.ingot.run": "x"}): "no token",
	}
	found, err := reaper{env: g.env}.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]component.Found{}
	for _, f := range found {
		by[f.Resource.ID] = f
		if why := foreign[f.Resource.ID]; why != "" {
			t.Errorf("somebody else's container was found: %s", why)
		}
	}
	f := by[labelled]
	if f.Run != "run" || f.Build != g.run.Build.String() || !f.Expires.Equal(g.run.Expires) || f.Resource.Token != token || time.Since(f.Made) > time.Hour {
		t.Errorf("by its labels: %+v", f)
	}
	if f := by[named]; f.Resource.Token != "ingot-01arz3ndektsv4rrffq69g5fa0" || f.Run != "" || f.Made.IsZero() {
		t.Errorf("by its name: %+v", f)
	}
	if err := (reaper{env: g.env}).Reap(t.Context(), f.Resource); err != nil {
		t.Error(err)
	}
	if _, err := g.engine.ContainerInspect(t.Context(), labelled, client.ContainerInspectOptions{}); err == nil {
		t.Error("what was found was not removed")
	}
}

// TestCommittedImagesCarryNoLabels: what says whose a container is stays out of the
// image that it becomes.
func TestCommittedImagesCarryNoLabels(t *testing.T) {
	g := newRig(t)
	j := g.plan(g.tiny(map[string]cty.Value{"commit": cty.True}))
	spec := &runSpec{Config: container.Config{Labels: map[string]string{"mine": "1"}}}
	config, host := j.labelled(spec, g.run.Labels("ingot-x"))
	if len(config.Labels) != 1 || config.Labels["mine"] != "1" {
		t.Errorf("labels: %v", config.Labels)
	}
	if host.Annotations[component.LabelToken] != "ingot-x" || len(spec.Host.Annotations) != 0 {
		t.Errorf("annotations: %v, of the configuration itself: %v", host.Annotations, spec.Host.Annotations)
	}
}
