package lang

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/template"
)

// legacyVariable is a variable of a legacy template with the value that counts.
type legacyVariable struct {
	*template.Variable
	// expr is nil when the variable was not set.
	expr  hcl.Expression
	state legacyState
	value cty.Value
}

type legacyState uint8

const (
	legacyPending legacyState = iota
	legacyRunning
	legacySettled
)

// legacyVariables evaluates the variables of a legacy template. Their values,
// be they defaults or given, are texts that may refer to other variables and
// call functions; a text is rendered once, and what comes out is not looked at
// again.
type legacyVariables struct {
	scope *Scope
	byKey map[string]*legacyVariable
	// order is that of the template, then that of the command line.
	order []*legacyVariable
	// stack is what is being evaluated, outermost first.
	stack []*legacyVariable
	diags diag.List
}

// setLegacyVariables is setVariables for a legacy template: the default, then
// var files, then -var. A name that is not declared is declared by giving it
// a value.
func (s *Scope) setLegacyVariables() diag.List {
	l := &legacyVariables{scope: s, byKey: map[string]*legacyVariable{}}
	for _, v := range s.template.Variables {
		l.add(v).expr = v.Default
	}
	for _, file := range s.opts.VarFiles {
		assignments, diags := s.template.ReadVarFile(file)
		l.diags = append(l.diags, diags...)
		for _, a := range assignments {
			if l.byKey[a.Name] == nil && s.opts.WarnUndeclared {
				l.undeclared(a.NameRange.Ptr(), "The var file", a.Name)
			}
			l.give(a.Name, a.Range, a.Expr)
		}
	}
	for _, arg := range s.opts.Vars {
		name, text, ok := strings.Cut(arg, "=")
		if !ok {
			l.diags = append(l.diags, diag.Errorf("Invalid -var", "-var %s has no value. Write -var '%s=VALUE'.", arg, arg)...)
			if v := l.byKey[name]; v != nil { // it is meant to be set: not a second finding
				v.state, v.value = legacySettled, cty.UnknownVal(cty.String)
			}
			continue
		}
		if l.byKey[name] == nil {
			l.undeclared(nil, "-var", name)
		}
		at := hcl.Range{Filename: "-var " + name}
		l.give(name, at, s.template.Legacy.Text(text, at))
	}
	for _, v := range l.order {
		l.force(v, v.Range)
		s.variables[v.Name] = settledPromise("var."+v.Name, v.Range, v.value)
	}
	return l.diags
}

func (l *legacyVariables) add(v *template.Variable) *legacyVariable {
	out := &legacyVariable{Variable: v}
	l.byKey[v.Name] = out
	l.order = append(l.order, out)
	return out
}

// give sets a variable, which comes to be when it is not declared.
func (l *legacyVariables) give(name string, at hcl.Range, expr hcl.Expression) {
	v := l.byKey[name]
	if v == nil {
		v = l.add(&template.Variable{Name: name, Range: at, Sensitive: l.scope.template.Legacy.Sensitive[name]})
	}
	v.expr = expr
}

// undeclared says that a value is given to a name that is not declared, which
// is not refused, since the template may use it all the same.
func (l *legacyVariables) undeclared(at *hcl.Range, who, name string) {
	var names []string
	for _, v := range l.scope.template.Variables {
		names = append(names, v.Name)
	}
	found := diag.Warnf("Undeclared variable", "%s sets %q, but the template declares no variable of that name. {{user `%s`}} can be used all the same.%s",
		who, name, name, diag.Suggest(name, "variables", names))
	found[0].Subject = at
	l.diags = append(l.diags, found...)
}

// force evaluates a variable once. Ref is where it was asked for.
func (l *legacyVariables) force(v *legacyVariable, ref hcl.Range) cty.Value {
	switch v.state {
	case legacySettled:
		return v.value
	case legacyRunning:
		l.diags = append(l.diags, l.cycle(v, ref)...)
		return cty.UnknownVal(cty.String)
	}
	v.state = legacyRunning
	l.stack = append(l.stack, v)
	v.value = l.evaluate(v)
	l.stack = l.stack[:len(l.stack)-1]
	v.state = legacySettled
	return v.value
}

// evaluate computes the value of a variable: unknown when there is none.
func (l *legacyVariables) evaluate(v *legacyVariable) cty.Value {
	val := cty.UnknownVal(cty.String)
	if v.expr == nil {
		l.diags = append(l.diags, diag.In(v.Range, UnsetVariable, "The variable %q has no default and was not given a value. Set it in one of these ways:\n"+
			"  -var '%s=VALUE' on the command line\n"+
			"  %q: \"VALUE\" in a JSON file given with -var-file", v.Name, v.Name, v.Name)...)
	} else {
		var diags diag.List
		val, diags = l.render(v)
		if v.Sensitive {
			hideValues(diags)
		}
		l.diags = append(l.diags, diags...)
	}
	if !v.Sensitive {
		return val
	}
	plain, _ := val.Unmark()
	l.scope.secrets.root(plain)
	l.diags = append(l.diags, tooShort(plain, fmt.Sprintf("variable %q", v.Name), v.Range)...)
	return plain.Mark(sensitive)
}

func (l *legacyVariables) render(v *legacyVariable) (cty.Value, diag.List) {
	ctx, diags := l.context(v.expr)
	if diags.HasErrors() {
		return cty.UnknownVal(cty.String), diags
	}
	val, hclDiags := v.expr.Value(ctx)
	if hclDiags.HasErrors() {
		return cty.UnknownVal(cty.String), diag.FromHCL(hclDiags)
	}
	view := l.scope.View()
	view.Template = l.scope.opts.Template
	view.Template.External = external(l.scope.opts.DefaultFunctions)
	return view.Render(val, v.expr)
}

// context is what an expression refers to.
func (l *legacyVariables) context(expr hcl.Expression) (*hcl.EvalContext, diag.List) {
	vars := map[string]cty.Value{}
	var diags diag.List
	for _, tr := range expr.Variables() {
		name, _ := stepName(tr, 1)
		switch v := l.byKey[name]; {
		case tr.RootName() != "var":
		case v == nil:
			diags = append(diags, diag.In(tr.SourceRange(), "Undeclared variable", "There is no variable %q.%s", name,
				diag.Suggest(name, "variables", keys(l.byKey)))...)
		default:
			vars[name] = l.force(v, tr.SourceRange())
		}
	}
	return &hcl.EvalContext{Variables: map[string]cty.Value{"var": cty.ObjectVal(vars), "path": l.scope.path}}, diags
}

// cycle reports that v depends on itself.
func (l *legacyVariables) cycle(v *legacyVariable, ref hcl.Range) diag.List {
	var names []string
	for i := len(l.stack) - 1; i >= 0; i-- {
		names = append([]string{l.stack[i].Name}, names...)
		if l.stack[i] == v {
			break
		}
	}
	return diag.In(ref, "Cycle: "+strings.Join(append(names, v.Name), " -> "),
		"The variable %q cannot be computed because it depends on itself.", v.Name)
}

// external makes functions of templates out of those of the language that read
// values from outside.
func external(table map[string]function.Function) map[string]func(args ...string) (string, error) {
	out := make(map[string]func(args ...string) (string, error), len(table))
	for name, f := range table {
		out[name] = func(args ...string) (string, error) {
			var values []cty.Value
			for _, a := range args {
				values = append(values, cty.StringVal(a))
			}
			for i, params := len(args), f.Params(); i < len(params) && params[i].AllowNull; i++ {
				values = append(values, cty.NullVal(cty.String)) // may be left out
			}
			val, err := f.Call(values)
			if err != nil {
				return "", err // whoever renders the text names the function
			}
			text, err := convert.Convert(val, cty.String)
			if err != nil || text.IsNull() || !text.IsKnown() {
				return "", errors.New("the value is no text")
			}
			return text.AsString(), nil
		}
	}
	return out
}

// Render renders the actions in the strings of a value. Marks stay. Expr is
// where the value comes from.
func (v *View) Render(val cty.Value, expr hcl.Expression) (cty.Value, diag.List) {
	plain, marks := val.UnmarkDeepWithPaths()
	d := decoding{view: v}
	return d.render(&Config{}, "", plain, expr).MarkWithPaths(marks), d.diags
}

// legacyValue brings a value of a legacy template into the form that HCL has.
// Its actions are rendered before it is converted, and scalars are converted
// as freely as Packer does for JSON: a duration may be a number of nanoseconds,
// an empty text is false or 0.
func (d *decoding) legacyValue(cfg *Config, a *component.Attribute, val cty.Value, expr hcl.Expression) cty.Value {
	want := a.Type
	if !a.Late {
		val = d.render(cfg, a.Name, val, expr)
	}
	if a.Format == component.Duration && val.Type() == cty.Number && val.IsKnown() && !val.IsNull() {
		n, _ := val.AsBigFloat().Int(nil)
		return cty.StringVal(n.String() + "ns")
	}
	if !val.IsKnown() || val.IsNull() {
		return val
	}
	switch {
	case want == cty.Bool && val.Type() == cty.String:
		if val.AsString() == "" {
			return cty.False
		}
		if b, err := strconv.ParseBool(val.AsString()); err == nil {
			return cty.BoolVal(b)
		}
	case want == cty.Bool && val.Type() == cty.Number:
		return cty.BoolVal(val.AsBigFloat().Sign() != 0)
	case want == cty.Number && val.Type() == cty.String:
		return legacyNumber(val)
	case want == cty.Number && val.Type() == cty.Bool:
		if val.True() {
			return cty.NumberIntVal(1)
		}
		return cty.Zero
	}
	return val
}

// legacyNumber reads a text as a whole number with the prefix of a base, 0 or
// 0x; others are left to the usual conversion.
func legacyNumber(val cty.Value) cty.Value {
	text := val.AsString()
	if text == "" {
		return cty.Zero
	}
	if n, ok := new(big.Int).SetString(text, 0); ok && strings.HasPrefix(strings.TrimLeft(text, "+-"), "0") {
		return cty.NumberVal(new(big.Float).SetInt(n))
	}
	return val
}
