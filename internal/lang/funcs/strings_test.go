package funcs

import (
	"testing"
	"testing/quick"

	"github.com/zclconf/go-cty/cty"
)

var stringCases = map[string][]evalCase{
	"chomp": {{`chomp("a\r\n\n")`, `"a"`}, {`chomp("a\nb")`, `"a\nb"`}, {`chomp(null)`, `error: must not be null`}},
	"endswith": {
		{`endswith("héllo", "llo")`, `true`},
		{`endswith("a", "aa")`, `false`},
		{`endswith("a", "")`, `true`},
		{`endswith("a", unknown_string)`, `unknown_bool`},
	},
	"format": {
		{`format("%s is %d, %05.1f %t", "a", 3, 2.25, true)`, `"a is 3, 002.2 true"`},
		{`format("%[2]s %[1]s %%", "a", "b")`, `"b a %"`},
		{`format("%q %v %#v", "x", [1], "y")`, `"\"x\" [1] \"y\""`},
		{`format("%b %o %x %X %e", 5, 8, 255, 255, 1000)`, `"101 10 ff FF 1.000000e+03"`},
		{`format("%d", "x")`, `error: a number is required`},
		{`format("%s")`, `error: not enough arguments`},
		{`format("%y", 1)`, `error: unsupported format verb`},
	},
	"formatlist": {
		{`formatlist("%s-%s", ["a", "b"], "x")`, `convert(["a-x", "b-x"], list(string))`},
		{`formatlist("%s", [])`, `convert([], list(string))`},
		{`formatlist("%s%s", ["a"], ["b", "c"])`, `error: length`},
	},
	"indent": {
		{`indent(2, "a\nb\n")`, `"a\n  b\n  "`},
		{`indent(0, "a\nb")`, `"a\nb"`},
		{`indent(-1, "a\nb")`, `error: cannot indent by -1 spaces`},
		{`indent(1.5, "a")`, `error: 1.5 is not a whole number`},
		{`indent(1e9, "a\nb")`, `error: cannot indent by 1000000000 spaces`},
	},
	"join": {
		{`join(", ", ["a", "b"], ["c"])`, `"a, b, c"`},
		{`join(",", [])`, `""`},
		{`join(",", ["a", null])`, `error: element 1 is null`},
		{`join(",", ["a", unknown_string])`, `unknown_string`},
	},
	"length": {
		{`length("héllo 👩‍👩‍👧")`, `7`},
		{`length([])`, `0`},
		{`length(["a", unknown])`, `2`},
		{`length({a = 1, b = 2})`, `2`},
		{`length(convert({a = 1}, map(number)))`, `1`},
		{`length(convert(["a", "a"], set(string)))`, `1`},
		{`length(5)`, `error: number has no length`},
		{`length(true)`, `error: bool has no length`},
		{`length(null)`, `error: must not be null`},
		{`length(unknown_list)`, `unknown_number`},
	},
	"lower": {{`lower("HÉLLO")`, `"héllo"`}},
	"upper": {{`upper("héllo")`, `"HÉLLO"`}, {`upper(1)`, `"1"`}},
	"title": {{`title("hello world")`, `"Hello World"`}},
	"replace": {
		{`replace("1 + 2 + 3", "+", "-")`, `"1 - 2 - 3"`},
		{`replace("ab", "/a/", "x")`, `"ab"`},
		{`replace("/a/b", "/a/", "x")`, `"xb"`},
	},
	"startswith": {{`startswith("hello", "he")`, `true`}, {`startswith("hello", "x")`, `false`}},
	"strcontains": {
		{`strcontains("hello", "ell")`, `true`},
		{`strcontains("hello", "x")`, `false`},
		{`strcontains(null, "x")`, `error: must not be null`},
	},
	"regex": {
		{`regex("[a-z]+", "53abc3")`, `"abc"`},
		{`regex("(\\d)(x)?", "4")`, `["4", null_string]`},
		{`regex("(?P<y>\\d+)-(?P<m>\\d+)", "2024-02")`, `{y = "2024", m = "02"}`},
		{`regex("x", "a")`, `error: pattern did not match`},
		{`regex("(?P<y>a)(b)", "ab")`, `error: cannot mix`},
		{`regex("(", "a")`, `error: missing closing )`},
		{`regex(unknown_string, "a")`, `unknown`},
	},
	"regexall": {
		{`regexall("[a-z]+", "1a2bc")`, `convert(["a", "bc"], list(string))`},
		{`regexall("x", "a")`, `convert([], list(string))`},
		{`regexall("(a)(b)", "abab")`, `convert([["a", "b"], ["a", "b"]], list(tuple([string, string])))`},
	},
	"regex_replace": {
		{`regex_replace("hello world", "w(or)ld", "<$1>")`, `"hello <or>"`},
		{`regex_replace("a-b", "(?P<x>\\w)-(?P<y>\\w)", "$${y}-$${x}")`, `"b-a"`},
		{`regex_replace("a", "(", "b")`, `error: missing closing )`},
	},
	"split": {
		{`split(",", "a,b,")`, `convert(["a", "b", ""], list(string))`},
		{`split("", "ab")`, `convert(["a", "b"], list(string))`},
		{`split(",", "")`, `convert([""], list(string))`},
	},
	"strrev": {{`strrev("héllo")`, `"olléh"`}, {`strrev("a👩‍👩‍👧b")`, `"b👩‍👩‍👧a"`}, {`strrev("")`, `""`}},
	"substr": {
		{`substr("hello world", 1, 4)`, `"ello"`},
		{`substr("👩‍👩‍👧bc", 1, 1)`, `"b"`},
		{`substr("hello", -3, -1)`, `"llo"`},
		{`substr("hello", 2, -1)`, `"llo"`},
		{`substr("hello", 0, 0)`, `""`},
		{`substr("hello", 9, 1)`, `""`},
		{`substr("hello", 0, 99)`, `"hello"`},
		{`substr("hello", 0.5, 1)`, `error: whole number`},
	},
	"trim":       {{`trim("?!hello?!", "!?")`, `"hello"`}, {`trim("a", "")`, `"a"`}},
	"trimprefix": {{`trimprefix("aab", "a")`, `"ab"`}, {`trimprefix("b", "a")`, `"b"`}},
	"trimsuffix": {{`trimsuffix("baa", "a")`, `"ba"`}, {`trimsuffix("b", "a")`, `"b"`}},
	"trimspace":  {{`trimspace(" \t a b \n")`, `"a b"`}},
}

func TestReversingTwiceChangesNothing(t *testing.T) {
	f := Table(Env{})["strrev"]
	property := func(letters []uint8) bool {
		for i := range letters {
			letters[i] = letters[i]%94 + ' ' + 1
		}
		s := cty.StringVal(string(letters))
		once, err := f.Call([]cty.Value{s})
		if err != nil {
			return false
		}
		twice, err := f.Call([]cty.Value{once})
		return err == nil && twice.RawEquals(s)
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}
