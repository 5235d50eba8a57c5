package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// Config is a decoded configuration that knows where its parts stand.
type Config struct {
	// Value has the schema's type. Parts may be unknown, and are where
	// there was a mistake; nothing in it is marked.
	Value cty.Value
	// Secrets are the paths in Value that hold something sensitive: because
	// the schema says so, or because of what they were computed from.
	Secrets []cty.Path
	// Schema is what Value follows.
	Schema component.Schema
	// Incomplete says that an argument was missing or not understood, so
	// that what a component says about it would only repeat that.
	Incomplete bool

	header   hcl.Range
	attrs    map[string]*hcl.Attribute
	blocks   map[string][]*Config
	override *Override
}

// IsSet reports whether an argument or block of that name is written in the
// template, in the body or in what overrides it.
func (c *Config) IsSet(name string) bool {
	if c.override != nil {
		if _, ok := c.override.Values[name]; ok {
			return true
		}
	}
	return c.attrs[name] != nil || len(c.blocks[name]) > 0
}

// Range is the place of what a path into Value leads to, as Locate finds it.
func (c *Config) Range(path cty.Path) hcl.Range { return c.find(path) }

// Locate gives what a component found its place in the template: the argument
// that Path leads to, else the header of the block.
func (c *Config) Locate(l diag.List) diag.List {
	for _, d := range l {
		if d.Subject == nil {
			d.Subject = c.find(d.Path).Ptr()
		}
	}
	return l
}

func (c *Config) find(path cty.Path) hcl.Range {
	if len(path) == 0 {
		return c.header
	}
	step, ok := path[0].(cty.GetAttrStep)
	if !ok {
		return c.header
	}
	if o := c.override; o != nil {
		if _, overridden := o.Values[step.Name]; overridden {
			return PartRange(o.Expr, path)
		}
	}
	if a := c.attrs[step.Name]; a != nil {
		if len(path) == 1 {
			return a.Expr.Range()
		}
		return PartRange(a.Expr, path[1:])
	}
	blocks := c.blocks[step.Name]
	if len(blocks) == 0 {
		return c.header
	}
	rest, i := path[1:], 0
	if len(rest) > 0 {
		if index, ok := rest[0].(cty.IndexStep); ok && index.Key.Type() == cty.Number {
			n, _ := index.Key.AsBigFloat().Int64()
			rest, i = rest[1:], int(n)
		}
	}
	if i < 0 || i >= len(blocks) {
		return c.header
	}
	return blocks[i].find(rest)
}

func (c *Config) addSecret(name string, rest cty.Path) {
	c.Secrets = append(c.Secrets, append(cty.GetAttrPath(name), rest...))
}
