package docker

import (
	"context"
	"errors"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
)

var (
	_ component.Checkpointer     = (*job)(nil)
	_ component.CheckpointHolder = builder{}
	_ component.Saver            = (*execMachine)(nil)
	_ component.Saver            = (*machine)(nil)
)

// A checkpoint is an image on the engine under a name that no other image has,
// which is the ID of its resource. It is not untagged by `docker image prune`, and
// images that are made on top of it do not inherit the name.

// dataImage is where a checkpoint says which image it is.
const dataImage = "image"

// BaseState implements component.Checkpointer.
func (j *job) BaseState(_ context.Context, r component.Run) (component.BaseState, error) {
	state := component.BaseState{
		Inputs: map[string]string{"base image": j.source.id, "docker engine": j.engine.Endpoint.Host},
		// A Dockerfile counts by the image that it gives; and what is said of the
		// artifact does not touch the container.
		Later: []string{
			"pull", "build", "commit", "discard", "export_path", "author", "message", "changes",
			"login", "login_server", "login_username", "login_password", "ecr_login",
			"aws_access_key", "aws_secret_key", "aws_token", "aws_profile", "docker_path",
		},
	}
	volatile, err := j.outside(r)
	state.Volatile = volatile
	return state, err
}

// outside says what of the container's files lies outside of it, where an image
// of it does not reach.
func (j *job) outside(r component.Run) (string, error) {
	spec, err := j.runSpec(r)
	if err != nil {
		return "", err
	}
	h := spec.Host
	switch {
	case len(h.Binds) > 0 || len(h.Mounts) > 0 || len(h.VolumesFrom) > 0 || len(spec.Config.Volumes) > 0:
		return "it has volumes, which an image of it would be without", nil
	case len(h.Tmpfs) > 0:
		return "it has a file system in memory, which an image of it would be without", nil
	case j.source.volumes:
		return "its image has volumes, whose contents an image of it would be without", nil
	}
	return "", nil
}

// HasCheckpoint implements component.CheckpointHolder.
func (b builder) HasCheckpoint(ctx context.Context, c component.Checkpoint) (bool, error) {
	if len(c.Resources) != 1 {
		return false, nil
	}
	endpoint, err := dockerengine.FromAttrs(c.Resources[0].Attrs, b.env)
	if err != nil {
		return false, err
	}
	engine, err := dockerengine.OpenEndpoint(endpoint, b.env, nil)
	if err != nil {
		return false, err
	}
	defer engine.Close()
	return hasCheckpoint(ctx, engine, c)
}

// HasCheckpoint implements component.CheckpointHolder.
func (j *job) HasCheckpoint(ctx context.Context, c component.Checkpoint) (bool, error) {
	return hasCheckpoint(ctx, j.engine, c)
}

// hasCheckpoint: another image under the name is not the checkpoint.
func hasCheckpoint(ctx context.Context, engine *dockerengine.Engine, c component.Checkpoint) (bool, error) {
	if len(c.Resources) != 1 || c.Data[dataImage] == "" {
		return false, nil
	}
	name := c.Resources[0].ID
	img, err := engine.ImageInspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, engine.Explain(ctx, "inspect image "+name, err)
	}
	return img.ID == c.Data[dataImage], nil
}

// Resume implements component.Checkpointer: the container is the one that Boot
// starts, but of another image.
func (j *job) Resume(ctx context.Context, r component.Run, from component.Checkpoint) (component.Machine, error) {
	there, err := j.HasCheckpoint(ctx, from)
	if err == nil && !there {
		err = component.ErrCheckpointGone
	}
	if err != nil {
		return nil, fmt.Errorf("docker: start from a checkpoint: %w", err)
	}
	spec, err := j.runSpec(r)
	if err != nil {
		return nil, err
	}
	spec.Config.Image = from.Data[dataImage]
	return j.boot(ctx, r, spec)
}

// SaveCheckpoint implements component.Saver. The container stands still while the
// engine reads its files.
func (m *machine) SaveCheckpoint(ctx context.Context, r component.Run, to component.CheckpointPlace) (component.SavedState, error) {
	want := component.Resource{Kind: imageKind, Attrs: dockerengine.Asking(m.engine.Endpoint.Attrs(map[string]string{
		dockerengine.AttrContainer: m.id, dockerengine.AttrOwnTag: "1",
	}))}
	image := ""
	lease, err := r.Journal.Acquire(ctx, want, func(ctx context.Context, res component.Resource) (string, error) {
		ctx, stop := answered(ctx)
		defer stop()
		name := dockerengine.OwnTag(res.Token)
		made, err := m.engine.ContainerCommit(ctx, m.id, client.ContainerCommitOptions{Reference: name, Comment: res.Token})
		dockerengine.Answered(res.Attrs, err)
		if err != nil {
			return "", m.engine.Explain(ctx, "commit container "+short(m.id), err)
		}
		image = made.ID
		return name, nil
	})
	if err != nil {
		return component.SavedState{}, err
	}
	img, err := m.engine.ImageInspect(ctx, image)
	if err != nil {
		err = m.engine.Explain(ctx, "inspect image "+short(image), err)
		return component.SavedState{}, errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
	}
	return component.SavedState{
		Data: map[string]string{dataImage: image}, Leases: []component.Lease{lease},
		Size: max(img.Size-m.source.size, 0), // what it takes up besides the one that the build began with
	}, nil
}
