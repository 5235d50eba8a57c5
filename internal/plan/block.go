package plan

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/template"
)

// block is a build block whose arguments have been evaluated.
type block struct {
	name, description string
	// roots are the further names that the block can refer to.
	roots map[string]cty.Value
	uses  []*use
	// groups are the sources with for_each that it uses, as it calls them.
	groups []addr.Source
	// unsure says that some of its sources could not be found out.
	unsure       bool
	provisioners []*step
	errorCleanup *step
	chains       [][]*step
	tests        []*test
	retry        Retry
	place        hcl.Range
	template     *template.Build
	// broken says that none of its builds can run.
	broken bool
}

// use is one source used by a build block.
type use struct {
	addr   addr.Build
	source *source
	// extra is the body of the source block inside the build, or nil.
	extra *template.SourceUse
	place hcl.Range
	// plain is the builder's name, by which -only and -except know it too;
	// empty but for a legacy template.
	plain string
}

// label is what only and except of a step call the use.
func (u *use) label() string {
	if u.plain != "" {
		return u.source.Addr.Name
	}
	return u.addr.Source.String()
}

// key is what override of a step calls the use.
func (u *use) key() string {
	if u.plain != "" {
		return u.source.Addr.Name
	}
	return u.addr.Source.Name
}

// group is the name of all instances of a source with for_each, as the build
// calls it; zero for another source.
func (u *use) group() addr.Source {
	g := u.source.group
	if g.IsZero() {
		return g
	}
	key := strings.TrimPrefix(u.source.addr.Name, g.Name)
	return addr.Source{Type: g.Type, Name: strings.TrimSuffix(u.addr.Source.Name, key)}
}

const onlyBuildName = "Of build.*, only build.name is known before a machine is running; the rest can be used in the arguments of provisioners and post-processors."

// factsRefused is why values of the machine cannot be used outside of steps.
func (p *planner) factsRefused() string {
	if p.template.Legacy != nil {
		return "The values of a build are not known before its machine is running. They can be used in the arguments of provisioners and post-processors."
	}
	return onlyBuildName
}

// block evaluates the head of a build block and the meta-arguments in it, for
// one instance.
func (p *planner) block(ctx context.Context, b *template.Build, inst instance) (*block, diag.List) {
	blk := &block{place: b.Range, roots: inst.roots, template: b}
	plain := p.scope.View()
	plain.Roots = inst.roots
	var diags diag.List
	blk.name, diags = p.text(ctx, plain, b.Name)
	blk.name = inst.name(blk.name, b.Name)
	var more diag.List
	blk.description, more = p.text(ctx, plain, b.Description)
	diags = append(diags, more...)

	view := p.scope.View()
	view.Roots = inst.roots
	view.Build = &lang.BuildData{Block: blk.name, FactsRefused: p.factsRefused()}
	content := b.Content
	if content == nil {
		if more := lang.RefuseArtifacts(b.DynamicRefs()); more != nil {
			blk.broken = true
			return blk, append(diags, more...)
		}
		content, more = b.Expand(func(body hcl.Body) hcl.Body { return dynblock.Expand(body, view.Context()) })
		diags = append(diags, more...)
	}
	diags = append(diags, p.uses(ctx, b, content, view, blk)...)
	for _, s := range content.Provisioners {
		if s.Group {
			steps, more := p.group(ctx, view, s, blk)
			diags = append(diags, more...)
			blk.provisioners = append(blk.provisioners, steps...)
			continue
		}
		st, more := p.meta(ctx, view, s, blk)
		diags = append(diags, more...)
		blk.provisioners = append(blk.provisioners, st)
	}
	if s := content.ErrorCleanup; s != nil {
		blk.errorCleanup, more = p.meta(ctx, view, s, blk)
		diags = append(diags, more...)
		diags = append(diags, neverCached(s, "an error-cleanup-provisioner")...)
	}
	for _, chain := range content.Chains {
		var steps []*step
		for _, s := range chain {
			st, more := p.meta(ctx, view, s, blk)
			diags = append(diags, more...)
			steps = append(steps, st)
		}
		blk.chains = append(blk.chains, steps)
	}
	for _, t := range content.Tests {
		tested, more := p.test(ctx, view, t, blk)
		diags = append(diags, more...)
		blk.tests = append(blk.tests, tested)
	}
	blk.retry, more = p.retryBlock(ctx, view, content.Retry)
	diags = append(diags, more...)
	blk.broken = diags.HasErrors()
	return blk, diags
}

// text evaluates an attribute that has to be a string; nil is "".
func (p *planner) text(ctx context.Context, v *lang.View, a *hcl.Attribute) (string, diag.List) {
	if a == nil {
		return "", nil
	}
	val, diags := p.argument(ctx, v, a, cty.String)
	if val.IsNull() || !val.IsKnown() {
		return "", diags
	}
	return val.AsString(), diags
}

// uses finds the sources of a build block.
func (p *planner) uses(ctx context.Context, b *template.Build, content *template.BuildContent, view *lang.View, blk *block) diag.List {
	diags, some := p.listedSources(ctx, b, blk)
	for _, u := range content.Uses {
		some = true
		if u.Source != nil {
			use, more := p.legacyUse(ctx, view, u)
			diags = append(diags, more...)
			blk.uses = append(blk.uses, use)
			continue
		}
		group, more := p.source(u.Ref, u.RefRange)
		diags = append(diags, more...)
		local, more := p.text(ctx, view, u.Name)
		diags = append(diags, more...)
		blk.use(group, local, u, u.Range)
	}
	if !some && !diags.HasErrors() {
		diags = append(diags, diag.In(b.Range, "Build without sources", "The build block uses no source. List some, as in sources = [\"source.TYPE.NAME\"].")...)
	}
	return diags
}

// legacyUse is the build of one builder of a legacy template.
func (p *planner) legacyUse(ctx context.Context, view *lang.View, u *template.SourceUse) (*use, diag.List) {
	typ := u.Source.Addr.Type
	name, diags := typ, diag.List(nil)
	if u.Name != nil {
		var val cty.Value
		val, diags = p.argument(ctx, view, u.Name, cty.String)
		switch {
		case !val.IsKnown():
			name = u.Source.Addr.Name // as it is written, so that it can be told from others
		case val.AsString() != "":
			name = val.AsString()
		}
	}
	a := addr.Build{Source: addr.Source{Type: typ, Name: name}, TypeOnly: name == typ}
	src := &source{Source: u.Source, owner: p, addr: u.Source.Addr}
	return &use{a, src, nil, u.Range, name}, diags
}

// listedSources adds the sources that the argument lists, and reports whether
// it lists any.
func (p *planner) listedSources(ctx context.Context, b *template.Build, blk *block) (diags diag.List, some bool) {
	if b.Sources == nil {
		return nil, false
	}
	for _, tr := range b.Sources.Expr.Variables() {
		if tr.RootName() == "source" {
			return diag.In(tr.SourceRange(), "Source without quotes", "A source is named by a text: write %q.", diag.TraversalString(tr)), true
		}
	}
	view := p.scope.View()
	view.Roots = blk.roots
	val, diags := p.argument(ctx, view, b.Sources, cty.List(cty.String))
	if !val.IsWhollyKnown() && !diags.HasErrors() {
		return append(diags, diag.In(b.Sources.Expr.Range(), "Sources not known yet",
			"Which sources the build uses depends on a data source, which was not read. Ask for it with -evaluate-datasources.")...), true
	}
	if val.IsNull() || !val.IsKnown() {
		return diags, false
	}
	places, notList := hcl.ExprList(b.Sources.Expr)
	i := 0
	for it := val.ElementIterator(); it.Next(); i++ {
		_, ref := it.Element()
		at := b.Sources.Expr.Range()
		if !notList.HasErrors() && i < len(places) {
			at = places[i].Range()
		}
		if ref.IsNull() {
			diags = append(diags, diag.In(at, "Unknown source", "The name of the source is null.")...)
			continue
		}
		group, more := p.source(ref.AsString(), at)
		diags = append(diags, more...)
		blk.use(group, "", nil, at)
	}
	return diags, i > 0
}

// use adds the instances of a source, which the block calls local unless that
// is empty.
func (blk *block) use(g *sourceGroup, local string, extra *template.SourceUse, at hcl.Range) {
	blk.unsure = blk.unsure || g.block == nil || g.diags.HasErrors()
	if b := g.block; b != nil && b.ForEach != nil {
		name := b.Addr
		if local != "" {
			name.Name = local
		}
		blk.groups = append(blk.groups, name)
	}
	for _, src := range g.instances {
		blk.uses = append(blk.uses, &use{addr.Build{Block: blk.name, Source: src.named(local)}, src, extra, at, ""})
	}
}

// named is the source's name when the build calls it local, which is often "".
func (s *source) named(local string) addr.Source {
	switch {
	case local == "":
		return s.addr
	case s.group.IsZero():
		return addr.Source{Type: s.addr.Type, Name: local}
	}
	return addr.Source{Type: s.addr.Type, Name: local + strings.TrimPrefix(s.addr.Name, s.group.Name)}
}

// source finds the sources that a reference names. The group is never nil.
func (p *planner) source(ref string, at hcl.Range) (*sourceGroup, diag.List) {
	none := &sourceGroup{}
	if strings.HasPrefix(ref, "module.") {
		inner, rest, diags := p.inModule(ref, "source.TYPE.NAME", at)
		if inner == nil {
			return none, diags
		}
		return inner.source(rest, at)
	}
	if g, ok := p.sources.find(strings.TrimPrefix(ref, "source.")); ok {
		return g, g.diags
	}
	a, err := addr.ParseSource(ref)
	if err != nil {
		return none, diag.In(at, "Invalid source reference", "%q does not name a source. Write \"source.TYPE.NAME\".", ref)
	}
	return none, diag.In(at, "Unknown source", "The %s has no source block %q %q.%s", p.what, a.Type, a.Name, diag.Suggest(a.String(), "sources", p.sources.names()))
}

// argument evaluates a meta-argument and converts it.
func (p *planner) argument(ctx context.Context, v *lang.View, a *hcl.Attribute, want cty.Type) (cty.Value, diag.List) {
	val, diags := v.Value(ctx, a.Expr)
	if p.template.Legacy != nil && !diags.HasErrors() {
		v.Template = p.templateVars("", "")
		var more diag.List
		val, more = v.Render(val, a.Expr)
		diags = append(diags, more...)
	}
	if diags.HasErrors() {
		return cty.UnknownVal(want), diags
	}
	val, _ = val.UnmarkDeep()
	if !val.IsWhollyKnown() && p.in.EvaluateData {
		return cty.UnknownVal(want), append(diags, diag.In(a.Expr.Range(), "Value not known in time", "The argument %q has to be known before the build starts.", a.Name)...)
	}
	c, why, ok := lang.Convert(val, want)
	if !ok {
		return c, append(diags, diag.In(a.Expr.Range(), "Wrong type", "The argument %q has to be %s, but it is %s%s.",
			a.Name, describeType(want), diag.Describe(val), why)...)
	}
	return c, diags
}

func describeType(t cty.Type) string {
	if t.IsListType() {
		return fmt.Sprintf("a list of %ss", t.ElementType().FriendlyName())
	}
	return "a " + t.FriendlyName()
}
