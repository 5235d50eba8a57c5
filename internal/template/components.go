package template

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
)

// ComponentType is the type of a component that a template names.
type ComponentType struct {
	// Kind is "builder", "provisioner", "post-processor" or "data source".
	Kind  string
	Type  string
	Range hcl.Range
}

// ComponentTypes lists the types of all components that the template names, in no
// particular order. Nothing is evaluated: a type that a dynamic block computes is
// not among them.
func (t *Template) ComponentTypes() []ComponentType {
	var out []ComponentType
	for _, s := range t.SourceBlocks {
		out = append(out, ComponentType{"builder", s.Addr.Type, s.TypeRange})
	}
	for _, d := range t.Data {
		out = append(out, ComponentType{"data source", d.Type, d.TypeRange})
	}
	add := func(steps ...*Step) {
		for _, s := range steps {
			switch {
			case s == nil || s.Group:
			case s.Kind == addr.PostProcessor:
				out = append(out, ComponentType{"post-processor", s.Type, s.TypeRange})
			default:
				out = append(out, ComponentType{"provisioner", s.Type, s.TypeRange})
			}
		}
	}
	for _, b := range t.Builds {
		if b.Content == nil {
			out = append(out, stepTypes(b.body)...)
			continue
		}
		for _, u := range b.Content.Uses {
			if u.Source != nil {
				out = append(out, ComponentType{"builder", u.Source.Addr.Type, u.Source.TypeRange})
			}
		}
		add(b.Content.Provisioners...)
		add(b.Content.ErrorCleanup)
		for _, chain := range b.Content.Chains {
			add(chain...)
		}
	}
	for _, g := range t.Groups {
		if g.Steps == nil {
			out = append(out, stepTypes(g.body)...)
			continue
		}
		add(g.Steps...)
	}
	return out
}

var stepBlocks = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "provisioner", LabelNames: []string{"type"}}, {Type: "error-cleanup-provisioner", LabelNames: []string{"type"}},
	{Type: "post-processor", LabelNames: []string{"type"}}, {Type: "post-processors"}, {Type: "dynamic", LabelNames: []string{"type"}},
}}

// stepTypes lists the types of steps in a body whose dynamic blocks are not expanded.
func stepTypes(body hcl.Body) []ComponentType {
	if body == nil {
		return nil
	}
	content, _, _ := body.PartialContent(stepBlocks) // mistakes show when it is planned
	var out []ComponentType
	for _, b := range content.Blocks {
		switch b.Type {
		case "post-processors":
			out = append(out, stepTypes(b.Body)...)
		case "dynamic":
			out = append(out, dynamicTypes(b)...)
		default:
			out = append(out, ComponentType{stepKind(b.Type), b.Labels[0], b.LabelRanges[0]})
		}
	}
	return out
}

func stepKind(block string) string {
	if block == "post-processor" {
		return block
	}
	return "provisioner"
}

// dynamicTypes lists the types that a dynamic block names in its labels, or in the
// blocks inside its content.
func dynamicTypes(b *hcl.Block) []ComponentType {
	content, _, _ := b.Body.PartialContent(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "labels"}}, Blocks: []hcl.BlockHeaderSchema{{Type: "content"}},
	})
	var out []ComponentType
	for _, inner := range content.Blocks {
		out = append(out, stepTypes(inner.Body)...)
	}
	labels := content.Attributes["labels"]
	if labels == nil || b.Labels[0] == "post-processors" {
		return out
	}
	items, _ := hcl.ExprList(labels.Expr)
	for _, e := range items {
		if v, diags := e.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
			out = append(out, ComponentType{stepKind(b.Labels[0]), v.AsString(), e.Range()})
		}
	}
	return out
}
