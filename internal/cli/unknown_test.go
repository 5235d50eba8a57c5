package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// everyComponent lists the built-in components with the function that looks
// at a configuration.
func everyComponent() map[string]configured {
	all := map[string]configured{}
	b := builtins()
	for name, c := range b.builders {
		all["builder "+name] = configured{c().Schema(), func(ctx context.Context, v cty.Value) diag.List { _, l := c().Plan(ctx, v); return l }}
	}
	for name, c := range b.provisioners {
		all["provisioner "+name] = configured{c().Schema(), func(ctx context.Context, v cty.Value) diag.List { _, l := c().Plan(ctx, v); return l }}
	}
	for name, c := range b.postProcessors {
		all["post-processor "+name] = configured{c().Schema(), func(ctx context.Context, v cty.Value) diag.List { _, l := c().Plan(ctx, v); return l }}
	}
	for name, c := range b.dataSources {
		all["data source "+name] = configured{c().Schema(), func(ctx context.Context, v cty.Value) diag.List { _, l := c().Read(ctx, v); return l }}
	}
	return all
}

type configured struct {
	schema component.Schema
	check  func(context.Context, cty.Value) diag.List
}

// errors returns what a component has against a configuration; a panic is one
// of them.
func (c configured) errors(t *testing.T, values map[string]cty.Value) (out diag.List) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			out = diag.Errorf("Crashed", "%s", fmt.Sprint(p))
		}
	}()
	return c.check(t.Context(), c.schema.Object(values)).Errors()
}

// unknowns are the values of a type that are not known, wholly or in part.
func unknowns(ty cty.Type) []cty.Value {
	out := []cty.Value{cty.UnknownVal(ty)}
	switch {
	case ty.IsListType():
		out = append(out, cty.ListVal([]cty.Value{cty.UnknownVal(ty.ElementType())}))
		if ty.ElementType().IsObjectType() {
			out = append(out, cty.ListVal([]cty.Value{objectOfUnknowns(ty.ElementType())}))
		}
	case ty.IsMapType():
		out = append(out, cty.MapVal(map[string]cty.Value{"k": cty.UnknownVal(ty.ElementType())}))
	case ty.IsObjectType():
		out = append(out, objectOfUnknowns(ty))
	}
	return out
}

func objectOfUnknowns(ty cty.Type) cty.Value {
	values := map[string]cty.Value{}
	for name, t := range ty.AttributeTypes() {
		values[name] = cty.UnknownVal(t)
	}
	return cty.ObjectVal(values)
}

// TestUnknownValuesReachEveryComponent: validate plans with values that are
// not known yet. No component may crash over one or complain about it.
func TestUnknownValuesReachEveryComponent(t *testing.T) {
	all := everyComponent()
	if len(all) < 20 {
		t.Fatalf("only %d components", len(all))
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			c := all[name]
			types := c.schema.ImpliedType().AttributeTypes()
			everything := map[string]cty.Value{}
			required := map[string]cty.Value{}
			for attr, ty := range types {
				everything[attr] = cty.UnknownVal(ty)
				if a, ok := c.schema.Attribute(attr); ok && a.Required {
					required[attr] = cty.UnknownVal(ty)
				}
			}
			if l := c.errors(t, everything); len(l) > 0 {
				t.Errorf("with nothing known: %v", l.Err())
			}
			for attr, ty := range types {
				for _, v := range unknowns(ty) {
					// Alone it may at most be one value too few.
					one := maps.Clone(required)
					delete(one, attr)
					before := c.errors(t, one)
					one[attr] = v
					for _, d := range c.errors(t, one) {
						if !slices.ContainsFunc(before, func(b *diag.Diagnostic) bool { return b.Summary == d.Summary && b.Detail == d.Detail }) {
							t.Errorf("with %s = %#v alone: %v", attr, v, d)
						}
					}
					// Among others that are not known, it is no reason for anything.
					rest := maps.Clone(everything)
					rest[attr] = v
					if l := c.errors(t, rest); len(l) > 0 {
						t.Errorf("with %s = %#v and nothing known: %v", attr, v, l.Err())
					}
				}
			}
		})
	}
}
