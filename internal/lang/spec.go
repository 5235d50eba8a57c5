package lang

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// Spec is a component's schema in the form that bodies are decoded with. Make
// it once for each component; it may be shared.
type Spec struct {
	// what names the owner for a sentence: `The builder "docker"`.
	what   string
	schema component.Schema
	body   *hcl.BodySchema
	attrs  map[string]*component.Attribute
	blocks []*blockSpec
}

type blockSpec struct {
	component.Block
	spec *Spec
	ty   cty.Type
}

// NewSpec prepares a schema. What names its owner for a sentence, such as
// `The builder "docker"`.
func NewSpec(what string, s component.Schema) *Spec {
	out := &Spec{what: what, schema: s, body: &hcl.BodySchema{}, attrs: make(map[string]*component.Attribute, len(s.Attributes))}
	for i := range s.Attributes {
		a := &s.Attributes[i]
		out.attrs[a.Name] = a
		out.body.Attributes = append(out.body.Attributes, hcl.AttributeSchema{Name: a.Name})
	}
	for _, b := range s.Blocks {
		out.body.Blocks = append(out.body.Blocks, hcl.BlockHeaderSchema{Type: b.Name})
		out.blocks = append(out.blocks, &blockSpec{b, NewSpec(fmt.Sprintf("The block %q", b.Name), b.Schema), b.Schema.ImpliedType()})
	}
	return out
}

// Body is a body to decode, with the header of the block that it belongs to.
type Body struct {
	hcl.Body
	Header hcl.Range
	// View is what its expressions are evaluated with; nil is the one that
	// decodes.
	View *View
}

// Override is values that replace what the bodies say.
type Override struct {
	Values map[string]cty.Value
	// Expr is the expression that they come from.
	Expr hcl.Expression
}
