// Package shelllocal is the shell-local provisioner: it runs scripts on the
// machine that Ingot runs on, while the machine that is being built waits.
package shelllocal

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/localscript"
)

type provisioner struct{}

// New returns the shell-local provisioner.
func New() component.Provisioner { return provisioner{} }

func (provisioner) Schema() component.Schema {
	return component.Schema{
		Description: "Runs scripts on the machine that Ingot runs on.",
		Attributes:  localscript.Attributes(),
		Manual: &component.Manual{
			Example: `provisioner "shell-local" {
  inline = ["echo building ${source.name}"]
}
`,
		},
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	scripts, diags := localscript.Plan(cfg)
	if scripts == nil {
		return nil, diags
	}
	return step{scripts}, diags
}

type step struct{ scripts *localscript.Scripts }

// Inputs says that what the step does cannot be seen from here: its commands may
// read and change anything.
func (step) Inputs() component.Inputs {
	return component.Inputs{Volatile: "it runs on this computer and may change anything there"}
}

func (s step) Apply(ctx context.Context, t component.Target) error {
	return s.scripts.Run(ctx, t.Run, t.HTTPAddr)
}
