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
	if !want.IsListType() && !want.IsSetType() || val.IsNull() || !val.IsKnown() {
		return conversion{}, err
	}
	elem, got := want.ElementType(), val.Type()
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
// bools from and to strings. The error says where inside the value it failed.
func Convert(val cty.Value, want cty.Type) (cty.Value, error) {
	c, err := convertLinearly(val, want)
	if err != nil {
		return cty.UnknownVal(want), errors.New(pathError(err))
	}
	return c, nil
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
