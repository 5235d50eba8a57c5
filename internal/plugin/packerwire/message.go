package packerwire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// What one message may be. The largest that are seen are schemas (52 KB) and
// configurations.
const (
	maxMessage = 16 << 20
	maxValues  = 1 << 20
	maxDepth   = 100
)

// A message that breaks the limits, or is none. The stream cannot be used any more.
var (
	errTooLarge = fmt.Errorf("a message is larger than %d MiB", maxMessage>>20)
	errTooMany  = fmt.Errorf("a message has more than %d values", maxValues)
	errTooDeep  = fmt.Errorf("a message is nested more than %d levels deep", maxDepth)
)

// timeExtension is the type of the msgpack extension for times.
const timeExtension = -1

// readValue takes the bytes of one msgpack value off r, without decoding it. They
// are complete and within the limits, so that decoding them costs no more than a
// small multiple of their length. At the end of r the error is io.EOF; in the
// middle of a value io.ErrUnexpectedEOF.
func readValue(r *bufio.Reader) ([]byte, error) {
	s := valueReader{r: r}
	open := []uint64{1} // how many values are still to come, level by level
	for len(open) > 0 {
		top := len(open) - 1
		if open[top] == 0 {
			open = open[:top]
			continue
		}
		open[top]--
		children, err := s.one()
		if err != nil {
			if err == io.EOF && len(s.got) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if children > 0 {
			if len(open) > maxDepth {
				return nil, errTooDeep
			}
			open = append(open, children)
		}
	}
	return s.got, nil
}

type valueReader struct {
	r      *bufio.Reader
	got    []byte
	values int
}

// one takes a value without what it contains and says how many values that is.
func (s *valueReader) one() (children uint64, err error) {
	if s.values++; s.values > maxValues {
		return 0, errTooMany
	}
	first, err := s.take(1)
	if err != nil {
		return 0, err
	}
	c := first[0]
	switch {
	case c <= msgpcode.PosFixedNumHigh || c >= msgpcode.NegFixedNumLow, c == msgpcode.Nil, c == msgpcode.False, c == msgpcode.True:
		return 0, nil
	case msgpcode.IsFixedMap(c):
		return 2 * uint64(c&msgpcode.FixedMapMask), nil
	case msgpcode.IsFixedArray(c):
		return uint64(c & msgpcode.FixedArrayMask), nil
	case msgpcode.IsFixedString(c):
		return 0, s.skip(uint64(c & msgpcode.FixedStrMask))
	}
	if n, ok := fixedSizes[c]; ok {
		return 0, s.skip(n)
	}
	l, ok := sizedCodes[c]
	if !ok {
		return 0, fmt.Errorf("the byte %#x is not the start of a msgpack value", c)
	}
	n, err := s.length(l.width)
	switch {
	case err != nil:
		return 0, err
	case l.container > 0:
		return n * l.container, nil
	}
	return 0, s.skip(n + l.extra)
}

// fixedSizes is how many bytes follow a code.
var fixedSizes = map[byte]uint64{
	msgpcode.Uint8: 1, msgpcode.Uint16: 2, msgpcode.Uint32: 4, msgpcode.Uint64: 8,
	msgpcode.Int8: 1, msgpcode.Int16: 2, msgpcode.Int32: 4, msgpcode.Int64: 8,
	msgpcode.Float: 4, msgpcode.Double: 8,
	msgpcode.FixExt1: 2, msgpcode.FixExt2: 3, msgpcode.FixExt4: 5, msgpcode.FixExt8: 9, msgpcode.FixExt16: 17,
}

// sizedCodes are followed by a length of some width: that of bytes, of which an
// extension has one more, or of members of a container.
var sizedCodes = map[byte]struct {
	width     int
	extra     uint64
	container uint64
}{
	msgpcode.Str8: {width: 1}, msgpcode.Str16: {width: 2}, msgpcode.Str32: {width: 4},
	msgpcode.Bin8: {width: 1}, msgpcode.Bin16: {width: 2}, msgpcode.Bin32: {width: 4},
	msgpcode.Ext8: {width: 1, extra: 1}, msgpcode.Ext16: {width: 2, extra: 1}, msgpcode.Ext32: {width: 4, extra: 1},
	msgpcode.Array16: {width: 2, container: 1}, msgpcode.Array32: {width: 4, container: 1},
	msgpcode.Map16: {width: 2, container: 2}, msgpcode.Map32: {width: 4, container: 2},
}

func (s *valueReader) length(width int) (uint64, error) {
	b, err := s.take(width)
	if err != nil {
		return 0, err
	}
	switch width {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), nil
	}
	return uint64(binary.BigEndian.Uint32(b)), nil
}

// take reads n bytes, n being small.
func (s *valueReader) take(n int) ([]byte, error) {
	err := s.skip(uint64(n))
	if err != nil {
		return nil, err
	}
	return s.got[len(s.got)-n:], nil
}

// skip reads n bytes. Memory grows with what has arrived, not with what was
// announced.
func (s *valueReader) skip(n uint64) error {
	if uint64(len(s.got))+n > maxMessage {
		return errTooLarge
	}
	for n > 0 {
		piece := int(min(n, 64<<10))
		at := len(s.got)
		s.got = append(s.got, make([]byte, piece)...)
		read, err := io.ReadFull(s.r, s.got[at:])
		s.got = s.got[:at+read]
		if err != nil {
			return err
		}
		n -= uint64(piece)
	}
	return nil
}

// encode appends a value to a message.
func encode(to *bytes.Buffer, v any) error {
	e := msgpack.NewEncoder(to)
	e.UseCompactInts(true)
	return encodeAny(e, v)
}

// encodeAny writes values of any shape as the peers do: a positive signed number
// stays a signed one, since they look at what it is decoded as.
func encodeAny(e *msgpack.Encoder, v any) error {
	switch v := v.(type) {
	case nil:
		return e.EncodeNil()
	case int:
		return encodeInt(e, int64(v))
	case int64:
		return encodeInt(e, v)
	case uint32:
		return e.EncodeUint(uint64(v))
	case uint64:
		return e.EncodeUint(v)
	case float64:
		return e.EncodeFloat64(v)
	case bool:
		return e.EncodeBool(v)
	case string:
		return e.EncodeString(v)
	case []byte:
		return e.EncodeBytes(v)
	case time.Time:
		if v.IsZero() {
			return e.EncodeNil()
		}
		return e.EncodeTime(v)
	case []any:
		return encodeList(e, v)
	case map[string]any:
		return encodeMap(e, v)
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Map || rv.Kind() == reflect.Slice {
		if rv.IsNil() {
			return e.EncodeNil()
		}
	}
	return e.Encode(v)
}

func encodeList(e *msgpack.Encoder, list []any) error {
	if list == nil {
		return e.EncodeNil()
	}
	if err := e.EncodeArrayLen(len(list)); err != nil {
		return err
	}
	for _, v := range list {
		if err := encodeAny(e, v); err != nil {
			return err
		}
	}
	return nil
}

func encodeMap(e *msgpack.Encoder, m map[string]any) error {
	if m == nil {
		return e.EncodeNil()
	}
	if err := e.EncodeMapLen(len(m)); err != nil {
		return err
	}
	for k, v := range m {
		if err := e.EncodeString(k); err != nil {
			return err
		}
		if err := encodeAny(e, v); err != nil {
			return err
		}
	}
	return nil
}

func encodeInt(e *msgpack.Encoder, n int64) error {
	switch {
	case n >= -32 && n <= 127:
		return e.EncodeInt(n)
	case n < 0 && n >= -1<<7:
		return e.EncodeInt8(int8(n))
	case n >= -1<<15 && n < 1<<15:
		return e.EncodeInt16(int16(n))
	case n >= -1<<31 && n < 1<<31:
		return e.EncodeInt32(int32(n))
	}
	return e.EncodeInt64(n)
}

// decode reads a whole value into what into points to. Members that are missing or
// nil stay zero, unknown ones are left out, and numbers may have any width.
func decode(data []byte, into any) error {
	if into == nil {
		return nil
	}
	d := msgpack.NewDecoder(bytes.NewReader(data))
	if p, ok := into.(*any); ok {
		v, err := decodeAny(d)
		*p = v
		return err
	}
	return d.Decode(into)
}

// decodeAny reads a value of any shape: nil, bool, int64, uint64, float64, string,
// []byte, time.Time, []any or map[string]any.
func decodeAny(d *msgpack.Decoder) (any, error) {
	c, err := d.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case c == msgpcode.Nil:
		return nil, d.DecodeNil()
	case c == msgpcode.True || c == msgpcode.False:
		return d.DecodeBool()
	case c >= msgpcode.Uint8 && c <= msgpcode.Uint64:
		return d.DecodeUint64()
	case msgpcode.IsFixedNum(c) || c >= msgpcode.Int8 && c <= msgpcode.Int64:
		return d.DecodeInt64()
	case c == msgpcode.Float || c == msgpcode.Double:
		return d.DecodeFloat64()
	case msgpcode.IsString(c):
		return d.DecodeString()
	case msgpcode.IsBin(c):
		return d.DecodeBytes()
	case msgpcode.IsExt(c):
		return decodeExtension(d)
	case msgpcode.IsFixedArray(c) || c == msgpcode.Array16 || c == msgpcode.Array32:
		return decodeList(d)
	case msgpcode.IsFixedMap(c) || c == msgpcode.Map16 || c == msgpcode.Map32:
		return decodeMap(d)
	}
	return nil, fmt.Errorf("the byte %#x is not the start of a msgpack value", c)
}

// decodeExtension reads a time; what other extensions mean is not known, so that
// their bytes are all that can be given.
func decodeExtension(d *msgpack.Decoder) (any, error) {
	kind, n, err := d.DecodeExtHeader()
	if err != nil {
		return nil, err
	}
	data := make([]byte, n)
	if err := d.ReadFull(data); err != nil {
		return nil, err
	}
	if kind != timeExtension {
		return data, nil
	}
	return timeOf(data)
}

func timeOf(data []byte) (time.Time, error) {
	switch len(data) {
	case 4:
		return time.Unix(int64(binary.BigEndian.Uint32(data)), 0), nil
	case 8:
		both := binary.BigEndian.Uint64(data)
		return time.Unix(int64(both&(1<<34-1)), int64(both>>34)), nil
	case 12:
		return time.Unix(int64(binary.BigEndian.Uint64(data[4:])), int64(binary.BigEndian.Uint32(data))), nil
	}
	return time.Time{}, fmt.Errorf("a time of %d bytes", len(data))
}

func decodeList(d *msgpack.Decoder) (any, error) {
	n, err := d.DecodeArrayLen()
	if err != nil {
		return nil, err
	}
	out := make([]any, 0, min(n, 1024))
	for range n {
		v, err := decodeAny(d)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func decodeMap(d *msgpack.Decoder) (any, error) {
	n, err := d.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	out := make(map[string]any, min(n, 1024))
	for range n {
		k, err := decodeAny(d)
		if err != nil {
			return nil, err
		}
		v, err := decodeAny(d)
		if err != nil {
			return nil, err
		}
		switch k := k.(type) {
		case string:
			out[k] = v
		case []byte:
			out[string(k)] = v
		default:
			out[fmt.Sprint(k)] = v
		}
	}
	return out, nil
}

// Values is a list of any shape on the wire: the elements of Configs, of which
// byte slices are configurations in JSON.
type Values []any

// EncodeMsgpack writes the list.
func (v Values) EncodeMsgpack(e *msgpack.Encoder) error { return encodeList(e, v) }

// DecodeMsgpack reads it.
func (v *Values) DecodeMsgpack(d *msgpack.Decoder) error {
	got, err := decodeAny(d)
	if err != nil || got == nil {
		return err
	}
	list, ok := got.([]any)
	if !ok {
		return fmt.Errorf("a list was expected, not %T", got)
	}
	*v = list
	return nil
}

// Value is anything on the wire.
type Value struct{ Any any }

// EncodeMsgpack writes the value.
func (v Value) EncodeMsgpack(e *msgpack.Encoder) error { return encodeAny(e, v.Any) }

// DecodeMsgpack reads it.
func (v *Value) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	v.Any, err = decodeAny(d)
	return err
}

// asMap returns a value as a map of names; nothing counts as an empty one.
func asMap(v any) (map[string]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	}
	return nil, fmt.Errorf("a map was expected, not %T", v)
}

// textError is how an error is nested in a reply.
type textError struct{ Message string }

func nested(err error) *textError {
	if err == nil {
		return nil
	}
	return &textError{err.Error()}
}

func (e *textError) error() error {
	if e == nil {
		return nil
	}
	return &RemoteError{e.Message}
}
