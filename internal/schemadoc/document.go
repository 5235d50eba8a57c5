// Package schemadoc describes all that can stand in a template: the components
// with their arguments, the blocks of the language and the functions. It prints
// the description for editors (JSON), for terminals and for the reference.
package schemadoc

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/lang/funcs"
	"ingot/internal/template"
)

// FormatVersion is the version of the JSON form. Fields are only ever added;
// when one has to change its meaning the number before the dot grows.
const FormatVersion = "1.0"

// Document is the description of everything.
type Document struct {
	FormatVersion string      `json:"format_version"`
	Components    []Component `json:"components"`
	Blocks        []Block     `json:"blocks"`
	// Values are what expressions can refer to, beside the facts of single
	// builders.
	Values    []Term     `json:"values"`
	Functions []Function `json:"functions"`
}

// Kind is a kind of component.
type Kind string

// The kinds, in the order in which they are listed.
const (
	Builder       Kind = "builder"
	Provisioner   Kind = "provisioner"
	PostProcessor Kind = "post-processor"
	DataSource    Kind = "data-source"
	Communicator  Kind = "communicator"
)

// Kinds are all kinds, in order.
func Kinds() []Kind {
	return []Kind{Builder, Provisioner, PostProcessor, DataSource, Communicator}
}

// Component describes one component.
type Component struct {
	Kind        Kind   `json:"kind"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Since       string `json:"since"`
	Body
	// Facts and Data are what templates see as build.NAME.
	Facts []Term `json:"facts,omitempty"`
	Data  []Term `json:"data,omitempty"`
	// Results are the values of a data source.
	Results  []Result `json:"results,omitempty"`
	Artifact string   `json:"artifact,omitempty"`
	Example  string   `json:"example,omitempty"`
}

// Body is arguments and the blocks beside them.
type Body struct {
	Attributes []Attribute `json:"attributes"`
	Blocks     []Block     `json:"blocks,omitempty"`
}

// Attribute describes one argument.
type Attribute struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description"`
	Required    bool   `json:"required"`
	// Default is the value when the argument is not set, where that is
	// always the same one; DefaultText says what it is otherwise.
	Default     json.RawMessage `json:"default,omitempty"`
	DefaultText string          `json:"default_text,omitempty"`
	OneOf       []string        `json:"one_of,omitempty"`
	// Format is "duration" or "path" for texts of that form.
	Format    string `json:"format,omitempty"`
	Sensitive bool   `json:"sensitive,omitempty"`
	// Late arguments may have {{...}} actions of their own, which the
	// component replaces.
	Late       bool   `json:"late,omitempty"`
	Deprecated string `json:"deprecated,omitempty"`
	Since      string `json:"since"`
}

// Block describes one kind of block.
type Block struct {
	Type        string   `json:"type"`
	Labels      []string `json:"labels,omitempty"`
	Description string   `json:"description"`
	Repeated    bool     `json:"repeated"`
	Required    bool     `json:"required,omitempty"`
	// Component is the kind of component whose body the block has as well.
	Component Kind `json:"component,omitempty"`
	// Free says that the template chooses the names of the arguments.
	Free bool `json:"free,omitempty"`
	Body
}

// Term is a name with its meaning.
type Term struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// Result is one value of a data source.
type Result struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description"`
}

// Function describes one function.
type Function struct {
	Name        string `json:"name"`
	Signature   string `json:"signature"`
	Group       string `json:"group"`
	Description string `json:"description"`
}

// New describes the components of a provider, the communicators with these
// names, the language and its functions.
func New(p component.Provider, communicators []string) *Document {
	out := &Document{FormatVersion: FormatVersion, Values: values()}
	names := p.Manifest()
	for _, n := range names.Builders {
		out.add(Builder, n, p.Builder(n).Schema(), cty.NilType)
	}
	for _, n := range names.Provisioners {
		out.add(Provisioner, n, p.Provisioner(n).Schema(), cty.NilType)
	}
	for _, n := range names.PostProcessors {
		out.add(PostProcessor, n, p.PostProcessor(n).Schema(), cty.NilType)
	}
	for _, n := range names.DataSources {
		ds := p.DataSource(n)
		out.add(DataSource, n, ds.Schema(), ds.Result())
	}
	for _, n := range communicators {
		if s, ok := component.CommunicatorSchema(n); ok {
			out.add(Communicator, n, s, cty.NilType)
		}
	}
	for _, b := range template.Language() {
		out.Blocks = append(out.Blocks, languageBlock(b))
	}
	for _, g := range funcs.Reference() {
		for _, f := range g.Functions {
			out.Functions = append(out.Functions, Function{f.Name, f.Signature, g.Title, f.Description})
		}
	}
	return out
}

// Component returns a component; false when there is none of that name.
func (d *Document) Component(k Kind, name string) (Component, bool) {
	for _, c := range d.Components {
		if c.Kind == k && c.Name == name {
			return c, true
		}
	}
	return Component{}, false
}

// Of returns the components of one kind, sorted by name.
func (d *Document) Of(k Kind) []Component {
	var out []Component
	for _, c := range d.Components {
		if c.Kind == k {
			out = append(out, c)
		}
	}
	return out
}

// Block returns a block of the language by the way to it, such as "variable" or
// "build.provisioner".
func (d *Document) Block(way string) (Block, error) {
	blocks, out := d.Blocks, Block{}
	for _, name := range strings.Split(way, ".") {
		i := slices.IndexFunc(blocks, func(b Block) bool { return b.Type == name })
		if i < 0 {
			var known []string
			for _, b := range blocks {
				known = append(known, b.Type)
			}
			hint := diag.Suggest(name, "blocks", known)
			if ways := waysTo(d.Blocks, name, ""); len(ways) > 0 {
				hint = " Say where it stands: " + diag.Names(ways) + "."
			}
			return Block{}, fmt.Errorf("there is no block %q.%s", way, hint)
		}
		out, blocks = blocks[i], blocks[i].Blocks
	}
	return out, nil
}

// waysTo lists the ways to all blocks of a type.
func waysTo(blocks []Block, typ, above string) []string {
	var out []string
	for _, b := range blocks {
		if b.Type == typ {
			out = append(out, above+b.Type)
		}
		out = append(out, waysTo(b.Blocks, typ, above+b.Type+".")...)
	}
	return out
}

// WriteJSON writes v, which is a Document or a part of one.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (d *Document) add(k Kind, name string, s component.Schema, result cty.Type) {
	c := Component{Kind: k, Name: name, Description: s.Description, Since: since(s.Since), Body: body(s)}
	if m := s.Manual; m != nil {
		c.Facts, c.Data = terms(m.Facts), terms(m.Data)
		c.Artifact, c.Example = m.Artifact, m.Example
		for _, r := range m.Results {
			one := Result{Name: r.Name, Description: r.Description}
			if result.IsObjectType() && result.HasAttribute(r.Name) {
				one.Type = typeexpr.TypeString(result.AttributeType(r.Name))
			}
			c.Results = append(c.Results, one)
		}
	}
	d.Components = append(d.Components, c)
}

func terms(l []component.Term) []Term {
	var out []Term
	for _, t := range l {
		out = append(out, Term(t))
	}
	return out
}

func since(version string) string {
	if version == "" {
		return component.FirstRelease
	}
	return version
}

func body(s component.Schema) Body {
	out := Body{Attributes: []Attribute{}}
	for _, a := range s.Attributes {
		out.Attributes = append(out.Attributes, attribute(a))
	}
	for _, b := range s.Blocks {
		out.Blocks = append(out.Blocks, Block{
			Type: b.Name, Description: b.Schema.Description, Repeated: b.Repeated, Required: b.Required, Body: body(b.Schema),
		})
	}
	return out
}

func attribute(a component.Attribute) Attribute {
	out := Attribute{
		Name: a.Name, Type: typeexpr.TypeString(a.Type), Description: a.Description, Required: a.Required,
		OneOf: a.OneOf, Sensitive: a.Sensitive, Late: a.Late, Deprecated: a.Deprecated, Since: since(a.Since),
		DefaultText: StatedDefault(a.Description),
	}
	switch a.Format {
	case component.Duration:
		out.Format = "duration"
	case component.Path:
		out.Format = "path"
	}
	if a.Default != cty.NilVal {
		// A default of the attribute's own type can always be written.
		out.Default, _ = ctyjson.Marshal(a.Default, a.Type)
		out.DefaultText = ""
	}
	return out
}

var (
	lastSentence = regexp.MustCompile(`[.;] Default:? (.*?\S)(?:\.(?: |$)|$)`)
	behindValue  = regexp.MustCompile(`([^\s,]+) \(default\)`)
)

// StatedDefault is the default that a description names, or "".
func StatedDefault(description string) string {
	m := lastSentence.FindStringSubmatch(description)
	if m == nil {
		m = behindValue.FindStringSubmatch(description)
	}
	if m == nil {
		return ""
	}
	if text := strings.Trim(m[1], "`"); !strings.Contains(text, "`") {
		return text
	}
	return m[1]
}

func languageBlock(b template.Block) Block {
	out := Block{
		Type: b.Type, Labels: b.Labels, Description: b.Description, Repeated: b.Repeated,
		Component: Kind(b.Component), Free: b.Free, Body: Body{Attributes: []Attribute{}},
	}
	for _, a := range b.Arguments {
		out.Attributes = append(out.Attributes, Attribute{
			Name: a.Name, Type: a.Type, Description: a.Description, Required: a.Required,
			DefaultText: StatedDefault(a.Description), Since: since(a.Since),
		})
	}
	for _, inner := range b.Blocks {
		out.Blocks = append(out.Blocks, languageBlock(inner))
	}
	return out
}

// firstSentence is what a list shows of a description.
func firstSentence(text string) string {
	first, _, more := strings.Cut(text, ". ")
	if more {
		return first + "."
	}
	return first
}
