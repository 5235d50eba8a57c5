package template

import (
	"fmt"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
)

var rootSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "packer"},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "variables"},
	{Type: "local", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "data", LabelNames: []string{"type", "name"}},
	{Type: "source", LabelNames: []string{"type", "name"}},
	{Type: "build"},
	{Type: "communicator", LabelNames: []string{"type", "name"}},
	{Type: "hcp_packer_registry"},
	{Type: "module", LabelNames: []string{"name"}},
	{Type: "provisioners", LabelNames: []string{"name"}},
	{Type: "output", LabelNames: []string{"name"}},
}}

// decoder fills a template from the bodies of its files.
type decoder struct {
	t *Template
	// declared is where each thing was declared first, by its address.
	declared map[string]hcl.Range
	// registryTold says that the warning about registries has been given.
	registryTold bool
}

func (d *decoder) file(body hcl.Body) diag.List {
	content, diags := Content(body, rootSchema, "A template")
	for _, b := range content.Blocks {
		switch b.Type {
		case "packer":
			diags = append(diags, d.packer(b)...)
		case "variable":
			diags = append(diags, d.variable(b)...)
		case "variables":
			diags = append(diags, d.variables(b)...)
		case "local":
			diags = append(diags, d.local(b)...)
		case "locals":
			diags = append(diags, d.locals(b)...)
		case "data":
			if more := d.declare("data."+b.Labels[0]+"."+b.Labels[1], b.Labels[1], b.LabelRanges[1], b.DefRange); more != nil {
				diags = append(diags, more...)
				continue
			}
			forEach, body, more := cutForEach(b.Body)
			diags = append(diags, more...)
			d.t.Data = append(d.t.Data, &Data{Type: b.Labels[0], Name: b.Labels[1], ForEach: forEach, Body: body, Range: b.DefRange, TypeRange: b.LabelRanges[0]})
		case "source":
			a := addr.Source{Type: b.Labels[0], Name: b.Labels[1]}
			if more := d.declare("source."+a.String(), a.Name, b.LabelRanges[1], b.DefRange); more != nil {
				diags = append(diags, more...)
				continue
			}
			forEach, body, more := cutForEach(b.Body)
			diags = append(diags, more...)
			d.t.SourceBlocks = append(d.t.SourceBlocks, &Source{Addr: a, ForEach: forEach, Body: body, Range: b.DefRange, TypeRange: b.LabelRanges[0]})
		case "build":
			diags = append(diags, d.build(b)...)
		case "module":
			diags = append(diags, d.module(b)...)
		case "provisioners":
			diags = append(diags, d.group(b)...)
		case "output":
			diags = append(diags, d.output(b)...)
		case "communicator":
			diags = append(diags, diag.WarnIn(b.DefRange, "The block has no effect",
				"A communicator block is not used by anything. Set the communicator's arguments in the source blocks.")...)
		case "hcp_packer_registry":
			diags = append(diags, d.registry(b)...)
		}
	}
	return diags
}

// registry warns about the block, of which a template has one at most.
func (d *decoder) registry(b *hcl.Block) diag.List {
	if first, ok := d.declared[b.Type]; ok {
		return diag.In(b.DefRange, "More than one hcp_packer_registry",
			"A template has at most one hcp_packer_registry block outside of build blocks; the other one is at %s:%d.", first.Filename, first.Start.Line)
	}
	d.declared[b.Type] = b.DefRange
	diags := registryNotServed(b, d.registryTold)
	d.registryTold = true
	return diags
}

var registrySchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "bucket_name"}, {Name: "description"}, {Name: "bucket_labels"}, {Name: "labels"}, {Name: "build_labels"}, {Name: "channels"},
}}

// registryNotServed checks the form of a registry block and warns about it,
// unless another one was warned about.
func registryNotServed(b *hcl.Block, told bool) diag.List {
	content, diags := Content(b.Body, registrySchema, "An hcp_packer_registry block")
	if labels := content.Attributes["labels"]; labels != nil && content.Attributes["bucket_labels"] != nil {
		diags = append(diags, diag.In(labels.Range, "Both labels and bucket_labels", "The argument labels is the old name of bucket_labels. Remove it.")...)
	}
	if told {
		return diags
	}
	return append(diags, diag.WarnIn(b.DefRange, "HCP Packer is not served",
		"Builds are not published to an HCP Packer registry. The block has no effect.")...)
}

var forEachSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "for_each"}}}

// cutForEach takes the argument for_each out of a body.
func cutForEach(body hcl.Body) (*hcl.Attribute, hcl.Body, diag.List) {
	head, rest, hclDiags := body.PartialContent(forEachSchema)
	if head.Attributes["for_each"] == nil {
		return nil, body, nil
	}
	return head.Attributes["for_each"], rest, diag.FromHCL(hclDiags)
}

// declare notes that a thing exists, and finds a bad name or a second
// declaration.
func (d *decoder) declare(address, name string, nameRange, header hcl.Range) diag.List {
	if !hclsyntax.ValidIdentifier(name) {
		return diag.In(nameRange, "Invalid name",
			"%q cannot be a name: a name starts with a letter or an underscore and holds only letters, digits, underscores and dashes.", name)
	}
	if first, ok := d.declared[address]; ok {
		return diag.In(header, "Declared twice", "%s was already declared at %s:%d. Remove or rename one of the two.", address, first.Filename, first.Start.Line)
	}
	d.declared[address] = header
	return nil
}

var variableSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "description"}, {Name: "type"}, {Name: "default"}, {Name: "sensitive"}, {Name: "nullable"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
}

var validationSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "condition"}, {Name: "error_message"}},
}

func (d *decoder) variable(b *hcl.Block) diag.List {
	v := &Variable{Name: b.Labels[0], Range: b.DefRange}
	if more := d.declare("var."+v.Name, v.Name, b.LabelRanges[0], b.DefRange); more != nil {
		return more
	}
	content, diags := Content(b.Body, variableSchema, fmt.Sprintf("The variable %q", v.Name))
	if a := content.Attributes["description"]; a != nil {
		diags = append(diags, literal(a, cty.String, func(val cty.Value) { v.Description = val.AsString() })...)
	}
	if a := content.Attributes["sensitive"]; a != nil {
		diags = append(diags, literal(a, cty.Bool, func(val cty.Value) { v.Sensitive = val.True() })...)
	}
	if a := content.Attributes["nullable"]; a != nil {
		diags = append(diags, literal(a, cty.Bool, func(val cty.Value) { v.NotNull = val.False() })...)
	}
	if a := content.Attributes["type"]; a != nil {
		diags = append(diags, d.variableType(v, a)...)
	}
	if a := content.Attributes["default"]; a != nil {
		v.Default = a.Expr
	}
	for _, vb := range content.Blocks {
		rule, more := validation(v, vb)
		diags = append(diags, more...)
		if rule != nil {
			v.Validations = append(v.Validations, rule)
		}
	}
	d.t.Variables = append(d.t.Variables, v)
	return diags
}

func (d *decoder) variableType(v *Variable, a *hcl.Attribute) diag.List {
	ty, defaults, hclDiags := typeexpr.TypeConstraintWithDefaults(a.Expr)
	if !hclDiags.HasErrors() {
		v.Type, v.Defaults = ty, defaults
		return diag.FromHCL(hclDiags)
	}
	// Anything fits, so that the mistake is not reported again for every
	// value.
	v.Type = cty.DynamicPseudoType
	if val, more := a.Expr.Value(nil); !more.HasErrors() && val.Type() == cty.String && val.IsKnown() && !val.IsNull() {
		return diag.In(a.Expr.Range(), "Invalid type", "A type is written without quotes, as in type = %s.", val.AsString())
	}
	return diag.FromHCL(hclDiags)
}

func validation(v *Variable, b *hcl.Block) (*Validation, diag.List) {
	content, diags := Content(b.Body, validationSchema, "A validation block")
	condition, message := content.Attributes["condition"], content.Attributes["error_message"]
	if condition == nil || message == nil {
		return nil, append(diags, diag.In(b.DefRange, "Incomplete validation",
			"A validation block needs both condition and error_message.")...)
	}
	rule := &Validation{Condition: condition.Expr, Range: condition.Expr.Range()}
	diags = append(diags, literal(message, cty.String, func(val cty.Value) { rule.Message = val.AsString() })...)
	if !diags.HasErrors() && !looksLikeSentence(rule.Message) {
		diags = append(diags, diag.In(message.Expr.Range(), "Invalid error message",
			"The message is shown to people as it is: it has to start with an upper-case letter and end with a full stop, a question mark or an exclamation mark.")...)
	}
	own := false
	for _, tr := range condition.Expr.Variables() {
		if isVariable(tr, v.Name) {
			own = true
			continue
		}
		diags = append(diags, diag.In(tr.SourceRange(), "Invalid reference in a condition",
			"The condition of the variable %q can refer to var.%s only, not to %s.", v.Name, v.Name, diag.TraversalString(tr))...)
	}
	if !own {
		diags = append(diags, diag.In(rule.Range, "Condition without the variable",
			"The condition has to refer to var.%s, the value that it checks.", v.Name)...)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return rule, diags
}

func isVariable(tr hcl.Traversal, name string) bool {
	if tr.RootName() != "var" || len(tr) < 2 {
		return false
	}
	switch step := tr[1].(type) {
	case hcl.TraverseAttr:
		return step.Name == name
	case hcl.TraverseIndex:
		return step.Key.Type() == cty.String && step.Key.AsString() == name
	}
	return false
}

func looksLikeSentence(text string) bool {
	r := []rune(text)
	if len(r) < 2 {
		return false
	}
	first, last := r[0], r[len(r)-1]
	return isUpper(first) && (last == '.' || last == '?' || last == '!')
}

func (d *decoder) variables(b *hcl.Block) diag.List {
	attrs, hclDiags := b.Body.JustAttributes()
	diags := diag.FromHCL(hclDiags)
	for _, a := range inOrder(attrs) {
		if more := d.declare("var."+a.Name, a.Name, a.NameRange, a.NameRange); more != nil {
			diags = append(diags, more...)
			continue
		}
		d.t.Variables = append(d.t.Variables, &Variable{Name: a.Name, Default: a.Expr, Range: a.Range})
	}
	return diags
}

var localSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "expression"}, {Name: "sensitive"}},
}

func (d *decoder) local(b *hcl.Block) diag.List {
	l := &Local{Name: b.Labels[0], Range: b.DefRange}
	if more := d.declare("local."+l.Name, l.Name, b.LabelRanges[0], b.DefRange); more != nil {
		return more
	}
	content, diags := Content(b.Body, localSchema, fmt.Sprintf("The local %q", l.Name))
	if a := content.Attributes["sensitive"]; a != nil {
		diags = append(diags, literal(a, cty.Bool, func(val cty.Value) { l.Sensitive = val.True() })...)
	}
	a := content.Attributes["expression"]
	if a == nil {
		return append(diags, diag.In(b.DefRange, "Local without a value",
			"The block needs the argument expression, as in expression = \"...\". A local that needs no sensitive argument is shorter in a locals block.")...)
	}
	l.Expr = a.Expr
	d.t.Locals = append(d.t.Locals, l)
	return diags
}

func (d *decoder) locals(b *hcl.Block) diag.List {
	attrs, hclDiags := b.Body.JustAttributes()
	diags := diag.FromHCL(hclDiags)
	for _, a := range inOrder(attrs) {
		if more := d.declare("local."+a.Name, a.Name, a.NameRange, a.NameRange); more != nil {
			diags = append(diags, more...)
			continue
		}
		d.t.Locals = append(d.t.Locals, &Local{Name: a.Name, Expr: a.Expr, Range: a.NameRange})
	}
	return diags
}

// inOrder lists attributes as they were written.
func inOrder(attrs hcl.Attributes) []*hcl.Attribute {
	out := make([]*hcl.Attribute, 0, len(attrs))
	for _, a := range attrs {
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool {
		if a, b := out[i].NameRange.Start.Byte, out[j].NameRange.Start.Byte; a != b {
			return a < b
		}
		return out[i].Name < out[j].Name
	})
	return out
}

// literal evaluates an attribute that may refer to nothing, and hands it on
// when it is of the type.
func literal(a *hcl.Attribute, want cty.Type, use func(cty.Value)) diag.List {
	val, hclDiags := a.Expr.Value(nil)
	if hclDiags.HasErrors() {
		return diag.In(a.Expr.Range(), "Not a literal value",
			"The argument %q has to be written out as a %s here: it cannot refer to anything or call a function.", a.Name, want.FriendlyName())
	}
	if val.IsNull() || !val.IsKnown() || val.Type() != want {
		return diag.In(a.Expr.Range(), "Wrong type", "The argument %q has to be a %s, not %s.", a.Name, want.FriendlyName(), diag.Describe(val))
	}
	use(val)
	return nil
}
