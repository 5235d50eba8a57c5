// Package wirespec translates what Packer and its plugins say about
// configurations: schemas, configurations and the results of data sources.
//
// Schemas and results have two encodings, of which one is used for a whole
// process; configurations have one. Everything that is read comes from another
// program and is taken for hostile: sizes and depths are bounded, and what cannot
// be expressed here is an error that names it.
package wirespec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// Encoding is how a process encodes schemas and results.
type Encoding uint8

// The encodings.
const (
	// Protobuf is what a process started with --protobuf uses.
	Protobuf Encoding = iota + 1
	// Gob is the older one, which every plugin knows.
	Gob
)

// String returns "protobuf" or "gob".
func (e Encoding) String() string {
	if e == Gob {
		return "gob"
	}
	return "protobuf"
}

const (
	// maxSchema is the largest schema that is read, in bytes; those of large
	// plugins have 50 KB.
	maxSchema = 4 << 20
	// maxValue is the largest configuration or result that is read.
	maxValue = 64 << 20
	// maxDepth is how deep blocks, types and values may be nested.
	maxDepth = 64
)

// DecodeSchema reads a ConfigSpec or OutputSpec. Attributes and blocks are
// sorted by name. What such a schema cannot say, such as defaults and
// descriptions, is empty.
func (e Encoding) DecodeSchema(data []byte) (component.Schema, error) {
	if len(data) > maxSchema {
		return component.Schema{}, fmt.Errorf("decode %s schema: it has %d bytes, more than %d", e, len(data), maxSchema)
	}
	decode := decodeProtobuf
	if e == Gob {
		decode = decodeGob
	}
	s, err := decode(data)
	if err != nil {
		return component.Schema{}, fmt.Errorf("decode %s schema: %w", e, err)
	}
	return s, nil
}

// EncodeSchema writes a ConfigSpec or OutputSpec. It fails for a schema that
// Packer's encoding has no words for; see Sendable.
func (e Encoding) EncodeSchema(s component.Schema) ([]byte, error) {
	if err := Sendable(s); err != nil {
		return nil, fmt.Errorf("encode %s schema: %w", e, err)
	}
	if e == Gob {
		return encodeGob(s), nil
	}
	return encodeProtobuf(s), nil
}

// SchemaOf is the schema whose implied type is result, which has to be an object.
// It is how the result of a data source is described.
func SchemaOf(result cty.Type) (component.Schema, error) {
	if !result.IsObjectType() {
		return component.Schema{}, fmt.Errorf("%s is not an object", result.FriendlyName())
	}
	var s component.Schema
	for _, name := range sortedKeys(result.AttributeTypes()) {
		s.Attributes = append(s.Attributes, component.Attribute{Name: name, Type: result.AttributeType(name)})
	}
	return s, nil
}

// Sendable says what of a schema cannot be told to Packer: nil when all can.
// Attributes are strings, numbers, bools, and lists and maps of what an attribute
// can be. That an attribute or block is required can be said, so that it is
// checked before the component is asked.
func Sendable(s component.Schema) error {
	return sendable(s, "")
}

func sendable(s component.Schema, in string) error {
	for _, a := range s.Attributes {
		if !sendableType(a.Type) {
			return fmt.Errorf("the attribute %s has the type %s, which Packer's plugin protocol cannot carry", in+a.Name, a.Type.FriendlyName())
		}
	}
	for _, b := range s.Blocks {
		if err := sendable(b.Schema, in+b.Name+"."); err != nil {
			return err
		}
	}
	return nil
}

func sendableType(t cty.Type) bool {
	for t.IsListType() || t.IsMapType() {
		t = t.ElementType()
	}
	return t.IsPrimitiveType()
}

// sorted puts a decoded schema into its order and refuses names that are there
// twice.
func sorted(s component.Schema) (component.Schema, error) {
	slices.SortFunc(s.Attributes, func(a, b component.Attribute) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Blocks, func(a, b component.Block) int { return strings.Compare(a.Name, b.Name) })
	seen := make(map[string]bool, len(s.Attributes)+len(s.Blocks))
	names := make([]string, 0, len(s.Attributes)+len(s.Blocks))
	for _, a := range s.Attributes {
		names = append(names, a.Name)
	}
	for _, b := range s.Blocks {
		names = append(names, b.Name)
	}
	for _, name := range names {
		if seen[name] {
			return component.Schema{}, fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
	}
	return s, nil
}

// sameName checks that the key of an entry is the name that a template uses for
// it, since a schema has one name for both.
func sameName(key, name string) error {
	switch {
	case key == "":
		return fmt.Errorf("an entry has no name")
	case name != key:
		return fmt.Errorf("the entry %q is called %q in templates, which is not supported", key, name)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
