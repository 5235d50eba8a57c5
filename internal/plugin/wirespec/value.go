package wirespec

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// UnknownText stands for a string that is not known yet.
const UnknownText = "<unknown>"

// WithoutUnknowns replaces what is not known yet by what Packer sends for it:
// UnknownText for a string, 0, false, and collections with nothing in them. An
// object becomes one of the same type whose attributes are null. Marks are
// dropped.
func WithoutUnknowns(v cty.Value) cty.Value {
	v, _ = v.UnmarkDeep()
	if v.IsWhollyKnown() {
		return v
	}
	// The callback never fails.
	out, _ := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if v.IsKnown() {
			return v, nil
		}
		return placeholder(v.Type()), nil
	})
	return out
}

func placeholder(t cty.Type) cty.Value {
	switch {
	case t == cty.String || t == cty.DynamicPseudoType:
		return cty.StringVal(UnknownText)
	case t == cty.Number:
		return cty.Zero
	case t == cty.Bool:
		return cty.False
	case t.IsListType():
		return cty.ListValEmpty(t.ElementType())
	case t.IsSetType():
		return cty.SetValEmpty(t.ElementType())
	case t.IsMapType():
		return cty.MapValEmpty(t.ElementType())
	case t.IsObjectType():
		attrs := make(map[string]cty.Value, len(t.AttributeTypes()))
		for name, at := range t.AttributeTypes() {
			attrs[name] = cty.NullVal(at)
		}
		return cty.ObjectVal(attrs)
	case t.IsTupleType():
		elems := make([]cty.Value, len(t.TupleElementTypes()))
		for i, et := range t.TupleElementTypes() {
			elems[i] = placeholder(et)
		}
		return cty.TupleVal(elems)
	}
	return cty.NullVal(t)
}

// EncodeConfig writes a configuration as an element of the list that Prepare and
// Configure are given. It has to be wholly known; see WithoutUnknowns.
func EncodeConfig(v cty.Value) ([]byte, error) {
	v, _ = v.UnmarkDeep()
	if !v.IsWhollyKnown() {
		return nil, fmt.Errorf("encode configuration: parts of it are not known yet")
	}
	out, err := ctyjson.Marshal(v, cty.DynamicPseudoType)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return out, nil
}

// DecodeConfig reads what EncodeConfig has written.
func DecodeConfig(data []byte) (cty.Value, error) {
	if len(data) > maxValue {
		return cty.NilVal, fmt.Errorf("decode configuration: it has %d bytes, more than %d", len(data), maxValue)
	}
	if err := checkJSON(data); err != nil {
		return cty.NilVal, fmt.Errorf("decode configuration: %w", err)
	}
	v, err := ctyjson.Unmarshal(data, cty.DynamicPseudoType)
	if err != nil {
		return cty.NilVal, fmt.Errorf("decode configuration: %w", err)
	}
	return v, nil
}

// EncodeResult writes what a data source has read. It has to be wholly known and
// of types that Sendable allows, or an object of such.
func (e Encoding) EncodeResult(v cty.Value) ([]byte, error) {
	v, _ = v.UnmarkDeep()
	if !v.IsWhollyKnown() {
		return nil, fmt.Errorf("encode %s result: parts of it are not known", e)
	}
	encode := encodeMsgpack
	if e == Gob {
		encode = encodeGobValue
	}
	out, err := encode(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s result: %w", e, err)
	}
	return out, nil
}

// DecodeResult reads what EncodeResult, or another plugin, has written.
func (e Encoding) DecodeResult(data []byte) (cty.Value, error) {
	if len(data) > maxValue {
		return cty.NilVal, fmt.Errorf("decode %s result: it has %d bytes, more than %d", e, len(data), maxValue)
	}
	decode := decodeMsgpack
	if e == Gob {
		decode = decodeGobValue
	}
	v, err := decode(data)
	if err != nil {
		return cty.NilVal, fmt.Errorf("decode %s result: %w", e, err)
	}
	if !v.IsWhollyKnown() {
		return cty.NilVal, fmt.Errorf("decode %s result: parts of it are not known", e)
	}
	return v, nil
}
