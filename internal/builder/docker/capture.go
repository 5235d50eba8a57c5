package docker

import (
	"context"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
)

// What made an artifact, as manifests and post-processors know it.
const (
	producerBuilder = "packer.docker"
	producerImport  = dockerengine.ProducerImport
)

// commit makes an image of the container.
func (j *job) commit(ctx context.Context, r component.Run, container string) (*component.Artifact, error) {
	c := j.config
	// What runs is killed at once, rather than frozen, committed and killed
	// later: the files are the same, and it is quicker.
	if _, err := j.engine.ContainerKill(ctx, container, client.ContainerKillOptions{}); err != nil && !cerrdefs.IsConflict(err) {
		return nil, j.engine.Explain(ctx, "stop container "+short(container), err)
	}
	want := component.Resource{Kind: imageKind, Attrs: dockerengine.Asking(j.engine.Endpoint.Attrs(map[string]string{dockerengine.AttrContainer: container}))}
	lease, err := r.Journal.Acquire(ctx, want, func(ctx context.Context, res component.Resource) (string, error) {
		ctx, stop := answered(ctx)
		defer stop()
		comment, changes := dockerengine.Mark(c.Message, res.Token, c.Changes)
		made, err := j.engine.ContainerCommit(ctx, container, client.ContainerCommitOptions{
			Author: c.Author, Comment: comment, Changes: changes, NoPause: true,
		})
		dockerengine.Answered(res.Attrs, err)
		return made.ID, j.engine.Explain(ctx, "commit container "+short(container), err)
	})
	if err != nil {
		return nil, err
	}
	id := lease.Resource().ID
	if err := lease.Keep(ctx); err != nil {
		return nil, err
	}
	return &component.Artifact{
		Producer:  producerImport,
		ID:        id,
		Summary:   "Imported Docker image: " + id,
		Images:    []component.Image{{Provider: "docker", ID: id, Parent: j.source.id}},
		Data:      map[string]cty.Value{factImageSHA256: cty.StringVal(id)},
		Resources: []component.Resource{{Kind: imageKind, ID: id, Attrs: j.engine.Endpoint.Attrs(nil)}},
	}, nil
}

// export writes the container's file system to a tar file. The file has its
// final name only when it is complete.
func (j *job) export(ctx context.Context, r component.Run, container string) (*component.Artifact, error) {
	body, err := j.engine.ContainerExport(ctx, container, client.ContainerExportOptions{})
	if err != nil {
		return nil, j.engine.Explain(ctx, "export container "+short(container), err)
	}
	defer body.Close()
	file, res, err := dockerengine.SaveFile(ctx, r, j.config.ExportPath, "Exporting the container", body)
	if err != nil {
		return nil, j.engine.Explain(ctx, "export container "+short(container)+" to "+j.config.ExportPath, err)
	}
	return &component.Artifact{
		Producer:  producerBuilder,
		Summary:   "Exported Docker file: " + j.config.ExportPath,
		Files:     []component.File{file},
		Resources: []component.Resource{res},
	}, nil
}
