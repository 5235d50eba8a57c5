package serve

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/plugin/packerwire"
)

// receiveArtifact makes plain data of an artifact of the host. It has no resources:
// only the host can destroy it.
func receiveArtifact(ctx context.Context, remote packerwire.Artifact) (*component.Artifact, error) {
	a := &component.Artifact{Data: map[string]cty.Value{}}
	var err error
	for _, text := range []struct {
		to  *string
		get func(context.Context) (string, error)
	}{{&a.Producer, remote.BuilderID}, {&a.ID, remote.ID}, {&a.Summary, remote.Summary}} {
		if *text.to, err = text.get(ctx); err != nil {
			return nil, fmt.Errorf("read the artifact of the host: %w", err)
		}
	}
	files, err := remote.Files(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the artifact of the host: %w", err)
	}
	for _, path := range files {
		f := component.File{Path: path}
		if info, err := os.Stat(path); err == nil {
			f.Size = info.Size()
		}
		a.Files = append(a.Files, f)
	}
	state, err := remote.State(ctx, packerwire.GeneratedData)
	if err != nil {
		return nil, fmt.Errorf("read the artifact of the host: %w", err)
	}
	if data, ok := state.(map[string]any); ok {
		a.Data = factsOf(data)
	}
	// Artifacts that know nothing of a registry answer nothing, or fail.
	if a.Images, err = remote.Images(ctx); err != nil && !packerwire.IsRemote(err) {
		return nil, fmt.Errorf("read the artifact of the host: %w", err)
	}
	return a, nil
}

// artifact serves one of ours to the host.
type artifact struct {
	a *component.Artifact
	// facts are the values of the machine that it was made of.
	facts map[string]cty.Value
	// reap removes a resource.
	reap func(context.Context, component.Resource) error
	// remote is the host's own artifact when it is that.
	remote *packerwire.Artifact
}

// BuilderID implements packerwire.ArtifactServer.
func (a *artifact) BuilderID() string { return a.a.Producer }

// ID implements packerwire.ArtifactServer.
func (a *artifact) ID() string { return a.a.ID }

// Summary implements packerwire.ArtifactServer.
func (a *artifact) Summary() string { return a.a.Summary }

// Files implements packerwire.ArtifactServer.
func (a *artifact) Files() []string {
	out := make([]string, len(a.a.Files))
	for i, f := range a.a.Files {
		out[i] = f.Path
	}
	return out
}

// State implements packerwire.ArtifactServer.
func (a *artifact) State(key string) any {
	switch key {
	case packerwire.GeneratedData:
		data := sendFacts(a.facts)
		for name, v := range sendFacts(a.a.Data) {
			data[name] = v
		}
		return data
	case packerwire.ImageMetadata:
		if len(a.a.Images) == 0 {
			return nil
		}
		list := make([]any, len(a.a.Images))
		for i, m := range a.a.Images {
			list[i] = map[string]any{
				"ImageID": m.ID, "ProviderName": m.Provider, "ProviderRegion": m.Region, "SourceImageID": m.Parent, "Labels": map[string]any{},
			}
		}
		return list
	}
	return nil
}

// Destroy implements packerwire.ArtifactServer. What was made last goes first.
func (a *artifact) Destroy(ctx context.Context) error {
	if a.remote != nil {
		return a.remote.Destroy(ctx)
	}
	var errs []error
	for i := len(a.a.Resources) - 1; i >= 0; i-- {
		r := a.a.Resources[i]
		if err := a.reap(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", r.Kind, nameOf(r), err))
		}
	}
	return errors.Join(errs...)
}

// offer serves an artifact until the connection ends and returns the number of its
// stream.
func (p *plugin) offer(a *artifact) uint32 {
	services := packerwire.Services{}
	services.AddArtifact(a)
	id := p.conn.NextID()
	p.offers.Add(1)
	go func() { // start waits for it
		defer p.offers.Done()
		if err := services.ServeOn(context.Background(), p.conn, id); err != nil {
			fmt.Fprintf(p.Err, "the artifact is not served any more: %v\n", err)
		}
	}()
	return id
}
