package wirespec

import (
	"fmt"

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
