package plan

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/template"
)

// commonFacts are the names that every build may have as build.*.
func commonFacts() []string {
	return []string{
		"ID", "Host", "Port", "User", "Password", "ConnType", "PackerRunUUID",
		"PackerHTTPPort", "PackerHTTPIP", "PackerHTTPAddr",
		"SSHPublicKey", "SSHPrivateKey", "WinRMPassword",
	}
}

// build plans one use of a source: the job, the provisioners, the chains. The
// steps are looked at even when the job has errors, so that all mistakes are
// reported at once. Others are the artifacts that it can refer to.
func (p *planner) build(ctx context.Context, blk *block, u *use, sel *selection, others *lang.Artifacts) (*Build, diag.List) {
	b := &Build{
		Addr:        u.addr,
		Description: blk.description,
		Range:       blk.place,
		Use:         u.place,
		Source:      u.source.addr,
		Retry:       blk.retry,
		Template:    p.templateVars(u.addr.Source.Name, u.addr.Source.Type),
	}
	ctx = component.WithPlanning(ctx, component.Planning{Build: u.addr, Legacy: p.template.Legacy != nil})
	job, diags := p.job(ctx, blk, u, b, others)
	b.Job = job
	binder := &binder{planner: p, block: blk, use: u, build: b, others: others, facts: factNames(job), anyFact: job == nil}

	for i, s := range blk.provisioners {
		if !s.runsFor(u) {
			continue
		}
		st, more := binder.provisioner(ctx, s, s.address(0, i))
		diags = append(diags, more...)
		b.Provisioners = append(b.Provisioners, st)
	}
	if s := blk.errorCleanup; s != nil && s.runsFor(u) {
		st, more := binder.provisioner(ctx, s, s.address(0, 0))
		diags = append(diags, more...)
		b.ErrorCleanup = st
	}
	diags = append(diags, binder.tests(ctx, sel)...)
	for i, steps := range blk.chains {
		chain, more := binder.chain(ctx, i, steps, sel)
		diags = append(diags, more...)
		if len(chain) > 0 {
			b.Chains = append(b.Chains, chain)
		}
	}
	return b, diags
}

func factNames(job component.Job) map[string]bool {
	names := map[string]bool{}
	for _, n := range commonFacts() {
		names[n] = true
	}
	if f, ok := job.(component.FactNames); ok {
		for _, n := range f.FactNames() {
			names[n] = true
		}
	}
	if d, ok := job.(component.DataNames); ok {
		for _, n := range d.DataNames() {
			names[n] = true
		}
	}
	return names
}

// job evaluates the source's configuration, with what the build adds to it,
// and plans it.
func (p *planner) job(ctx context.Context, blk *block, u *use, b *Build, others *lang.Artifacts) (component.Job, diag.List) {
	owner := u.source.owner
	builder, diags := owner.builder(ctx, u.source.Addr.Type, u.source.TypeRange)
	if builder == nil {
		return nil, diags
	}
	v := p.scope.View()
	v.Source, v.Template, v.Artifacts = u.addr.Source, b.Template, others
	v.Build = &lang.BuildData{Block: blk.name, FactsRefused: p.factsRefused()}
	v.Roots = blk.roots
	own := owner.scope.View()
	own.Source, own.Template, own.Build, own.Roots = v.Source, v.Template, v.Build, u.source.roots
	if owner == p {
		own.Artifacts = others // a module does not know the builds
	}
	bodies := []lang.Body{{Body: u.source.Body, Header: u.source.Range, View: own}}
	if p.isDynamic(u.source.Source) {
		bodies[0].Body, diags = own.Expand(u.source.Body, builder.spec)
		if diags.HasErrors() {
			return nil, diags
		}
	}
	if u.extra != nil {
		extra := u.extra.Body
		if blk.template.Nested {
			extra = blk.template.UseBody(u.extra, func(body hcl.Body) hcl.Body { return dynblock.Expand(body, v.Context()) })
		}
		bodies = append(bodies, lang.Body{Body: extra, Header: u.extra.Range})
	}
	cfg, more := v.Decode(ctx, bodies, builder.spec, nil)
	diags = append(diags, more...)
	b.Config = cfg
	if cfg.Incomplete {
		return nil, diags
	}
	job, more := builder.component.Plan(ctx, cfg.Value)
	diags = append(diags, cfg.Locate(more)...)
	if diags.HasErrors() {
		return nil, diags
	}
	return job, diags
}

func (p *planner) isDynamic(s *template.Source) bool {
	is, known := p.dynamic[s]
	if !known {
		is = template.HasDynamic(s.Body)
		p.dynamic[s] = is
	}
	return is
}

// binder plans the steps of one build.
type binder struct {
	*planner
	block   *block
	use     *use
	build   *Build
	others  *lang.Artifacts
	facts   map[string]bool
	anyFact bool
}

// view is what a step is evaluated with; facts are nil while planning.
func (b *binder) view(s *step, facts map[string]cty.Value) *lang.View {
	v := s.owner.scope.View()
	v.Source, v.Template = b.use.addr.Source, b.build.Template
	if s.owner == b.planner {
		v.Artifacts = b.others // a module does not know the builds
	}
	if s.outer == nil {
		v.Roots = b.block.roots
	}
	v.Build = &lang.BuildData{Block: b.block.name, Names: b.facts, AnyName: b.anyFact, Facts: facts}
	if facts != nil {
		v.Template.Build = FactTexts(facts)
	}
	return v
}

// FactTexts are facts as template actions print them; those that are not known, or are
// no single value, are left out.
func FactTexts(facts map[string]cty.Value) map[string]string {
	out := make(map[string]string, len(facts))
	for name, val := range facts {
		val, _ = val.Unmark()
		if s, err := convert.Convert(val, cty.String); err == nil && s.IsKnown() && !s.IsNull() {
			out[name] = s.AsString()
		}
	}
	return out
}

func (b *binder) override(s *step) *lang.Override {
	if o := s.overrides[b.use.key()]; o != nil {
		return o
	}
	return s.overrides[b.use.group().Name]
}

func (b *binder) provisioner(ctx context.Context, s *step, a addr.Step) (*Step, diag.List) {
	out := &Step{
		Addr: a, Range: s.Range, PauseBefore: s.pause, Timeout: s.timeout,
		MaxRetries: s.maxRetries, ContinueOnError: s.continueOnError, NoCache: s.noCache, CacheTTL: s.cacheTTL, UnknownMeta: s.unknown,
	}
	c, diags := s.owner.provisioner(ctx, s.Type, s.TypeRange)
	if c == nil {
		return out, diags
	}
	bound, diags := bind(ctx, b, s, c.spec, c.component.Plan)
	out.Planned, out.Bind, out.Compare, out.Config, out.UsesFacts = bound.planned, bound.bind, bound.compare, bound.config, bound.usesFacts
	return out, diags
}

// chain plans the post-processors of one chain that are left for the build.
func (b *binder) chain(ctx context.Context, index int, steps []*step, sel *selection) (Chain, diag.List) {
	var out Chain
	var diags diag.List
	for i, s := range steps {
		a := s.address(index, i)
		if sel.cuts(a.Label()) {
			break // the rest would work on an artifact that is not made
		}
		if !s.runsFor(b.use) {
			continue
		}
		c, more := b.postProcessor(ctx, s.Type, s.TypeRange)
		diags = append(diags, more...)
		if c == nil {
			continue
		}
		post := &PostStep{Addr: a, Range: s.Range, KeepInput: s.keepInput, UnknownMeta: s.unknown}
		bound, more := bind(ctx, b, s, c.spec, c.component.Plan)
		post.Planned, post.Bind, post.Compare, post.Config = bound.planned, bound.bind, bound.compare, bound.config
		diags = append(diags, more...)
		out = append(out, post)
	}
	return out, diags
}

// bound is a step that was planned without facts.
type bound[S any] struct {
	planned S
	// bind gives the planned step at run time, compare what Step.Compare does.
	bind    func(context.Context, map[string]cty.Value) (S, diag.List)
	compare func(context.Context) (*lang.Config, S)
	// config is the configuration as it is known now.
	config *lang.Config
	// usesFacts: it depends on the machine.
	usesFacts bool
}

// bind plans a step without facts. When it does not depend on the machine, the
// step at run time is the same one; otherwise it is evaluated and planned again.
func bind[S any](ctx context.Context, b *binder, s *step, spec *lang.Spec, plan func(context.Context, cty.Value) (S, diag.List)) (bound[S], diag.List) {
	evaluate := func(ctx context.Context, v *lang.View) (S, *lang.Config, diag.List) {
		var none S
		body := s.Body
		if b.block.template.Nested {
			body = b.block.template.StepBody(s.Step, func(body hcl.Body) hcl.Body { return dynblock.Expand(body, v.Context()) })
			v.UsedFacts = true // by the dynamic blocks in it, for all that is known
		}
		cfg, diags := v.Decode(ctx, []lang.Body{{Body: body, Header: s.Range}}, spec, b.override(s))
		if cfg.Incomplete {
			return none, cfg, diags
		}
		planning := component.Planning{Build: b.build.Addr, Legacy: b.template.Legacy != nil}
		if planning.Legacy {
			planning.Facts = slices.Sorted(maps.Keys(b.facts))
		}
		ctx = component.WithPlanning(ctx, planning)
		planned, more := plan(ctx, cfg.Value)
		diags = append(diags, cfg.Locate(more)...)
		if diags.HasErrors() {
			return none, cfg, diags
		}
		return planned, cfg, diags
	}
	v := b.view(s, nil)
	planned, cfg, diags := evaluate(ctx, v)
	out := bound[S]{planned: planned, config: cfg, usesFacts: v.UsedFacts}
	if !v.UsedFacts {
		out.bind = func(context.Context, map[string]cty.Value) (S, diag.List) { return planned, nil }
		out.compare = func(context.Context) (*lang.Config, S) { return cfg, planned }
		return out, diags
	}
	told := diags.Warnings()
	out.bind = func(ctx context.Context, facts map[string]cty.Value) (S, diag.List) {
		if facts == nil {
			facts = map[string]cty.Value{}
		}
		planned, _, found := evaluate(ctx, b.view(s, facts))
		return planned, withoutRepeated(found, told)
	}
	out.compare = func(ctx context.Context) (*lang.Config, S) {
		planned, cfg, found := evaluate(ctx, b.view(s, b.placeholders()))
		if found.HasErrors() {
			return nil, planned
		}
		return cfg, planned
	}
	return out, diags
}

// placeholders are texts in place of the values of the machine.
func (b *binder) placeholders() map[string]cty.Value {
	out := make(map[string]cty.Value, len(b.facts))
	for name := range b.facts {
		out[name] = cty.StringVal("build." + name)
	}
	return out
}

// withoutRepeated drops the warnings that were given while planning.
func withoutRepeated(l, told diag.List) diag.List {
	var out diag.List
	for _, d := range l {
		repeated := false
		for _, t := range told {
			repeated = repeated || d.Severity == diag.Warning && d.Summary == t.Summary && d.Detail == t.Detail
		}
		if !repeated {
			out = append(out, d)
		}
	}
	return out
}
