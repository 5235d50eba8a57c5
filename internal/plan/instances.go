package plan

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/template"
)

// source is a source block, or one instance of a source block with for_each.
type source struct {
	*template.Source
	// owner is who evaluates its body: the planner of the template that has
	// the block.
	owner *planner
	// addr is the name that it is used by.
	addr addr.Source
	// group is the name of the block that it is an instance of, or zero.
	group addr.Source
	// roots are the further names that its body can refer to.
	roots map[string]cty.Value
}

// sourceGroup is what a source block comes to.
type sourceGroup struct {
	block     *template.Source
	instances []*source
	// diags are the findings about its for_each. They are reported where
	// the source is used.
	diags diag.List
}

// sourceIndex finds sources by the names that references have.
type sourceIndex struct {
	groups map[string]*sourceGroup
	// instances are those of blocks with for_each, by name.
	instances map[string]*source
	// repeated are the blocks with for_each.
	repeated []*sourceGroup
}

// indexSources evaluates the for_each of all sources. The list has names that
// clash.
func (p *planner) indexSources(ctx context.Context) diag.List {
	p.sources = sourceIndex{groups: make(map[string]*sourceGroup, len(p.template.SourceBlocks)), instances: map[string]*source{}}
	for _, s := range p.template.SourceBlocks {
		g := &sourceGroup{block: s}
		p.sources.groups[s.Addr.String()] = g
		if s.ForEach == nil {
			g.instances = []*source{{Source: s, owner: p, addr: s.Addr}}
			continue
		}
		p.sources.repeated = append(p.sources.repeated, g)
		g.instances, g.diags = p.sourceInstances(ctx, s)
	}
	var diags diag.List
	for _, g := range p.sources.repeated {
		for _, inst := range g.instances {
			diags = append(diags, p.sources.add(inst)...)
		}
	}
	return diags
}

func (p *planner) sourceInstances(ctx context.Context, s *template.Source) ([]*source, diag.List) {
	each, known, diags := p.scope.View().ForEach(ctx, s.ForEach)
	if !known {
		return nil, append(diags, notKnownYet(s.ForEach.Expr.Range(), "Which instances the source has", p.in.EvaluateData)...)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	out := make([]*source, len(each))
	for i, e := range each {
		out[i] = &source{
			Source: s, owner: p, addr: addr.Source{Type: s.Addr.Type, Name: s.Addr.Name + "-" + e.Key}, group: s.Addr,
			roots: map[string]cty.Value{"each": e.Object()},
		}
	}
	return out, diags
}

// notKnownYet says of something that decides what there is to build that it
// depends on what is not known.
func notKnownYet(at hcl.Range, what string, dataRead bool) diag.List {
	if dataRead {
		return diag.In(at, "Value not known in time", "%s has to be known before anything is built.", what)
	}
	return diag.In(at, "Instances not known yet",
		"%s depends on a data source, which was not read. Ask for it with -evaluate-datasources.", what)
}

// add enters an instance and finds one whose name is taken.
func (x *sourceIndex) add(inst *source) diag.List {
	name := inst.addr.String()
	var other hcl.Range
	if g := x.groups[name]; g != nil {
		other = g.block.Range
	} else if first := x.instances[name]; first != nil {
		other = first.Range
	} else {
		x.instances[name] = inst
		return nil
	}
	return diag.In(inst.Range, "Declared twice", "An instance of %s has the name %s, which is also that of a source at %s:%d. Rename one of the two.",
		inst.group, name, other.Filename, other.Start.Line)
}

// find returns the sources of a name, which may be that of a block with
// for_each. It is false when there is none.
func (x *sourceIndex) find(name string) (*sourceGroup, bool) {
	if inst := x.instances[name]; inst != nil {
		return &sourceGroup{block: inst.Source, instances: []*source{inst}}, true
	}
	if g := x.groups[name]; g != nil {
		return g, true
	}
	for _, g := range x.repeated {
		// Nobody can say whether that one has such an instance.
		if g.diags.HasErrors() && strings.HasPrefix(name, g.block.Addr.String()+"-") {
			return g, true
		}
	}
	return nil, false
}

func (x *sourceIndex) names() []string {
	var out []string
	for name := range x.groups {
		out = append(out, name)
	}
	for name := range x.instances {
		out = append(out, name)
	}
	return out
}

// instance is one instance of a build block: one for each key of for_each and
// each combination of a matrix, or the only one.
type instance struct {
	// roots are the further names that the block can refer to.
	roots map[string]cty.Value
	// keys are what tells the instance from others, by root.
	keys []instanceKey
}

type instanceKey struct{ root, text string }

// name is the name of an instance of a block. The keys are added to it, except
// for those that the name has been made with.
func (i instance) name(name string, expr *hcl.Attribute) string {
	used := map[string]bool{}
	if expr != nil {
		for _, tr := range expr.Expr.Variables() {
			used[tr.RootName()] = true
		}
	}
	var parts []string
	if name != "" {
		parts = append(parts, name)
	}
	for _, k := range i.keys {
		if !used[k.root] {
			parts = append(parts, k.text)
		}
	}
	return strings.Join(parts, "-")
}

// instances lists the instances of a build block: for each key of for_each,
// those of its matrix.
func (p *planner) instances(ctx context.Context, b *template.Build) ([]instance, diag.List) {
	each, diags := p.eachInstance(ctx, b)
	if b.Matrix == nil {
		return each, diags
	}
	var out []instance
	for _, outer := range each {
		combinations, more := p.matrix(ctx, b.Matrix, outer.roots)
		diags = append(diags, more...)
		for _, c := range combinations {
			out = append(out, outer.with("matrix", c.object, c.name))
		}
	}
	return out, diags
}

// with is the instance with one more name and what tells it apart.
func (i instance) with(root string, value cty.Value, key string) instance {
	roots := map[string]cty.Value{root: value}
	maps.Copy(roots, i.roots)
	return instance{roots: roots, keys: append(slices.Clone(i.keys), instanceKey{root, key})}
}

func (p *planner) eachInstance(ctx context.Context, b *template.Build) ([]instance, diag.List) {
	if b.ForEach == nil {
		return []instance{{}}, nil
	}
	each, known, diags := p.scope.View().ForEach(ctx, b.ForEach)
	switch {
	case !known:
		return nil, append(diags, notKnownYet(b.ForEach.Expr.Range(), "Which instances the build block has", p.in.EvaluateData)...)
	case diags.HasErrors():
		return nil, diags
	}
	out := make([]instance, len(each))
	for i, e := range each {
		out[i] = instance{}.with("each", e.Object(), e.Key)
	}
	return out, diags
}

// blocks evaluates the heads of all build blocks, in every instance.
func (p *planner) blocks(ctx context.Context) ([]*block, diag.List) {
	var out []*block
	var diags diag.List
	for _, b := range p.template.Builds {
		instances, more := p.instances(ctx, b)
		diags = append(diags, more...)
		for _, inst := range instances {
			blk, more := p.block(ctx, b, inst)
			diags = append(diags, more...)
			out = append(out, blk)
		}
	}
	return out, append(diags, p.number(out)...)
}
