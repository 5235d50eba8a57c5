package funcs

import (
	"errors"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func stringFuncs() map[string]function.Function {
	return map[string]function.Function{
		"chomp": describe(stdlib.ChompFunc,
			"Removes all newlines from the end of a string.",
			"The string."),
		"endswith": stringTest("Tells whether a string ends with a given suffix.", strings.HasSuffix, "suffix", "The suffix to look for."),
		"format": describe(stdlib.FormatFunc,
			"Puts values into a string by the verbs of a format specification, such as %s, %q, %v, %d and %5.2f.",
			"The format specification.", "The values that the verbs refer to."),
		"formatlist": describe(stdlib.FormatListFunc,
			"Formats each element of one or more lists, which must have the same length, and returns the list of results.",
			"The format specification.", "Lists, taken element by element, or single values, used for each element."),
		"indent": describe(guarded(stdlib.IndentFunc, indentable),
			"Adds spaces to the start of every line of a string but the first.",
			"How many spaces to add.", "The string."),
		"join": describe(stdlib.JoinFunc,
			"Concatenates the strings of one or more lists, with a separator between them.",
			"What to put between the elements.", "The lists of strings; no element may be null."),
		"length": lengthFunc(),
		"lower": describe(stdlib.LowerFunc,
			"Turns every letter of a string into lower case.",
			"The string."),
		"regex": describe(stdlib.RegexFunc,
			"Returns the first match of an RE2 pattern: a string if the pattern has no groups, a tuple of its unnamed groups, or an object of its named groups; no match is an error.",
			"The pattern; it must not mix named and unnamed groups.", "The string to search."),
		"regex_replace": describe(stdlib.RegexReplaceFunc,
			"Replaces every match of an RE2 pattern in a string; the replacement may refer to groups as $1 or ${name}.",
			"The string to search.", "The pattern.", "The replacement."),
		"regexall": describe(stdlib.RegexAllFunc,
			"Returns the list of all matches of an RE2 pattern, each in the form that regex gives; no match gives an empty list.",
			"The pattern; it must not mix named and unnamed groups.", "The string to search."),
		"replace": describe(stdlib.ReplaceFunc,
			"Replaces every occurrence of a literal substring; for a pattern there is regex_replace.",
			"The string to search.", "The substring to replace, taken literally.", "The replacement."),
		"split": describe(stdlib.SplitFunc,
			"Splits a string at each occurrence of a separator and returns the list of parts.",
			"The separator.", "The string to split."),
		"startswith":  stringTest("Tells whether a string starts with a given prefix.", strings.HasPrefix, "prefix", "The prefix to look for."),
		"strcontains": stringTest("Tells whether a string contains a given substring.", strings.Contains, "substr", "The substring to look for."),
		"strrev": describe(stdlib.ReverseFunc,
			"Returns a string with its characters, as a reader sees them, in reverse order.",
			"The string."),
		"substr": describe(stdlib.SubstrFunc,
			"Returns a part of a string, counted in characters as a reader sees them.",
			"The string.", "Where the part starts; a negative offset counts from the end.", "The greatest length of the part; -1 takes the rest of the string."),
		"title": describe(stdlib.TitleFunc,
			"Turns the first letter of each word into upper case.",
			"The string."),
		"trim": describe(stdlib.TrimFunc,
			"Removes all leading and trailing characters that are in a given set.",
			"The string.", "The characters to remove, in any order."),
		"trimprefix": describe(stdlib.TrimPrefixFunc,
			"Removes a prefix, once, from the start of a string if it is there.",
			"The string.", "The prefix to remove."),
		"trimspace": describe(stdlib.TrimSpaceFunc,
			"Removes white space from both ends of a string.",
			"The string."),
		"trimsuffix": describe(stdlib.TrimSuffixFunc,
			"Removes a suffix, once, from the end of a string if it is there.",
			"The string.", "The suffix to remove."),
		"upper": describe(stdlib.UpperFunc,
			"Turns every letter of a string into upper case.",
			"The string."),
	}
}

// stringTest builds a yes-or-no question about two strings.
func stringTest(description string, test func(s, part string) bool, part, partDescription string) function.Function {
	return newFunc(description, cty.Bool, func(args []cty.Value) (cty.Value, error) {
		return cty.BoolVal(test(args[0].AsString(), args[1].AsString())), nil
	}, text("str", "The string to look at."), text(part, partDescription))
}

// indentable refuses negative amounts, for which the library function would panic, and amounts that no line needs.
func indentable(args []cty.Value) error {
	const widest = 1 << 16
	if !args[0].IsKnown() || args[0].IsNull() || args[0].Type() != cty.Number {
		return nil
	}
	spaces, err := smallInt(args, 0)
	if err != nil {
		return err
	}
	if spaces < 0 || spaces > widest {
		return function.NewArgErrorf(0, "cannot indent by %d spaces; 0 to %d are possible", spaces, widest)
	}
	return nil
}

func lengthFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Returns the number of characters, as a reader sees them, of a string, or the number of elements of a collection.",
		Params:      []function.Parameter{anything("value", "A string, list, set, map, tuple or object.")},
		Type: func(args []cty.Value) (cty.Type, error) {
			t := args[0].Type()
			if t == cty.String || t.IsCollectionType() || t.IsTupleType() || t.IsObjectType() {
				return cty.Number, nil
			}
			return cty.NilType, function.NewArgErrorf(0, "%s has no length; a string or a collection is needed", t.FriendlyName())
		},
		RefineResult: func(b *cty.RefinementBuilder) *cty.RefinementBuilder {
			return b.NotNull().NumberRangeLowerBound(cty.Zero, true)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			switch t := args[0].Type(); {
			case t == cty.String:
				return stdlib.Strlen(args[0])
			case t.IsObjectType():
				return cty.NumberIntVal(int64(len(t.AttributeTypes()))), nil
			default:
				return args[0].Length(), nil
			}
		},
	})
}

var errNotUTF8 = errors.New("the content is not valid UTF-8 text")
