package qemu

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

type builder struct{ host *host }

// New returns the qemu builder.
func New() component.Builder { return builder{thisHost()} }

// Schema implements component.Builder.
func (builder) Schema() component.Schema { return schema() }

// Plan implements component.Builder.
func (b builder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	p, diags := readConfig(cfg)
	if diags.HasErrors() {
		return nil, diags
	}
	return &job{plan: p, host: b.host}, diags
}
