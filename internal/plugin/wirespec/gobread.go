package wirespec

import (
	"fmt"
	"math"
	"math/bits"
)

// encoding/gob could read these streams with types that mirror the sender's, but
// the names of some are taken (gobwrite.go), it allocates maps of whatever size the
// stream claims and recurses as deep as the stream likes. This reader makes plain values of a stream, in time and memory that are
// proportional to its size.

// gobStruct is a struct: the fields that were sent, by name. A field that has
// its zero value is not sent.
type gobStruct map[string]any

// gobNamed is a value of an interface type; nil stands for a nil one.
type gobNamed struct {
	name  string
	value any
}

// gobOpaque is what a type that encodes itself has made.
type gobOpaque []byte

// gobPairs is a map.
type gobPairs []gobPair

type gobPair struct{ key, value any }

// gobKind is what a type of a stream is made of.
type gobKind uint8

const (
	gobBool gobKind = iota + 1
	gobInt
	gobUint
	gobFloat
	gobBytes
	gobString
	gobComplex
	gobInterface
	gobList
	gobStructKind
	gobMap
	gobSelfEncoded
)

// gobType is one type of a stream.
type gobType struct {
	kind      gobKind
	elem, key int64
	fields    []gobField
}

type gobField struct {
	name string
	id   int64
}

// Ids of the types that every stream begins with.
const (
	idBool, idInt, idUint, idFloat, idBytes, idString, idComplex, idInterface int64 = 1, 2, 3, 4, 5, 6, 7, 8

	idWireType, idArrayType, idCommonType, idSliceType, idStructType, idFieldType, idFieldTypes, idMapType int64 = 16, 17, 18, 19, 20, 21, 22, 23
)

// gobBasics are the types that need no definition, those of definitions included.
func gobBasics() map[int64]gobType {
	selfEncoded := gobType{kind: gobStructKind, fields: []gobField{{"CommonType", idCommonType}}}
	const idGobEncoder = 24
	return map[int64]gobType{
		idBool: {kind: gobBool}, idInt: {kind: gobInt}, idUint: {kind: gobUint}, idFloat: {kind: gobFloat},
		idBytes: {kind: gobBytes}, idString: {kind: gobString}, idComplex: {kind: gobComplex}, idInterface: {kind: gobInterface},
		idWireType: {kind: gobStructKind, fields: []gobField{{"ArrayT", idArrayType}, {"SliceT", idSliceType}, {"StructT", idStructType},
			{"MapT", idMapType}, {"GobEncoderT", idGobEncoder}, {"BinaryMarshalerT", idGobEncoder}, {"TextMarshalerT", idGobEncoder}}},
		idArrayType:  {kind: gobStructKind, fields: []gobField{{"CommonType", idCommonType}, {"Elem", idInt}, {"Len", idInt}}},
		idCommonType: {kind: gobStructKind, fields: []gobField{{"Name", idString}, {"Id", idInt}}},
		idSliceType:  {kind: gobStructKind, fields: []gobField{{"CommonType", idCommonType}, {"Elem", idInt}}},
		idStructType: {kind: gobStructKind, fields: []gobField{{"CommonType", idCommonType}, {"Field", idFieldTypes}}},
		idFieldType:  {kind: gobStructKind, fields: []gobField{{"Name", idString}, {"Id", idInt}}},
		idFieldTypes: {kind: gobList, elem: idFieldType},
		idMapType:    {kind: gobStructKind, fields: []gobField{{"CommonType", idCommonType}, {"Key", idInt}, {"Elem", idInt}}},
		idGobEncoder: selfEncoded,
	}
}

// gobReader reads one stream.
type gobReader struct {
	buf   []byte
	types map[int64]gobType
	// depth is how much deeper values may be nested.
	depth int
}

// gobError unwinds the reader.
type gobError struct{ error }

func (r *gobReader) fail(format string, args ...any) {
	panic(gobError{fmt.Errorf(format, args...)})
}

// readGob returns the first value of a stream.
func readGob(data []byte, depth int) (v any, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case gobError:
			v, err = nil, e.error
		default:
			panic(e)
		}
	}()
	r := &gobReader{buf: data, types: gobBasics(), depth: depth}
	for {
		size := r.uint()
		message := r.buf
		if size > uint64(len(message)) {
			return nil, errTruncated
		}
		id := r.int()
		if id >= 0 {
			// A value may go on in further messages: one ends behind each
			// type that is defined within the value.
			return r.top(id), nil
		}
		r.define(-id)
		r.buf = message[size:]
	}
}

func (r *gobReader) byte() byte {
	if len(r.buf) == 0 {
		panic(gobError{errTruncated})
	}
	b := r.buf[0]
	r.buf = r.buf[1:]
	return b
}

func (r *gobReader) uint() uint64 {
	first := r.byte()
	if first < 0x80 {
		return uint64(first)
	}
	n := -int(int8(first))
	if n > 8 {
		r.fail("a number has %d bytes", n)
	}
	var v uint64
	for range n {
		v = v<<8 | uint64(r.byte())
	}
	return v
}

func (r *gobReader) int() int64 {
	u := r.uint()
	if u&1 != 0 {
		return ^int64(u >> 1)
	}
	return int64(u >> 1)
}

// take returns as many bytes as the next number says.
func (r *gobReader) take() []byte {
	n := r.uint()
	if n > uint64(len(r.buf)) {
		panic(gobError{errTruncated})
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

// count reads the length of something whose every part has a byte at least.
func (r *gobReader) count() int {
	n := r.uint()
	if n > uint64(len(r.buf)) {
		panic(gobError{errTruncated})
	}
	return int(n)
}

// define reads the definition of a type.
func (r *gobReader) define(id int64) {
	wire, _ := r.value(idWireType).(gobStruct)
	var t gobType
	for kind, body := range wire {
		body, _ := body.(gobStruct)
		number := func(name string) int64 {
			n, _ := body[name].(int64)
			return n
		}
		switch kind {
		case "ArrayT", "SliceT":
			t = gobType{kind: gobList, elem: number("Elem")}
		case "MapT":
			t = gobType{kind: gobMap, key: number("Key"), elem: number("Elem")}
		case "StructT":
			t = gobType{kind: gobStructKind}
			fields, _ := body["Field"].([]any)
			for _, f := range fields {
				f, _ := f.(gobStruct)
				name, _ := f["Name"].(string)
				id, _ := f["Id"].(int64)
				t.fields = append(t.fields, gobField{name, id})
			}
		default:
			t = gobType{kind: gobSelfEncoded}
		}
	}
	if t.kind == 0 {
		r.fail("the definition of type %d says nothing", id)
	}
	if _, twice := r.types[id]; twice {
		r.fail("type %d is defined twice", id)
	}
	r.types[id] = t
}

// top reads a value that stands on its own: in front of one that is not a
// struct there is a zero.
func (r *gobReader) top(id int64) any {
	if r.types[id].kind != gobStructKind {
		if r.uint() != 0 {
			r.fail("a value of type %d does not begin with zero", id)
		}
	}
	return r.value(id)
}

func (r *gobReader) value(id int64) any {
	t, ok := r.types[id]
	if !ok {
		r.fail("type %d is not defined", id)
	}
	if r.depth == 0 {
		r.fail("values are nested too deep")
	}
	r.depth--
	defer func() { r.depth++ }()
	switch t.kind {
	case gobBool:
		return r.uint() != 0
	case gobInt:
		return r.int()
	case gobUint:
		return r.uint()
	case gobFloat:
		return math.Float64frombits(bits.ReverseBytes64(r.uint()))
	case gobBytes:
		return r.take()
	case gobString:
		return string(r.take())
	case gobComplex:
		r.uint()
		r.uint()
		return nil // nothing that is read here has one
	case gobSelfEncoded:
		return gobOpaque(r.take())
	case gobInterface:
		return r.named()
	case gobList:
		n := r.count()
		out := make([]any, 0, n)
		for range n {
			out = append(out, r.value(t.elem))
		}
		return out
	case gobMap:
		n := r.count()
		out := make(gobPairs, 0, n)
		for range n {
			key := r.value(t.key)
			out = append(out, gobPair{key, r.value(t.elem)})
		}
		return out
	}
	return r.structure(t)
}

func (r *gobReader) structure(t gobType) gobStruct {
	out := gobStruct{}
	for field := -1; ; {
		delta := r.uint()
		if delta == 0 {
			return out
		}
		if delta > uint64(len(t.fields)-1-field) {
			r.fail("a struct of %d fields has one more", len(t.fields))
		}
		field += int(delta)
		out[t.fields[field].name] = r.value(t.fields[field].id)
	}
}

// named reads the value of an interface. Types that it needs may be defined
// right in front of it.
func (r *gobReader) named() any {
	name := string(r.take())
	if name == "" {
		return nil
	}
	id := r.int()
	for id < 0 {
		r.define(-id)
		r.uint() // the size of what follows, or of the next message
		id = r.int()
	}
	r.uint() // the size of the value
	return gobNamed{name, r.top(id)}
}
