package lang

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"ingot/internal/diag"
)

// conversion is a value of the wanted type. Split is set when a text was cut
// at its commas to make a list.
type conversion struct {
	value cty.Value
	split bool
}

// convertWeakly converts as Packer's decoder does: numbers and bools from and
// to strings; where a list is wanted, a single value is a list of one, and a
// string with commas is a list of its parts.
func convertWeakly(val cty.Value, want cty.Type) (conversion, error) {
	c, err := convertLinearly(val, want)
	if err == nil {
		return conversion{value: c}, nil
	}
	if !want.IsListType() && !want.IsSetType() || val.IsNull() {
		return conversion{}, err
	}
	elem, got := want.ElementType(), val.Type()
	if !val.IsKnown() && got == cty.String && elem == cty.String {
		return conversion{value: cty.UnknownVal(want)}, nil // it will do once it is known
	}
	if !val.IsKnown() {
		return conversion{}, err
	}
	var parts []cty.Value
	split := false
	switch {
	case got == cty.String && elem == cty.String && strings.Contains(val.AsString(), ","):
		split = true
		for _, p := range strings.Split(val.AsString(), ",") {
			parts = append(parts, cty.StringVal(p))
		}
	case got.IsPrimitiveType(), got.IsObjectType() || got.IsMapType():
		parts = []cty.Value{val}
	default:
		return conversion{}, err
	}
	c, single := convert.Convert(cty.TupleVal(parts), want)
	if single != nil {
		return conversion{}, err
	}
	return conversion{c, split}, nil
}

// Convert converts a value strictly, as templates do in general: numbers and
// bools from and to strings. When it cannot, it says why, in words that follow
// what the value is.
func Convert(val cty.Value, want cty.Type) (c cty.Value, why string, ok bool) {
	c, err := convertLinearly(val, want)
	if err != nil {
		return cty.UnknownVal(want), because(err), false
	}
	return c, "", true
}

// because is the reason for a failed conversion, in words that follow a
// sentence with both types. It is empty when that has said all.
func because(err error) string {
	text := pathError(err)
	if !strings.ContainsAny(text, ":;") {
		return ""
	}
	return ": " + text
}

// mismatch leads to the part of a value for which it cannot be converted, as
// far as that can be told.
func mismatch(val cty.Value, want cty.Type) cty.Path {
	if val.IsNull() || !val.IsKnown() || !val.CanIterateElements() {
		return nil
	}
	elemType := func(cty.Value) (cty.Type, bool) { return cty.NilType, false }
	switch {
	case want.IsListType() || want.IsSetType() || want.IsMapType():
		elemType = func(cty.Value) (cty.Type, bool) { return want.ElementType(), true }
	case want.IsObjectType():
		elemType = func(key cty.Value) (cty.Type, bool) {
			if key.Type() != cty.String || !want.HasAttribute(key.AsString()) {
				return cty.NilType, false
			}
			return want.AttributeType(key.AsString()), true
		}
	}
	if (want.IsMapType() || want.IsObjectType()) != (val.Type().IsMapType() || val.Type().IsObjectType()) {
		return nil
	}
	for it := val.ElementIterator(); it.Next(); {
		key, el := it.Element()
		t, ok := elemType(key)
		if !ok {
			continue
		}
		if _, err := convert.Convert(el, t); err != nil {
			return append(cty.IndexPath(key), mismatch(el, t)...)
		}
	}
	return nil
}

// PartOf is the part of an expression that a path leads to, as far as it is
// written out.
func PartOf(expr hcl.Expression, path cty.Path) hcl.Expression {
	for _, step := range path {
		next := part(expr, step)
		if next == nil {
			break
		}
		expr = next
	}
	return expr
}

// PartRange is the place of PartOf.
func PartRange(expr hcl.Expression, path cty.Path) hcl.Range { return PartOf(expr, path).Range() }

// convertLinearly is convert.Convert with a short cut for what nearly every
// list in a template is. The library compares the type of each element with
// that of all others, which is slow for thousands of them.
func convertLinearly(val cty.Value, want cty.Type) (cty.Value, error) {
	if want.IsListType() && val.Type().IsTupleType() && val.IsKnown() && !val.IsNull() && !val.IsMarked() && val.LengthInt() > 0 {
		uniform := true
		for _, t := range val.Type().TupleElementTypes() {
			uniform = uniform && t.Equals(want.ElementType())
		}
		if uniform {
			return cty.ListVal(val.AsValueSlice()), nil
		}
	}
	return convert.Convert(val, want)
}

// pathError says where inside a value a conversion failed.
func pathError(err error) string {
	var pe cty.PathError
	if !errors.As(err, &pe) || len(pe.Path) == 0 {
		return err.Error()
	}
	var where []string
	for _, step := range pe.Path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			where = append(where, fmt.Sprintf("attribute %q", s.Name))
		case cty.IndexStep:
			where = append(where, "element "+diag.Describe(s.Key))
		}
	}
	return strings.Join(where, ", ") + ": " + err.Error()
}

func part(expr hcl.Expression, step cty.PathStep) hcl.Expression {
	switch s := step.(type) {
	case cty.GetAttrStep:
		return pairOf(expr, s.Name)
	case cty.IndexStep:
		if !s.Key.IsKnown() || s.Key.IsNull() {
			return nil
		}
		if s.Key.Type() == cty.String {
			return pairOf(expr, s.Key.AsString())
		}
		if list, diags := hcl.ExprList(expr); !diags.HasErrors() && s.Key.Type() == cty.Number {
			if i, _ := s.Key.AsBigFloat().Int64(); i >= 0 && int(i) < len(list) {
				return list[i]
			}
		}
	}
	return nil
}

// pairOf is the value of a key of an object that is written out.
func pairOf(expr hcl.Expression, key string) hcl.Expression {
	pairs, diags := hcl.ExprMap(expr)
	if diags.HasErrors() {
		return nil
	}
	for _, kv := range pairs {
		k, d := kv.Key.Value(nil)
		if hcl.ExprAsKeyword(kv.Key) == key || !d.HasErrors() && k.Type() == cty.String && k.IsKnown() && !k.IsNull() && k.AsString() == key {
			return kv.Value
		}
	}
	return nil
}
