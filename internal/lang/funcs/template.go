package funcs

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// templateFile builds the function of that name. A template may call every function of table but templatefile itself,
// so that no template can include itself.
//
// The result has no static type, although it could be computed, because that would render the template a second time:
// with two random values, two timestamps, or two requests to a secret store.
func templateFile(env Env, table map[string]function.Function) function.Function {
	inner := maps.Clone(table)
	inner["templatefile"] = refuseNesting()
	return function.New(&function.Spec{
		Description: "Reads a file as a template and renders it with the given variables; a template that is one interpolation keeps the type of its value.",
		Params: []function.Parameter{
			text("path", `The path, relative to the directory of the template; a leading "~" is the home directory.`),
			anything("vars", "A map or object with every variable that the template refers to."),
		},
		Type: function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			vars, err := templateVars(args[1])
			if err != nil {
				return cty.NilVal, err
			}
			return renderFile(env, args[0].AsString(), vars, inner)
		},
	})
}

func refuseNesting() function.Function {
	ignored := anything("args", "Ignored.")
	return function.New(&function.Spec{
		Description: "Refuses to be called from within a template file.",
		VarParam:    &ignored,
		Type: func([]cty.Value) (cty.Type, error) {
			return cty.NilType, errors.New("a template file cannot call templatefile")
		},
	})
}

// templateVars checks the second argument of templatefile and takes it apart.
func templateVars(v cty.Value) (map[string]cty.Value, error) {
	if t := v.Type(); !t.IsMapType() && !t.IsObjectType() {
		return nil, function.NewArgErrorf(1, "the variables must be a map or an object, not %s", t.FriendlyName())
	}
	vars := v.AsValueMap()
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if !hclsyntax.ValidIdentifier(name) {
			return nil, function.NewArgErrorf(1, "%q cannot be the name of a variable: a name is letters, digits, _ and -, and does not start with a digit", name)
		}
	}
	return vars, nil
}

func renderFile(env Env, p string, vars map[string]cty.Value, table map[string]function.Function) (cty.Value, error) {
	source, err := env.readText(p)
	if err != nil {
		return cty.NilVal, err
	}
	return renderTemplate(source, p, vars, table)
}

// renderTemplate evaluates a template in the HCL template language. Every variable that it refers to must be in vars,
// even where the reference would never be evaluated.
func renderTemplate(source, name string, vars map[string]cty.Value, table map[string]function.Function) (cty.Value, error) {
	template, diags := hclsyntax.ParseTemplate([]byte(source), name, hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("template file %q is not valid: %w", name, diags)
	}
	for _, reference := range template.Variables() {
		if _, known := vars[reference.RootName()]; !known {
			return cty.NilVal, function.NewArgErrorf(1, "variable %q, which %s refers to, is not given", reference.RootName(), reference.SourceRange())
		}
	}
	value, diags := template.Value(&hcl.EvalContext{Variables: vars, Functions: table})
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("cannot render template file %q: %w", name, diags)
	}
	return value, nil
}
