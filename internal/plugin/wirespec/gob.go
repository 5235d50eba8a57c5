package wirespec

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// Names under which the parts of a schema are known in gob.
const (
	gobAttr       = "*hcldec.AttrSpec"
	gobBlock      = "*hcldec.BlockSpec"
	gobBlockList  = "*hcldec.BlockListSpec"
	gobBlockAttrs = "*hcldec.BlockAttrsSpec"
	gobObject     = "github.com/hashicorp/hcl/v2/hcldec.ObjectSpec"

	ctyPrefix = "github.com/zclconf/go-cty/cty."
)

func decodeGob(data []byte) (component.Schema, error) {
	v, err := readGob(data, 8*maxDepth)
	if err != nil {
		return component.Schema{}, err
	}
	return gobSchema(v, maxDepth)
}

// gobSchema reads the entries of an object.
func gobSchema(v any, depth int) (component.Schema, error) {
	var s component.Schema
	if depth == 0 {
		return s, fmt.Errorf("blocks are nested deeper than %d", maxDepth)
	}
	entries, ok := v.(gobPairs)
	if !ok {
		return s, fmt.Errorf("it is not an object")
	}
	for _, e := range entries {
		key, _ := e.key.(string)
		if err := gobEntry(&s, key, e.value, depth); err != nil {
			return s, fmt.Errorf("%s: %w", key, err)
		}
	}
	return sorted(s)
}

func gobEntry(s *component.Schema, key string, v any, depth int) error {
	named, _ := v.(gobNamed)
	fields, ok := named.value.(gobStruct)
	if !ok {
		return fmt.Errorf("it is neither an attribute nor a block")
	}
	text := func(name string) string {
		t, _ := fields[name].(string)
		return t
	}
	required, _ := fields["Required"].(bool)
	switch named.name {
	case gobAttr:
		t, err := gobTypeOf(fields["Type"], maxDepth)
		if err != nil {
			return err
		}
		s.Attributes = append(s.Attributes, component.Attribute{Name: text("Name"), Type: t, Required: required})
		return sameName(key, text("Name"))
	case gobBlockAttrs:
		// A block with arguments of any name is a map, which is what
		// templates can write as well.
		t, err := gobTypeOf(fields["ElementType"], maxDepth)
		if err != nil {
			return err
		}
		s.Attributes = append(s.Attributes, component.Attribute{Name: text("TypeName"), Type: cty.Map(t), Required: required})
		return sameName(key, text("TypeName"))
	case gobBlock, gobBlockList:
		nested, _ := fields["Nested"].(gobNamed)
		if nested.name != gobObject {
			return fmt.Errorf("its contents are not an object (%q)", nested.name)
		}
		inner, err := gobSchema(nested.value, depth-1)
		if err != nil {
			return err
		}
		least, _ := fields["MinItems"].(int64)
		s.Blocks = append(s.Blocks, component.Block{
			Name: text("TypeName"), Schema: inner, Repeated: named.name == gobBlockList, Required: required || least > 0,
		})
		return sameName(key, text("TypeName"))
	}
	return fmt.Errorf("%q is not supported", named.name)
}

// gobTypeOf reads a type, which is a stream of its own.
func gobTypeOf(v any, depth int) (cty.Type, error) {
	data, ok := v.(gobOpaque)
	if !ok {
		return cty.NilType, fmt.Errorf("it has no type")
	}
	if depth == 0 {
		return cty.NilType, fmt.Errorf("types are nested deeper than %d", maxDepth)
	}
	whole, err := readGob(data, maxDepth)
	if err != nil {
		return cty.NilType, err
	}
	outer, _ := whole.(gobStruct)
	impl, _ := outer["Impl"].(gobNamed)
	fields, _ := impl.value.(gobStruct)
	if version, _ := outer["Version"].(int64); version != 0 || fields == nil {
		return cty.NilType, fmt.Errorf("its type is of an unknown form")
	}
	elem := func(f func(cty.Type) cty.Type) (cty.Type, error) {
		t, err := gobTypeOf(fields["ElementTypeT"], depth-1)
		if err != nil {
			return cty.NilType, err
		}
		return f(t), nil
	}
	switch impl.name {
	case ctyPrefix + "primitiveType":
		return gobPrimitive(fields["Kind"])
	case ctyPrefix + "typeList":
		return elem(cty.List)
	case ctyPrefix + "typeMap":
		return elem(cty.Map)
	case ctyPrefix + "typeSet":
		return elem(cty.Set)
	case ctyPrefix + "typeObject":
		return gobObjectType(fields, depth)
	case ctyPrefix + "typeTuple":
		return gobTupleType(fields, depth)
	case ctyPrefix + "pseudoTypeDynamic":
		return cty.DynamicPseudoType, nil
	}
	return cty.NilType, fmt.Errorf("its type %q is not supported", impl.name)
}

func gobPrimitive(kind any) (cty.Type, error) {
	k, _ := kind.(uint64)
	switch k {
	case 'S':
		return cty.String, nil
	case 'N':
		return cty.Number, nil
	case 'B':
		return cty.Bool, nil
	}
	return cty.NilType, fmt.Errorf("its type has the unknown kind %d", k)
}

func gobObjectType(fields gobStruct, depth int) (cty.Type, error) {
	pairs, _ := fields["AttrTypes"].(gobPairs)
	attrs := make(map[string]cty.Type, len(pairs))
	for _, p := range pairs {
		name, _ := p.key.(string)
		t, err := gobTypeOf(p.value, depth-1)
		if err != nil {
			return cty.NilType, err
		}
		attrs[name] = t
	}
	return cty.Object(attrs), nil
}

func gobTupleType(fields gobStruct, depth int) (cty.Type, error) {
	list, _ := fields["ElemTypes"].([]any)
	types := make([]cty.Type, len(list))
	for i, v := range list {
		t, err := gobTypeOf(v, depth-1)
		if err != nil {
			return cty.NilType, err
		}
		types[i] = t
	}
	return cty.Tuple(types), nil
}

// The types that follow are written by encoding/gob; the names of their fields
// and the names under which they are registered are what a reader knows them by.

type (
	sentAttr struct {
		Name     string
		Type     sentType
		Required bool
	}
	sentBlock struct {
		TypeName string
		Nested   any
		Required bool
	}
	sentBlockList struct {
		TypeName           string
		Nested             any
		MinItems, MaxItems int
	}
	sentObject map[string]any

	sentPrimitive  struct{ Kind byte }
	sentList       struct{ ElementTypeT sentType }
	sentMap        struct{ ElementTypeT sentType }
	sentObjectType struct {
		AttrTypes    map[string]sentType
		AttrOptional map[string]struct{}
	}
)

// sentType is a cty.Type, which encodes itself as a stream of its own.
type sentType struct{ t cty.Type }

// GobEncode implements gob.GobEncoder.
func (s sentType) GobEncode() ([]byte, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = gob.NewEncoder(&out).Encode(struct {
		Version int
		Impl    any
	}{0, impl})
	return out.Bytes(), err
}

func (s sentType) impl() (any, error) {
	switch t := s.t; {
	case t == cty.String:
		return sentPrimitive{'S'}, nil
	case t == cty.Number:
		return sentPrimitive{'N'}, nil
	case t == cty.Bool:
		return sentPrimitive{'B'}, nil
	case t.IsListType():
		return sentList{sentType{t.ElementType()}}, nil
	case t.IsMapType():
		return sentMap{sentType{t.ElementType()}}, nil
	case t.IsObjectType():
		attrs := make(map[string]sentType, len(t.AttributeTypes()))
		for name, at := range t.AttributeTypes() {
			attrs[name] = sentType{at}
		}
		return sentObjectType{AttrTypes: attrs}, nil
	}
	return nil, fmt.Errorf("the type %s cannot be sent", s.t.FriendlyName())
}

// registerGob makes the names known to encoding/gob, which has one table of
// them for the whole process.
var registerGob = sync.OnceFunc(func() {
	gob.RegisterName(gobAttr, new(sentAttr))
	gob.RegisterName(gobBlock, new(sentBlock))
	gob.RegisterName(gobBlockList, new(sentBlockList))
	gob.RegisterName(gobObject, sentObject{})
	gob.RegisterName(ctyPrefix+"primitiveType", sentPrimitive{})
	gob.RegisterName(ctyPrefix+"typeList", sentList{})
	gob.RegisterName(ctyPrefix+"typeMap", sentMap{})
	gob.RegisterName(ctyPrefix+"typeObject", sentObjectType{})
	registerGobValues()
})

func encodeGob(s component.Schema) ([]byte, error) {
	registerGob()
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(sentSchema(s)); err != nil {
		return nil, fmt.Errorf("encode gob schema: %w", err)
	}
	return out.Bytes(), nil
}

func sentSchema(s component.Schema) sentObject {
	out := make(sentObject, len(s.Attributes)+len(s.Blocks))
	for _, a := range s.Attributes {
		out[a.Name] = &sentAttr{a.Name, sentType{a.Type}, a.Required}
	}
	for _, b := range s.Blocks {
		nested := sentSchema(b.Schema)
		if b.Repeated {
			out[b.Name] = &sentBlockList{TypeName: b.Name, Nested: nested}
		} else {
			out[b.Name] = &sentBlock{b.Name, nested, b.Required}
		}
	}
	return out
}
