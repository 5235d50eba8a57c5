// Package planview is what is shown of a plan: typed views without secrets,
// and the forms in which they are printed (JSON, text, drawings).
package planview

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/gotmpl"
	"ingot/internal/lang"
	"ingot/internal/plan"
)

// Options say how a plan is shown.
type Options struct {
	// Redact masks secrets in a text. It has to know all of them when New
	// is called. Nil leaves every text as it is.
	Redact func(string) string
	// All shows the defaults of arguments that are not set.
	All bool
}

// View is a plan as it may be shown.
type View struct {
	Builds []*Build
}

// Build is one build of the plan.
type Build struct {
	Addr        addr.Build
	Description string
	// Source is the source block, whose name may differ from that in Addr.
	Source addr.Source
	// Range is the build block, Use the place where it names the source and
	// SourceRange the source block.
	Range, Use, SourceRange Place
	Body
	// Communicator is how the machine is reached; empty when that is not
	// known, or there is nothing to reach.
	Communicator string
	Creates      []component.Creation
	// Needs are the builds that have to succeed first.
	Needs        []addr.Build
	Provisioners []*Step
	// ErrorCleanup is nil when there is none.
	ErrorCleanup *Step
	Tests        []*Test
	Chains       [][]*Step
}

// Test is one test of the artifact.
type Test struct {
	Name   string
	Range  Place
	Checks []*Step
}

// Step is a provisioner or post-processor.
type Step struct {
	Addr  addr.Step
	Range Place
	// PauseBefore, Timeout, MaxRetries and ContinueOnError are what the
	// meta-arguments say, zero when they say nothing.
	PauseBefore, Timeout time.Duration
	MaxRetries           int
	ContinueOnError      bool
	// NoCache is cache = false, and CacheTTL is cache_ttl.
	NoCache  bool
	CacheTTL time.Duration
	// KeepInput is keep_input_artifact; nil when the user did not say.
	KeepInput *bool
	// UnknownMeta are the meta-arguments that are known only after reading
	// data sources; the fields above are zero for them.
	UnknownMeta []string
	Body
	Creates []component.Creation
}

// Body is the arguments and nested blocks of a configuration, in the order of
// the component's schema.
type Body struct {
	Arguments []Argument
	Blocks    []Block
}

// Argument is one argument.
type Argument struct {
	Name  string
	Value Value
	// Default says that the template does not set it.
	Default bool
}

// Block is one nested block.
type Block struct {
	Name  string
	Range Place
	// Wait is set for blocks of which it is not known yet how many there
	// will be; then there is no Body.
	Wait lang.Wait
	Body
}

// Place is a line of a file of the template.
type Place struct {
	File string
	Line int
}

// String returns "FILE:LINE", and nothing for a place that is not known.
func (p Place) String() string {
	if p.Line == 0 {
		return ""
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// New makes the view of a plan.
func New(p *plan.Plan, o Options) *View {
	if o.Redact == nil {
		o.Redact = func(text string) string { return text }
	}
	m := maker{o, p.Dir}
	out := &View{}
	for _, b := range p.Builds {
		out.Builds = append(out.Builds, m.build(b))
	}
	return out
}

// maker makes views.
type maker struct {
	Options
	// dir is the template's folder; the names of its files are shown
	// relative to it.
	dir string
}

func (m maker) build(b *plan.Build) *Build {
	out := &Build{
		Addr: b.Addr, Description: m.Redact(b.Description), Source: b.Source,
		Range: m.place(b.Range), Use: m.place(b.Use),
		Creates: m.creates(b, b.Job), Needs: b.Needs,
	}
	if b.Config != nil {
		out.Body = m.body(b.Config)
		out.SourceRange = m.place(b.Config.Range(nil))
	}
	if c, ok := b.Job.(component.Connector); ok && connectionKnown(b.Config) {
		out.Communicator = c.ConnectsBy()
	}
	for _, s := range b.Provisioners {
		out.Provisioners = append(out.Provisioners, m.provisioner(b, s))
	}
	if b.ErrorCleanup != nil {
		out.ErrorCleanup = m.provisioner(b, b.ErrorCleanup)
	}
	for _, t := range b.Tests {
		test := &Test{Name: m.Redact(t.Name), Range: m.place(t.Range)}
		for _, s := range t.Checks {
			test.Checks = append(test.Checks, m.provisioner(b, s))
		}
		out.Tests = append(out.Tests, test)
	}
	for _, chain := range b.Chains {
		var steps []*Step
		for _, s := range chain {
			st := &Step{Addr: s.Addr, Range: m.place(s.Range), KeepInput: s.KeepInput, UnknownMeta: s.UnknownMeta, Creates: m.creates(b, s.Planned)}
			if s.Config != nil {
				st.Body = m.body(s.Config)
			}
			steps = append(steps, st)
		}
		out.Chains = append(out.Chains, steps)
	}
	return out
}

// connectionKnown reports whether the argument communicator, where there is
// one, has a value already: a job takes one that has none for the default.
func connectionKnown(c *lang.Config) bool {
	const name = "communicator"
	return c == nil || !c.Value.IsKnown() || !c.Value.Type().HasAttribute(name) || component.Known(c.Value, name)
}

func (m maker) provisioner(b *plan.Build, s *plan.Step) *Step {
	out := &Step{
		Addr: s.Addr, Range: m.place(s.Range),
		PauseBefore: s.PauseBefore, Timeout: s.Timeout, MaxRetries: s.MaxRetries, ContinueOnError: s.ContinueOnError,
		NoCache: s.NoCache, CacheTTL: s.CacheTTL,
		UnknownMeta: s.UnknownMeta, Creates: m.creates(b, s.Planned),
	}
	if s.Config != nil {
		out.Body = m.body(s.Config)
	}
	return out
}

// creates is what a job, step or transform of a build says that it makes,
// each thing once.
func (m maker) creates(b *plan.Build, planned any) []component.Creation {
	d, ok := planned.(component.Describer)
	if !ok {
		return nil
	}
	var out []component.Creation
	for _, c := range d.Creates() {
		c = component.Creation{Kind: c.Kind, Name: m.Redact(renderedName(b, c)), Temporary: c.Temporary}
		if c.Name == "" || !slices.ContainsFunc(out, func(o component.Creation) bool { return o.Kind == c.Kind && o.Name == c.Name }) {
			out = append(out, c)
		}
	}
	return out
}

// renderedName is the name of a creation, and empty when the machine has to
// run before it can be known.
func renderedName(b *plan.Build, c component.Creation) string {
	if c.Fields == nil {
		return c.Name
	}
	fields := map[string]string{"BuildName": b.Template.BuildName, "BuilderType": b.Template.BuildType}
	maps.Copy(fields, c.Fields)
	name, err := gotmpl.Render(c.Name, b.Template, fields)
	if err != nil {
		return ""
	}
	return name
}

// place is the beginning of a range, with the file's name relative to the
// template's folder. Files elsewhere are shown by the name they were given.
func (m maker) place(r hcl.Range) Place {
	name := r.Filename
	if rel, err := filepath.Rel(m.dir, name); err == nil && filepath.IsLocal(rel) {
		name = rel
	}
	return Place{filepath.ToSlash(name), r.Start.Line}
}

func (m maker) body(c *lang.Config) Body {
	var out Body
	r := reader{c, m.Redact}
	if !c.Value.IsKnown() || c.Value.IsNull() {
		return out
	}
	argument := func(name string, isDefault bool) {
		path := cty.GetAttrPath(name)
		value := r.read(c.Value.GetAttr(name), path, below(c.Secrets, path[0]))
		out.Arguments = append(out.Arguments, Argument{name, value, isDefault})
	}
	for _, a := range c.Schema.Attributes {
		switch {
		case c.IsSet(a.Name):
			argument(a.Name, false)
		case m.All && !c.Value.GetAttr(a.Name).IsNull():
			argument(a.Name, true)
		}
	}
	for _, b := range c.Schema.Blocks {
		inner := c.Blocks(b.Name)
		switch {
		case !c.IsSet(b.Name):
		case len(inner) == 0:
			argument(b.Name, false) // set by an override
		case !c.Value.GetAttr(b.Name).IsKnown():
			out.Blocks = append(out.Blocks, Block{Name: b.Name, Range: m.place(inner[0].Range(nil)), Wait: lang.ForData})
		default:
			for _, one := range inner {
				out.Blocks = append(out.Blocks, Block{Name: b.Name, Range: m.place(one.Range(nil)), Body: m.body(one)})
			}
		}
	}
	return out
}

// Label is how people name a step: its type, with its name in quotes behind it
// when it has one.
func (s *Step) Label() string {
	if s.Addr.Name == "" {
		return s.Addr.Type
	}
	return strings.Join([]string{s.Addr.Type, `"` + s.Addr.Name + `"`}, " ")
}
