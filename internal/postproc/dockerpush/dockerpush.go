// Package dockerpush is the docker-push post-processor: it uploads an image to
// a registry.
package dockerpush

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/dockerengine"
	"ingot/internal/retry"
)

type postProcessor struct{ env dockerengine.Env }

// New returns the docker-push post-processor.
func New() component.PostProcessor { return postProcessor{env: os.Getenv} }

// Schema implements component.PostProcessor.
func (postProcessor) Schema() component.Schema {
	return component.Schema{
		Description: "Uploads the image that docker-tag or docker-import named, under all its names. Credentials given here are used for this upload only and stored nowhere.",
		Attributes: append(dockerengine.LoginAttributes(),
			component.String("platform", "Upload only this platform's part of a multi-platform image, such as \"linux/arm64\"."),
			component.String("docker_path", "Path of the docker program, which is not used."),
		),
		Manual: &component.Manual{
			Example: `post-processor "docker-push" {
  login          = true
  login_server   = "registry.example.com"
  login_username = "ci"
  login_password = "correct horse"
}
`,
			Artifact: "The image at the registry. The image on the engine is kept.",
		},
	}
}

type config struct {
	dockerengine.Login
	Platform string `cty:"platform"`
}

// Plan implements component.PostProcessor.
func (p postProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	t := &transform{env: p.env}
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return nil, diag.Errorf("Invalid docker-push configuration", "%v.", err)
	}
	diags := append(dockerengine.WarnDockerPath(cfg), c.Login.Check(cfg)...)
	platform, err := dockerengine.ParsePlatform(c.Platform)
	if err != nil {
		diags = append(diags, diag.At("platform", "Not a platform", "%v.", err)...)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	t.login, t.platform = c.Login, platform
	return t, diags
}

type transform struct {
	env      dockerengine.Env
	login    dockerengine.Login
	platform *ocispec.Platform
}

// Creates implements component.Describer. Under which names is the business of
// the post-processor before this one.
func (t *transform) Creates() []component.Creation {
	return []component.Creation{{Kind: "registry image"}}
}

// Process implements component.Transform.
func (t *transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	if _, err := dockerengine.ImageOf("docker-push", in); err != nil {
		return nil, 0, err
	}
	names, err := dockerengine.Tags(in)
	if err != nil {
		return nil, 0, fmt.Errorf("docker-push: %w", err)
	}
	engine, err := dockerengine.Open(t.env, r.Limits)
	if err != nil {
		return nil, 0, err
	}
	defer engine.Close()
	if r.Sensitive != nil && t.login.Password != "" {
		r.Sensitive(t.login.Password)
	}
	digest := ""
	for _, name := range names {
		r.Say("Pushing: " + name)
		d, err := t.push(ctx, r, engine, name)
		if err != nil {
			return nil, 0, err
		}
		digest = d
	}
	return pushed(in, names, digest), component.Keeps, nil
}

// pushed describes what is at the registry now. Destroying it is not offered.
func pushed(in *component.Artifact, names []string, digest string) *component.Artifact {
	out := &component.Artifact{
		Producer: dockerengine.ProducerPush,
		ID:       names[len(names)-1],
		Summary:  "Pushed Docker image: " + strings.Join(names, ", "),
		Data:     map[string]cty.Value{},
	}
	maps.Copy(out.Data, in.Data)
	out.Data[dockerengine.DataTags] = dockerengine.TagData(names)
	if digest != "" {
		out.Data[dockerengine.DataDigest] = cty.StringVal(digest)
		out.Summary += " (" + digest + ")"
	}
	for _, name := range names {
		out.Images = append(out.Images, component.Image{Provider: "docker", ID: name})
	}
	return out
}

// push uploads one name and returns the manifest's digest.
func (t *transform) push(ctx context.Context, r component.Run, engine *dockerengine.Engine, name string) (string, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", retry.As(retry.User, fmt.Errorf("docker-push: %q: %w", name, err))
	}
	named = reference.TagNameOnly(named)
	auth, err := t.login.Header(ctx, t.env, named)
	if err != nil {
		return "", err
	}
	stream, err := engine.ImagePush(ctx, reference.FamiliarString(named), client.ImagePushOptions{RegistryAuth: auth, Platform: t.platform})
	if err != nil {
		return "", explain(ctx, engine, name, err)
	}
	defer stream.Close()
	out, err := dockerengine.Follow(r.Events, stream.JSONMessages(ctx))
	if err != nil {
		return "", explain(ctx, engine, name, err)
	}
	return out.Digest(), nil
}

func explain(ctx context.Context, engine *dockerengine.Engine, name string, err error) error {
	wrapped := engine.Explain(ctx, "push "+name, err)
	switch {
	case dockerengine.Lost(err) || ctx.Err() != nil:
		return wrapped
	case retry.ClassOf(wrapped) == retry.Permission:
		return fmt.Errorf("%w: the registry wants other credentials: set login = true with login_username and login_password (and login_server for a registry other than the image's), use ecr_login for Amazon ECR, or run `docker login`", wrapped)
	case cerrdefs.IsNotFound(err):
		return fmt.Errorf("%w: the engine at %s has no image of that name", wrapped, engine.Endpoint.Host)
	}
	return wrapped
}
