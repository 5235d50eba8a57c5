// Package dockersave is the docker-save post-processor: it writes an image with
// its layers and metadata to a tar file.
package dockersave

import (
	"context"
	"fmt"
	"maps"
	"os"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/dockerengine"
)

type postProcessor struct{ env dockerengine.Env }

// New returns the docker-save post-processor.
func New() component.PostProcessor { return postProcessor{env: os.Getenv} }

// Schema implements component.PostProcessor.
func (postProcessor) Schema() component.Schema {
	return component.Schema{
		Description: "Writes the image to a tar file, with layers and metadata, as `docker save` does. `docker load` reads it.",
		Attributes: []component.Attribute{
			{Name: "path", Type: cty.String, Format: component.Path, Required: true, Description: "The tar file to write."},
			component.String("docker_path", "Path of the docker program, which is not used."),
		},
		Manual: &component.Manual{
			Example: `post-processor "docker-save" {
  path = "app.tar"
}
`,
			Artifact: "The tar file. The image is kept.",
		},
	}
}

type config struct {
	Path string `cty:"path"`
}

// Plan implements component.PostProcessor.
func (p postProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return nil, diag.Errorf("Invalid docker-save configuration", "%v.", err)
	}
	diags := dockerengine.WarnDockerPath(cfg)
	if component.Known(cfg, "path") {
		if c.Path == "" {
			diags = append(diags, diag.At("path", "Path missing", "Set path to the tar file to write.")...)
		} else if st, err := os.Stat(c.Path); err == nil && st.IsDir() {
			diags = append(diags, diag.At("path", "The path is a folder", "%q is a folder. Give the name of the tar file to write.", c.Path)...)
		}
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return &transform{env: p.env, path: c.Path}, diags
}

type transform struct {
	env  dockerengine.Env
	path string
}

// Creates implements component.Describer.
func (t *transform) Creates() []component.Creation {
	return []component.Creation{{Kind: "file", Name: t.path}}
}

// Process implements component.Transform.
func (t *transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	image, err := dockerengine.ImageOf("docker-save", in)
	if err != nil {
		return nil, 0, err
	}
	names := []string{image}
	if tags, err := dockerengine.Tags(in); err == nil {
		names = tags
	}
	engine, err := dockerengine.Open(t.env, r.Limits)
	if err != nil {
		return nil, 0, err
	}
	defer engine.Close()
	r.Say("Saving image " + image + " to " + t.path)
	body, err := engine.ImageSave(ctx, names)
	if err != nil {
		return nil, 0, engine.Explain(ctx, "save image "+image, err)
	}
	defer body.Close()
	file, res, err := dockerengine.SaveFile(ctx, r, t.path, "Saving "+image, body)
	if err != nil {
		return nil, 0, engine.Explain(ctx, fmt.Sprintf("save image %s to %s", image, t.path), err)
	}
	out := &component.Artifact{
		Producer:  dockerengine.ProducerSave,
		ID:        image,
		Summary:   "Saved Docker image: " + t.path,
		Files:     []component.File{file},
		Data:      map[string]cty.Value{},
		Resources: []component.Resource{res},
	}
	maps.Copy(out.Data, in.Data)
	return out, component.Keeps, nil
}
