package template

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
)

// GitPrefix is what the source of a module in a Git repository starts with.
const GitPrefix = "git::"

func (d *decoder) module(b *hcl.Block) diag.List {
	m := &Module{Name: b.Labels[0], Range: b.DefRange}
	if more := d.declare("module."+m.Name, m.Name, b.LabelRanges[0], b.DefRange); more != nil {
		return more
	}
	attrs, hclDiags := b.Body.JustAttributes()
	diags := diag.FromHCL(hclDiags)
	source := attrs["source"]
	if source == nil {
		return append(diags, diag.In(b.DefRange, "Module without a source",
			"The block needs the argument source: a folder, as in source = \"./modules/%s\", or a repository, as in source = \"git::https://HOST/PATH.git?ref=v1\".", m.Name)...)
	}
	m.SourceRange = source.Expr.Range()
	if more := literal(source, cty.String, func(val cty.Value) { m.Source = val.AsString() }); more != nil {
		return append(diags, more...)
	}
	if !strings.HasPrefix(m.Source, GitPrefix) && !strings.HasPrefix(m.Source, "./") && !strings.HasPrefix(m.Source, "../") && !filepath.IsAbs(m.Source) {
		// A URL may hold a password: neither it nor its line is shown.
		return append(diags, diag.In(b.DefRange, "Invalid source of a module",
			"The source of a module is a path that starts with ./ or ../ or /, or a repository that starts with %s.", GitPrefix)...)
	}
	m.Args = maps.Clone(attrs)
	delete(m.Args, "source")
	d.t.Modules = append(d.t.Modules, m)
	return diags
}

var groupSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "provisioner", LabelNames: []string{"type"}}}}

func (d *decoder) group(b *hcl.Block) diag.List {
	g := &Group{Name: b.Labels[0], Range: b.DefRange, body: b.Body}
	if more := d.declare("provisioners."+g.Name, g.Name, b.LabelRanges[0], b.DefRange); more != nil {
		return more
	}
	var diags diag.List
	if isNative(b.Body) && !HasDynamic(b.Body) {
		g.Steps, diags = g.Expand(func(body hcl.Body) hcl.Body { return body })
	}
	d.t.Groups = append(d.t.Groups, g)
	return diags
}

// Expand reads the provisioners of the group after wrap has replaced its body
// by one whose dynamic blocks are expanded.
func (g *Group) Expand(wrap func(hcl.Body) hcl.Body) ([]*Step, diag.List) {
	content, diags := Content(wrap(g.body), groupSchema, "A group of provisioners")
	steps := []*Step{}
	for _, block := range content.Blocks {
		step, more := newStep(addr.Provisioner, block)
		diags = append(diags, more...)
		steps = append(steps, step)
	}
	return steps, diags
}

var outputSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "value"}, {Name: "description"}, {Name: "sensitive"}}}

func (d *decoder) output(b *hcl.Block) diag.List {
	o := &Output{Name: b.Labels[0], Range: b.DefRange}
	if more := d.declare("output."+o.Name, o.Name, b.LabelRanges[0], b.DefRange); more != nil {
		return more
	}
	content, diags := Content(b.Body, outputSchema, fmt.Sprintf("The output %q", o.Name))
	if a := content.Attributes["sensitive"]; a != nil {
		diags = append(diags, literal(a, cty.Bool, func(val cty.Value) { o.Sensitive = val.True() })...)
	}
	if a := content.Attributes["description"]; a != nil {
		diags = append(diags, literal(a, cty.String, func(cty.Value) {})...)
	}
	a := content.Attributes["value"]
	if a == nil {
		return append(diags, diag.In(b.DefRange, "Output without a value", "The block needs the argument value.")...)
	}
	o.Expr = a.Expr
	d.t.Outputs = append(d.t.Outputs, o)
	return diags
}

// LoadModule reads the template of a module from a folder. The text of its
// files becomes part of t.Sources, which both then share. A module has no
// builds, and no automatic var files.
func (t *Template) LoadModule(dir, coreVersion string) (*Template, diag.List) {
	m, diags := Load(dir, Options{CoreVersion: coreVersion, WorkDir: t.workDir})
	maps.Copy(t.Sources, m.Sources)
	m.Sources, m.AutoVarFiles = t.Sources, nil
	for _, b := range m.Builds {
		diags = append(diags, diag.In(b.Range, "Build block in a module",
			"Modules declare sources and provisioners; the template that uses them has the build blocks. Move this one there.")...)
	}
	return m, diags
}
