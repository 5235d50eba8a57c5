package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/builder/oci/base"
	"ingot/internal/component"
)

// Producer is the artifact's producer.
const Producer = "ingot.oci"

// Capture makes the image and writes its outputs.
func (j *job) Capture(ctx context.Context, r component.Run, mach component.Machine) (*component.Artifact, error) {
	m, ok := mach.(*machine)
	if !ok || m.job != j {
		return nil, errors.New("oci: this machine belongs to another job")
	}
	if err := m.seal(ctx, r, "ingot: changes after the last provisioner", false); err != nil {
		return nil, err
	}
	steps, err := m.diffs.wait(ctx)
	if err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	img, err := j.assemble(ctx, r, steps)
	if err != nil {
		return nil, fmt.Errorf("oci: make image: %w", err)
	}
	w := &writer{job: j, run: r, img: img, lowers: m.lowers}
	files, resources, err := w.writeAll(ctx)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigName()
	if err != nil {
		return nil, fmt.Errorf("oci: make image: %w", err)
	}
	manifest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("oci: make image: %w", err)
	}
	j.box.Close()
	return &component.Artifact{
		Producer:  Producer,
		ID:        config.String(),
		Summary:   fmt.Sprintf("OCI image %s in %s", config, w.paths()),
		Files:     files,
		Resources: resources,
		Data: map[string]cty.Value{
			"ManifestDigest": cty.StringVal(manifest.String()),
		},
	}, nil
}

// created is the time of everything that this build adds.
func (j *job) created(r component.Run) v1.Time {
	if j.p.epoch != nil {
		return v1.Time{Time: *j.p.epoch}
	}
	return v1.Time{Time: r.Clock.Now().UTC().Truncate(time.Second)}
}

// assemble puts the base's layers and the new ones together.
func (j *job) assemble(ctx context.Context, r component.Run, steps []*sealed) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var adds []mutate.Addendum
	for _, l := range j.image.Layers {
		blob, err := l.Blob(ctx)
		if err != nil {
			return nil, err
		}
		adds = append(adds, addendum(blob))
	}
	now := j.created(r)
	history := j.baseHistory(now)
	for _, s := range steps {
		if s.blob == nil && !s.always {
			continue
		}
		history = append(history, v1.History{Created: now, CreatedBy: s.by, Author: j.p.Author, EmptyLayer: s.blob == nil})
		if s.blob != nil {
			adds = append(adds, addendum(s.blob))
		}
	}
	img, err := mutate.Append(img, adds...)
	if err != nil {
		return nil, err
	}
	appended, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config := j.image.Config.DeepCopy()
	config.RootFS = appended.RootFS
	config.History = history
	config.Created = now
	// What another builder noted about its own container is not true here.
	config.Container = ""
	config.Config.Image, config.Config.Hostname = "", ""
	if j.p.Author != "" {
		config.Author = j.p.Author
	}
	j.p.apply(&config.Config)
	return mutate.ConfigFile(img, config)
}

func addendum(b *base.Blob) mutate.Addendum {
	typ, _ := b.MediaType() // never fails
	return mutate.Addendum{Layer: b, MediaType: typ}
}

// baseHistory is the base's, which must have one entry for each layer.
func (j *job) baseHistory(now v1.Time) []v1.History {
	have := j.image.Config.History
	layers := 0
	for _, h := range have {
		if !h.EmptyLayer {
			layers++
		}
	}
	if layers == len(j.image.Layers) {
		return slices.Clone(have)
	}
	out := make([]v1.History, len(j.image.Layers))
	for i := range out {
		out[i] = v1.History{Created: now, CreatedBy: "ingot: from " + j.image.From}
	}
	return out
}
