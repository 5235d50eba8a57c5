package template

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/legacy/jsondoc"
)

// legacyBody is an object of a legacy template as a body. Whether a member is
// an argument or a block is said by the schema, as in the JSON form of HCL: an
// object where a block is wanted is one block, an array of objects several.
type legacyBody struct {
	node *jsondoc.Node
	file *legacyFile
	// hidden are members that PartialContent has returned already.
	hidden map[string]bool
}

var _ hcl.Body = (*legacyBody)(nil)

// Content finds members that the schema does not have.
func (b *legacyBody) Content(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Diagnostics) {
	content, known, diags := b.read(schema)
	for _, m := range b.node.Members {
		if known[m.Name] || b.hidden[m.Name] {
			continue
		}
		diags = append(diags, &hcl.Diagnostic{
			Severity: hcl.DiagError, Summary: "Unsupported argument",
			// What else could be meant is added by Content of this package.
			Detail:  fmt.Sprintf("There is no argument %q.", m.Name),
			Subject: m.NameRange.Ptr(),
		})
	}
	return content, diags
}

// PartialContent leaves what the schema does not have to the second body.
func (b *legacyBody) PartialContent(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Body, hcl.Diagnostics) {
	content, known, diags := b.read(schema)
	for name := range b.hidden {
		known[name] = true
	}
	return content, &legacyBody{node: b.node, file: b.file, hidden: known}, diags
}

// read takes the members that the schema has, and returns all names in it.
func (b *legacyBody) read(schema *hcl.BodySchema) (*hcl.BodyContent, map[string]bool, hcl.Diagnostics) {
	content := &hcl.BodyContent{Attributes: hcl.Attributes{}, MissingItemRange: b.MissingItemRange()}
	attributes := make(map[string]bool, len(schema.Attributes))
	for _, a := range schema.Attributes {
		attributes[a.Name] = true
	}
	blocks := make(map[string]bool, len(schema.Blocks))
	for _, s := range schema.Blocks {
		blocks[s.Type] = true
	}
	var diags hcl.Diagnostics
	for _, m := range b.node.Members {
		switch {
		case b.hidden[m.Name]:
		case attributes[m.Name]:
			content.Attributes[m.Name] = b.attribute(m)
		case blocks[m.Name]:
			found, more := b.blocks(m)
			diags = append(diags, more...)
			content.Blocks = append(content.Blocks, found...)
		}
	}
	for _, a := range schema.Attributes {
		if a.Required && content.Attributes[a.Name] == nil {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Missing argument",
				Detail:  fmt.Sprintf("The argument %q is required.", a.Name),
				Subject: content.MissingItemRange.Ptr(),
			})
		}
	}
	for name := range blocks {
		attributes[name] = true
	}
	return content, attributes, diags
}

func (b *legacyBody) attribute(m jsondoc.Member) *hcl.Attribute {
	return &hcl.Attribute{
		Name: m.Name, Expr: &legacyExpr{node: m.Value, file: b.file},
		Range: hcl.RangeBetween(m.NameRange, m.Value.Range), NameRange: m.NameRange,
	}
}

// blocks reads a member as blocks of its name.
func (b *legacyBody) blocks(m jsondoc.Member) (hcl.Blocks, hcl.Diagnostics) {
	nodes := []*jsondoc.Node{m.Value}
	switch {
	case m.Value.Is(jsondoc.Null):
		return nil, nil
	case m.Value.Is(jsondoc.Array):
		nodes = m.Value.Elements
	}
	var out hcl.Blocks
	var diags hcl.Diagnostics
	for _, n := range nodes {
		if !n.Is(jsondoc.Object) {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Wrong type",
				Detail:  fmt.Sprintf("%q has to be an object or an array of objects; this is %s.", m.Name, n.Kind),
				Subject: n.Range.Ptr(),
			})
			continue
		}
		inner := &legacyBody{node: n, file: b.file}
		block := &hcl.Block{Type: m.Name, Body: inner, DefRange: m.NameRange, TypeRange: m.NameRange}
		if n != m.Value {
			block.DefRange = inner.MissingItemRange() // one of several
		}
		out = append(out, block)
	}
	return out, diags
}

// JustAttributes takes every member for an argument.
func (b *legacyBody) JustAttributes() (hcl.Attributes, hcl.Diagnostics) {
	out := make(hcl.Attributes, len(b.node.Members))
	for _, m := range b.node.Members {
		if !b.hidden[m.Name] {
			out[m.Name] = b.attribute(m)
		}
	}
	return out, nil
}

// MissingItemRange is the start of the object.
func (b *legacyBody) MissingItemRange() hcl.Range {
	at := b.node.Range
	at.End = at.Start
	return at
}
