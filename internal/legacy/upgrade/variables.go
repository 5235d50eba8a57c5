package upgrade

import (
	"text/template/parse"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"ingot/internal/diag"
	"ingot/internal/legacy"
)

// variable is a user variable with its new name.
type variable struct {
	*legacy.Variable
	label string
	// computed variables have a local beside them: the variable itself is
	// null unless it is set, and the local is its value or the default.
	computed bool
	// defaultCode is the default in HCL, empty for a variable that has to
	// be set; of a computed one it is for the local.
	defaultCode string
}

// reference is how the value is called in HCL.
func (v *variable) reference() string {
	if v.computed {
		return "local." + v.label
	}
	return "var." + v.label
}

// environmentVar is a variable that holds a part of the environment.
type environmentVar struct{ label, name string }

func (u *upgrader) nameVariables() {
	for _, v := range u.t.Variables {
		u.taken[v.Name] = hclsyntax.ValidIdentifier(v.Name)
	}
	for _, v := range u.t.Variables {
		u.addVariable(v)
	}
	locals := map[string]bool{}
	for _, v := range u.variables {
		locals[v.label] = true
	}
	u.timestampName = unused(locals, "timestamp")
}

func (u *upgrader) addVariable(old *legacy.Variable) *variable {
	v := &variable{Variable: old, label: old.Name}
	if declared := u.t.Variable(old.Name) == old; !declared || !u.taken[old.Name] {
		v.label = unused(u.taken, identifier(old.Name))
	}
	u.variables = append(u.variables, v)
	if v.label != old.Name {
		u.report(diag.WarnIn(old.NameRange, "Variable renamed",
			"The variable %q is called %q in HCL, where names have only letters, digits, _ and -. Change -var options and files with values accordingly.", old.Name, v.label))
	}
	return v
}

// variable returns the variable of a name. One that the template does not
// declare can still be set there, so it becomes one that has to be.
func (u *upgrader) variable(name string) *variable {
	for _, v := range u.variables {
		if v.Name == name {
			return v
		}
	}
	v := &legacy.Variable{Name: name, NameRange: hcl.Range{}}
	for _, s := range u.t.Sensitive {
		v.Sensitive = v.Sensitive || s.Text == name
	}
	u.report(diag.Warnf("Variable declared",
		"The template uses the variable %q without declaring it. It is declared now, without a default, so it has to be set.", name))
	return u.addVariable(v)
}

// environmentVariable returns the variable that holds a part of the
// environment.
func (u *upgrader) environmentVariable(name string) string {
	for _, e := range u.fromEnv {
		if e.name == name {
			return e.label
		}
	}
	e := environmentVar{unused(u.taken, identifier("env_"+name)), name}
	u.fromEnv = append(u.fromEnv, e)
	return e.label
}

// readDefaults converts the defaults. A default in HCL can only be a literal
// or use env, so whatever needs more goes into a local; which ones do has to
// be known before references to them are written.
func (u *upgrader) readDefaults() {
	declared := u.variables
	for _, v := range declared {
		if v.Default == nil {
			continue
		}
		u.needsLocal, u.keptActions = false, false
		value := u.text(v.Default, place{in: inDefault})
		v.computed = u.needsLocal && !value.isLiteral()
		v.defaultCode = value.code()
		if u.keptActions && !onlyBraces(v.Default.Text) {
			u.report(diag.WarnIn(v.Default.Range, "Default rendered later",
				"HCL has no counterpart for what the default of the variable %q does, or not for all of it. It is kept as template text, which components render where the variable is used.", v.Name))
		}
	}
	for _, v := range declared {
		if v.computed {
			v.defaultCode = u.text(v.Default, place{in: inLocal}).expr().operand()
		}
	}
}

// onlyBraces reports whether the actions of a text only print text, which is
// how braces are written.
func onlyBraces(text string) bool {
	t, err := legacy.ParseText(text)
	if err != nil {
		return false
	}
	parts, ok := t.Parts()
	for _, p := range parts {
		if p.Pipe == nil {
			continue
		}
		if _, isText := p.Pipe.Cmds[0].Args[0].(*parse.StringNode); !isText || len(p.Pipe.Cmds) > 1 {
			return false
		}
	}
	return ok
}

func (u *upgrader) variableBlocks() string {
	var w writer
	block := func(label, value string, sensitive bool) {
		w.blank()
		w.line("variable " + quote(label) + " {")
		w.line("type = string")
		if value != "" {
			w.line("default = " + value)
		}
		if sensitive {
			w.line("sensitive = true")
		}
		w.line("}")
	}
	for _, v := range u.variables {
		value := v.defaultCode
		if v.computed {
			value = "null"
		}
		block(v.label, value, v.Sensitive)
	}
	for _, e := range u.fromEnv {
		block(e.label, "env("+quote(e.name)+")", false)
	}
	return w.String()
}

func (u *upgrader) locals() string {
	var plain, w writer
	if u.usesTimestamp {
		if u.annotate {
			plain.comment("The start of the run, in seconds since 1970.")
		}
		plain.line(u.timestampName + " = rfc3339_parse(legacy_isotime()).unix")
	}
	for _, v := range u.variables {
		if v.computed && !v.Sensitive {
			plain.line(v.label + " = " + v.localCode())
		}
	}
	if plain.String() != "" {
		w.line("locals {")
		w.text = append(w.text, plain.text...)
		w.line("}")
	}
	for _, v := range u.variables {
		if v.computed && v.Sensitive {
			w.blank()
			w.line("local " + quote(v.label) + " {")
			w.line("expression = " + v.localCode())
			w.line("sensitive = true")
			w.line("}")
		}
	}
	return w.String()
}

// localCode is the value of a variable that may be left to its default.
func (v *variable) localCode() string {
	return "var." + v.label + " == null ? " + v.defaultCode + " : var." + v.label
}
