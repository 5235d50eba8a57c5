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
	// actions are the paths in Value that wait for a template action; nil
	// when there are none.
	actions *cty.PathSet
}

// IsSet reports whether an argument or block of that name is written in the
// template, in the body or in what overrides it.
func (c *Config) IsSet(name string) bool {
	return c.overrides(name) || c.attrs[name] != nil || len(c.blocks[name]) > 0
}

// Blocks are the configurations of the nested blocks of that name, in order.
// There are none for a block that an override replaces.
func (c *Config) Blocks(name string) []*Config {
	if c.overrides(name) {
		return nil
	}
	return c.blocks[name]
}

func (c *Config) overrides(name string) bool {
	if c.override == nil {
		return false
	}
	_, ok := c.override.Values[name]
	return ok
}

// Wait says what a value that is not known yet waits for.
type Wait uint8

// What values wait for.
const (
	// ForMachine values come from the machine, as build.ID does.
	ForMachine Wait = iota + 1
	// ForBuild values come from the artifact of another build.
	ForBuild
	// ForData values come from data sources that were not read.
	ForData
)

// WaitsFor says what an unknown part of Value waits for; of several things, the
// one that comes last in a run. The path leads to an
// argument of this body or into it; for what is in a nested block ask that
// block's Config.
func (c *Config) WaitsFor(path cty.Path) Wait {
	if c.actions != nil && c.actions.Has(path) {
		return ForMachine
	}
	expr := c.expr(path)
	if expr == nil {
		return ForData // a block that is made for each element of something unknown
	}
	wait := ForData
	for _, ref := range expr.Variables() {
		name, ok := stepName(ref, 1)
		switch {
		case ref.RootName() != "build" || ok && name == "name":
		case isArtifactRef(ref):
			wait = ForBuild
		default:
			return ForMachine
		}
	}
	return wait
}

// expr is the expression that a path into Value leads to; nil when it leads
// to a block or to nothing that is written.
func (c *Config) expr(path cty.Path) hcl.Expression {
	if len(path) == 0 {
		return nil
	}
	step, ok := path[0].(cty.GetAttrStep)
	if !ok {
		return nil
	}
	if c.overrides(step.Name) {
		return PartOf(c.override.Expr, path)
	}
	if a := c.attrs[step.Name]; a != nil {
		return PartOf(a.Expr, path[1:])
	}
	return nil
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
	if expr := c.expr(path); expr != nil {
		return expr.Range()
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

func (c *Config) addAction(name string, rest cty.Path) {
	if c.actions == nil {
		none := cty.NewPathSet()
		c.actions = &none
	}
	c.actions.Add(append(cty.GetAttrPath(name), rest...))
}

func (c *Config) addSecret(name string, rest cty.Path) {
	c.Secrets = append(c.Secrets, append(cty.GetAttrPath(name), rest...))
}
