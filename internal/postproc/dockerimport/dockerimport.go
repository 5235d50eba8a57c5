// Package dockerimport is the docker-import post-processor: it makes an image
// of a tar file.
package dockerimport

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/dockerengine"
)

type postProcessor struct{ env dockerengine.Env }

// New returns the docker-import post-processor.
func New() component.PostProcessor { return postProcessor{env: os.Getenv} }

// Schema implements component.PostProcessor.
func (postProcessor) Schema() component.Schema {
	return component.Schema{
		Description: "Makes an image of the tar file that the docker builder exported, or that artifice names.",
		Attributes: []component.Attribute{
			{Name: "repository", Type: cty.String, Required: true, Description: "Repository name of the image."},
			component.String("tag", "Tag of the image. Default: latest."),
			component.Strings("changes", "Dockerfile instructions for the image's metadata, such as \"USER app\" or \"CMD [\\\"app\\\"]\"."),
			component.String("platform", "Platform that the image is for, such as \"linux/arm64\". Default: the engine's."),
			component.String("docker_path", "Path of the docker program, which is not used."),
		},
		Manual: &component.Manual{
			Example: `post-processor "docker-import" {
  repository = "registry.example.com/team/app"
  tag        = "1.0"
}
`,
			Artifact: "The image. It takes the place of the tar file that came in, which is removed unless `keep_input_artifact` is true.",
		},
	}
}

type config struct {
	Repository string   `cty:"repository"`
	Tag        string   `cty:"tag"`
	Changes    []string `cty:"changes"`
	Platform   string   `cty:"platform"`
}

// Plan implements component.PostProcessor.
func (p postProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	t := &transform{env: p.env, unsure: !component.Known(cfg, "repository") || !component.Known(cfg, "tag")}
	if err := component.Decode(cfg, &t.config); err != nil {
		return nil, diag.Errorf("Invalid docker-import configuration", "%v.", err)
	}
	diags := dockerengine.WarnDockerPath(cfg)
	if component.Known(cfg, "repository") {
		diags = append(diags, dockerengine.CheckRepository("repository", t.config.Repository)...)
	}
	if t.config.Tag != "" && !dockerengine.ValidTag(t.config.Tag) {
		diags = append(diags, diag.At("tag", "Not a tag", "%q: a tag is made of at most 128 letters, digits, dots, dashes and underscores, and starts with neither dot nor dash.", t.config.Tag)...)
	}
	if component.Known(cfg, "changes") {
		diags = append(diags, dockerengine.CheckChanges("changes", t.config.Changes)...)
	}
	if _, err := dockerengine.ParsePlatform(t.config.Platform); err != nil {
		diags = append(diags, diag.At("platform", "Not a platform", "%v.", err)...)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return t, diags
}

type transform struct {
	env    dockerengine.Env
	config config
	// unsure says that the image's name is not known yet.
	unsure bool
}

// name is what the image will be called.
func (t *transform) name() string {
	if t.config.Tag == "" {
		return t.config.Repository
	}
	return t.config.Repository + ":" + t.config.Tag
}

// Creates implements component.Describer.
func (t *transform) Creates() []component.Creation {
	if t.unsure {
		return []component.Creation{{Kind: "image"}}
	}
	return []component.Creation{{Kind: "image", Name: t.name()}}
}

// Process implements component.Transform.
func (t *transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	file, err := dockerengine.TarOf("docker-import", in)
	if err != nil {
		return nil, 0, err
	}
	engine, err := dockerengine.Open(t.env, r.Limits)
	if err != nil {
		return nil, 0, err
	}
	defer engine.Close()
	name := t.name()
	r.Say("Importing " + file.Path + " as " + name)
	want := component.Resource{Kind: dockerengine.ImageKind, Attrs: engine.Endpoint.Attrs(map[string]string{dockerengine.AttrName: name})}
	lease, err := r.Journal.Acquire(ctx, want, func(ctx context.Context, res component.Resource) (string, error) {
		return t.load(ctx, r, engine, file.Path, res.Token)
	})
	if err != nil {
		return nil, 0, err
	}
	id := lease.Resource().ID
	if err := lease.Keep(ctx); err != nil {
		return nil, 0, err
	}
	return &component.Artifact{
		Producer:  dockerengine.ProducerImport,
		ID:        name,
		Summary:   "Imported Docker image: " + name,
		Images:    []component.Image{{Provider: "docker", ID: name}},
		Data:      map[string]cty.Value{dockerengine.DataTags: dockerengine.TagData([]string{name}), dockerengine.DataSHA: cty.StringVal(id)},
		Resources: []component.Resource{{Kind: dockerengine.ImageKind, ID: name, Attrs: engine.Endpoint.Attrs(nil)}},
	}, component.Consumes, nil
}

// load sends the file and returns the image's ID.
func (t *transform) load(ctx context.Context, r component.Run, engine *dockerengine.Engine, file, token string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("docker-import: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("docker-import: %w", err)
	}
	platform, err := dockerengine.ParsePlatform(t.config.Platform)
	if err != nil {
		return "", err
	}
	opts := client.ImageImportOptions{Changes: t.config.Changes, Message: token}
	if platform != nil {
		opts.Platform = *platform
	}
	body := dockerengine.Metered(ctx, r, file, "Importing "+file, st.Size(), io.Reader(f))
	result, err := engine.ImageImport(ctx, client.ImageImportSource{Source: body, SourceName: "-"}, t.name(), opts)
	if err != nil {
		return "", engine.Explain(ctx, "import "+file, err)
	}
	defer result.Close()
	id, err := dockerengine.ImportedID(r.Events, result)
	return id, engine.Explain(ctx, "import "+file, err)
}
