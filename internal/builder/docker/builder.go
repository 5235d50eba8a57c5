// Package docker is the docker builder: it starts a container, lets
// provisioners change it, and commits or exports the result. It speaks the
// engine's API; the docker program is not used.
package docker

import (
	"context"
	"os"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/dockerengine"
)

type builder struct{ env dockerengine.Env }

// New returns the docker builder. It connects to nothing before a job runs.
func New() component.Builder { return builder{env: os.Getenv} }

// Schema implements component.Builder.
func (builder) Schema() component.Schema { return schema() }

// Plan implements component.Builder.
func (b builder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	c, diags := read(cfg)
	if diags.HasErrors() {
		return nil, diags
	}
	return &job{config: c, env: b.env}, diags
}
