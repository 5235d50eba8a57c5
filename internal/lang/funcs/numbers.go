package funcs

import (
	"errors"
	"fmt"
	"math"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func numberFuncs() map[string]function.Function {
	return map[string]function.Function{
		"abs": describe(stdlib.AbsoluteFunc,
			"Returns the magnitude of a number, without its sign.",
			"The number."),
		"ceil": describe(stdlib.CeilFunc,
			"Returns the smallest whole number that is not less than the given number.",
			"The number to round up."),
		"floor": describe(stdlib.FloorFunc,
			"Returns the greatest whole number that is not more than the given number.",
			"The number to round down."),
		"log": floatFunc("log",
			"Returns the logarithm of a number in a given base.",
			func(n, base float64) float64 { return math.Log(n) / math.Log(base) },
			number("num", "The number, not negative."), number("base", "The base of the logarithm.")),
		"max": describe(stdlib.MaxFunc,
			"Returns the greatest of the given numbers.",
			"The numbers to compare; at least one."),
		"min": describe(stdlib.MinFunc,
			"Returns the smallest of the given numbers.",
			"The numbers to compare; at least one."),
		"parseint": describe(stdlib.ParseIntFunc,
			"Parses a string as a whole number in a given base.",
			"The digits; letters are digits of bases above 10, and their case matters in bases above 36.",
			"The base, from 2 to 62."),
		"pow": floatFunc("pow",
			"Returns a number raised to a power.",
			math.Pow,
			number("num", "The number."), number("power", "The power to raise it to.")),
		"signum": describe(guarded(stdlib.SignumFunc, wholeOnly),
			"Returns -1, 0 or 1 for a negative number, zero or a positive number.",
			"The number; it must be whole."),
		"sum": sumFunc(),
	}
}

// floatFunc builds a function of two numbers that is computed in floating point. A result that is not a number, which
// cty cannot hold, is an error.
func floatFunc(name, description string, compute func(a, b float64) float64, params ...function.Parameter) function.Function {
	return newFunc(description, cty.Number, func(args []cty.Value) (cty.Value, error) {
		a, _ := args[0].AsBigFloat().Float64()
		b, _ := args[1].AsBigFloat().Float64()
		result := compute(a, b)
		if math.IsNaN(result) {
			return cty.NilVal, fmt.Errorf("%s of %g and %g is not a real number", name, a, b)
		}
		return cty.NumberFloatVal(result), nil
	}, params...)
}

// wholeOnly refuses fractions: Packer's templates could never pass one.
func wholeOnly(args []cty.Value) error {
	if !args[0].IsKnown() || args[0].IsNull() || args[0].Type() != cty.Number {
		return nil
	}
	if f := args[0].AsBigFloat(); !f.IsInt() {
		return function.NewArgErrorf(0, "%s is not a whole number", f.Text('g', 20))
	}
	return nil
}

func sumFunc() function.Function {
	return newFunc("Returns the sum of the numbers in a collection; a numeric string counts as its number, and an empty collection is an error.",
		cty.Number, sum,
		anything("list", "A list, set or tuple of numbers; none may be null."))
}

func sum(args []cty.Value) (cty.Value, error) {
	list := args[0]
	if !isSequence(list.Type()) {
		return cty.NilVal, function.NewArgErrorf(0, "cannot add up the elements of %s; a list, set or tuple is needed", list.Type().FriendlyName())
	}
	if !list.IsWhollyKnown() {
		return cty.UnknownVal(cty.Number), nil
	}
	if list.LengthInt() == 0 {
		return cty.NilVal, function.NewArgError(0, errors.New("cannot add up an empty list"))
	}
	total := cty.Zero
	for i, element := range list.AsValueSlice() {
		if element.IsNull() {
			return cty.NilVal, function.NewArgErrorf(0, "element %d is null", i)
		}
		n, err := convert.Convert(element, cty.Number)
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(0, "element %d (%s) is not a number: %w", i, show(element), err)
		}
		if total.RawEquals(cty.PositiveInfinity) && n.RawEquals(cty.NegativeInfinity) ||
			total.RawEquals(cty.NegativeInfinity) && n.RawEquals(cty.PositiveInfinity) {
			return cty.NilVal, function.NewArgErrorf(0, "cannot add up infinities of opposite signs")
		}
		total = total.Add(n)
	}
	return total, nil
}
