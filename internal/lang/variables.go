package lang

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"ingot/internal/diag"
	"ingot/internal/template"
)

// UnsetVariable is the summary of the finding that a variable has no value.
const UnsetVariable = "Unset variable"

const envPrefix = "PKR_VAR_"

// given is one value for a variable, from one of the places that can set it.
type given struct {
	// origin is how the user names the place: "-var", "PKR_VAR_x", a file.
	origin string
	// text is what was written on a command line or in the environment;
	// value is set instead when it comes from a file.
	text  string
	value cty.Value
	at    *hcl.Range
}

// setVariables collects the values of all variables, in order of precedence:
// default, environment, automatic var files, var files, -var.
func (s *Scope) setVariables() diag.List {
	if s.template.Legacy != nil {
		return s.setLegacyVariables()
	}
	if s.opts.Call != nil {
		return s.setArguments(s.opts.Call)
	}
	values := map[string][]given{}
	declared := make(map[string]bool, len(s.template.Variables))
	for _, v := range s.template.Variables {
		declared[v.Name] = true
	}
	for _, entry := range s.opts.Environ {
		key, text, _ := strings.Cut(entry, "=")
		if name, ok := strings.CutPrefix(key, envPrefix); ok && declared[name] {
			values[name] = append(values[name], given{origin: key, text: text})
		}
	}
	var diags diag.List
	files := append(append([]string(nil), s.template.AutoVarFiles...), s.opts.VarFiles...)
	for _, file := range files {
		assignments, more := s.template.ReadVarFile(file)
		diags = append(diags, more...)
		for _, a := range assignments {
			if !declared[a.Name] {
				diags = append(diags, s.undeclaredInFile(a)...)
				continue
			}
			values[a.Name] = append(values[a.Name], given{origin: file, value: a.Value, at: a.Range.Ptr()})
		}
	}
	for _, arg := range s.opts.Vars {
		name, text, ok := strings.Cut(arg, "=")
		switch {
		case !ok:
			diags = append(diags, diag.Errorf("Invalid -var", "-var %s has no value. Write -var '%s=VALUE'.", arg, arg)...)
			if declared[name] { // it is meant to be set: not a second finding
				values[name] = append(values[name], given{origin: "-var", value: cty.DynamicVal})
			}
		case !declared[name]:
			diags = append(diags, diag.Errorf("Undeclared variable", "-var sets %q, but the template declares no variable of that name.%s",
				name, diag.Suggest(name, "variables", keys(declared)))...)
		default:
			values[name] = append(values[name], given{origin: "-var", text: text})
		}
	}
	for _, v := range s.template.Variables {
		val, more := s.variable(v, values[v.Name])
		diags = append(diags, more...)
		s.variables[v.Name] = settledPromise("var."+v.Name, v.Range, val)
	}
	return diags
}

func (s *Scope) undeclaredInFile(a template.Assignment) diag.List {
	if !s.opts.WarnUndeclared {
		return nil
	}
	names := make([]string, len(s.template.Variables))
	for i, v := range s.template.Variables {
		names[i] = v.Name
	}
	return diag.WarnIn(a.NameRange, "Undeclared variable", "The template declares no variable %q; the value is not used.%s",
		a.Name, diag.Suggest(a.Name, "variables", names))
}

// variable computes the value of one variable. Every value that was given is
// checked, the last one counts.
func (s *Scope) variable(v *template.Variable, values []given) (cty.Value, diag.List) {
	want, fixed := v.Type, v.Type != cty.NilType
	if !fixed {
		want = cty.DynamicPseudoType
	}
	val := cty.NilVal
	var diags diag.List
	if v.Default != nil {
		var more diag.List
		val, more = s.defaultValue(v, want)
		diags = append(diags, more...)
		if !fixed {
			want = val.Type()
		}
	}
	otherwise := val
	for _, g := range values {
		s.hide(v, cty.StringVal(g.text), g.value)
		got, more := s.givenValue(v, g, want, fixed)
		diags = append(diags, more...)
		if val = got; v.NotNull && val.IsNull() {
			val = otherwise
		}
	}
	if v.NotNull && otherwise != cty.NilVal && otherwise.IsNull() {
		return cty.UnknownVal(want), append(diags, diag.In(v.Default.Range(), "Default is null",
			"The variable %q is not nullable, so its default cannot be null. Without a default it has to be set.", v.Name)...)
	}
	if val == cty.NilVal {
		return cty.UnknownVal(want), append(diags, s.unset(v)...)
	}
	if diags.HasErrors() {
		return cty.UnknownVal(want), diags
	}
	diags = append(diags, s.validate(v, val)...)
	if v.Sensitive {
		s.secrets.root(val)
		diags = append(diags, tooShort(val, fmt.Sprintf("variable %q", v.Name), v.Range)...)
		val = val.Mark(sensitive)
	}
	return val, diags
}

func (s *Scope) unset(v *template.Variable) diag.List {
	if c := s.opts.Call; c != nil {
		return diag.In(c.Range, "Missing argument", "The module %q needs the argument %q, a variable without a default declared at %s:%d.",
			c.Name, v.Name, v.Range.Filename, v.Range.Start.Line)
	}
	return diag.In(v.Range, UnsetVariable, "The variable %q has no default and was not given a value. Set it in one of these ways:\n"+
		"  -var '%s=VALUE' on the command line\n"+
		"  %s = VALUE in a file given with -var-file, or in a *.auto.pkrvars.hcl file of the template's folder\n"+
		"  the environment variable %s%s", v.Name, v.Name, v.Name, envPrefix, v.Name)
}

func (s *Scope) defaultValue(v *template.Variable, want cty.Type) (cty.Value, diag.List) {
	for _, tr := range v.Default.Variables() {
		return cty.UnknownVal(want), diag.In(tr.SourceRange(), "Reference in a default",
			"The default of a variable cannot refer to anything. Use a local for %s.", diag.TraversalString(tr))
	}
	val, hclDiags := v.Default.Value(&hcl.EvalContext{Functions: s.opts.DefaultFunctions})
	if hclDiags.HasErrors() {
		diags := diag.FromHCL(hclDiags)
		for _, d := range diags {
			if d.Summary == "Call to unknown function" {
				d.Summary, d.Detail = "Function call in a default", "The default of a variable can call env() and no other function. Use a local for this value."
			}
		}
		return cty.UnknownVal(want), diags
	}
	s.hide(v, val)
	return convertVariable(v, val, want, given{origin: "the default", at: v.Default.Range().Ptr()})
}

// hide reports values of a sensitive variable as they were written, since a
// finding about them shows the line.
func (s *Scope) hide(v *template.Variable, values ...cty.Value) {
	for _, val := range values {
		if v.Sensitive && val != cty.NilVal {
			s.secrets.root(val)
		}
	}
}

// givenValue reads one value. A text is taken as it is for a string, a number
// or a variable of any type, and as an expression otherwise.
func (s *Scope) givenValue(v *template.Variable, g given, want cty.Type, fixed bool) (cty.Value, diag.List) {
	val := g.value
	if val == cty.NilVal {
		switch want {
		case cty.String, cty.Number, cty.DynamicPseudoType:
			val = cty.StringVal(g.text)
		default:
			var diags diag.List
			if val, diags = s.parseText(v, g, want); diags != nil {
				return cty.UnknownVal(want), diags
			}
		}
	}
	if !fixed && (want.IsTupleType() || want.IsObjectType()) {
		// The type was only inferred from the default, where a list of
		// another length or an object with other keys is as good.
		if c, err := convert.Convert(val, want); err == nil {
			return c, nil
		}
		if val.Type().IsTupleType() == want.IsTupleType() && val.Type().IsObjectType() == want.IsObjectType() {
			return val, nil
		}
	}
	return convertVariable(v, val, want, g)
}

func (s *Scope) parseText(v *template.Variable, g given, want cty.Type) (cty.Value, diag.List) {
	name := g.origin
	if name == "-var" {
		name += " " + v.Name
	}
	expr, hclDiags := hclsyntax.ParseExpression([]byte(g.text), name, hcl.InitialPos)
	if !hclDiags.HasErrors() {
		if val, more := expr.Value(nil); !more.HasErrors() {
			return val, nil
		}
	}
	shown := g.text
	if v.Sensitive {
		shown = "its value"
	}
	return cty.NilVal, diag.Errorf("Invalid value of a variable",
		"%s: %s cannot be read as %s for the variable %q. Write an expression, such as %s.",
		name, shown, typeName(want), v.Name, example(v.Name, want))
}

// example is how a value of the type is written.
func example(name string, t cty.Type) string {
	switch {
	case t == cty.Bool:
		return name + "=true"
	case t.IsListType() || t.IsSetType() || t.IsTupleType():
		return "'" + name + `=["a","b"]'`
	case t.IsMapType() || t.IsObjectType():
		return "'" + name + `={key="value"}'`
	}
	return "'" + name + "=VALUE'"
}

func convertVariable(v *template.Variable, val cty.Value, want cty.Type, g given) (cty.Value, diag.List) {
	if v.Defaults != nil && !val.IsNull() && val.IsWhollyKnown() {
		val = v.Defaults.Apply(val)
	}
	c, err := convertLinearly(val, want)
	if err == nil {
		return c, nil
	}
	shown := diag.Describe(val)
	if v.Sensitive {
		shown = "something else"
	}
	detail := fmt.Sprintf("The variable %q is %s, but %s gives it %s%s.", v.Name, typeName(want), g.origin, shown, because(err))
	if g.at == nil {
		return cty.UnknownVal(want), diag.Errorf("Wrong type for a variable", "%s", detail)
	}
	return cty.UnknownVal(want), diag.In(*g.at, "Wrong type for a variable", "%s", detail)
}

// typeName is a type as templates write it, with an article.
func typeName(t cty.Type) string {
	if t == cty.DynamicPseudoType {
		return "of any type"
	}
	return "a " + typeexpr.TypeString(t)
}

// validate runs the variable's own rules.
func (s *Scope) validate(v *template.Variable, val cty.Value) diag.List {
	if len(v.Validations) == 0 {
		return nil
	}
	ctx := s.functions.NewChild()
	ctx.Variables = map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{v.Name: val})}
	var diags diag.List
	for _, rule := range v.Validations {
		result, hclDiags := rule.Condition.Value(ctx)
		if hclDiags.HasErrors() {
			more := diag.FromHCL(hclDiags)
			if v.Sensitive {
				hideValues(more)
			}
			diags = append(diags, more...)
			continue
		}
		result, _ = result.Unmark()
		ok, err := convert.Convert(result, cty.Bool)
		if err != nil || ok.IsNull() {
			diags = append(diags, diag.In(rule.Range, "Condition is not a bool",
				"The condition has to be true or false, but it is %s.", diag.Describe(result))...)
			continue
		}
		if !ok.IsKnown() || ok.True() {
			continue
		}
		failed := diag.In(rule.Range, "Invalid value of a variable", "%s\n\nThis rule of the variable %q, declared at %s:%d, was not met.",
			rule.Message, v.Name, v.Range.Filename, v.Range.Start.Line)
		if !v.Sensitive {
			failed[0].Values = []diag.Value{{Name: "var." + v.Name, Text: diag.Describe(val)}}
		}
		diags = append(diags, failed...)
	}
	return diags
}

func hideValues(l diag.List) {
	for _, d := range l {
		d.Values = nil
	}
}
