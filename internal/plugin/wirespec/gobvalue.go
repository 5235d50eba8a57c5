package wirespec

import (
	"bytes"
	"encoding/gob"
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

// sentValue is a cty.Value, which encodes itself as a stream of its own.
type sentValue struct{ v cty.Value }

// GobEncode implements gob.GobEncoder.
func (s sentValue) GobEncode() ([]byte, error) {
	raw, err := rawValue(s.v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = gob.NewEncoder(&out).Encode(struct {
		Version int
		Ty      sentType
		V       any
	}{0, sentType{s.v.Type()}, raw})
	return out.Bytes(), err
}

func registerGobValues() {
	gob.RegisterName(gobFloatName, big.Float{})
	gob.RegisterName(gobMapName, map[string]any{})
	gob.RegisterName(gobListName, []any{})
}

func encodeGobValue(v cty.Value) ([]byte, error) {
	registerGob()
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(sentValue{v}); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// rawValue is the form in which cty keeps a value within itself.
func rawValue(v cty.Value) (any, error) {
	t := v.Type()
	switch {
	case v.IsNull():
		return nil, nil
	case t == cty.String:
		return v.AsString(), nil
	case t == cty.Bool:
		return v.True(), nil
	case t == cty.Number:
		return v.AsBigFloat(), nil
	case t.IsListType():
		out := make([]any, 0, v.LengthInt())
		for _, ev := range v.AsValueSlice() {
			raw, err := rawValue(ev)
			if err != nil {
				return nil, err
			}
			out = append(out, raw)
		}
		return out, nil
	case t.IsMapType(), t.IsObjectType():
		out := make(map[string]any, v.LengthInt())
		for name, ev := range v.AsValueMap() {
			raw, err := rawValue(ev)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out[name] = raw
		}
		return out, nil
	}
	return nil, fmt.Errorf("a value of type %s cannot be sent", t.FriendlyName())
}
