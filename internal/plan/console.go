package plan

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/lang/funcs"
	"ingot/internal/template"
)

// Console evaluates expressions with what a template declares in view. One
// goroutine uses it.
type Console struct {
	p         *planner
	functions []string
}

// NewConsole evaluates variables, locals and, when in.EvaluateData asks for it,
// data sources; otherwise those are unknown. The Console is of use also when the
// list has errors.
func NewConsole(ctx context.Context, t *template.Template, in Inputs) (*Console, diag.List) {
	p, diags := newPlanner(ctx, t, in)
	return &Console{p: p, functions: slices.Sorted(maps.Keys(funcs.Table(p.functionEnv(ctx))))}, diags.Sort()
}

// Legacy reports whether expressions are texts with actions ("{{...}}"), as in
// the legacy JSON template that was loaded, and not HCL.
func (c *Console) Legacy() bool { return c.p.template.Legacy != nil }

// Eval evaluates the expression in src, which begins at start of the file name.
// Sensitive parts of the value carry a mark, and what is not known is unknown. A
// variable without a value is an error where the expression refers to it.
func (c *Console) Eval(ctx context.Context, src []byte, name string, start hcl.Pos) (cty.Value, diag.List) {
	view := c.p.scope.View()
	view.Template = c.p.templateVars("", "")
	if c.Legacy() {
		end := start
		end.Column, end.Byte = start.Column+len(src), start.Byte+len(src)
		expr := c.p.template.Legacy.Text(string(src), hcl.Range{Filename: name, Start: start, End: end})
		val, diags := view.Value(ctx, expr)
		if diags.HasErrors() {
			return val, diags
		}
		val, more := view.Render(val, expr)
		return val, append(diags, more...)
	}
	if wrong := template.CheckText(name, src); wrong != nil {
		return cty.DynamicVal, wrong
	}
	expr, hclDiags := hclsyntax.ParseExpression(src, name, start)
	if hclDiags.HasErrors() {
		return cty.DynamicVal, diag.FromHCL(hclDiags)
	}
	val, diags := view.Value(ctx, expr)
	if diags.HasErrors() || val.IsWhollyKnown() {
		return val, diags
	}
	return val, append(diags, c.unset(expr)...)
}

// unset reports the references to variables that have no value.
func (c *Console) unset(expr hcl.Expression) diag.List {
	var diags diag.List
	for _, ref := range expr.Variables() {
		if ref.RootName() != "var" || len(ref) < 2 {
			continue
		}
		step, ok := ref[1].(hcl.TraverseAttr)
		if !ok {
			continue
		}
		if val, _ := c.p.scope.Variable(step.Name); val == cty.NilVal || !val.IsKnown() {
			diags = append(diags, diag.In(ref.SourceRange(), lang.UnsetVariable,
				"The variable %q has no default and was not given a value. Start the console with -var '%s=VALUE'.", step.Name, step.Name)...)
		}
	}
	return diags
}

// Functions are the names of the functions that an expression can call, sorted.
func (c *Console) Functions() []string {
	if c.Legacy() {
		return nil
	}
	return c.functions
}

// Members are the names that can follow an expression and a dot: those of the
// template for var, local, data and so on, the keys of an object or map for
// others. For the empty expression they are the names that one can begin with.
func (c *Console) Members(ctx context.Context, expr string) []string {
	if c.Legacy() {
		return nil
	}
	var names []string
	t := c.p.template
	switch expr {
	case "":
		return []string{"data", "local", "packer", "path", "var"}
	case "var":
		for _, v := range t.Variables {
			names = append(names, v.Name)
		}
	case "local":
		for _, l := range t.Locals {
			names = append(names, l.Name)
		}
	case "data":
		for _, d := range t.Data {
			names = append(names, d.Type)
		}
	default:
		val, diags := c.Eval(ctx, []byte(expr), "", hcl.InitialPos)
		if diags.HasErrors() {
			return nil
		}
		names = memberNames(val)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// memberNames are the keys of an object or a map that can be written behind a
// dot. Those of a sensitive map are not told.
func memberNames(val cty.Value) []string {
	var names []string
	switch typ := val.Type(); {
	case typ.IsObjectType():
		names = slices.Collect(maps.Keys(typ.AttributeTypes()))
	case typ.IsMapType() && val.IsKnown() && !val.IsNull() && !val.IsMarked():
		for key := range val.Elements() {
			k, _ := key.Unmark()
			names = append(names, k.AsString())
		}
	}
	return slices.DeleteFunc(names, func(n string) bool { return !hclsyntax.ValidIdentifier(n) })
}

// Overview returns the variables, locals and data sources of the template.
func (c *Console) Overview() *Overview {
	out := &Overview{}
	c.p.declared(out)
	return out
}
