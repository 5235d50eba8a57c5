// Package funcs holds the functions that templates may call: what Packer's HCL2 templates know, with the same names,
// arguments and results.
//
// Most functions are pure. The few that are not read the outside world through Env only, so that a caller decides what
// they see and a test can fake it. The package knows nothing of templates, variables or scopes: that is package lang's
// work. An argument that is unknown gives an unknown result, and a null argument is an error, unless the function's
// description says otherwise. Marks on arguments (such as "sensitive") pass on to the result.
package funcs

import (
	"context"
	"maps"
	"os"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Env is what the functions may see of the outside world. The zero value of a field stands for the real thing where
// there is one (clock, home directory, process directory); a reader of external values that is nil makes its function
// fail with an error that says so.
type Env struct {
	// TemplateDir is the base of relative paths in file, filebase64, fileexists, fileset and templatefile.
	TemplateDir string
	// WorkDir is the base of relative paths in abspath; empty is the directory of the process.
	WorkDir string
	// Home finds the directory that a leading "~" stands for.
	Home func() (string, error)

	// Start is when the run began: what timestamp, legacy_isotime and legacy_strftime show, however often they are called.
	Start time.Time

	// Context ends calls to the readers below when it is cancelled; a function call has no context of its own.
	Context context.Context
	// NetworkTimeout bounds one call to a reader; zero is 30 seconds.
	NetworkTimeout time.Duration

	Vault      VaultReader
	Consul     ConsulReader
	Secrets    SecretsReader
	Parameters ParametersReader
}

// defaultNetworkTimeout leaves room for a slow proxy, yet ends before a user takes the program for dead.
const defaultNetworkTimeout = 30 * time.Second

// withDefaults fills the fields that have a real-world meaning when empty.
func (e Env) withDefaults() Env {
	if e.Home == nil {
		e.Home = os.UserHomeDir
	}
	if e.Start.IsZero() {
		e.Start = time.Now()
	}
	if e.Context == nil {
		e.Context = context.Background()
	}
	if e.NetworkTimeout <= 0 {
		e.NetworkTimeout = defaultNetworkTimeout
	}
	return e
}

// Table returns every function that a template may call, by name. The map is the caller's own. It does not hold env,
// which only the defaults of variables may call: see VariableDefaults.
func Table(env Env) map[string]function.Function {
	env = env.withDefaults()
	table := map[string]function.Function{}
	for _, group := range []map[string]function.Function{
		numberFuncs(),
		stringFuncs(),
		collectionFuncs(),
		encodingFuncs(),
		filesystemFuncs(env),
		cryptoFuncs(),
		networkFuncs(),
		datetimeFuncs(env),
		externalFuncs(env),
		controlFuncs(),
	} {
		maps.Copy(table, group)
	}
	table["templatefile"] = templateFile(env, table)
	return table
}

// VariableDefaults returns the functions that the default of a variable may call: env alone, which reads from lookup.
func VariableDefaults(lookup func(string) (string, bool)) map[string]function.Function {
	return map[string]function.Function{
		"env": stringFunc(
			"Returns the value of an environment variable, or an empty string if it is not set; only the default of a variable may call it.",
			func(args ...string) (string, error) {
				value, _ := lookup(args[0])
				return value, nil
			},
			text("name", "The name of the environment variable."),
		),
	}
}

// describe gives a library function our own words, so that the reference documentation reads as one piece.
// It wants one description for each parameter, the variadic one included.
func describe(f function.Function, description string, params ...string) function.Function {
	return f.WithNewDescriptions(description, params)
}

// guarded is f with a check in front. The check sees arguments without their marks, some of which may be unknown.
func guarded(f function.Function, check func(args []cty.Value) error) function.Function {
	return function.New(&function.Spec{
		Description: f.Description(),
		Params:      f.Params(),
		VarParam:    f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			plain := make([]cty.Value, len(args))
			for i, arg := range args {
				plain[i], _ = arg.UnmarkDeep()
			}
			if err := check(plain); err != nil {
				return cty.NilType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return f.Call(args)
		},
	})
}

// newFunc builds a function with fixed parameters and a result of one type that is never null.
func newFunc(description string, result cty.Type, impl func(args []cty.Value) (cty.Value, error), params ...function.Parameter) function.Function {
	return function.New(&function.Spec{
		Description:  description,
		Params:       params,
		Type:         function.StaticReturnType(result),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return impl(args)
		},
	})
}

// stringFunc builds a function from strings to a string.
func stringFunc(description string, impl func(args ...string) (string, error), params ...function.Parameter) function.Function {
	return newFunc(description, cty.String, func(args []cty.Value) (cty.Value, error) {
		result, err := impl(texts(args)...)
		if err != nil {
			return cty.NilVal, err
		}
		return cty.StringVal(result), nil
	}, params...)
}

// text declares a string parameter.
func text(name, description string) function.Parameter {
	return function.Parameter{Name: name, Description: description, Type: cty.String}
}

// number declares a number parameter.
func number(name, description string) function.Parameter {
	return function.Parameter{Name: name, Description: description, Type: cty.Number}
}

// anything declares a parameter of any type.
func anything(name, description string) function.Parameter {
	return function.Parameter{Name: name, Description: description, Type: cty.DynamicPseudoType}
}

// texts unwraps known strings.
func texts(args []cty.Value) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = arg.AsString()
	}
	return out
}

func notNull(b *cty.RefinementBuilder) *cty.RefinementBuilder { return b.NotNull() }

// smallInt is argument i as an int; anything else than a whole number of that size is an error that shows the value.
func smallInt(args []cty.Value, i int) (int, error) {
	f := args[i].AsBigFloat()
	n, accuracy := f.Int64()
	if !f.IsInt() || accuracy != 0 || n != int64(int(n)) {
		return 0, function.NewArgErrorf(i, "%s is not a whole number in range", f.Text('g', 20))
	}
	return int(n), nil
}
