package plan

import (
	"cmp"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/template"
)

// calledModule is one module block with the template that it leads to.
type calledModule struct {
	template *template.Template
	// called are the modules of that template.
	called map[string]*calledModule
	// planner is there once the module has been evaluated.
	planner *planner
}

// moduleLoader reads the templates of modules, before anything is evaluated.
type moduleLoader struct {
	ctx   context.Context
	in    Inputs
	diags diag.List
}

// folder is where a template is.
type folder struct {
	shown string
	// actual is by what it is known again.
	actual string
}

// load reads the modules of a template and theirs. Parents are the folders of
// the templates that lead to it, outermost first.
func (l *moduleLoader) load(t *template.Template, parents []folder) map[string]*calledModule {
	out := make(map[string]*calledModule, len(t.Modules))
	if len(t.Modules) == 0 {
		return out
	}
	parents = append(parents[:len(parents):len(parents)], folder{t.Dir, realDir(t.Resolve(t.Dir))})
	for _, m := range t.Modules {
		if c := l.loadOne(t, m, parents); c != nil {
			out[m.Name] = c
		}
	}
	return out
}

// realDir is a folder by which it is known again.
func realDir(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if actual, err := filepath.EvalSymlinks(dir); err == nil {
		dir = actual
	}
	return dir
}

// loadOne is nil when there is nothing to go on with.
func (l *moduleLoader) loadOne(t *template.Template, m *template.Module, parents []folder) *calledModule {
	dir, ok := l.find(t, m)
	if !ok {
		return nil
	}
	actual := realDir(t.Resolve(dir))
	if i := slices.IndexFunc(parents, func(f folder) bool { return f.actual == actual }); i >= 0 {
		var way []string
		for _, f := range parents[i:] {
			way = append(way, strconv.Quote(filepath.ToSlash(f.shown)))
		}
		l.diags = append(l.diags, diag.In(m.SourceRange, "Module uses itself",
			"The module %q leads back to a folder that is on the way to it: %s.", m.Name, strings.Join(append(way, way[0]), " -> "))...)
		return nil
	}
	child, diags := t.LoadModule(dir, l.in.CoreVersion)
	for _, d := range diags {
		if d.Subject == nil {
			// Nothing in the folder can be shown, only who asked for it.
			d.Subject = m.SourceRange.Ptr()
		}
	}
	l.diags = append(l.diags, diags...)
	if diags.HasErrors() {
		return nil
	}
	return &calledModule{template: child, called: l.load(child, parents)}
}

// find is the folder of a module.
func (l *moduleLoader) find(t *template.Template, m *template.Module) (string, bool) {
	if !strings.HasPrefix(m.Source, template.GitPrefix) {
		if filepath.IsAbs(m.Source) {
			return m.Source, true
		}
		return filepath.Join(t.Dir, filepath.FromSlash(m.Source)), true
	}
	if l.in.FetchModule == nil {
		l.diags = append(l.diags, diag.In(m.SourceRange, "Cannot fetch the module", "Repositories cannot be used here; give a folder.")...)
		return "", false
	}
	dir, notes, err := l.in.FetchModule(l.ctx, m.Source)
	for _, n := range notes {
		l.diags = append(l.diags, diag.WarnIn(m.SourceRange, "Module from the cache", "%s", n)...)
	}
	if err != nil {
		l.diags = append(l.diags, diag.In(m.SourceRange, "Cannot fetch the module", "%s.", err)...)
		return "", false
	}
	return dir, true
}

// readModule evaluates a module with its arguments and gives its outputs.
func (p *planner) readModule(ctx context.Context, m *template.Module, v *lang.View) (cty.Value, diag.List) {
	called := p.called[m.Name]
	if called == nil {
		return cty.DynamicVal, nil // why was said when it was to be read
	}
	call := &lang.ModuleCall{Name: m.Name, Range: m.Range}
	var diags diag.List
	for _, a := range m.Args {
		val, more := v.Value(ctx, a.Expr)
		diags = append(diags, more...)
		call.Args = append(call.Args, lang.ModuleArg{Name: a.Name, NameRange: a.NameRange, Range: a.Expr.Range(), Value: val})
	}
	slices.SortFunc(call.Args, func(a, b lang.ModuleArg) int {
		return cmp.Or(cmp.Compare(a.NameRange.Start.Byte, b.NameRange.Start.Byte), strings.Compare(a.Name, b.Name))
	})
	child, more := newScopePlanner(ctx, called.template, p.in, called.called, call)
	called.planner = child
	diags = append(diags, more...)
	outputs, more := child.scope.Outputs(ctx)
	return outputs, append(diags, more...)
}

// inModule follows a reference that starts with "module.NAME.". Ref is what is
// left of it, what the kind of thing that it should lead to. The planner is nil
// when it leads nowhere or to a module with mistakes.
func (p *planner) inModule(ref, what string, at hcl.Range) (inner *planner, rest string, diags diag.List) {
	inner, rest = p, ref
	for {
		after, ok := strings.CutPrefix(rest, "module.")
		if !ok {
			return inner, rest, nil
		}
		name, after, ok := strings.Cut(after, ".")
		if !ok {
			return nil, "", diag.In(at, "Invalid reference to a module", "%q names a module, but nothing in it. Write \"module.%s.%s\".", ref, name, what)
		}
		called, known := inner.called[name]
		switch {
		case known && called.planner != nil:
			inner, rest = called.planner, after
		case inner.declaresModule(name):
			return nil, "", nil
		default:
			return nil, "", diag.In(at, "Undeclared module", "The %s has no module %q.%s", inner.what, name, diag.Suggest(name, "modules", inner.moduleNames()))
		}
	}
}

func (p *planner) declaresModule(name string) bool { return slices.Contains(p.moduleNames(), name) }

func (p *planner) moduleNames() []string {
	out := make([]string, len(p.template.Modules))
	for i, m := range p.template.Modules {
		out[i] = m.Name
	}
	return out
}

// group evaluates the use of a group of provisioners.
func (p *planner) group(ctx context.Context, view *lang.View, use *template.Step, blk *block) ([]*step, diag.List) {
	outer, diags := p.meta(ctx, view, use, blk)
	owner, name, more := p.inModule(use.Type, "NAME", use.TypeRange)
	diags = append(diags, more...)
	if owner == nil {
		return nil, diags
	}
	g := owner.findGroup(name)
	if g == nil {
		return nil, append(diags, diag.In(use.TypeRange, "Unknown group of provisioners", "The %s has no block provisioners %q.%s",
			owner.what, name, diag.Suggest(name, "groups of provisioners", owner.groupNames()))...)
	}
	inside := owner.scope.View()
	inside.Build = view.Build
	// A group may serve builds with other sources than this one has.
	anywhere := *blk
	anywhere.unsure = true
	steps := g.Steps
	if steps == nil {
		steps, more = g.Expand(func(body hcl.Body) hcl.Body { return dynblock.Expand(body, inside.Context()) })
		diags = append(diags, more...)
	}
	var out []*step
	for _, s := range steps {
		st, more := owner.meta(ctx, inside, s, &anywhere)
		diags = append(diags, more...)
		st.owner, st.outer = owner, outer
		out = append(out, st)
	}
	return out, diags
}

func (p *planner) findGroup(name string) *template.Group {
	for _, g := range p.template.Groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

func (p *planner) groupNames() []string {
	out := make([]string, len(p.template.Groups))
	for i, g := range p.template.Groups {
		out[i] = g.Name
	}
	return out
}

// rootOnly warns of blocks that have no effect in a template that is not a
// module.
func rootOnly(t *template.Template) diag.List {
	var diags diag.List
	for _, o := range t.Outputs {
		diags = append(diags, diag.WarnIn(o.Range, "The block has no effect",
			"Outputs are for templates that are used as modules. Nothing can refer to this one.")...)
	}
	return diags
}

// Templates reads the modules of a template and returns it with all of theirs, each
// once, the template itself first. Nothing is evaluated.
func Templates(ctx context.Context, t *template.Template, in Inputs) ([]*template.Template, diag.List) {
	l := moduleLoader{ctx: ctx, in: in}
	out := []*template.Template{t}
	seen := map[string]bool{}
	var gather func(called map[string]*calledModule)
	gather = func(called map[string]*calledModule) {
		for _, name := range slices.Sorted(maps.Keys(called)) {
			m := called[name]
			if dir := realDir(m.template.Resolve(m.template.Dir)); !seen[dir] {
				seen[dir] = true
				out = append(out, m.template)
			}
			gather(m.called)
		}
	}
	gather(l.load(t, nil))
	return out, l.diags
}
