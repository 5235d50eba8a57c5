// Package dockertag is the docker-tag post-processor: it gives an image names.
package dockertag

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/dockerengine"
)

type postProcessor struct{ env dockerengine.Env }

// New returns the docker-tag post-processor.
func New() component.PostProcessor { return postProcessor{env: os.Getenv} }

// Schema implements component.PostProcessor.
func (postProcessor) Schema() component.Schema {
	tag := component.Strings("tag", "Tags, also as one text with commas between them.")
	tag.Deprecated = "Use tags."
	return component.Schema{
		Description: "Gives the image that the docker builder committed, or that docker-import made, a repository name and tags. The image always stays.",
		Attributes: []component.Attribute{
			{Name: "repository", Type: cty.String, Required: true, Description: "Repository of the names, such as \"registry.example.com/team/app\"."},
			component.Strings("tags", "Tags to set. Default: latest."),
			tag,
			component.Bool("force", "Take a tag from another image. Engines always do, so it changes nothing."),
			component.String("docker_path", "Path of the docker program, which is not used."),
		},
		Manual: &component.Manual{
			Example: `post-processor "docker-tag" {
  repository = "registry.example.com/team/app"
  tags       = ["1.0", "latest"]
}
`,
			Artifact: "The image under its new names. What came in always stays.",
		},
	}
}

type config struct {
	Repository string   `cty:"repository"`
	Tags       []string `cty:"tags"`
	Tag        []string `cty:"tag"`
}

// Plan implements component.PostProcessor.
func (p postProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return nil, diag.Errorf("Invalid docker-tag configuration", "%v.", err)
	}
	diags := dockerengine.WarnDockerPath(cfg)
	t := &transform{env: p.env, repository: c.Repository}
	for _, name := range []string{"repository", "tags", "tag"} {
		t.unsure = t.unsure || !component.Known(cfg, name)
	}
	if component.Known(cfg, "repository") {
		diags = append(diags, dockerengine.CheckRepository("repository", c.Repository)...)
	}
	for _, given := range []struct {
		attribute string
		tags      []string
	}{{"tag", c.Tag}, {"tags", c.Tags}} {
		for _, text := range given.tags {
			for tag := range strings.SplitSeq(text, ",") {
				tag = strings.TrimSpace(tag)
				if tag == "" || slices.Contains(t.tags, tag) {
					continue
				}
				if !dockerengine.ValidTag(tag) {
					diags = append(diags, diag.At(given.attribute, "Not a tag",
						"%q: a tag is made of at most 128 letters, digits, dots, dashes and underscores, and starts with neither dot nor dash.", tag)...)
					continue
				}
				t.tags = append(t.tags, tag)
			}
		}
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return t, diags
}

type transform struct {
	env        dockerengine.Env
	repository string
	tags       []string
	// unsure says that repository or tags are not known yet.
	unsure bool
}

// names are what the image will be called.
func (t *transform) names() []string {
	if len(t.tags) == 0 {
		return []string{t.repository}
	}
	out := make([]string, len(t.tags))
	for i, tag := range t.tags {
		out[i] = t.repository + ":" + tag
	}
	return out
}

// Creates implements component.Describer.
func (t *transform) Creates() []component.Creation {
	if t.unsure {
		return []component.Creation{{Kind: "tag"}}
	}
	var out []component.Creation
	for _, name := range t.names() {
		out = append(out, component.Creation{Kind: "tag", Name: name})
	}
	return out
}

// Process implements component.Transform.
func (t *transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	image, err := dockerengine.ImageOf("docker-tag", in)
	if err != nil {
		return nil, 0, err
	}
	engine, err := dockerengine.Open(t.env, r.Limits)
	if err != nil {
		return nil, 0, err
	}
	defer engine.Close()
	names := t.names()
	for _, name := range names {
		r.Say("Tagging image: " + image + " as " + name)
		if err := tag(ctx, engine, image, name); err != nil {
			return nil, 0, err
		}
	}
	out := &component.Artifact{
		Producer: dockerengine.ProducerTag,
		ID:       names[len(names)-1],
		Summary:  "Tagged Docker image: " + strings.Join(names, ", "),
		Data:     map[string]cty.Value{dockerengine.DataTags: dockerengine.TagData(names)},
	}
	if sha, ok := in.Data[dockerengine.DataSHA]; ok {
		out.Data[dockerengine.DataSHA] = sha
	}
	for _, name := range names {
		out.Images = append(out.Images, component.Image{Provider: "docker", ID: name, Parent: parent(in)})
		if owns(in, name) {
			continue // it had the name before
		}
		out.Resources = append(out.Resources, component.Resource{
			Kind: dockerengine.ImageKind, ID: name, Attrs: engine.Endpoint.Attrs(nil),
		})
	}
	return out, component.Requires, nil
}

func owns(a *component.Artifact, image string) bool {
	return slices.ContainsFunc(a.Resources, func(r component.Resource) bool {
		return r.Kind == dockerengine.ImageKind && r.ID == image
	})
}

func parent(in *component.Artifact) string {
	if len(in.Images) > 0 {
		return in.Images[0].Parent
	}
	return ""
}

func tag(ctx context.Context, engine *dockerengine.Engine, image, name string) error {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return fmt.Errorf("docker-tag: %q: %w", name, err)
	}
	_, err = engine.ImageTag(ctx, client.ImageTagOptions{Source: image, Target: reference.FamiliarString(reference.TagNameOnly(named))})
	if cerrdefs.IsNotFound(err) {
		return errors.Join(fmt.Errorf("docker-tag: the image %s is not on the engine at %s any more", image, engine.Endpoint.Host), err)
	}
	return engine.Explain(ctx, "tag image "+image+" as "+name, err)
}
