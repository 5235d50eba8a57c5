// Package shelllocal is the shell-local post-processor: it runs scripts on the
// machine that Ingot runs on, once there is an artifact.
package shelllocal

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/localscript"
)

type postProcessor struct{}

// New returns the shell-local post-processor.
func New() component.PostProcessor { return postProcessor{} }

func (postProcessor) Schema() component.Schema {
	return component.Schema{
		Description: "Runs scripts on the machine that Ingot runs on. The artifact is handed on as it is.",
		Attributes:  localscript.Attributes(),
		Manual: &component.Manual{
			Example: `post-processor "shell-local" {
  inline = ["echo the image is ${build.ID}"]
}
`,
			Artifact: "What came in.",
		},
	}
}

func (postProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	scripts, diags := localscript.Plan(cfg)
	if scripts == nil {
		return nil, diags
	}
	scripts.WrapSingle = true
	return transform{scripts}, diags
}

type transform struct{ scripts *localscript.Scripts }

// Inputs are the scripts. What they read besides is not known.
func (t transform) Inputs() component.Inputs { return component.Inputs{Files: t.scripts.Files()} }

func (t transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	if err := t.scripts.Run(ctx, r, r.Template.Build["PackerHTTPAddr"]); err != nil {
		return nil, component.Requires, err
	}
	return in, component.Requires, nil
}
