package host

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ingot/internal/component"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
)

// The resource kinds of plugins. Their processes are resources besides.
const (
	// RunKind is a builder of a plugin that builds. Releasing it makes the plugin clean
	// up. In another process nothing is left of it: the plugin's process has ended with
	// its connection.
	RunKind = "plugin.run"
	// ArtifactKind is an artifact that only the plugin which made it can remove.
	ArtifactKind = "plugin.artifact"
)

// Live holds what of plugins is alive in this process. It is the reaper of RunKind and
// ArtifactKind.
type Live struct {
	mu        sync.Mutex
	runs      map[string]*running // by token; guarded by mu
	artifacts map[string]*artifact
}

var _ component.Reaper = (*Live)(nil)

// NewLive returns one without anything in it.
func NewLive() *Live {
	return &Live{runs: map[string]*running{}, artifacts: map[string]*artifact{}}
}

// Kinds are the resource kinds of plugins.
func (l *Live) Kinds() []string { return []string{RunKind, ArtifactKind} }

// Reap lets a plugin clean up a build, or remove an artifact.
func (l *Live) Reap(ctx context.Context, r component.Resource) error {
	l.mu.Lock()
	run, made := l.runs[r.Token], l.artifacts[r.Token]
	l.mu.Unlock()
	switch {
	case r.Kind == RunKind && run != nil:
		return run.stop(ctx)
	case r.Kind == RunKind:
		return nil
	case made != nil:
		return made.destroy(ctx)
	case r.ID == "":
		return nil // there never was one
	}
	return fmt.Errorf("the artifact %s of the plugin %s can be removed only by the plugin's process that made it, which has ended: remove it by hand",
		r.Attrs["artifact"], r.Attrs["plugin"])
}

func (l *Live) addRun(token string, r *running) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[token] = r
}

func (l *Live) dropRun(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runs, token)
}

func (l *Live) addArtifact(token string, a *artifact) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.artifacts[token] = a
}

// artifactOf returns the plugin's side of an artifact, nil for one of nobody's that is
// alive.
func (l *Live) artifactOf(a *component.Artifact) *artifact {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range a.Resources {
		if found := l.artifacts[r.Token]; r.Kind == ArtifactKind && found != nil {
			return found
		}
	}
	return nil
}

// artifact is an artifact in the process that made it.
type artifact struct {
	host  *Provider
	proc  *process.Process
	wire  packerwire.Artifact
	token string
	mu    sync.Mutex
	gone  bool // guarded by mu
}

// destroy removes the artifact and ends its process.
func (a *artifact) destroy(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return nil
	}
	if err := a.proc.Explain(a.wire.Destroy(ctx)); err != nil {
		return fmt.Errorf("the plugin %s: %w", a.host.plugin.Name, err)
	}
	a.gone = true
	return a.host.end(ctx, a.proc)
}

// state is what the artifact knows under a key.
func (a *artifact) state(ctx context.Context, key string) (any, error) {
	v, err := a.wire.State(ctx, key)
	return v, a.proc.Explain(err)
}

// dialArtifact opens an artifact that a plugin has just announced. Plugins wait for it
// no longer than 5 s.
func (h *Provider) dialArtifact(ctx context.Context, p *process.Process, id uint32) (packerwire.Artifact, error) {
	stream, err := p.Conn().Dial(ctx, id)
	if err != nil {
		return packerwire.Artifact{}, p.Explain(fmt.Errorf("the artifact of the plugin %s: %w", h.plugin.Name, err))
	}
	return packerwire.Artifact{Caller: packerwire.NewCaller(stream)}, nil
}

// adopt makes plain data of an artifact, whose process has to stay while it may be
// removed or asked.
func (h *Provider) adopt(ctx context.Context, r component.Run, u use, p *process.Process, wire packerwire.Artifact) (*component.Artifact, error) {
	out, err := h.describe(ctx, wire)
	if err != nil {
		return nil, p.Explain(fmt.Errorf("the artifact of the plugin %s: %w", h.plugin.Name, err))
	}
	want := component.Resource{Kind: ArtifactKind, Attrs: map[string]string{
		"plugin": h.plugin.Name, "component": string(u.kind) + " " + process.Shown(u.name), "artifact": out.ID,
	}}
	var made component.Resource
	lease, err := r.Journal.Acquire(ctx, want, func(_ context.Context, res component.Resource) (string, error) {
		made = res
		h.plugin.Live.addArtifact(res.Token, &artifact{host: h, proc: p, wire: wire, token: res.Token})
		return res.Token, nil
	})
	if err != nil {
		return nil, err
	}
	made.ID = made.Token
	out.Resources = []component.Resource{made}
	return out, lease.Keep(ctx)
}

// describe asks an artifact for everything that is plain data.
func (h *Provider) describe(ctx context.Context, wire packerwire.Artifact) (*component.Artifact, error) {
	var out component.Artifact
	var errs [5]error
	out.Producer, errs[0] = wire.BuilderID(ctx)
	out.ID, errs[1] = wire.ID(ctx)
	out.Summary, errs[2] = wire.Summary(ctx)
	files, err := wire.Files(ctx)
	errs[3] = err
	state, err := wire.State(ctx, packerwire.GeneratedData)
	errs[4] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	out.Producer, out.ID, out.Summary = clean(out.Producer), clean(out.ID), clean(out.Summary)
	for _, f := range files {
		out.Files = append(out.Files, fileOf(f))
	}
	if m, ok := state.(map[string]any); ok {
		out.Data = facts(m)
	}
	// Artifacts that know nothing of a registry answer nothing, or fail.
	if out.Images, err = wire.Images(ctx); err != nil && !packerwire.IsRemote(err) {
		return nil, err
	}
	return &out, nil
}
