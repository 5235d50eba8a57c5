package docker

import (
	"context"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
	"ingot/internal/retry"
)

// pull fetches the image from its registry.
func (j *job) pull(ctx context.Context, r component.Run) error {
	c := j.config
	named, err := reference.ParseNormalizedNamed(c.Image)
	if err != nil {
		return retry.As(retry.User, fmt.Errorf("docker: image %q: %w", c.Image, err))
	}
	auth, err := c.Login.Header(ctx, j.env, named)
	if err != nil {
		return err
	}
	opts := client.ImagePullOptions{RegistryAuth: auth}
	platform, err := dockerengine.ParsePlatform(c.Platform)
	if err != nil {
		return err
	}
	if platform != nil {
		opts.Platforms = []ocispec.Platform{*platform}
	}
	r.Say("Pulling Docker image: " + c.Image)
	// The registry complains to the engine, which tells us in words.
	registry := r.Limits.Endpoint(reference.Domain(named))
	return retry.Do(ctx, r.Clock, retry.Policy{
		Attempts: pullAttempts, First: time.Second,
		Retryable: func(err error) bool {
			class := retry.ClassOf(err)
			// An engine that is not there will not be there in a moment.
			return class == retry.Throttled || class == retry.Transient && !dockerengine.Lost(err)
		},
		Notify: r.TellRetries("the pull of " + c.Image),
	}, func(ctx context.Context) error {
		return registry.Do(ctx, func(ctx context.Context) error {
			stream, err := j.engine.ImagePull(ctx, c.Image, opts)
			if err != nil {
				return j.explainPull(ctx, err)
			}
			defer stream.Close()
			out, err := dockerengine.Follow(r.Events, stream.JSONMessages(ctx))
			if err != nil {
				return j.explainPull(ctx, err)
			}
			j.source.digest = out.Digest()
			return nil
		})
	})
}

// pullAttempts is how often a pull is tried that fails for a reason that may pass.
const pullAttempts = 4

// explainPull says what to do about an image that cannot be pulled.
func (j *job) explainPull(ctx context.Context, err error) error {
	name := j.config.Image
	wrapped := j.engine.Explain(ctx, "pull "+name, err)
	switch {
	case ctx.Err() != nil, dockerengine.Lost(err):
		return wrapped
	case retry.ClassOf(wrapped) == retry.Permission:
		return fmt.Errorf("%w: the registry wants other credentials, or the image does not exist: set login = true with login_username and login_password (and login_server for a registry other than the image's), use ecr_login for Amazon ECR, or run `docker login`", wrapped)
	case cerrdefs.IsNotFound(err), retry.ClassOf(wrapped) == retry.User:
		return fmt.Errorf("%w: check the name, the tag and, with platform, whether the image exists for it; with pull = false an image is used that is on the engine already", wrapped)
	}
	return wrapped
}
