package lang

import (
	"context"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/template"
)

// ModuleCall is a module block whose arguments have been evaluated.
type ModuleCall struct {
	Name  string
	Range hcl.Range
	Args  []ModuleArg
}

// ModuleArg is the value of one argument of a module. Sensitive parts carry a
// mark, and parts may be unknown.
type ModuleArg struct {
	Name             string
	NameRange, Range hcl.Range
	Value            cty.Value
}

// setArguments gives the variables of a module's template their values.
func (s *Scope) setArguments(c *ModuleCall) diag.List {
	values := map[string][]given{}
	declared := map[string]bool{}
	for _, v := range s.template.Variables {
		declared[v.Name] = true
	}
	var diags diag.List
	for _, a := range c.Args {
		if !declared[a.Name] {
			diags = append(diags, diag.In(a.NameRange, "Undeclared variable", "The module %q declares no variable %q.%s",
				c.Name, a.Name, diag.Suggest(a.Name, "variables of the module", keys(declared)))...)
			continue
		}
		values[a.Name] = []given{{origin: "the module block", value: a.Value, at: a.Range.Ptr()}}
	}
	for _, v := range s.template.Variables {
		val, more := s.variable(v, values[v.Name])
		diags = append(diags, more...)
		s.variables[v.Name] = settledPromise("var."+v.Name, v.Range, val)
	}
	return diags
}

// Outputs is an object of the outputs of the scope's template. The scope has
// to be settled.
func (s *Scope) Outputs(ctx context.Context) (cty.Value, diag.List) {
	var diags diag.List
	out := make(map[string]cty.Value, len(s.template.Outputs))
	for _, o := range s.template.Outputs {
		val, more := s.View().Value(ctx, o.Expr)
		diags = append(diags, more...)
		if o.Sensitive {
			s.secrets.root(val)
			diags = append(diags, tooShort(val, fmt.Sprintf("output %q", o.Name), o.Range)...)
			val = val.Mark(sensitive)
		}
		out[o.Name] = val
	}
	return cty.ObjectVal(out), diags
}

// moduleRefs lists what the arguments of a module refer to.
func moduleRefs(m *template.Module) []hcl.Traversal {
	var out []hcl.Traversal
	for _, name := range keys(m.Args) {
		out = append(out, m.Args[name].Expr.Variables()...)
	}
	return out
}
