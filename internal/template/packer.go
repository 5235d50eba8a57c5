package template

import (
	"unicode"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
)

func isUpper(r rune) bool { return unicode.IsUpper(r) }

var packerSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "required_version"}, {Name: "prefer_plugin"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "required_plugins"}},
}

// checkRequiredVersion compares required_version with the version of Packer
// that is served. It runs before anything else is looked at, since a template
// for another version may well hold what this one does not know.
func checkRequiredVersion(bodies []hcl.Body, core string) diag.List {
	have, err := version.NewVersion(core)
	if err != nil {
		return nil // the caller does not serve any version in particular
	}
	var diags diag.List
	for _, b := range bodies {
		content, _, _ := b.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "packer"}}})
		for _, block := range content.Blocks {
			inner, _, _ := block.Body.PartialContent(packerSchema)
			if a := inner.Attributes["required_version"]; a != nil {
				diags = append(diags, requiredVersion(a, have)...)
			}
		}
	}
	return diags
}

func requiredVersion(a *hcl.Attribute, have *version.Version) diag.List {
	var text string
	if diags := literal(a, cty.String, func(v cty.Value) { text = v.AsString() }); diags != nil {
		return diags
	}
	want, err := version.NewConstraint(text)
	if err != nil {
		return diag.In(a.Expr.Range(), "Invalid version constraint", "%q is not a version constraint such as \">= 1.9.0, < 2.0.0\".", text)
	}
	if !want.Check(have.Core()) {
		return diag.In(a.Expr.Range(), "Unsupported version",
			"The template asks for Packer %s. This program does what Packer %s does. Change required_version if the template works with that.", text, have)
	}
	return nil
}

func (d *decoder) packer(b *hcl.Block) diag.List {
	content, diags := Content(b.Body, packerSchema, "The packer block")
	if a := content.Attributes["prefer_plugin"]; a != nil {
		diags = append(diags, d.preferPlugins(a)...)
	}
	for _, plugins := range content.Blocks {
		attrs, hclDiags := plugins.Body.JustAttributes()
		diags = append(diags, diag.FromHCL(hclDiags)...)
		for _, a := range inOrder(attrs) {
			if more := d.declare("required_plugins."+a.Name, a.Name, a.NameRange, a.NameRange); more != nil {
				diags = append(diags, more...)
				continue
			}
			p, more := requiredPlugin(a)
			diags = append(diags, more...)
			if p != nil {
				d.t.RequiredPlugins = append(d.t.RequiredPlugins, p)
			}
		}
	}
	return diags
}

// preferPlugins reads a list of names.
func (d *decoder) preferPlugins(a *hcl.Attribute) (diags diag.List) {
	items, hclDiags := hcl.ExprList(a.Expr)
	if hclDiags.HasErrors() {
		return diag.In(a.Expr.Range(), "Invalid list of plugins", "prefer_plugin is a list of the names in required_plugins, as in [\"docker\"].")
	}
	for _, e := range items {
		item := &hcl.Attribute{Name: a.Name, Expr: e, NameRange: a.NameRange}
		diags = append(diags, literal(item, cty.String, func(v cty.Value) {
			d.t.PreferPlugins = append(d.t.PreferPlugins, &PreferredPlugin{v.AsString(), e.Range()})
		})...)
	}
	return diags
}

func requiredPlugin(a *hcl.Attribute) (*RequiredPlugin, diag.List) {
	pairs, hclDiags := hcl.ExprMap(a.Expr)
	if hclDiags.HasErrors() {
		return nil, diag.In(a.Expr.Range(), "Invalid required plugin",
			"Write %s = { source = \"github.com/OWNER/NAME\", version = \">= 1.0.0\" }.", a.Name)
	}
	p := &RequiredPlugin{Accessor: a.Name, Range: a.NameRange}
	var diags diag.List
	if err := addr.CheckPluginAccessor(a.Name); err != nil {
		diags = diag.In(a.NameRange, "Invalid name of a plugin", "%s.", err)
	}
	seen := map[string]bool{}
	for _, kv := range pairs {
		key := hcl.ExprAsKeyword(kv.Key)
		if key == "" {
			if v, d := kv.Key.Value(nil); !d.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
				key = v.AsString()
			}
		}
		seen[key] = true
		entry := &hcl.Attribute{Name: key, Expr: kv.Value, NameRange: kv.Key.Range()}
		switch key {
		case "source":
			diags = append(diags, pluginAddress(p, entry)...)
		case "version":
			diags = append(diags, pluginVersion(p, entry)...)
		default:
			diags = append(diags, diag.In(kv.Key.Range(), "Unsupported argument",
				"A required plugin has the arguments source and version, nothing else.")...)
		}
	}
	for _, key := range []string{"source", "version"} {
		if !seen[key] {
			diags = append(diags, diag.In(a.Expr.Range(), "Incomplete required plugin", "The required plugin %q needs the argument %s.", a.Name, key)...)
		}
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return p, diags
}

func pluginAddress(p *RequiredPlugin, a *hcl.Attribute) (diags diag.List) {
	var text string
	if diags := literal(a, cty.String, func(v cty.Value) { text = v.AsString() }); diags != nil {
		return diags
	}
	var err error
	if p.Address, err = addr.ParsePlugin(text); err != nil {
		return diag.In(a.Expr.Range(), "Invalid plugin address", "%s.", err)
	}
	return nil
}

func pluginVersion(p *RequiredPlugin, a *hcl.Attribute) diag.List {
	var text string
	if diags := literal(a, cty.String, func(v cty.Value) { text = v.AsString() }); diags != nil {
		return diags
	}
	c, err := version.NewConstraint(text)
	if err != nil {
		return diag.In(a.Expr.Range(), "Invalid version constraint", "%q is not a version constraint such as \">= 1.2.0, < 2.0.0\".", text)
	}
	for _, one := range c {
		if one.Prerelease() {
			return diag.In(a.Expr.Range(), "Invalid version constraint", "%q names a prerelease. Plugins can be required by release only.", text)
		}
	}
	p.Version = c
	return nil
}
