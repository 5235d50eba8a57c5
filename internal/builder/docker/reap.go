package docker

import (
	"context"
	"fmt"
	"os"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
)

const (
	containerKind = dockerengine.ContainerKind
	imageKind     = dockerengine.ImageKind
)

type reaper struct{ env dockerengine.Env }

// NewReaper returns the reaper of containers and images.
func NewReaper() component.Reaper { return reaper{env: os.Getenv} }

// Kinds implements component.Reaper.
func (reaper) Kinds() []string { return []string{containerKind, imageKind} }

// Reap implements component.Reaper.
func (p reaper) Reap(ctx context.Context, r component.Resource) error {
	endpoint, err := dockerengine.FromAttrs(r.Attrs, p.env)
	if err != nil {
		return err
	}
	engine, err := dockerengine.OpenEndpoint(endpoint, p.env, nil)
	if err != nil {
		return err
	}
	defer engine.Close()
	switch r.Kind {
	case containerKind:
		return reapContainer(ctx, engine, r)
	case imageKind:
		return reapImage(ctx, engine, r)
	}
	return fmt.Errorf("docker: cannot remove a %s", r.Kind)
}

// Probe implements component.Prober: a name can come to stand for another image.
func (p reaper) Probe(ctx context.Context, r component.Resource) (string, error) {
	endpoint, err := dockerengine.FromAttrs(r.Attrs, p.env)
	if err != nil {
		return "", err
	}
	engine, err := dockerengine.OpenEndpoint(endpoint, p.env, nil)
	if err != nil {
		return "", err
	}
	defer engine.Close()
	id := ""
	if r.Kind == containerKind {
		var found client.ContainerInspectResult
		found, err = engine.ContainerInspect(ctx, r.ID, client.ContainerInspectOptions{})
		id = found.Container.ID
	} else {
		var found client.ImageInspectResult
		found, err = engine.ImageInspect(ctx, r.ID)
		id = found.ID
	}
	if cerrdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", engine.Explain(ctx, "look for "+short(r.ID), err)
	}
	return id, nil
}

// reapContainer kills and removes a container with the volumes that were made
// for it. Containers are created with their token as name.
func reapContainer(ctx context.Context, engine *dockerengine.Engine, r component.Resource) error {
	id := r.ID
	if id == "" {
		id = r.Token
	}
	if id == "" {
		return nil
	}
	for {
		mayAppear := r.ID == "" && dockerengine.MayAppear(r.Attrs, false, time.Now())
		_, err := engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case cerrdefs.IsConflict(err):
			return awaitGone(ctx, engine, id, err)
		case err != nil && !cerrdefs.IsNotFound(err):
			return engine.Explain(ctx, "remove container "+short(id), err)
		case err == nil || !mayAppear:
			return nil
		}
		if err := lookAgain(ctx); err != nil {
			return fmt.Errorf("docker: wait for container %s to appear: %w", id, err)
		}
	}
}

// lookAgain waits before the engine is asked once more for what it may be
// about to make.
func lookAgain(ctx context.Context) error {
	return component.SystemClock{}.Sleep(ctx, 100*time.Millisecond)
}

// awaitGone waits for a removal that is under way already.
func awaitGone(ctx context.Context, engine *dockerengine.Engine, id string, conflict error) error {
	var clock component.SystemClock
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		_, err := engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		if cerrdefs.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return engine.Explain(ctx, "remove container "+short(id), err)
		}
		if err := clock.Sleep(ctx, wait); err != nil {
			return fmt.Errorf("docker: remove container %s: %w (%w)", short(id), conflict, err)
		}
	}
}

// reapImage removes an image, or of one with several names just the name that
// the resource is about.
func reapImage(ctx context.Context, engine *dockerengine.Engine, r component.Resource) error {
	id := r.ID
	if id == "" {
		found, err := awaitLostImage(ctx, engine, r)
		if err != nil || found == "" {
			return err
		}
		id = found
	}
	_, err := engine.ImageRemove(ctx, id, client.ImageRemoveOptions{PruneChildren: true})
	if err == nil || cerrdefs.IsNotFound(err) {
		return nil
	}
	return engine.Explain(ctx, "remove image "+short(id), err)
}

// awaitLostImage looks for an image whose ID never reached us for as long as
// the engine may still be making it.
func awaitLostImage(ctx context.Context, engine *dockerengine.Engine, r component.Resource) (string, error) {
	for {
		mayAppear, err := imageMayAppear(ctx, engine, r)
		if err != nil {
			return "", err
		}
		found, err := lostImage(ctx, engine, r)
		if err != nil || found != "" || !mayAppear {
			return found, err
		}
		if err := lookAgain(ctx); err != nil {
			return "", fmt.Errorf("docker: wait for image %s to appear: %w", r.Token, err)
		}
	}
}

// imageMayAppear reports whether the engine may still be making the image. It
// pauses a container while it commits it.
func imageMayAppear(ctx context.Context, engine *dockerengine.Engine, r component.Resource) (bool, error) {
	id := r.Attrs[dockerengine.AttrContainer]
	if id == "" {
		return dockerengine.MayAppear(r.Attrs, false, time.Now()), nil
	}
	in, err := engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return dockerengine.MayAppear(r.Attrs, false, time.Now()), nil
	}
	if err != nil {
		return false, engine.Explain(ctx, "inspect container "+short(id), err)
	}
	committing := in.Container.State != nil && in.Container.State.Paused
	return dockerengine.MayAppear(r.Attrs, committing, time.Now()), nil
}

// lostImage finds an image whose ID never reached us, by the mark that it was
// made with. It returns "" when there is none.
func lostImage(ctx context.Context, engine *dockerengine.Engine, r component.Resource) (string, error) {
	if r.Token == "" {
		return "", nil
	}
	if name := r.Attrs[dockerengine.AttrName]; name != "" {
		return markedImage(ctx, engine, name, r.Token)
	}
	if r.Attrs[dockerengine.AttrOwnTag] != "" {
		return namedImage(ctx, engine, dockerengine.OwnTag(r.Token))
	}
	list, err := engine.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("dangling", "true")})
	if err != nil {
		return "", engine.Explain(ctx, "look for image "+r.Token, err)
	}
	for _, img := range list.Items {
		if found, err := markedImage(ctx, engine, img.ID, r.Token); err != nil || found != "" {
			return found, err
		}
	}
	return "", nil
}

// namedImage returns the name if there is an image of that name. One that the
// engine is still making has none yet.
func namedImage(ctx context.Context, engine *dockerengine.Engine, name string) (string, error) {
	_, err := engine.ImageInspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", engine.Explain(ctx, "inspect image "+short(name), err)
	}
	return name, nil
}

// markedImage returns the name if the image of that name has the mark.
func markedImage(ctx context.Context, engine *dockerengine.Engine, name, token string) (string, error) {
	img, err := engine.ImageInspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", engine.Explain(ctx, "inspect image "+short(name), err)
	}
	if img.Comment == token || img.Config != nil && img.Config.Labels[dockerengine.TokenLabel] == token {
		return name, nil
	}
	return "", nil
}
