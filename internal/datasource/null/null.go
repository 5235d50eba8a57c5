// Package null is the null data source: it hands its input on.
package null

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

type dataSource struct{}

// New returns the null data source.
func New() component.DataSource { return dataSource{} }

func (dataSource) Schema() component.Schema {
	input := component.String("input", "The text to hand on.")
	input.Required = true
	return component.Schema{
		Description: "Hands its input on as output. It is of use for trying things out.",
		Attributes:  []component.Attribute{input},
		Manual: &component.Manual{
			Example: `data "null" "example" {
  input = "text"
}
`,
			Results: []component.Term{{Name: "output", Description: "The input."}},
		},
	}
}

func (dataSource) Result() cty.Type { return cty.Object(map[string]cty.Type{"output": cty.String}) }

// Read keeps marks and unknown values as they are.
func (d dataSource) Read(_ context.Context, cfg cty.Value) (cty.Value, diag.List) {
	if !cfg.IsKnown() {
		return cty.UnknownVal(d.Result()), nil
	}
	if !component.IsSet(cfg, "input") {
		return cty.UnknownVal(d.Result()), diag.At("input", "Missing input", "Set input to the text to hand on.")
	}
	return cty.ObjectVal(map[string]cty.Value{"output": cfg.GetAttr("input")}), nil
}
