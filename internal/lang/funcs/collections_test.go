package funcs

import (
	"slices"
	"testing"
	"testing/quick"

	"github.com/zclconf/go-cty/cty"
)

var collectionCases = map[string][]evalCase{
	"alltrue": {
		{`alltrue([])`, `true`},
		{`alltrue([true, "true"])`, `true`},
		{`alltrue([true, false])`, `false`},
		{`alltrue([true, null])`, `false`},
		{`alltrue([true, unknown_bool])`, `unknown_bool`},
		{`alltrue([unknown_bool, false])`, `false`},
		{`alltrue(["x"])`, `error: bool`},
		{`alltrue(null)`, `error: must not be null`},
	},
	"anytrue": {
		{`anytrue([])`, `false`},
		{`anytrue([false, true])`, `true`},
		{`anytrue([null, false])`, `false`},
		{`anytrue([null, true])`, `true`},
		{`anytrue([unknown_bool, false])`, `unknown_bool`},
		{`anytrue([unknown_bool, true])`, `true`},
	},
	"chunklist": {
		{`chunklist(["a", "b", "c"], 2)`, `convert([["a", "b"], ["c"]], list(list(string)))`},
		{`chunklist(["a", "b"], 0)`, `convert([["a", "b"]], list(list(string)))`},
		{`chunklist(["a"], -1)`, `error: positive`},
		{`chunklist(["a"], 0.5)`, `error: whole number`},
	},
	"coalesce": {
		{`coalesce("a", "b")`, `"a"`},
		{`coalesce("", null, "b")`, `"b"`},
		{`coalesce(0, 1)`, `0`},
		{`coalesce(null_string, "x")`, `"x"`},
		{`coalesce("", unknown_string, "x")`, `unknown_string`},
		{`coalesce("a", unknown_string)`, `"a"`},
		{`coalesce("", null)`, `error: every argument is null or an empty string`},
		{`coalesce(["a"], "b")`, `error: same type`},
		{`coalesce()`, `error: at least one argument`},
	},
	"coalescelist": {
		{`coalescelist([], ["b"], ["c"])`, `["b"]`},
		{`coalescelist(null_list, convert(["b"], list(string)))`, `convert(["b"], list(string))`},
		{`coalescelist([], [])`, `error: no non-null arguments`},
		{`coalescelist("a")`, `error: lists or tuples`},
	},
	"compact": {
		{`compact(["a", "", null, "b"])`, `convert(["a", "b"], list(string))`},
		{`compact([])`, `convert([], list(string))`},
		{`compact([unknown_string])`, `unknown_list`},
	},
	"concat": {
		{`concat(["a"], [1], [])`, `["a", 1]`},
		{`concat(convert(["a"], list(string)), convert(["b"], list(string)))`, `convert(["a", "b"], list(string))`},
		{`concat(["a"], "b")`, `error: lists or tuples`},
		{`concat()`, `error: at least one argument`},
	},
	"contains": {
		{`contains(["a", "b"], "b")`, `true`},
		{`contains(["a"], "c")`, `false`},
		{`contains(convert(["a"], set(string)), "a")`, `true`},
		{`contains([1], "1")`, `false`},
		{`contains(["a", null_string], null_string)`, `true`},
		{`contains({a = 1}, 1)`, `error: cannot search object`},
		{`contains([unknown_string], "a")`, `unknown_bool`},
		{`contains([unknown_string, "a"], "a")`, `true`},
		{`contains(["a"], null)`, `false`},
		{`contains(["a", null], null)`, `true`},
		{`contains([], "a")`, `false`},
	},
	"distinct": {
		{`distinct(["a", "b", "a"])`, `convert(["a", "b"], list(string))`},
		{`distinct([])`, `convert([], list(any))`},
	},
	"element": {
		{`element(["a", "b"], 1)`, `"b"`},
		{`element(["a", "b"], 5)`, `"b"`},
		{`element(convert(["a", "b"], list(string)), 2)`, `"a"`},
		{`element(["a"], -1)`, `error: index -1 is negative`},
		{`element([], 0)`, `error: empty list`},
		{`element(["a"], 0.5)`, `error: whole number`},
		{`element({a = 1}, 0)`, `error: cannot read elements from object`},
	},
	"flatten": {
		{`flatten([["a"], [], [["b"], "c"]])`, `["a", "b", "c"]`},
		{`flatten([])`, `[]`},
		{`flatten("a")`, `error: can only flatten`},
	},
	"index": {
		{`index(["a", "b", "a"], "b")`, `1`},
		{`index(["a", "b", "a"], "a")`, `0`},
		{`index([1, "1"], "1")`, `1`},
		{`index([{a = 1}, {a = 2}], {a = 2})`, `1`},
		{`index(["a"], "z")`, `error: "z" is not in the list`},
		{`index(["a"], 5)`, `error: 5 is not in the list`},
		{`index(["a"], true)`, `error: true is not in the list`},
		{`index(["a"], ["b"])`, `error: this tuple is not in the list`},
		{`index([], "z")`, `error: cannot find "z" in an empty list`},
		{`index(convert(["a"], set(string)), "a")`, `error: set of string has no positions`},
		{`index({a = 1}, 1)`, `error: has no positions`},
		{`index(["a", unknown_string, "b"], "a")`, `0`},
		{`index(["a", unknown_string, "b"], "b")`, `unknown_number`},
	},
	"keys": {
		{`keys({b = 1, a = 2})`, `["a", "b"]`},
		{`keys(convert({b = 1, a = 2}, map(number)))`, `convert(["a", "b"], list(string))`},
		{`keys({a = unknown})`, `["a"]`},
		{`keys([1])`, `error: must have map or object type`},
	},
	"values": {
		{`values({b = 1, a = "x"})`, `["x", 1]`},
		{`values(convert({b = 1}, map(number)))`, `convert([1], list(number))`},
		{`values([1])`, `error: requires a map`},
	},
	"lookup": {
		{`lookup({a = 1}, "a", 2)`, `1`},
		{`lookup({a = 1}, "b", "x")`, `"x"`},
		{`lookup(convert({a = "y"}, map(string)), "b", 5)`, `"5"`},
		{`lookup({a = 1}, "a")`, `error: Not enough function arguments`},
		{`lookup([1], "a", 2)`, `error: requires a map`},
	},
	"merge": {
		{`merge({a = 1, b = 1}, {b = "x"})`, `{a = 1, b = "x"}`},
		{`merge(convert({a = "1"}, map(string)), convert({b = "2"}, map(string)))`, `convert({a = "1", b = "2"}, map(string))`},
		{`merge({a = 1}, null)`, `{a = 1}`},
		{`merge()`, `{}`},
		{`merge(null, null)`, `{}`},
		{`merge(null_map)`, `convert({}, map(string))`},
		{`merge({a = 1}, [1])`, `error: must be maps or objects`},
	},
	"range": {
		{`range(3)`, `convert([0, 1, 2], list(number))`},
		{`range(1, 4)`, `convert([1, 2, 3], list(number))`},
		{`range(1, 8, 3)`, `convert([1, 4, 7], list(number))`},
		{`range(3, 0)`, `convert([3, 2, 1], list(number))`},
		{`range(-2)`, `convert([0, -1], list(number))`},
		{`range(0)`, `convert([], list(number))`},
		{`length(range(1024))`, `1024`},
		{`range(1025)`, `error: more than 1024 values`},
		{`range(0, 1, 0)`, `error: step must not be zero`},
		{`range(0, 1, -1)`, `error: end must be less than start`},
		{`range()`, `error: one, two, or three arguments`},
	},
	"reverse": {
		{`reverse([1, "a"])`, `["a", 1]`},
		{`reverse(convert(["a", "b"], list(string)))`, `convert(["b", "a"], list(string))`},
		{`reverse(convert(["a"], set(string)))`, `error: a set has no order`},
		{`reverse("ab")`, `error: can only reverse list or tuple`},
	},
	"setintersection": {
		{`setintersection(["a", "b"], ["b", "c"], ["b"])`, `convert(["b"], set(string))`},
		{`setintersection(["a"], ["b"])`, `convert([], set(string))`},
		{`setintersection("a")`, `error: set of dynamic required`},
	},
	"setunion": {
		{`setunion(["a"], ["b", "a"])`, `convert(["a", "b"], set(string))`},
		{`setunion()`, `error: Not enough function arguments`},
	},
	"setproduct": {
		{`setproduct(["a", "b"], [1])`, `convert([["a", 1], ["b", 1]], list(tuple([string, number])))`},
		{`setproduct(convert(["a"], set(string)), [1])`, `convert([["a", 1]], set(tuple([string, number])))`},
		{`setproduct(["a"])`, `error: at least two`},
	},
	"slice": {
		{`slice(["a", "b", "c"], 1, 3)`, `["b", "c"]`},
		{`slice(["a"], 1, 1)`, `[]`},
		{`slice(["a"], 0, 2)`, `error: end index must not be greater than the length`},
		{`slice(["a"], -1, 0)`, `error: must not be less than zero`},
		{`slice(["a", "b"], 2, 1)`, `error: must not be greater than end index`},
	},
	"sort": {
		{`sort(["b", "a", "B"])`, `convert(["B", "a", "b"], list(string))`},
		{`sort([])`, `convert([], list(string))`},
		{`sort(["a", null])`, `error: null string cannot be sorted`},
	},
	"zipmap": {
		{`zipmap(["a", "b"], [1, "x"])`, `{a = 1, b = "x"}`},
		{`zipmap(["a"], convert([1], list(number)))`, `convert({a = 1}, map(number))`},
		{`zipmap(["a"], [1, 2])`, `error: number of keys (1) does not match number of values (2)`},
		{`zipmap(["a", null], convert([1, 2], list(number)))`, `error: key 1 is null`},
		{`zipmap(["a"], {a = 1})`, `error: must be a list or tuple`},
	},
}

func TestSortSortsAndKeeps(t *testing.T) {
	f := Table(Env{})["sort"]
	property := func(numbers []uint16) bool {
		if len(numbers) == 0 {
			return true
		}
		var want []string
		var list []cty.Value
		for _, n := range numbers {
			s := string([]byte{byte(n%26) + 'a', byte(n>>8%26) + 'a'})
			want = append(want, s)
			list = append(list, cty.StringVal(s))
		}
		slices.Sort(want)
		got, err := f.Call([]cty.Value{cty.ListVal(list)})
		return err == nil && slices.Equal(want, texts(got.AsValueSlice()))
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

func TestDistinctIsIdempotent(t *testing.T) {
	f := Table(Env{})["distinct"]
	property := func(numbers []uint8) bool {
		list := []cty.Value{cty.Zero}
		for _, n := range numbers {
			list = append(list, cty.NumberIntVal(int64(n%8)))
		}
		once, err := f.Call([]cty.Value{cty.ListVal(list)})
		if err != nil {
			return false
		}
		twice, err := f.Call([]cty.Value{once})
		return err == nil && twice.RawEquals(once)
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}
