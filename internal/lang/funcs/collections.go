package funcs

import (
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func collectionFuncs() map[string]function.Function {
	return map[string]function.Function{
		"alltrue": boolsFunc("Tells whether every element of a list of bools is true; a null element counts as false, and an empty list gives true.", false),
		"anytrue": boolsFunc("Tells whether at least one element of a list of bools is true; null elements are skipped, and an empty list gives false.", true),
		"chunklist": describe(stdlib.ChunklistFunc,
			"Splits a list into a list of shorter lists.",
			"The list to split.", "The greatest length of a chunk; 0 puts everything into one."),
		"coalesce": coalesceFunc(),
		"coalescelist": describe(stdlib.CoalesceListFunc,
			"Returns the first of its arguments that is not an empty list.",
			"Lists or tuples, tried in order; a null list is skipped."),
		"compact": describe(stdlib.CompactFunc,
			"Removes empty strings and nulls from a list of strings.",
			"The list of strings."),
		"concat": describe(stdlib.ConcatFunc,
			"Joins lists or tuples, one after the other, into one.",
			"The lists or tuples; at least one."),
		"contains": containsFunc(),
		"distinct": describe(stdlib.DistinctFunc,
			"Removes repeated elements from a list and keeps the first of each.",
			"The list."),
		"element": describe(guarded(stdlib.ElementFunc, notNegativeIndex),
			"Returns one element of a list; an index past the end starts again at the beginning.",
			"The list or tuple; it must not be empty.", "The index, counted from 0; it must not be negative."),
		"flatten": describe(stdlib.FlattenFunc,
			"Replaces every element that is itself a list, set or tuple by its elements, at all depths.",
			"The list, set or tuple."),
		"index": indexFunc(),
		"keys": describe(stdlib.KeysFunc,
			"Returns the keys of a map or the attribute names of an object, sorted.",
			"The map or object."),
		"lookup": describe(stdlib.LookupFunc,
			"Returns the element of a map, or the attribute of an object, that has a given key.",
			"The map or object.", "The key to look for.", "What to return if there is no such key."),
		"merge": describe(stdlib.MergeFunc,
			"Merges maps or objects into one; where keys collide, the later argument wins.",
			"The maps or objects; null ones are skipped, and none at all gives an empty object."),
		"range": describe(guarded(stdlib.RangeFunc, notStandingStill),
			"Returns a list of evenly spaced numbers, at most 1024 of them.",
			"The limit; or start and limit; or start, limit and step. The limit itself is left out."),
		"reverse": describe(guarded(stdlib.ReverseListFunc, noSet),
			"Returns the elements of a list or tuple in reverse order.",
			"The list or tuple."),
		"setintersection": describe(stdlib.SetIntersectionFunc,
			"Returns the set of elements that all given sets have.",
			"The first set.", "The other sets."),
		"setproduct": describe(stdlib.SetProductFunc,
			"Returns every combination of one element from each of the given sets; lists alone give an ordered list of combinations.",
			"The sets or lists; at least two."),
		"setunion": describe(stdlib.SetUnionFunc,
			"Returns the set of elements that at least one of the given sets has.",
			"The first set.", "The other sets."),
		"slice": describe(stdlib.SliceFunc,
			"Returns consecutive elements of a list or tuple.",
			"The list or tuple.", "The index of the first element to take.", "The index of the first element to leave out."),
		"sort": describe(stdlib.SortFunc,
			"Sorts a list of strings by their Unicode code points.",
			"The list of strings; none may be null."),
		"values": describe(stdlib.ValuesFunc,
			"Returns the values of a map or object, in the order of its sorted keys.",
			"The map or object."),
		"zipmap": describe(guarded(stdlib.ZipmapFunc, noNullKey),
			"Builds a map from a list of keys and a list of values of the same length.",
			"The keys.", "The values, in the order of the keys."),
	}
}

// isSequence tells whether values of a type have elements without keys.
func isSequence(t cty.Type) bool {
	return t.IsListType() || t.IsSetType() || t.IsTupleType()
}

// boolsFunc builds alltrue and anytrue: the result is decisive as soon as one element equals it, and its opposite if
// none does. One decisive element settles the matter even where others are unknown.
func boolsFunc(description string, decisive bool) function.Function {
	list := function.Parameter{Name: "list", Description: "The list of bools.", Type: cty.List(cty.Bool)}
	return newFunc(description, cty.Bool, func(args []cty.Value) (cty.Value, error) {
		unknown := false
		for _, element := range args[0].AsValueSlice() {
			switch {
			case !element.IsKnown():
				unknown = true
			case element.IsNull() && decisive, !element.IsNull() && element.True() != decisive:
			default:
				return cty.BoolVal(decisive), nil
			}
		}
		if unknown {
			return cty.UnknownVal(cty.Bool), nil
		}
		return cty.BoolVal(!decisive), nil
	}, list)
}

// coalesceFunc differs from the library's: an empty string is passed over like null.
func coalesceFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Returns the first of its arguments that is neither null nor an empty string.",
		VarParam: &function.Parameter{
			Name:             "vals",
			Description:      "Values of one type, tried in order; if none will do, that is an error.",
			Type:             cty.DynamicPseudoType,
			AllowUnknown:     true,
			AllowDynamicType: true,
			AllowNull:        true,
		},
		Type: func(args []cty.Value) (cty.Type, error) {
			if len(args) == 0 {
				return cty.NilType, errors.New("at least one argument is required")
			}
			types := make([]cty.Type, len(args))
			for i, arg := range args {
				types[i] = arg.Type()
			}
			common, _ := convert.UnifyUnsafe(types)
			if common == cty.NilType {
				return cty.NilType, errors.New("all arguments must have the same type")
			}
			return common, nil
		},
		RefineResult: notNull,
		Impl: func(args []cty.Value, result cty.Type) (cty.Value, error) {
			for i, arg := range args {
				value, err := convert.Convert(arg, result)
				if err != nil {
					return cty.NilVal, function.NewArgErrorf(i, "%s has another type than the other arguments: %w", show(arg), err)
				}
				if !value.IsKnown() {
					return cty.UnknownVal(result), nil
				}
				if !value.IsNull() && !isEmptyString(value) {
					return value, nil
				}
			}
			return cty.NilVal, errors.New("every argument is null or an empty string")
		},
	})
}

func isEmptyString(v cty.Value) bool {
	return v.Type() == cty.String && v.AsString() == ""
}

// containsFunc differs from the library's where the value is a literal null, whose type is not known: the library takes
// the value itself for unknown.
func containsFunc() function.Function {
	value := anything("value", "The value to look for; it may be null.")
	value.AllowNull, value.AllowDynamicType = true, true
	return newFunc("Tells whether a list, tuple or set has a given value as one of its elements.", cty.Bool, contains,
		anything("list", "The list, tuple or set to search."), value)
}

// contains is sure of a match even where other elements are unknown.
func contains(args []cty.Value) (cty.Value, error) {
	list, wanted := args[0], args[1]
	if !isSequence(list.Type()) {
		return cty.NilVal, function.NewArgErrorf(0, "cannot search %s; a list, tuple or set is needed", list.Type().FriendlyName())
	}
	found := cty.False
	for _, element := range list.AsValueSlice() {
		switch equal := element.Equals(wanted); {
		case !equal.IsKnown():
			found = cty.UnknownVal(cty.Bool)
		case equal.True():
			return cty.True, nil
		}
	}
	return found, nil
}

// indexFunc differs from the library function of this name, which looks up a key: it finds the position of a value.
func indexFunc() function.Function {
	return newFunc("Returns the position of the first element of a list that equals a given value; if there is none, that is an error.",
		cty.Number, index,
		anything("list", "The list or tuple to search; it must not be empty."),
		anything("value", "The value to look for."))
}

func index(args []cty.Value) (cty.Value, error) {
	list, wanted := args[0], args[1]
	if t := list.Type(); !t.IsListType() && !t.IsTupleType() {
		return cty.NilVal, function.NewArgErrorf(0, "%s has no positions; a list or tuple is needed", t.FriendlyName())
	}
	if list.LengthInt() == 0 {
		return cty.NilVal, function.NewArgErrorf(0, "cannot find %s in an empty list", show(wanted))
	}
	for i, element := range list.AsValueSlice() {
		equal := element.Equals(wanted)
		if !equal.IsKnown() {
			return cty.UnknownVal(cty.Number), nil
		}
		if equal.True() {
			return cty.NumberIntVal(int64(i)), nil
		}
	}
	return cty.NilVal, function.NewArgErrorf(1, "%s is not in the list", show(wanted))
}

// notNegativeIndex refuses what the library would count from the end: in Packer's templates it is an error.
func notNegativeIndex(args []cty.Value) error {
	i := args[1]
	if i.IsKnown() && !i.IsNull() && i.Type() == cty.Number && i.AsBigFloat().Sign() < 0 {
		return function.NewArgErrorf(1, "index %s is negative", i.AsBigFloat().Text('g', 20))
	}
	return nil
}

// notStandingStill says what is wrong with a step of zero, of which the library only says that it gives too many values.
func notStandingStill(args []cty.Value) error {
	if len(args) == 3 && args[2].IsKnown() && !args[2].IsNull() && args[2].Type() == cty.Number && args[2].AsBigFloat().Sign() == 0 {
		return function.NewArgErrorf(2, "step must not be zero")
	}
	return nil
}

// noSet refuses sets, whose order is nobody's promise.
func noSet(args []cty.Value) error {
	if args[0].Type().IsSetType() {
		return function.NewArgErrorf(0, "a set has no order to reverse; convert it to a list first")
	}
	return nil
}

// noNullKey refuses null keys, over which the library panics when the values are a list.
func noNullKey(args []cty.Value) error {
	keys := args[0]
	if !keys.IsKnown() || keys.IsNull() || !keys.Type().IsListType() {
		return nil
	}
	for i, key := range keys.AsValueSlice() {
		if key.IsNull() {
			return function.NewArgErrorf(0, "key %d is null", i)
		}
	}
	return nil
}

// show is a value as an error message quotes it: in the template language where it is short, else its type.
func show(v cty.Value) string {
	switch {
	case !v.IsKnown():
		return "an unknown value"
	case v.IsNull():
		return "null"
	case v.Type() == cty.String:
		return excerpt(v.AsString())
	case v.Type() == cty.Number:
		return v.AsBigFloat().Text('g', 20)
	case v.Type() == cty.Bool:
		return fmt.Sprintf("%t", v.True())
	default:
		return "this " + v.Type().FriendlyName()
	}
}
