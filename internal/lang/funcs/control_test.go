package funcs

var controlCases = map[string][]evalCase{
	"can": {
		{`can(1 + 1)`, `true`},
		{`can({a = 1}.b)`, `false`},
		{`can(file("nothing.txt"))`, `false`},
		{`can(unknown_string)`, `unknown_bool`},
	},
	"convert": {
		{`convert("1", number)`, `1`},
		{`convert(["a"], set(string))`, `convert(["a"], set(string))`},
		{`convert(null, string)`, `null_string`},
		{`convert(unknown, string)`, `unknown_string`},
		{`convert("x", number)`, `error: a number is required`},
		{`convert("x", nonsense)`, `error: not a valid type specification`},
	},
	"try": {
		{`try({a = 1}.b, "fallback")`, `"fallback"`},
		{`try("first", file("nothing.txt"))`, `"first"`},
		{`try(unknown_string, "x")`, `unknown`},
		{`try(file("nothing.txt"))`, `error: no expression succeeded`},
		{`try()`, `error: at least one argument`},
	},
}
