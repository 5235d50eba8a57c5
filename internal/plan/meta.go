package plan

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/template"
)

// step is a provisioner or post-processor block with its meta-arguments
// evaluated. They are the same for every source of the build.
type step struct {
	*template.Step
	// owner is who evaluates its body: the planner of the template that has
	// the block.
	owner *planner
	// outer is the use of the group that it belongs to, or nil.
	outer           *step
	name            string
	only, except    []string
	overrides       map[string]*lang.Override
	pause, timeout  time.Duration
	maxRetries      int
	continueOnError bool
	noCache         bool
	cacheTTL        time.Duration
	keepInput       *bool
	// unknown are the names of the arguments that data sources decide which
	// were not read.
	unknown []string
}

// address names the step at a position among those of its kind and chain.
func (s *step) address(chain, index int) addr.Step {
	return addr.Step{Kind: s.Kind, Chain: chain, Index: index, Type: s.Type, Name: s.name}
}

// runsFor reports whether only and except let the step run for a source.
func (s *step) runsFor(u *use) bool {
	if s.outer != nil && !s.outer.runsFor(u) {
		return false
	}
	listed := func(names []string) bool {
		return slices.Contains(names, u.label()) || slices.Contains(names, u.group().String())
	}
	if s.only != nil {
		return listed(s.only)
	}
	return !listed(s.except)
}

// meta evaluates the meta-arguments of a step. The sources of the block have
// to be known.
func (p *planner) meta(ctx context.Context, v *lang.View, s *template.Step, blk *block) (*step, diag.List) {
	m := metaReader{planner: p, ctx: ctx, view: v, attrs: s.Meta}
	st := &step{Step: s, owner: p}
	if val, ok := m.value("name", cty.String); ok {
		st.name = val.AsString()
	}
	st.only = m.names("only", blk)
	st.except = m.names("except", blk)
	st.pause = m.duration("pause_before")
	st.timeout = m.duration("timeout")
	st.maxRetries = m.count("max_retries")
	if val, ok := m.value("continue_on_error", cty.Bool); ok {
		st.continueOnError = val.True()
	}
	if val, ok := m.value("cache", cty.Bool); ok {
		st.noCache = !val.True()
	}
	st.cacheTTL = m.duration("cache_ttl")
	if val, ok := m.value("keep_input_artifact", cty.Bool); ok {
		keep := val.True()
		st.keepInput = &keep
	}
	st.overrides = m.overrides(blk)
	st.unknown = m.unknown
	return st, m.diags
}

// groupLabels are what only and except call all instances of a source.
func (blk *block) groupLabels() []string {
	var out []string
	for _, g := range blk.groups {
		out = append(out, g.String())
	}
	return out
}

// metaReader reads the meta-arguments of one step.
type metaReader struct {
	*planner
	ctx   context.Context
	view  *lang.View
	attrs hcl.Attributes
	diags diag.List
	// unknown are the arguments that are not, or not wholly, known.
	unknown []string
}

// value returns an argument when it is set, not null and known.
func (m *metaReader) value(name string, want cty.Type) (cty.Value, bool) {
	a := m.attrs[name]
	if a == nil {
		return cty.NilVal, false
	}
	val, diags := m.argument(m.ctx, m.view, a, want)
	m.diags = append(m.diags, diags...)
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	if !val.IsWhollyKnown() {
		m.unknown = append(m.unknown, name)
	}
	if val.IsNull() || !val.IsKnown() {
		return cty.NilVal, false
	}
	return val, true
}

func (m *metaReader) duration(name string) time.Duration {
	val, ok := m.value(name, cty.String)
	if !ok || val.AsString() == "" {
		return 0
	}
	at := m.attrs[name].Expr.Range()
	d, diags := lang.ParseDuration(at, name, val.AsString())
	if diags == nil && d < 0 {
		diags = diag.In(at, "Invalid duration", "The argument %q cannot be negative.", name)
	}
	m.diags = append(m.diags, diags...)
	return d
}

func (m *metaReader) count(name string) int {
	val, ok := m.value(name, cty.Number)
	if !ok {
		return 0
	}
	n, exact := val.AsBigFloat().Int64()
	if exact != 0 || n < 0 || n > 1<<30 {
		m.diags = append(m.diags, diag.In(m.attrs[name].Expr.Range(), "Invalid number",
			"The argument %q has to be a whole number from 0, not %s.", name, diag.Describe(val))...)
		return 0
	}
	return int(n)
}

// names reads only or except and checks that the sources exist. As in Packer,
// an empty list is none.
func (m *metaReader) names(name string, blk *block) []string {
	val, ok := m.value(name, cty.List(cty.String))
	if !ok {
		return nil
	}
	if val.LengthInt() == 0 {
		if name == "only" && m.template.Legacy == nil {
			m.diags = append(m.diags, diag.WarnIn(m.attrs[name].Expr.Range(), "Empty only",
				"An empty list restricts nothing: the step runs for every source. Remove the argument, or name the sources.")...)
		}
		return nil
	}
	known := blk.groupLabels()
	for _, u := range blk.uses {
		known = append(known, u.label())
	}
	out := []string{}
	for i, el := range val.AsValueSlice() {
		if el.IsNull() || !el.IsKnown() {
			continue
		}
		text := el.AsString()
		out = append(out, text)
		if m.template.Legacy == nil && !blk.unsure && !slices.Contains(known, text) { // else it was checked
			m.diags = append(m.diags, diag.In(lang.PartRange(m.attrs[name].Expr, cty.IndexIntPath(i)), "Unknown source in "+name,
				"The build uses no source %q.%s", text, diag.Suggest(text, "sources of this build", known))...)
		}
	}
	return out
}

// overrides reads override, whose keys are the names of sources.
func (m *metaReader) overrides(blk *block) map[string]*lang.Override {
	a := m.attrs["override"]
	if a == nil {
		return nil
	}
	val, diags := m.view.Value(m.ctx, a.Expr)
	m.diags = append(m.diags, diags...)
	if diags.HasErrors() || val.IsNull() {
		return nil
	}
	val, _ = val.Unmark()
	if !val.IsKnown() {
		m.unknown = append(m.unknown, "override")
		return nil
	}
	if !val.Type().IsObjectType() && !val.Type().IsMapType() {
		m.diags = append(m.diags, diag.In(a.Expr.Range(), "Wrong type",
			"The argument override has to be an object, as in { NAME = { ARGUMENT = VALUE } }, not %s.", diag.Describe(val))...)
		return nil
	}
	var known []string
	for _, g := range blk.groups {
		known = append(known, g.Name)
	}
	for _, u := range blk.uses {
		known = append(known, u.key())
	}
	out := map[string]*lang.Override{}
	for name, inner := range val.AsValueMap() {
		path := cty.GetAttrPath(name)
		at := lang.PartRange(a.Expr, path)
		inner, _ = inner.Unmark()
		switch {
		case m.template.Legacy == nil && !blk.unsure && !slices.Contains(known, name): // else it was checked
			m.diags = append(m.diags, diag.In(at, "Unknown source in override",
				"The build uses no source named %q.%s", name, diag.Suggest(name, "names of the sources of this build", known))...)
		case inner.IsNull() || !inner.IsKnown():
		case !inner.Type().IsObjectType() && !inner.Type().IsMapType():
			m.diags = append(m.diags, diag.In(at, "Wrong type",
				"The override for %q has to be an object with arguments of the provisioner, not %s.", name, diag.Describe(inner))...)
		default:
			out[name] = &lang.Override{Values: inner.AsValueMap(), Expr: lang.PartOf(a.Expr, path)}
		}
	}
	return out
}
