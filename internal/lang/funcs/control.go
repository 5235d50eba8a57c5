package funcs

import (
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty/function"
)

// controlFuncs are the functions whose arguments are expressions rather than values.
func controlFuncs() map[string]function.Function {
	return map[string]function.Function{
		"can": describe(tryfunc.CanFunc,
			"Tells whether an expression can be evaluated without an error.",
			"The expression."),
		"convert": describe(typeexpr.ConvertFunc,
			"Converts a value to a type.",
			"The value; it may be null.", "The type, written as in a variable block, such as list(string)."),
		"try": describe(tryfunc.TryFunc,
			"Returns the value of the first of its arguments that can be evaluated without an error.",
			"The expressions, tried in order."),
	}
}
