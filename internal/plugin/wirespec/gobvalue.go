package wirespec

import (
	"fmt"
	"math/big"

	"github.com/zclconf/go-cty/cty"
)

// Names of the Go types that values are made of in gob.
const (
	gobFloatName = "math/big.Float"
	gobMapName   = "map[string]interface {}"
	gobListName  = "[]interface {}"
)

func decodeGobValue(data []byte) (cty.Value, error) {
	whole, err := readGob(data, maxDepth)
	if err != nil {
		return cty.NilVal, err
	}
	payload, ok := whole.(gobOpaque)
	if !ok {
		return cty.NilVal, fmt.Errorf("it is not a value")
	}
	inner, err := readGob(payload, 8*maxDepth)
	if err != nil {
		return cty.NilVal, err
	}
	fields, _ := inner.(gobStruct)
	if version, _ := fields["Version"].(int64); version != 0 {
		return cty.NilVal, fmt.Errorf("it has the unknown version %d", version)
	}
	t, err := gobTypeOf(fields["Ty"], maxDepth)
	if err != nil {
		return cty.NilVal, err
	}
	return valueOfGob(fields["V"], t)
}

// valueOfGob makes a value of a type from its raw form.
func valueOfGob(raw any, t cty.Type) (cty.Value, error) {
	named, ok := raw.(gobNamed)
	if !ok {
		return cty.NullVal(t), nil
	}
	mismatch := fmt.Errorf("a value of type %s is sent as %q", t.FriendlyName(), named.name)
	switch v := named.value.(type) {
	case string:
		if t == cty.String {
			return cty.StringVal(v), nil
		}
	case bool:
		if t == cty.Bool {
			return cty.BoolVal(v), nil
		}
	case gobOpaque:
		if t == cty.Number && named.name == gobFloatName {
			return numberOfGob(v)
		}
	case []any:
		return sequenceOfGob(v, t, mismatch)
	case gobPairs:
		return mappingOfGob(v, t, mismatch)
	}
	return cty.NilVal, mismatch
}

func numberOfGob(data []byte) (cty.Value, error) {
	f := new(big.Float)
	if err := f.GobDecode(data); err != nil {
		return cty.NilVal, fmt.Errorf("decode a number: %w", err)
	}
	return cty.NumberVal(f), nil
}

func sequenceOfGob(raw []any, t cty.Type, mismatch error) (cty.Value, error) {
	var elem func(int) cty.Type
	switch {
	case t.IsListType():
		elem = func(int) cty.Type { return t.ElementType() }
	case t.IsTupleType() && t.Length() == len(raw):
		elem = t.TupleElementType
	default:
		return cty.NilVal, mismatch
	}
	values := make([]cty.Value, len(raw))
	for i, r := range raw {
		v, err := valueOfGob(r, elem(i))
		if err != nil {
			return cty.NilVal, fmt.Errorf("element %d: %w", i, err)
		}
		values[i] = v
	}
	switch {
	case t.IsTupleType():
		return cty.TupleVal(values), nil
	case len(values) == 0:
		return cty.ListValEmpty(t.ElementType()), nil
	case !cty.CanListVal(values):
		return cty.NilVal, mismatch
	}
	return cty.ListVal(values), nil
}

func mappingOfGob(raw gobPairs, t cty.Type, mismatch error) (cty.Value, error) {
	values := make(map[string]cty.Value, len(raw))
	for _, p := range raw {
		key, _ := p.key.(string)
		var et cty.Type
		switch {
		case t.IsMapType():
			et = t.ElementType()
		case t.IsObjectType() && t.HasAttribute(key):
			et = t.AttributeType(key)
		default:
			return cty.NilVal, mismatch
		}
		v, err := valueOfGob(p.value, et)
		if err != nil {
			return cty.NilVal, fmt.Errorf("%s: %w", key, err)
		}
		values[key] = v
	}
	if t.IsObjectType() {
		for name, at := range t.AttributeTypes() {
			if _, ok := values[name]; !ok {
				values[name] = cty.NullVal(at)
			}
		}
		return cty.ObjectVal(values), nil
	}
	switch {
	case len(values) == 0:
		return cty.MapValEmpty(t.ElementType()), nil
	case !cty.CanMapVal(values):
		return cty.NilVal, mismatch
	}
	return cty.MapVal(values), nil
}

// sendableValue says what of a type cannot be sent; nil when all can.
func sendableValue(t cty.Type) error {
	switch {
	case t.IsPrimitiveType():
		return nil
	case t.IsListType(), t.IsMapType():
		return sendableValue(t.ElementType())
	case t.IsObjectType():
		for _, name := range sortedKeys(t.AttributeTypes()) {
			if err := sendableValue(t.AttributeType(name)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}
	return fmt.Errorf("a value of type %s cannot be sent", t.FriendlyName())
}
