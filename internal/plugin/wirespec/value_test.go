package wirespec

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

func sample() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"text":   cty.StringVal("<a> & \"b\"\n"),
		"whole":  cty.NumberIntVal(-3),
		"part":   cty.NumberFloatVal(1.5),
		"huge":   cty.MustParseNumberVal("123456789012345678901234567890.5"),
		"yes":    cty.True,
		"null":   cty.NullVal(cty.String),
		"list":   cty.ListVal([]cty.Value{cty.StringVal("x"), cty.NullVal(cty.String)}),
		"empty":  cty.ListValEmpty(cty.Bool),
		"map":    cty.MapVal(map[string]cty.Value{"k": cty.ListVal([]cty.Value{cty.NumberIntVal(1)})}),
		"nomap":  cty.MapValEmpty(cty.String),
		"blocks": cty.ListVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("1")})}),
		"block":  cty.NullVal(cty.Object(map[string]cty.Type{"a": cty.String})),
	})
}

func TestConfigurationThereAndBack(t *testing.T) {
	data, err := EncodeConfig(sample())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte(`{"value":{`)) || !bytes.Contains(data, []byte(`"block":["object",{"a":"string"}]`)) || !bytes.Contains(data, []byte(`\u003ca\u003e`)) {
		t.Errorf("not the form that Packer sends: %s", data)
	}
	back, err := DecodeConfig(data)
	if err != nil {
		t.Fatal(err)
	}
	if !back.RawEquals(sample()) {
		t.Errorf("got %#v", back)
	}
}

func TestResultThereAndBack(t *testing.T) {
	for _, enc := range []Encoding{Protobuf, Gob} {
		data, err := enc.EncodeResult(sample())
		if err != nil {
			t.Fatalf("%s: %v", enc, err)
		}
		back, err := enc.DecodeResult(data)
		if err != nil {
			t.Fatalf("%s: %v", enc, err)
		}
		if !back.RawEquals(sample()) {
			t.Errorf("%s: got %#v", enc, back)
		}
	}
}

// TestResultAsRecorded compares with bytes that Packer has sent and accepted.
func TestResultAsRecorded(t *testing.T) {
	want, err := hex.DecodeString("92c41e5b226f626a656374222c7b226f7574707574223a22737472696e67227d5d81a66f7574707574a568656c6c6f")
	if err != nil {
		t.Fatal(err)
	}
	v := cty.ObjectVal(map[string]cty.Value{"output": cty.StringVal("hello")})
	got, err := Protobuf.EncodeResult(v)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v", got, err)
	}
	back, err := Protobuf.DecodeResult(want)
	if err != nil || !back.RawEquals(v) {
		t.Errorf("got %#v, %v", back, err)
	}
}

func TestUnknownsAreReplaced(t *testing.T) {
	object := cty.Object(map[string]cty.Type{"a": cty.String, "n": cty.Number})
	v := cty.ObjectVal(map[string]cty.Value{
		"text": cty.UnknownVal(cty.String), "number": cty.UnknownVal(cty.Number), "bool": cty.UnknownVal(cty.Bool),
		"list": cty.UnknownVal(cty.List(cty.String)), "map": cty.UnknownVal(cty.Map(cty.Bool)),
		"any": cty.DynamicVal, "part": cty.ListVal([]cty.Value{cty.StringVal("x"), cty.UnknownVal(cty.String)}),
		"block":  cty.UnknownVal(object),
		"blocks": cty.ListVal([]cty.Value{cty.UnknownVal(object), cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("x").Mark("secret"), "n": cty.UnknownVal(cty.Number)})}),
	})
	want := cty.ObjectVal(map[string]cty.Value{
		"text": cty.StringVal("<unknown>"), "number": cty.Zero, "bool": cty.False,
		"list": cty.ListValEmpty(cty.String), "map": cty.MapValEmpty(cty.Bool),
		"any": cty.StringVal("<unknown>"), "part": cty.ListVal([]cty.Value{cty.StringVal("x"), cty.StringVal("<unknown>")}),
		"block": cty.ObjectVal(map[string]cty.Value{"a": cty.NullVal(cty.String), "n": cty.NullVal(cty.Number)}),
		"blocks": cty.ListVal([]cty.Value{
			cty.ObjectVal(map[string]cty.Value{"a": cty.NullVal(cty.String), "n": cty.NullVal(cty.Number)}),
			cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("x"), "n": cty.Zero}),
		}),
	})
	if _, err := EncodeConfig(v); err == nil {
		t.Error("unknown values were sent")
	}
	got := WithoutUnknowns(v)
	if !got.RawEquals(want) {
		t.Errorf("got %#v\nwant %#v", got, want)
	}
	if _, err := EncodeConfig(got); err != nil {
		t.Error(err)
	}
}

func TestHostileValues(t *testing.T) {
	typed := func(ty string, rest ...byte) []byte {
		return append(append([]byte{0x92, 0xc4, byte(len(ty))}, ty...), rest...)
	}
	for _, c := range []struct {
		name string
		err  func([]byte) error
		data []byte
		want string
	}{
		{"cut off", configError, []byte(`{"value":`), "EOF"},
		{"deep", configError, []byte(`{"type":` + strings.Repeat(`["list",`, 5000)), "nested deeper"},
		{"no type", configError, []byte(`{"value":1}`), "type"},
		{"empty", pbResultError, nil, "ends in the middle"},
		{"array of 2^32-1", pbResultError, typed(`["list","string"]`, 0xdd, 0xff, 0xff, 0xff, 0xff), "ends in the middle"},
		{"map of 2^32-1", pbResultError, typed(`["map","string"]`, 0xdf, 0xff, 0xff, 0xff, 0xff), "ends in the middle"},
		{"text of 2^32-1", pbResultError, typed(`"string"`, 0xdb, 0xff, 0xff, 0xff, 0xff), "ends in the middle"},
		{"extension of 2^32-1", pbResultError, typed(`"string"`, 0xc9, 0xff, 0xff, 0xff, 0xff, 12), "ends in the middle"},
		{"unknown", pbResultError, typed(`"string"`, 0xd4, 0, 0), "not known"},
		{"deep", pbResultError, append(bytes.Repeat([]byte{0x91}, 5000), 0xc0), "nested deeper"},
		{"more", pbResultError, append(typed(`"bool"`, 0xc3), 0xc0), "1 bytes follow"},
		{"reserved", pbResultError, []byte{0xc1}, "begins nothing"},
		{"not a value", gobResultError, []byte{3, 2, 0, 1}, "not a value"},
	} {
		err := c.err(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func configError(b []byte) error    { _, err := DecodeConfig(b); return err }
func pbResultError(b []byte) error  { _, err := Protobuf.DecodeResult(b); return err }
func gobResultError(b []byte) error { _, err := Gob.DecodeResult(b); return err }

func FuzzConfiguration(f *testing.F) {
	data, err := EncodeConfig(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"value":[1,"a"],"type":["tuple",["number","string"]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := DecodeConfig(data)
		if err != nil {
			return
		}
		again, err := EncodeConfig(v)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeConfig(again)
		if err != nil || !back.RawEquals(v) {
			t.Errorf("got %#v, %v, want %#v", back, err, v)
		}
	})
}

func FuzzMsgpackResult(f *testing.F) { fuzzResult(f, Protobuf) }
func FuzzGobResult(f *testing.F)     { fuzzResult(f, Gob) }

func fuzzResult(f *testing.F, enc Encoding) {
	data, err := enc.EncodeResult(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := enc.DecodeResult(data)
		if err != nil {
			return
		}
		again, err := enc.EncodeResult(v)
		if err != nil {
			return // a type that is read but never sent
		}
		// Numbers of more than 64 bits may lose their last digits on the
		// way, which their text does not show.
		back, err := enc.DecodeResult(again)
		if err != nil || back.GoString() != v.GoString() {
			t.Errorf("got %#v, %v, want %#v", back, err, v)
		}
	})
}
