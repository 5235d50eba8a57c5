package funcs

import (
	"testing"
	"testing/quick"

	"github.com/zclconf/go-cty/cty"
)

var numberCases = map[string][]evalCase{
	"abs": {
		{`abs(-1.5)`, `1.5`},
		{`abs("-2")`, `2`},
		{`abs("x")`, `error: a number is required`},
		{`abs(unknown_number)`, `unknown_number`},
	},
	"ceil":  {{`ceil(1.2)`, `2`}, {`ceil(-1.2)`, `-1`}, {`ceil(infinity)`, `infinity`}},
	"floor": {{`floor(1.8)`, `1`}, {`floor(-1.2)`, `-2`}, {`floor(12345678901234567890.5)`, `12345678901234567890`}},
	"log": {
		{`log(50, 10) > 1.698 && log(50, 10) < 1.699`, `true`},
		{`log(16, 2)`, `4`},
		{`log(0, 10)`, `-infinity`},
		{`log(-1, 10)`, `error: log of -1 and 10 is not a real number`},
		{`log(1, 1)`, `error: not a real number`},
	},
	"max": {{`max(1, 5, 3)`, `5`}, {`max("7", 3)`, `7`}, {`max()`, `error: must pass at least one number`}},
	"min": {{`min(1, 5, -3)`, `-3`}, {`min([4, 2]...)`, `2`}, {`min()`, `error: must pass at least one number`}},
	"parseint": {
		{`parseint("ff", 16)`, `255`},
		{`parseint("-0011", 2)`, `-3`},
		{`parseint("aA", 62)`, `656`},
		{`parseint("12", 2)`, `error: cannot parse "12" as a base 2 integer`},
		{`parseint("1", 63)`, `error: between 2 and 62`},
		{`parseint("", 10)`, `error: cannot parse ""`},
		{`parseint(12, 10)`, `error: must be a string`},
	},
	"pow": {
		{`pow(3, 2)`, `9`},
		{`pow(4, 0.5)`, `2`},
		{`pow(0, -1)`, `infinity`},
		{`pow(-8, 0.5)`, `error: pow of -8 and 0.5 is not a real number`},
	},
	"signum": {
		{`signum(-13)`, `-1`},
		{`signum(0)`, `0`},
		{`signum(344)`, `1`},
		{`signum(0.5)`, `error: 0.5 is not a whole number`},
	},
	"sum": {
		{`sum([1, 2.5, -1])`, `2.5`},
		{`sum(["1", 2])`, `3`},
		{`sum(convert([1, 1, 2], set(number)))`, `3`},
		{`sum(convert(["1", "2"], list(string)))`, `3`},
		{`sum([])`, `error: cannot add up an empty list`},
		{`sum([1, null])`, `error: element 1 is null`},
		{`sum([1, "x"])`, `error: element 1 ("x") is not a number`},
		{`sum([[1]])`, `error: is not a number`},
		{`sum({a = 1})`, `error: cannot add up the elements of object`},
		{`sum("1")`, `error: cannot add up the elements of string`},
		{`sum([1, unknown_number])`, `unknown_number`},
		{`sum([infinity, 1])`, `infinity`},
		{`sum([-infinity, infinity])`, `error: infinities of opposite signs`},
		{`sum([infinity, -infinity])`, `error: infinities of opposite signs`},
	},
}

func TestSumIsCommutative(t *testing.T) {
	f := Table(Env{})["sum"]
	property := func(a, b int32) bool {
		x, y := cty.NumberIntVal(int64(a)), cty.NumberIntVal(int64(b))
		one, err1 := f.Call([]cty.Value{cty.TupleVal([]cty.Value{x, y})})
		two, err2 := f.Call([]cty.Value{cty.TupleVal([]cty.Value{y, x})})
		return err1 == nil && err2 == nil && one.RawEquals(two) && one.RawEquals(cty.NumberIntVal(int64(a)+int64(b)))
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}
