package wirespec

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// list writes a schema as the lists in testdata/attributes do.
func list(s component.Schema) []string {
	var out []string
	for _, a := range s.Attributes {
		required := ""
		if a.Required {
			required = "!"
		}
		out = append(out, a.Name+" = "+typeText(a.Type)+required)
	}
	for _, b := range s.Blocks {
		kind := "block"
		if b.Repeated {
			kind = "blocklist"
		}
		var inner []string
		for _, line := range list(b.Schema) {
			inner = append(inner, strings.Replace(line, " = ", "=", 1))
		}
		out = append(out, fmt.Sprintf("%s = %s(%s req=%t {%s})", b.Name, kind, b.Name, b.Required, strings.Join(inner, " ")))
	}
	slices.Sort(out)
	return out
}

func typeText(t cty.Type) string {
	switch {
	case t.IsListType():
		return "list(" + typeText(t.ElementType()) + ")"
	case t.IsMapType():
		return "map(" + typeText(t.ElementType()) + ")"
	}
	return map[cty.Type]string{cty.String: "String", cty.Number: "Number", cty.Bool: "Bool"}[t]
}

func readFile(t testing.TB, parts ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// recorded are the schemas of real builders, with the lists of their attributes
// that were made from their sources.
var recorded = map[string]string{
	"docker": "docker", "qemu": "qemu", "amazon": "amazon-ebs", "vsphere": "vsphere-iso", "azure": "azure-arm",
}

func TestRecordedSchemas(t *testing.T) {
	for blob, name := range recorded {
		want := strings.Split(strings.TrimSpace(string(readFile(t, "attributes", name+".txt"))), "\n")
		for ext, enc := range map[string]Encoding{"pb": Protobuf, "gob": Gob} {
			s, err := enc.DecodeSchema(readFile(t, "configspec", blob+"."+ext))
			if err != nil {
				t.Errorf("%s.%s: %v", blob, ext, err)
				continue
			}
			sameList(t, blob+"."+ext, list(s), want)
			// What was recorded has the same form when it is sent again,
			// in either encoding.
			for _, again := range []Encoding{Protobuf, Gob} {
				data, err := again.EncodeSchema(s)
				if err != nil {
					t.Fatalf("%s.%s: %v", blob, ext, err)
				}
				back, err := again.DecodeSchema(data)
				if err != nil {
					t.Fatalf("%s.%s again: %v", blob, ext, err)
				}
				sameList(t, blob+"."+ext+" again", list(back), want)
			}
		}
	}
}

func sameList(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d attributes, want %d", what, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s:\n got %s\nwant %s", what, got[i], want[i])
			return
		}
	}
}

// mixed is a schema with everything that can be sent.
func mixed() component.Schema {
	inner := component.Schema{
		Attributes: []component.Attribute{{Name: "a", Type: cty.String, Required: true}},
		Blocks:     []component.Block{{Name: "deep", Repeated: true, Schema: component.Schema{Attributes: []component.Attribute{{Name: "n", Type: cty.Number}}}}},
	}
	return component.Schema{
		Attributes: []component.Attribute{
			{Name: "bool", Type: cty.Bool},
			{Name: "list", Type: cty.List(cty.List(cty.Number))},
			{Name: "map", Type: cty.Map(cty.List(cty.String))},
			{Name: "text", Type: cty.String, Required: true},
		},
		Blocks: []component.Block{
			{Name: "many", Repeated: true, Schema: inner},
			{Name: "one", Required: true, Schema: inner},
			{Name: "zero", Schema: component.Schema{}},
		},
	}
}

func TestSchemaThereAndBack(t *testing.T) {
	want := list(mixed())
	for _, enc := range []Encoding{Protobuf, Gob} {
		data, err := enc.EncodeSchema(mixed())
		if err != nil {
			t.Fatal(err)
		}
		s, err := enc.DecodeSchema(data)
		if err != nil {
			t.Fatal(err)
		}
		sameList(t, enc.String(), list(s), want)
	}
}

func TestSchemasThatCannotBeSent(t *testing.T) {
	for _, ty := range []cty.Type{cty.DynamicPseudoType, cty.Set(cty.String), cty.List(cty.EmptyObject), cty.Tuple([]cty.Type{cty.Bool})} {
		s := component.Schema{Blocks: []component.Block{{Name: "b", Schema: component.Schema{Attributes: []component.Attribute{{Name: "odd", Type: ty}}}}}}
		for _, enc := range []Encoding{Protobuf, Gob} {
			_, err := enc.EncodeSchema(s)
			if err == nil || !strings.Contains(err.Error(), "b.odd has the type "+ty.FriendlyName()) {
				t.Errorf("%s %s: %v", enc, ty.FriendlyName(), err)
			}
		}
	}
}

func TestHostileSchemas(t *testing.T) {
	deepBlock := appendBytes(nil, 1, nil)
	for range 200 {
		b := appendBytes(appendBytes(nil, 1, []byte("b")), 3, deepBlock)
		e := appendBytes(appendBytes(nil, 1, []byte("b")), 2, appendBytes(nil, 3, b))
		deepBlock = appendBytes(nil, 1, appendBytes(nil, 1, e))
	}
	deepType := appendBytes(nil, 1, appendBytes(nil, 1, []byte("cty.String")))
	for range 200 {
		deepType = appendBytes(nil, 2, appendBytes(nil, 1, deepType))
	}
	attr := func(key, name string, typ []byte) []byte {
		a := appendBytes(appendBytes(nil, 1, []byte(name)), 2, typ)
		e := appendBytes(appendBytes(nil, 1, []byte(key)), 2, appendBytes(nil, 2, a))
		return appendBytes(nil, 1, e)
	}
	text := appendBytes(nil, 1, appendBytes(nil, 1, []byte("cty.String")))
	deepGobType := cty.String
	for range 200 {
		deepGobType = cty.List(deepGobType)
	}
	gobDeep, err := Gob.EncodeSchema(component.Schema{Attributes: []component.Attribute{{Name: "deep", Type: deepGobType}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		enc  Encoding
		data []byte
		want string
	}{
		{"empty", Protobuf, nil, "not an object"},
		{"length beyond the end", Protobuf, []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1}, "ends in the middle"},
		{"length beyond 64 bits", Protobuf, []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, "ends in the middle"},
		{"group", Protobuf, []byte{0x0b}, "wire type 3"},
		{"deep blocks", Protobuf, deepBlock, "nested deeper than 64"},
		{"deep type", Protobuf, appendBytes(nil, 1, attr("x", "x", deepType)), "nested deeper than 64"},
		{"two names", Protobuf, appendBytes(nil, 1, attr("x", "y", text)), `is called "y" in templates`},
		{"no name", Protobuf, appendBytes(nil, 1, attr("", "", text)), "has no name"},
		{"twice", Protobuf, appendBytes(nil, 1, append(attr("x", "x", text), attr("x", "x", text)...)), `"x" is there twice`},
		{"unknown type", Protobuf, appendBytes(nil, 1, attr("x", "x", appendBytes(nil, 1, appendBytes(nil, 1, []byte("cty.Set"))))), `"cty.Set" is not a type`},
		{"no type", Protobuf, appendBytes(nil, 1, attr("x", "x", nil)), "has no type"},
		{"too large", Protobuf, make([]byte, maxSchema+1), "more than 4194304"},
		{"empty", Gob, nil, "ends in the middle"},
		{"no object", Gob, []byte{3, 2, 0, 1}, "is not an object"},
		{"deep type", Gob, gobDeep, "nested"},
		{"a map of 2^40 entries", Gob, append(mapDefinition, 0x0a, 0xff, 0x80, 0, 0xfa, 1, 0, 0, 0, 0, 0), "ends in the middle"},
		{"too large", Gob, make([]byte, maxSchema+1), "more than 4194304"},
	} {
		_, err := c.enc.DecodeSchema(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v, want %q", c.enc, c.name, err, c.want)
		}
	}
}

// mapDefinition defines type 64 of a gob stream as a map of strings to
// interfaces.
var mapDefinition = []byte{0x0d, 0x7f, 4, 1, 2, 0xff, 0x80, 0, 1, 0x0c, 1, 0x10, 0, 0}

func FuzzProtobufSchema(f *testing.F) { fuzzSchema(f, Protobuf, "*.pb") }
func FuzzGobSchema(f *testing.F)      { fuzzSchema(f, Gob, "*.gob") }

// fuzzSchema checks that whatever can be read can be sent again, unless a type
// in it cannot be, and then reads as the same.
func fuzzSchema(f *testing.F, enc Encoding, pattern string) {
	files, err := filepath.Glob(filepath.Join("testdata", "configspec", pattern))
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	small, err := enc.EncodeSchema(mixed())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := enc.DecodeSchema(data)
		if err != nil || Sendable(s) != nil {
			return
		}
		again, err := enc.EncodeSchema(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := enc.DecodeSchema(again)
		if err != nil {
			t.Fatal(err)
		}
		want, got := list(s), list(back)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
