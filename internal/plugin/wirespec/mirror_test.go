package wirespec

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// The mirror types are what a reader with encoding/gob, such as Packer, decodes our
// streams into.
type (
	mirrorAttr struct {
		Name     string
		Type     mirrorType
		Required bool
	}
	mirrorBlock struct {
		TypeName string
		Nested   any
		Required bool
	}
	mirrorBlockList struct {
		TypeName           string
		Nested             any
		MinItems, MaxItems int
	}
	mirrorBlockAttrs struct {
		TypeName    string
		ElementType mirrorType
		Required    bool
	}
	mirrorBlockSet   struct{ TypeName string }
	mirrorObject     map[string]any
	mirrorPrimitive  struct{ Kind byte }
	mirrorList       struct{ ElementTypeT mirrorType }
	mirrorMap        struct{ ElementTypeT mirrorType }
	mirrorObjectType struct {
		AttrTypes    map[string]mirrorType
		AttrOptional map[string]struct{}
	}
	mirrorType  struct{ text string }
	mirrorValue struct {
		ty mirrorType
		v  any
	}
)

// GobEncode writes a type that the text is the name of a primitive one of.
func (m mirrorType) GobEncode() ([]byte, error) {
	return gobTypeBytes(map[string]cty.Type{"String": cty.String, "Number": cty.Number}[m.text]), nil
}

func (m *mirrorType) GobDecode(data []byte) error {
	var outer struct {
		Version int
		Impl    any
	}
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&outer); err != nil {
		return err
	}
	switch impl := outer.Impl.(type) {
	case mirrorPrimitive:
		m.text = map[byte]string{'S': "String", 'N': "Number", 'B': "Bool"}[impl.Kind]
	case mirrorList:
		m.text = "list(" + impl.ElementTypeT.text + ")"
	case mirrorMap:
		m.text = "map(" + impl.ElementTypeT.text + ")"
	case mirrorObjectType:
		m.text = fmt.Sprintf("object of %d", len(impl.AttrTypes))
	default:
		return fmt.Errorf("unknown type %T", outer.Impl)
	}
	return nil
}

func (m *mirrorValue) GobDecode(data []byte) error {
	var inner struct {
		Version int
		Ty      mirrorType
		V       any
	}
	err := gob.NewDecoder(bytes.NewReader(data)).Decode(&inner)
	m.ty, m.v = inner.Ty, inner.V
	return err
}

// registerMirrors makes the types known, in the one table of the process.
var registerMirrors = sync.OnceFunc(func() {
	gob.RegisterName("*hcldec.AttrSpec", new(mirrorAttr))
	gob.RegisterName("*hcldec.BlockSpec", new(mirrorBlock))
	gob.RegisterName("*hcldec.BlockListSpec", new(mirrorBlockList))
	gob.RegisterName("*hcldec.BlockAttrsSpec", new(mirrorBlockAttrs))
	gob.RegisterName("*hcldec.BlockSetSpec", new(mirrorBlockSet))
	gob.RegisterName("github.com/hashicorp/hcl/v2/hcldec.ObjectSpec", mirrorObject{})
	gob.RegisterName("github.com/zclconf/go-cty/cty.primitiveType", mirrorPrimitive{})
	gob.RegisterName("github.com/zclconf/go-cty/cty.typeList", mirrorList{})
	gob.RegisterName("github.com/zclconf/go-cty/cty.typeMap", mirrorMap{})
	gob.RegisterName("github.com/zclconf/go-cty/cty.typeObject", mirrorObjectType{})
	gob.RegisterName("math/big.Float", big.Float{})
	gob.RegisterName("map[string]interface {}", map[string]any{})
	gob.RegisterName("[]interface {}", []any{})
})

// mirrorLines writes a decoded schema as list does.
func mirrorLines(o mirrorObject) []string {
	var out []string
	for key, v := range o {
		switch v := v.(type) {
		case *mirrorAttr:
			required := ""
			if v.Required {
				required = "!"
			}
			out = append(out, v.Name+" = "+v.Type.text+required)
		case *mirrorBlock:
			out = append(out, mirrorBlockLine("block", v.TypeName, v.Required, v.Nested))
		case *mirrorBlockList:
			out = append(out, mirrorBlockLine("blocklist", v.TypeName, false, v.Nested))
		default:
			out = append(out, fmt.Sprintf("%s is a %T", key, v))
		}
	}
	slices.Sort(out)
	return out
}

func mirrorBlockLine(kind, name string, required bool, nested any) string {
	var inner []string
	for _, line := range mirrorLines(nested.(mirrorObject)) {
		inner = append(inner, strings.Replace(line, " = ", "=", 1))
	}
	return fmt.Sprintf("%s = %s(%s req=%t {%s})", name, kind, name, required, strings.Join(inner, " "))
}

// TestGobIsReadByTheLibrary: what is written by hand is what encoding/gob reads.
func TestGobIsReadByTheLibrary(t *testing.T) {
	registerMirrors()
	s, err := Gob.DecodeSchema(readFile(t, "configspec", "vsphere.gob"))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]component.Schema{"mixed": mixed(), "vsphere": s, "empty": {}} {
		data, err := Gob.EncodeSchema(s)
		if err != nil {
			t.Fatal(err)
		}
		var got mirrorObject
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sameList(t, name, mirrorLines(got), list(s))
	}
}

func TestGobValueIsReadByTheLibrary(t *testing.T) {
	registerMirrors()
	data, err := Gob.EncodeResult(sample())
	if err != nil {
		t.Fatal(err)
	}
	var got mirrorValue
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&got); err != nil {
		t.Fatal(err)
	}
	m, _ := got.v.(map[string]any)
	number, _ := m["part"].(big.Float)
	half, _ := number.Float64()
	if got.ty.text != "object of 12" || m["yes"] != true || m["null"] != nil || m["text"] != "<a> & \"b\"\n" || half != 1.5 {
		t.Errorf("got %+v", got)
	}
	if elems, _ := m["list"].([]any); len(elems) != 2 || elems[0] != "x" || elems[1] != nil {
		t.Errorf("the list is %v", m["list"])
	}
	if _, err := Gob.EncodeResult(cty.TupleVal([]cty.Value{cty.True})); err == nil {
		t.Error("a tuple was sent")
	}
}

// TestGobOfOtherPlugins: what the library writes is read here, where the types of a
// stream are defined in the middle of values, and what has no words here is refused.
func TestGobOfOtherPlugins(t *testing.T) {
	registerMirrors()
	for _, c := range []struct {
		spec any
		want string
		err  string
	}{
		{&mirrorAttr{"x", mirrorType{"Number"}, true}, "x = Number!", ""},
		{&mirrorBlockAttrs{"x", mirrorType{"String"}, false}, "x = map(String)", ""},
		{&mirrorBlock{"x", mirrorObject{"y": &mirrorAttr{"y", mirrorType{"String"}, false}}, true}, "x = block(x req=true {y=String})", ""},
		{&mirrorBlockList{"x", mirrorObject{"y": &mirrorAttr{"y", mirrorType{"String"}, false}}, 1, 0}, "x = blocklist(x req=true {y=String})", ""},
		{&mirrorBlockSet{"x"}, "", `"*hcldec.BlockSetSpec" is not supported`},
		{&mirrorBlock{"x", nil, false}, "", "contents are not an object"},
		{&mirrorAttr{"z", mirrorType{"String"}, false}, "", `is called "z" in templates`},
		{"text", "", "neither an attribute nor a block"},
	} {
		var data bytes.Buffer
		if err := gob.NewEncoder(&data).Encode(mirrorObject{"x": c.spec}); err != nil {
			t.Fatal(err)
		}
		s, err := Gob.DecodeSchema(data.Bytes())
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%+v: %v, want %q", c.spec, err, c.err)
		case c.err == "" && err != nil:
			t.Errorf("%+v: %v", c.spec, err)
		case c.err == "" && !slices.Equal(list(s), []string{c.want}):
			t.Errorf("got %q, want %q", list(s), c.want)
		}
	}
}
