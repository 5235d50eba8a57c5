package wirespec

import (
	"bytes"
	"math/bits"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// encoding/gob finds the names of interface values in one table for the whole
// process, in which the library for HCL has taken those of schemas already, with
// types that cannot be sent. So the few streams that are needed are written here.
// All types are defined at the beginning of a stream.

// Ids of the types that the streams define.
const (
	idSchema int64 = 65 + iota
	idAttr
	idSelf
	idBlock
	idBlockList
	idTypeFrame
	idPrimitive
	idElement
	idObjectType
	idTypeMap
	idValueFrame
	idAnyMap
	idAnyList
)

// gobWriter writes one stream, or a part of one.
type gobWriter struct{ bytes.Buffer }

func (w *gobWriter) uint(v uint64) {
	if v < 0x80 {
		w.WriteByte(byte(v))
		return
	}
	n := (bits.Len64(v) + 7) / 8
	w.WriteByte(byte(-n))
	for i := n - 1; i >= 0; i-- {
		w.WriteByte(byte(v >> (8 * i)))
	}
}

func (w *gobWriter) int(v int64) {
	if v < 0 {
		w.uint(uint64(^v)<<1 | 1)
		return
	}
	w.uint(uint64(v) << 1)
}

func (w *gobWriter) text(s string) {
	w.uint(uint64(len(s)))
	w.WriteString(s)
}

func (w *gobWriter) opaque(b []byte) {
	w.uint(uint64(len(b)))
	w.Write(b)
}

// message writes what f writes, with its size in front.
func (w *gobWriter) message(f func(*gobWriter)) {
	var inner gobWriter
	f(&inner)
	w.opaque(inner.Bytes())
}

// named writes the value of an interface: the name of its type, and what f writes,
// which for all but structs begins with a zero.
func (w *gobWriter) named(name string, id int64, f func(*gobWriter)) {
	w.text(name)
	w.int(id)
	w.message(f)
}

// define defines a type. kind is the number of the field of a definition that says
// what it is made of, and f writes that.
func (w *gobWriter) define(id int64, kind uint64, f func(*gobWriter)) {
	w.message(func(w *gobWriter) {
		w.int(-id)
		w.uint(kind)
		w.uint(1) // what all definitions have in common:
		w.uint(2) // not the name, which nobody reads, but the id
		w.int(id)
		w.uint(0)
		f(w)
		w.uint(0)
		w.uint(0)
	})
}

// The kinds of definitions.
const (
	defineSlice, defineStruct, defineMap, defineSelf uint64 = 2, 3, 4, 5
)

func (w *gobWriter) defineStruct(id int64, fields ...gobField) {
	w.define(id, defineStruct, func(w *gobWriter) {
		w.uint(1)
		w.uint(uint64(len(fields)))
		for _, f := range fields {
			w.uint(1)
			w.text(f.name)
			w.uint(1)
			w.int(f.id)
			w.uint(0)
		}
	})
}

func (w *gobWriter) defineMap(id, key, elem int64) {
	w.define(id, defineMap, func(w *gobWriter) {
		w.uint(1)
		w.int(key)
		w.uint(1)
		w.int(elem)
	})
}

func (w *gobWriter) defineSelf(id int64) { w.define(id, defineSelf, func(*gobWriter) {}) }

// value writes the value of the stream.
func (w *gobWriter) value(id int64, f func(*gobWriter)) {
	w.message(func(w *gobWriter) {
		w.int(id)
		f(w)
	})
}

// encodeGob writes a schema that Sendable has found nothing wrong with.
func encodeGob(s component.Schema) []byte {
	var w gobWriter
	w.defineMap(idSchema, idString, idInterface)
	w.defineSelf(idSelf)
	w.defineStruct(idAttr, gobField{"Name", idString}, gobField{"Type", idSelf}, gobField{"Required", idBool})
	w.defineStruct(idBlock, gobField{"TypeName", idString}, gobField{"Nested", idInterface}, gobField{"Required", idBool})
	w.defineStruct(idBlockList, gobField{"TypeName", idString}, gobField{"Nested", idInterface}, gobField{"MinItems", idInt}, gobField{"MaxItems", idInt})
	w.value(idSchema, func(w *gobWriter) { w.schema(s) })
	return w.Bytes()
}

func (w *gobWriter) schema(s component.Schema) {
	w.uint(0)
	w.uint(uint64(len(s.Attributes) + len(s.Blocks)))
	for _, a := range s.Attributes {
		w.text(a.Name)
		w.named(gobAttr, idAttr, func(w *gobWriter) {
			w.uint(1)
			w.text(a.Name)
			w.uint(1)
			w.opaque(gobTypeBytes(a.Type))
			w.required(a.Required)
			w.uint(0)
		})
	}
	for _, b := range s.Blocks {
		w.text(b.Name)
		name, id := gobBlock, idBlock
		if b.Repeated {
			name, id = gobBlockList, idBlockList
		}
		w.named(name, id, func(w *gobWriter) {
			w.uint(1)
			w.text(b.Name)
			w.uint(1)
			w.named(gobObject, idSchema, func(w *gobWriter) { w.schema(b.Schema) })
			w.required(b.Required && !b.Repeated)
			w.uint(0)
		})
	}
}

// required writes the field behind the last one, which is left out when it is false.
func (w *gobWriter) required(yes bool) {
	if yes {
		w.uint(1)
		w.uint(1)
	}
}

// gobTypeBytes is a type as a stream of its own.
func gobTypeBytes(t cty.Type) []byte {
	var w gobWriter
	w.defineSelf(idSelf)
	w.defineStruct(idTypeFrame, gobField{"Version", idInt}, gobField{"Impl", idInterface})
	w.defineStruct(idPrimitive, gobField{"Kind", idUint})
	w.defineStruct(idElement, gobField{"ElementTypeT", idSelf})
	w.defineMap(idTypeMap, idString, idSelf)
	w.defineStruct(idObjectType, gobField{"AttrTypes", idTypeMap})
	w.value(idTypeFrame, func(w *gobWriter) {
		w.uint(2) // the version is 0
		w.impl(t)
		w.uint(0)
	})
	return w.Bytes()
}

func (w *gobWriter) impl(t cty.Type) {
	field := func(name string, id int64, f func(*gobWriter)) {
		w.named(ctyPrefix+name, id, func(w *gobWriter) {
			w.uint(1)
			f(w)
			w.uint(0)
		})
	}
	switch {
	case t.IsListType():
		field("typeList", idElement, func(w *gobWriter) { w.opaque(gobTypeBytes(t.ElementType())) })
	case t.IsMapType():
		field("typeMap", idElement, func(w *gobWriter) { w.opaque(gobTypeBytes(t.ElementType())) })
	case t.IsObjectType():
		field("typeObject", idObjectType, func(w *gobWriter) {
			attrs := t.AttributeTypes()
			w.uint(uint64(len(attrs)))
			for _, name := range sortedKeys(attrs) {
				w.text(name)
				w.opaque(gobTypeBytes(attrs[name]))
			}
		})
	default:
		kind := uint64('S')
		switch t {
		case cty.Number:
			kind = 'N'
		case cty.Bool:
			kind = 'B'
		}
		field("primitiveType", idPrimitive, func(w *gobWriter) { w.uint(kind) })
	}
}

// encodeGobValue writes a value of types that can be sent.
func encodeGobValue(v cty.Value) ([]byte, error) {
	if err := sendableValue(v.Type()); err != nil {
		return nil, err
	}
	var inner gobWriter
	inner.defineSelf(idSelf)
	inner.defineStruct(idValueFrame, gobField{"Version", idInt}, gobField{"Ty", idSelf}, gobField{"V", idInterface})
	inner.defineMap(idAnyMap, idString, idInterface)
	inner.define(idAnyList, defineSlice, func(w *gobWriter) {
		w.uint(1)
		w.int(idInterface)
	})
	var failed error
	inner.value(idValueFrame, func(w *gobWriter) {
		w.uint(2) // the version is 0
		w.opaque(gobTypeBytes(v.Type()))
		if !v.IsNull() {
			w.uint(1)
			failed = w.raw(v)
		}
		w.uint(0)
	})
	if failed != nil {
		return nil, failed
	}
	var w gobWriter
	w.defineSelf(idSelf)
	w.value(idSelf, func(w *gobWriter) {
		w.uint(0)
		w.opaque(inner.Bytes())
	})
	return w.Bytes(), nil
}

// raw writes a value as cty keeps it within itself, as that of an interface.
func (w *gobWriter) raw(v cty.Value) (err error) {
	t := v.Type()
	switch {
	case v.IsNull():
		w.uint(0)
	case t == cty.String:
		w.single("string", idString, func(w *gobWriter) { w.text(v.AsString()) })
	case t == cty.Bool:
		w.single("bool", idBool, func(w *gobWriter) {
			if v.True() {
				w.uint(1)
				return
			}
			w.uint(0)
		})
	case t == cty.Number:
		data, numErr := v.AsBigFloat().GobEncode()
		w.single(gobFloatName, idSelf, func(w *gobWriter) { w.opaque(data) })
		return numErr
	case t.IsListType():
		w.single(gobListName, idAnyList, func(w *gobWriter) {
			elems := v.AsValueSlice()
			w.uint(uint64(len(elems)))
			for _, ev := range elems {
				err = firstError(err, w.raw(ev))
			}
		})
	default:
		w.single(gobMapName, idAnyMap, func(w *gobWriter) {
			elems := v.AsValueMap()
			w.uint(uint64(len(elems)))
			for _, name := range sortedKeys(elems) {
				w.text(name)
				err = firstError(err, w.raw(elems[name]))
			}
		})
	}
	return err
}

// single is named for what is no struct.
func (w *gobWriter) single(name string, id int64, f func(*gobWriter)) {
	w.named(name, id, func(w *gobWriter) {
		w.uint(0)
		f(w)
	})
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
