package wirespec

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// The messages are Spec (1 object, 2 attribute, 3 block, 4 list of blocks),
// Object (1 entries of 1 key and 2 Spec), Attr (1 name, 2 type, 3 required),
// Block (1 name, 2 required, 3 nested Spec), BlockList (1 name, 2 nested Spec)
// and CtyType (1 primitive, 2 list, 3 map).

// primitives are the names of types in protobuf.
var primitives = map[string]cty.Type{"cty.String": cty.String, "cty.Number": cty.Number, "cty.Bool": cty.Bool}

// pbField is one field of a message: a number or bytes.
type pbField struct {
	number uint64
	value  uint64
	bytes  []byte
}

var errTruncated = errors.New("it ends in the middle")

// pbFields calls f with the fields of a message that have a number or bytes;
// those of fixed size are passed over.
func pbFields(b []byte, f func(pbField) error) error {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			return errTruncated
		}
		b = b[n:]
		field := pbField{number: key >> 3}
		size := 0
		switch key & 7 {
		case 0:
			field.value, size = binary.Uvarint(b)
			if size <= 0 {
				return errTruncated
			}
		case 1:
			size = 8
		case 2:
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)-n) {
				return errTruncated
			}
			b = b[n:]
			size = int(length)
			field.bytes = b[:size]
		case 5:
			size = 4
		default:
			return fmt.Errorf("field %d has the unknown wire type %d", field.number, key&7)
		}
		if size > len(b) {
			return errTruncated
		}
		b = b[size:]
		if wire := key & 7; wire == 1 || wire == 5 {
			continue
		}
		if err := f(field); err != nil {
			return err
		}
	}
	return nil
}

// pbOne is the last field of a message that is a choice of one.
func pbOne(b []byte) (pbField, error) {
	var last pbField
	err := pbFields(b, func(f pbField) error {
		last = f
		return nil
	})
	return last, err
}

func decodeProtobuf(data []byte) (component.Schema, error) {
	spec, err := pbOne(data)
	if err != nil {
		return component.Schema{}, err
	}
	if spec.number != 1 {
		return component.Schema{}, fmt.Errorf("it is not an object (case %d)", spec.number)
	}
	return pbObject(spec.bytes, maxDepth)
}

func pbObject(b []byte, depth int) (component.Schema, error) {
	var s component.Schema
	if depth == 0 {
		return s, fmt.Errorf("blocks are nested deeper than %d", maxDepth)
	}
	err := pbFields(b, func(f pbField) error {
		if f.number != 1 {
			return nil
		}
		var key string
		var spec []byte
		err := pbFields(f.bytes, func(f pbField) error {
			switch f.number {
			case 1:
				key = string(f.bytes)
			case 2:
				spec = f.bytes
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := pbEntry(&s, key, spec, depth); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return component.Schema{}, err
	}
	return sorted(s)
}

// pbEntry adds one attribute or block to s.
func pbEntry(s *component.Schema, key string, spec []byte, depth int) error {
	kind, err := pbOne(spec)
	if err != nil {
		return err
	}
	switch kind.number {
	case 2:
		a, err := pbAttribute(kind.bytes)
		if err != nil {
			return err
		}
		s.Attributes = append(s.Attributes, a)
		return sameName(key, a.Name)
	case 3, 4:
		b, err := pbBlock(kind.bytes, kind.number == 4, depth)
		if err != nil {
			return err
		}
		s.Blocks = append(s.Blocks, b)
		return sameName(key, b.Name)
	}
	return fmt.Errorf("it is neither an attribute nor a block (case %d)", kind.number)
}

func pbAttribute(b []byte) (component.Attribute, error) {
	var a component.Attribute
	var typeBytes []byte
	err := pbFields(b, func(f pbField) error {
		switch f.number {
		case 1:
			a.Name = string(f.bytes)
		case 2:
			typeBytes = f.bytes
		case 3:
			a.Required = f.value != 0
		}
		return nil
	})
	if err != nil {
		return a, err
	}
	a.Type, err = pbType(typeBytes, maxDepth)
	return a, err
}

func pbType(b []byte, depth int) (cty.Type, error) {
	if depth == 0 {
		return cty.NilType, fmt.Errorf("types are nested deeper than %d", maxDepth)
	}
	kind, err := pbOne(b)
	if err != nil {
		return cty.NilType, err
	}
	inner, err := pbOne(kind.bytes)
	if err != nil {
		return cty.NilType, err
	}
	switch kind.number {
	case 1:
		t, ok := primitives[string(inner.bytes)]
		if !ok {
			return cty.NilType, fmt.Errorf("%q is not a type", inner.bytes)
		}
		return t, nil
	case 2, 3:
		elem, err := pbType(inner.bytes, depth-1)
		if err != nil {
			return cty.NilType, err
		}
		if kind.number == 2 {
			return cty.List(elem), nil
		}
		return cty.Map(elem), nil
	}
	return cty.NilType, fmt.Errorf("it has no type (case %d)", kind.number)
}

func pbBlock(b []byte, repeated bool, depth int) (component.Block, error) {
	out := component.Block{Repeated: repeated}
	var nested []byte
	err := pbFields(b, func(f pbField) error {
		switch {
		case f.number == 1:
			out.Name = string(f.bytes)
		case f.number == 3 && !repeated, f.number == 2 && repeated:
			nested = f.bytes
		case f.number == 2:
			out.Required = f.value != 0
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	spec, err := pbOne(nested)
	if err != nil {
		return out, err
	}
	if spec.number != 1 {
		return out, fmt.Errorf("its contents are not an object (case %d)", spec.number)
	}
	out.Schema, err = pbObject(spec.bytes, depth-1)
	return out, err
}

func encodeProtobuf(s component.Schema) []byte {
	var object []byte
	entry := func(name string, kind int, body []byte) {
		e := appendBytes(nil, 1, []byte(name))
		e = appendBytes(e, 2, appendBytes(nil, kind, body))
		object = appendBytes(object, 1, e)
	}
	for _, a := range s.Attributes {
		body := appendBytes(nil, 1, []byte(a.Name))
		body = appendBytes(body, 2, encodeProtobufType(a.Type))
		if a.Required {
			body = appendTrue(body, 3)
		}
		entry(a.Name, 2, body)
	}
	for _, b := range s.Blocks {
		body := appendBytes(nil, 1, []byte(b.Name))
		nested := encodeProtobuf(b.Schema)
		if b.Repeated {
			entry(b.Name, 4, appendBytes(body, 2, nested))
			continue
		}
		if b.Required {
			body = appendTrue(body, 2)
		}
		entry(b.Name, 3, appendBytes(body, 3, nested))
	}
	return appendBytes(nil, 1, object)
}

func encodeProtobufType(t cty.Type) []byte {
	switch {
	case t.IsListType():
		return appendBytes(nil, 2, appendBytes(nil, 1, encodeProtobufType(t.ElementType())))
	case t.IsMapType():
		return appendBytes(nil, 3, appendBytes(nil, 1, encodeProtobufType(t.ElementType())))
	}
	for name, primitive := range primitives {
		if t == primitive {
			return appendBytes(nil, 1, appendBytes(nil, 1, []byte(name)))
		}
	}
	panic("wirespec: a type that Sendable should have refused: " + t.FriendlyName())
}

func appendBytes(b []byte, number int, value []byte) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

func appendTrue(b []byte, number int) []byte {
	return append(binary.AppendUvarint(b, uint64(number)<<3), 1)
}
