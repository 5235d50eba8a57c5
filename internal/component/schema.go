package component

import (
	"github.com/zclconf/go-cty/cty"
)

// Schema describes a component's configuration once, for decoding,
// validation, documentation and completion.
type Schema struct {
	// Description is one or a few sentences in Markdown.
	Description string
	Attributes  []Attribute
	Blocks      []Block
	// Since is the version that first had the component; empty for the
	// first release.
	Since string
	// Manual is what its page in the reference has besides; nil for blocks.
	Manual *Manual
}

// FirstRelease is the version that an empty Since stands for.
const FirstRelease = "0.1.0"

// Manual is what a reader has to know of a component and cannot see from its
// arguments.
type Manual struct {
	// Example is a small configuration that is valid as it stands: the
	// source, provisioner, post-processor or data block. Files that it
	// names need not exist to plan it, except a playbook site.yml and a
	// manifest site.pp with their roles/web and modules.
	Example string
	// Facts are what the machine of a builder tells of itself: build.NAME
	// in provisioners and post-processors.
	Facts []Term
	// Data is what an artifact says beside the facts: build.NAME in the
	// post-processors that come next.
	Data []Term
	// Results are the values of a data source.
	Results []Term
	// Artifact says what comes out, as sentences in Markdown; empty when
	// nothing does.
	Artifact string
}

// Term is a name with its meaning.
type Term struct{ Name, Description string }

// Attribute is one argument.
type Attribute struct {
	Name string
	// Type is what the value is converted to, weakly as Packer does: numbers
	// and bools from strings, a list from a single element.
	Type cty.Type
	// Description is one or a few sentences in Markdown. When there is a
	// default, the last sentence says which: "Default 5m.", "Default: the
	// user of the image.", or a value has "(default)" behind it.
	Description string
	// Required attributes must be set and not null.
	Required bool
	// Default is the value when it is not set; the zero cty.Value means null.
	Default cty.Value
	// Format narrows strings further.
	Format Format
	// OneOf are the only values allowed for a string.
	OneOf []string
	// Late attributes reach the component with their "{{...}}" actions
	// untouched; all others have been rendered.
	Late bool
	// Sensitive values are scrubbed from all output.
	Sensitive bool
	// Deprecated says what to use instead; setting it is a warning.
	Deprecated string
	// Since is the version that first had it; empty for the first release.
	Since string
}

// Format is the form of a string attribute.
type Format uint8

// The formats.
const (
	Text Format = iota
	// Duration is a Go duration with a unit, such as "1m30s".
	Duration
	// Path is a path on the local machine; a leading ~ is the home folder.
	Path
)

// Block is a nested block.
type Block struct {
	Name   string
	Schema Schema
	// Repeated blocks decode to a list, others to an object that is null
	// when the block is absent.
	Repeated bool
	Required bool
}

// ImpliedType is the object type that a decoded configuration has.
func (s Schema) ImpliedType() cty.Type {
	attrs := make(map[string]cty.Type, len(s.Attributes)+len(s.Blocks))
	for _, a := range s.Attributes {
		attrs[a.Name] = a.Type
	}
	for _, b := range s.Blocks {
		t := b.Schema.ImpliedType()
		if b.Repeated {
			t = cty.List(t)
		}
		attrs[b.Name] = t
	}
	return cty.Object(attrs)
}

// Attribute returns the attribute of that name.
func (s Schema) Attribute(name string) (Attribute, bool) {
	for _, a := range s.Attributes {
		if a.Name == name {
			return a, true
		}
	}
	return Attribute{}, false
}

// Object builds a configuration of the schema's type from the values given;
// the rest gets its default or null. It is how tests and other code without a
// template configure a component. It panics on a name the schema does not have.
func (s Schema) Object(values map[string]cty.Value) cty.Value {
	out := make(map[string]cty.Value, len(s.Attributes)+len(s.Blocks))
	for _, a := range s.Attributes {
		out[a.Name] = a.DefaultValue()
	}
	for _, b := range s.Blocks {
		if b.Repeated {
			out[b.Name] = cty.ListValEmpty(b.Schema.ImpliedType())
		} else {
			out[b.Name] = cty.NullVal(b.Schema.ImpliedType())
		}
	}
	for name, v := range values {
		if _, ok := out[name]; !ok {
			panic("component: schema has no attribute " + name)
		}
		out[name] = v
	}
	return cty.ObjectVal(out)
}

// DefaultValue returns Default, or null of the attribute's type.
func (a Attribute) DefaultValue() cty.Value {
	if a.Default == cty.NilVal {
		return cty.NullVal(a.Type)
	}
	return a.Default
}

// Shorthands for the attribute types that occur everywhere.
var (
	stringList = cty.List(cty.String)
	stringMap  = cty.Map(cty.String)
)

// String describes an optional string attribute.
func String(name, description string) Attribute {
	return Attribute{Name: name, Type: cty.String, Description: description}
}

// Bool describes an optional bool attribute.
func Bool(name, description string) Attribute {
	return Attribute{Name: name, Type: cty.Bool, Description: description}
}

// Number describes an optional number attribute.
func Number(name, description string) Attribute {
	return Attribute{Name: name, Type: cty.Number, Description: description}
}

// Strings describes an optional list of strings.
func Strings(name, description string) Attribute {
	return Attribute{Name: name, Type: stringList, Description: description}
}

// StringMap describes an optional map of strings.
func StringMap(name, description string) Attribute {
	return Attribute{Name: name, Type: stringMap, Description: description}
}

// DurationAttr describes an optional duration; def is its default, such as
// "5m", or empty for none.
func DurationAttr(name, def, description string) Attribute {
	a := Attribute{Name: name, Type: cty.String, Format: Duration, Description: description}
	if def != "" {
		a.Default = cty.StringVal(def)
	}
	return a
}
