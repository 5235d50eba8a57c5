package plan

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/lang"
	"ingot/internal/lang/funcs"
	"ingot/internal/template"
)

// Inputs are what a plan depends on beside the template.
type Inputs struct {
	Provider component.Provider
	// ProviderFor, when set, is asked for the components of each template, that
	// of a module included, in place of Provider. Its errors are those of the
	// template.
	ProviderFor func(t *template.Template) (component.Provider, diag.List)
	// Vars are the -var arguments ("name=value"), VarFiles the -var-file
	// arguments, each in order.
	Vars, VarFiles []string
	// Environ is the environment, for PKR_VAR_* and env().
	Environ []string
	// WorkDir is what relative paths start from and what path.cwd shows;
	// empty is the process's working directory.
	WorkDir string
	// Home is what a leading ~ stands for.
	Home string
	// Start is the start of the run.
	Start time.Time
	// CoreVersion is the version of Packer that is served.
	CoreVersion string
	// Only and Except are the -only and -except arguments, one element for
	// each time that the flag was given. Globs in one are separated by
	// commas, except inside braces and brackets.
	Only, Except []string
	// EvaluateData reads the data sources; otherwise they are unknown.
	EvaluateData bool
	// WarnUndeclared warns of names in var files that are not declared.
	WarnUndeclared bool
	// Secrets is told every text that must not be printed.
	Secrets func(string)
	// FetchModule makes a module that is somewhere else available: of a
	// source such as "git::https://...", it gives the folder and what the
	// user should know. Without it only folders can be modules.
	FetchModule func(ctx context.Context, source string) (dir string, notes []string, err error)
	// Functions holds the readers of external values for the functions of
	// the language; the rest of it is filled in from the fields above.
	Functions funcs.Env
}

// Make plans the builds of a template. When some builds cannot be planned,
// the others are in the Plan all the same, and the list has the errors; a
// mistake in what all builds share leaves no build. The text of var files is
// added to t.Sources, so that findings can be shown with their line.
func Make(ctx context.Context, t *template.Template, in Inputs) (*Plan, diag.List) {
	p, diags := newPlanner(ctx, t, in)
	shared := diags.HasErrors()
	if shared && ctx.Err() != nil {
		// What is not known because of that would be complained about.
		return &Plan{}, diags.Sort()
	}
	sel, more := newSelection(in.Only, in.Except, t.Legacy != nil)
	diags = append(diags, more...)
	if more.HasErrors() {
		return &Plan{}, diags.Sort()
	}

	blocks, more := p.blocks(ctx)
	diags = append(diags, more...)
	sel.alias(blocks)

	g := newGraph(p, sel, blocks)
	out := &Plan{Dir: t.Dir, Builds: g.plan(ctx)}
	total := len(g.all)
	diags = append(diags, g.diags...)
	diags = append(diags, sel.unmatched(blocks, total)...)
	if shared {
		out.Builds = nil
	}
	switch {
	case total > 0 || diags.HasErrors():
	case len(t.Builds) > 0:
		diags = append(diags, diag.Warnf("No builds to run", "Every for_each of the template that could make one is empty.")...)
	default:
		diags = append(diags, diag.Errorf("No builds to run", "The template has no build block. Add one that lists the sources to build.")...)
	}
	return out, diags.Sort()
}

// planner makes one plan.
type planner struct {
	in       Inputs
	template *template.Template
	// what names the template in sentences: "template", `module "x"`.
	what  string
	scope *lang.Scope
	// called are the modules of the template, as far as they could be read.
	called  map[string]*calledModule
	sources sourceIndex
	dynamic map[*template.Source]bool
	// These are the components that were looked up, by kind and name, under
	// lookup; nil for one that does not exist.
	lookup         sync.Mutex
	builders       map[string]*found[component.Builder]
	provisioners   map[string]*found[component.Provisioner]
	postProcessors map[string]*found[component.PostProcessor]
	dataSources    map[string]*found[component.DataSource]
	// again lets one build at a time be planned a second time.
	again sync.Mutex
}

// found is a component with its schema, ready for decoding.
type found[C any] struct {
	component C
	spec      *lang.Spec
}

// newPlanner evaluates what all builds share: variables, locals, data, modules.
func newPlanner(ctx context.Context, t *template.Template, in Inputs) (*planner, diag.List) {
	l := moduleLoader{ctx: ctx, in: in}
	called := l.load(t, nil)
	p, diags := newScopePlanner(ctx, t, in, called, nil)
	diags = append(append(l.diags, rootOnly(t)...), diags...)
	return p, diags
}

// newScopePlanner is newPlanner for a template whose modules have been read.
// Call is nil but for the template of a module.
func newScopePlanner(ctx context.Context, t *template.Template, in Inputs, called map[string]*calledModule, call *lang.ModuleCall) (*planner, diag.List) {
	p := &planner{
		in: in, template: t, what: "template", called: called,
		dynamic:        map[*template.Source]bool{},
		builders:       map[string]*found[component.Builder]{},
		provisioners:   map[string]*found[component.Provisioner]{},
		postProcessors: map[string]*found[component.PostProcessor]{},
		dataSources:    map[string]*found[component.DataSource]{},
	}
	if call != nil {
		p.what = fmt.Sprintf("module %q", call.Name)
	}
	var diags diag.List
	if in.ProviderFor != nil {
		p.in.Provider, diags = in.ProviderFor(t)
	}
	table := funcs.Table(p.functionEnv(ctx))
	scope, more := lang.NewScope(t, lang.Options{
		Functions:        table,
		DefaultFunctions: p.defaultFunctions(table),
		Template:         p.templateVars("", ""),
		Environ:          in.Environ, VarFiles: in.VarFiles, Vars: in.Vars,
		WarnUndeclared: in.WarnUndeclared,
		ReadData:       p.readData,
		ReadModule:     p.readModule,
		Call:           call,
		WorkDir:        in.WorkDir, Home: in.Home,
		CoreVersion: in.CoreVersion,
		Secrets:     in.Secrets,
	})
	p.scope = scope
	diags = append(diags, more...)
	diags = append(diags, scope.Settle(ctx)...)
	return p, append(diags, p.indexSources(ctx)...)
}

// defaultFunctions are the functions that the values of variables may call.
func (p *planner) defaultFunctions(table map[string]function.Function) map[string]function.Function {
	out := funcs.VariableDefaults(lookupIn(p.in.Environ))
	if p.template.Legacy != nil {
		for _, name := range []string{"consul_key", "vault", "aws_secretsmanager", "aws_secretsmanager_raw"} {
			out[name] = table[name]
		}
	}
	return out
}

func (p *planner) functionEnv(ctx context.Context) funcs.Env {
	env := p.in.Functions
	env.TemplateDir, env.WorkDir = p.template.Resolve(p.template.Dir), p.in.WorkDir
	if p.in.Home != "" {
		env.Home = func() (string, error) { return p.in.Home, nil }
	}
	env.Start, env.Context = p.in.Start, ctx
	return env
}

func lookupIn(environ []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := len(environ) - 1; i >= 0; i-- {
			if key, val, ok := strings.Cut(environ[i], "="); ok && key == name {
				return val, true
			}
		}
		return "", false
	}
}

// readData evaluates a data block and, when asked to, reads it.
func (p *planner) readData(ctx context.Context, d *template.Data, v *lang.View) (cty.Value, diag.List) {
	ds, diags := p.dataSource(ctx, d.Type, d.TypeRange)
	if ds == nil {
		return cty.DynamicVal, diags
	}
	v.Template = p.templateVars("", "")
	cfg, diags := v.Decode(ctx, []lang.Body{{Body: d.Body, Header: d.Range}}, ds.spec, nil)
	if !p.in.EvaluateData || diags.HasErrors() || !cfg.Value.IsWhollyKnown() {
		// It is unknown when what it depends on has failed.
		return cty.UnknownVal(ds.component.Result()), diags
	}
	val, more := ds.component.Read(ctx, cfg.Value)
	return val, append(diags, cfg.Locate(more)...)
}

func (p *planner) templateVars(name, typ string) gotmpl.Vars {
	return gotmpl.Vars{BuildName: name, BuildType: typ, CoreVersion: p.in.CoreVersion, Start: p.in.Start}
}

// number tells builds of the same name apart.
func (p *planner) number(blocks []*block) diag.List {
	nameable := "the build block or this use of the source"
	if p.template.Legacy != nil {
		nameable = "the builder"
	}
	type seen struct {
		n  int
		at hcl.Range
	}
	first := map[string]*seen{}
	var diags diag.List
	for _, blk := range blocks {
		for _, u := range blk.uses {
			name := u.addr.Name()
			s := first[name]
			if s == nil {
				first[name] = &seen{1, u.place}
				continue
			}
			s.n++
			u.addr.Ordinal = s.n
			diags = append(diags, diag.WarnIn(u.place, "Builds of the same name",
				"There is another build named %s, from %s:%d. This one is shown as %s. Give %s a name of its own.",
				name, s.at.Filename, s.at.Start.Line, u.addr, nameable)...)
		}
	}
	return diags
}
