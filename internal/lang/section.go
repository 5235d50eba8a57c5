package lang

import (
	"context"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Section is a body that was evaluated without a schema, for judging what is
// written about components that are not known.
type Section struct {
	// Header is the block that the body belongs to.
	Header hcl.Range
	// Arguments are those of the body itself, in the order of the text.
	Arguments []*Argument

	blocks []sectionBlock
	survey survey
}

// Argument is one argument of a Section.
type Argument struct {
	Name      string
	NameRange hcl.Range
	Expr      hcl.Expression
	// Value is unknown as far as it depends on what is not known, or on a
	// mistake. Parts that are sensitive carry a mark.
	Value cty.Value

	survey survey
}

type sectionBlock struct {
	name    string
	section *Section
}

// survey evaluates expressions of one body.
type survey struct {
	view *View
	ctx  context.Context
}

func (s survey) value(expr hcl.Expression) cty.Value {
	val, diags := s.view.Value(s.ctx, expr)
	if diags.HasErrors() {
		return cty.DynamicVal
	}
	return val
}

// Section evaluates whatever a body holds. It reports nothing: what cannot be
// evaluated is unknown. Names in without are left out.
func (v *View) Section(ctx context.Context, b Body, without map[string]*hcl.Attribute) *Section {
	s := &Section{Header: b.Header, survey: survey{v, ctx}}
	// Blocks where only arguments are asked for are no mistake here.
	attrs, _ := b.JustAttributes()
	for name, a := range attrs {
		if without[name] == nil {
			s.Arguments = append(s.Arguments, s.survey.argument(name, a.NameRange, a.Expr))
		}
	}
	sort.Slice(s.Arguments, func(i, j int) bool {
		a, b := s.Arguments[i], s.Arguments[j]
		if a.NameRange.Start.Byte != b.NameRange.Start.Byte {
			return a.NameRange.Start.Byte < b.NameRange.Start.Byte
		}
		return a.Name < b.Name
	})
	native, ok := b.Body.(*hclsyntax.Body)
	if !ok {
		return s
	}
	for _, block := range native.Blocks {
		if block.Type != "dynamic" || len(block.Labels) != 1 {
			s.addBlock(ctx, block.Type, block)
			continue
		}
		// What a dynamic block makes is described by its content, whose
		// iterator has no value here.
		for _, inner := range block.Body.Blocks {
			if inner.Type == "content" {
				s.addBlock(ctx, block.Labels[0], inner)
			}
		}
	}
	return s
}

func (s *Section) addBlock(ctx context.Context, name string, b *hclsyntax.Block) {
	inner := s.survey.view.Section(ctx, Body{Body: b.Body, Header: b.DefRange()}, nil)
	s.blocks = append(s.blocks, sectionBlock{name, inner})
}

func (s survey) argument(name string, at hcl.Range, expr hcl.Expression) *Argument {
	return &Argument{Name: name, NameRange: at, Expr: expr, Value: s.value(expr), survey: s}
}

// Argument returns the argument of that name, or nil.
func (s *Section) Argument(name string) *Argument {
	for _, a := range s.Arguments {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// Blocks returns the nested blocks of that name. An argument whose value is
// written as an object, or as a list of objects, counts as well: that is how
// JSON writes blocks.
func (s *Section) Blocks(name string) []*Section {
	var out []*Section
	for _, b := range s.blocks {
		if b.name == name {
			out = append(out, b.section)
		}
	}
	if a := s.Argument(name); a != nil {
		out = append(out, a.Objects()...)
	}
	return out
}

// BlockNames lists the names of the nested blocks, each once.
func (s *Section) BlockNames() []string {
	var out []string
	seen := map[string]bool{}
	for _, b := range s.blocks {
		if !seen[b.name] {
			seen[b.name] = true
			out = append(out, b.name)
		}
	}
	return out
}

// Objects takes an argument that is written as an object, or as a list of
// objects, apart. It is empty for any other.
func (a *Argument) Objects() []*Section {
	items := []hcl.Expression{a.Expr}
	if list, diags := hcl.ExprList(a.Expr); !diags.HasErrors() {
		items = list
	}
	var out []*Section
	for _, item := range items {
		pairs, diags := hcl.ExprMap(item)
		if diags.HasErrors() {
			continue
		}
		s := &Section{Header: item.Range(), survey: a.survey}
		for _, p := range pairs {
			if name, ok := a.survey.key(p.Key); ok {
				s.Arguments = append(s.Arguments, a.survey.argument(name, p.Key.Range(), p.Value))
			}
		}
		out = append(out, s)
	}
	return out
}

func (s survey) key(expr hcl.Expression) (string, bool) {
	if name := hcl.ExprAsKeyword(expr); name != "" {
		return name, true
	}
	val, _ := s.value(expr).Unmark()
	if val.IsNull() || !val.IsKnown() || val.Type() != cty.String {
		return "", false
	}
	return val.AsString(), true
}

// Elements takes an argument that is written as a list apart. An argument
// that is not is its own only element.
func (a *Argument) Elements() []*Argument {
	list, diags := hcl.ExprList(a.Expr)
	if diags.HasErrors() {
		return []*Argument{a}
	}
	out := make([]*Argument, len(list))
	for i, e := range list {
		out[i] = a.survey.argument(a.Name, e.Range(), e)
	}
	return out
}

// Part evaluates an expression inside the argument's own.
func (a *Argument) Part(expr hcl.Expression) cty.Value { return a.survey.value(expr) }
