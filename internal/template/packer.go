package template

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

func isUpper(r rune) bool { return unicode.IsUpper(r) }

var packerSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "required_version"}},
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

func requiredPlugin(a *hcl.Attribute) (*RequiredPlugin, diag.List) {
	pairs, hclDiags := hcl.ExprMap(a.Expr)
	if hclDiags.HasErrors() {
		return nil, diag.In(a.Expr.Range(), "Invalid required plugin",
			"Write %s = { source = \"github.com/OWNER/NAME\", version = \">= 1.0.0\" }.", a.Name)
	}
	p := &RequiredPlugin{Accessor: a.Name, Range: a.NameRange}
	var diags diag.List
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
			diags = append(diags, literal(entry, cty.String, func(v cty.Value) { p.Address = v.AsString() })...)
			if err := checkPluginAddress(p.Address); err != nil && !diags.HasErrors() {
				diags = append(diags, diag.In(kv.Value.Range(), "Invalid plugin address", "%s.", err)...)
			}
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

// checkPluginAddress checks the form HOST/OWNER/NAME.
func checkPluginAddress(address string) error {
	parts := strings.Split(address, "/")
	name := parts[len(parts)-1]
	switch {
	case strings.Contains(address, "://") || strings.ContainsAny(address, "?#"):
		return fmt.Errorf("%q is a URL; a plugin's address is written without scheme, query and fragment, as in \"github.com/hashicorp/docker\"", address)
	case len(parts) < 3 || len(parts) > 16:
		return fmt.Errorf("%q is not a plugin's address such as \"github.com/hashicorp/docker\"", address)
	case strings.HasPrefix(name, "packer-"):
		return fmt.Errorf("%q names the repository; leave out the prefix \"packer-plugin-\" of the last part", address)
	case strings.ContainsAny(name, ".") || strings.Contains(name, "--") || name != strings.ToLower(name):
		return fmt.Errorf("%q: the last part may hold no dots, no upper-case letters and no double dashes", address)
	}
	for _, part := range parts {
		if part == "" {
			return fmt.Errorf("%q has an empty part between slashes", address)
		}
	}
	return nil
}
