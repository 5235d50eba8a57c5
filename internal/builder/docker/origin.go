package docker

import (
	"context"
	"fmt"

	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
)

var _ component.OriginTeller = (*job)(nil)

// Origin implements component.OriginTeller: of an image that would be pulled, the
// registry is asked for the digest, and otherwise the engine for its ID.
func (j *job) Origin(ctx context.Context, r component.Run) (component.Origins, error) {
	c := j.config
	if c.Build != nil {
		return component.Origins{Open: "its base image is made from a Dockerfile, and what that takes from elsewhere is not known"}, nil
	}
	engine, err := dockerengine.Open(j.env, nil)
	if err != nil {
		return component.Origins{}, err
	}
	defer engine.Close()
	asking := &job{config: c, env: j.env, engine: engine}
	out := component.Origins{Inputs: map[string]string{"docker engine": engine.Endpoint.Host}}
	if c.Pull && !isImageID(c.Image) {
		out.Inputs["base image"], err = asking.registryDigest(ctx)
	} else if err = asking.inspectSource(ctx, c.Image); err == nil {
		out.Inputs["base image"] = asking.source.id
	}
	if err != nil {
		return component.Origins{}, err
	}
	asking.source.ref = c.Image
	spec, err := asking.runSpec(r)
	if err != nil {
		return component.Origins{}, err
	}
	if len(spec.Host.Binds) > 0 || len(spec.Host.VolumesFrom) > 0 {
		out.Open = "its container has folders from outside in it"
	}
	return out, nil
}

// registryDigest is the digest that the registry has for the image.
func (j *job) registryDigest(ctx context.Context) (string, error) {
	named, err := reference.ParseNormalizedNamed(j.config.Image)
	if err != nil {
		return "", fmt.Errorf("docker: image %q: %w", j.config.Image, err)
	}
	if fixed, ok := named.(reference.Canonical); ok {
		return fixed.Digest().String(), nil
	}
	auth, err := j.config.Login.Header(ctx, j.env, named)
	if err != nil {
		return "", err
	}
	found, err := j.engine.DistributionInspect(ctx, j.config.Image, client.DistributionInspectOptions{EncodedRegistryAuth: auth})
	if err != nil {
		return "", j.engine.Explain(ctx, "ask the registry for the digest of "+j.config.Image, err)
	}
	return found.Descriptor.Digest.String(), nil
}
