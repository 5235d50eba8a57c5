// Package lang evaluates the expressions of a template: variables, locals and
// data sources on demand and each once, configurations of components by their
// schema. An expression is given only the values that it refers to, so that
// the cost of a template grows linearly with its size.
//
// It plans and runs nothing: package plan decides which bodies are evaluated,
// and with what in view.
package lang

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/template"
)

// Options are what a Scope needs beside the template.
type Options struct {
	// Functions may be called in every expression, DefaultFunctions in the
	// defaults of variables only.
	Functions, DefaultFunctions map[string]function.Function
	// Environ, VarFiles and Vars ("name=value") set variables, besides the
	// template's automatic var files.
	Environ, VarFiles, Vars []string
	// WarnUndeclared asks for a warning for each name in a var file that
	// the template does not declare.
	WarnUndeclared bool
	// ReadData gives the value of a data source. The View is what its body
	// is evaluated with. It is called for several at the same time.
	ReadData func(ctx context.Context, d *template.Data, v *View) (cty.Value, diag.List)
	// ReadModule gives the outputs of a module as an object. The View is what
	// its arguments are evaluated with.
	ReadModule func(ctx context.Context, m *template.Module, v *View) (cty.Value, diag.List)
	// Call is set for the template of a module: the variables have the
	// values of its arguments, and no others.
	Call *ModuleCall
	// WorkDir is path.cwd; empty is the process's working directory.
	WorkDir string
	// Home is what a leading ~ stands for in paths.
	Home string
	// CoreVersion is packer.version.
	CoreVersion string
	// Template is what actions in the variables of a legacy template see,
	// besides DefaultFunctions.
	Template gotmpl.Vars
	// Secrets is told every text that must not be printed, by several
	// goroutines.
	Secrets func(string)
}

// Scope is what a template declares, with its values. One goroutine makes it and
// calls Settle; afterwards any number may evaluate with it.
type Scope struct {
	opts      Options
	template  *template.Template
	variables map[string]*promise
	locals    map[string]*promise
	data      map[string]map[string]*promise
	modules   map[string]*promise
	secrets   *secrets
	// functions holds nothing but the functions; contexts are its children.
	functions *hcl.EvalContext
	path      cty.Value
	packer    cty.Value

	// reading bounds how many instances of data sources are read at once.
	reading chan struct{}

	full     sync.Once
	fullVars map[string]cty.Value // guarded by full
}

// promise is a value that is computed once, by Settle.
type promise struct {
	// address is how templates refer to it; empty for a group.
	address string
	place   hcl.Range
	// refs are what eval refers to, and members what a group consists of.
	refs    []hcl.Traversal
	members []*promise
	// eval is nil for a group.
	eval func(ctx context.Context) (cty.Value, diag.List)

	// value and found are there once settled is set.
	settled atomic.Bool
	value   cty.Value
	found   diag.List

	// visit belongs to the ordering; missing, the number of references that
	// are not settled, and dependents to the ordering and then, under its
	// lock, to the schedule.
	visit      visit
	missing    int
	dependents []*promise
}

type visit uint8

const (
	unvisited visit = iota
	visiting
	visited
)

// settledPromise is a promise whose value is known.
func settledPromise(address string, place hcl.Range, value cty.Value) *promise {
	p := &promise{address: address, place: place, value: value}
	p.settled.Store(true)
	return p
}

// settle computes the value. Only one goroutine may do so.
func (p *promise) settle(ctx context.Context) {
	if p.eval == nil {
		return
	}
	p.value, p.found = p.eval(ctx)
	if p.found.HasErrors() {
		// What depends on it is not complained about again.
		p.value = cty.DynamicVal
	}
	p.settled.Store(true)
}

// get returns the value. It is unknown for a promise that is part of a circle
// and has not been settled when another part needs it.
func (p *promise) get() cty.Value {
	if !p.settled.Load() {
		return cty.DynamicVal
	}
	return p.value
}

// NewScope collects the values of the variables and prepares the rest. The
// list says what is wrong with them.
func NewScope(t *template.Template, o Options) (*Scope, diag.List) {
	cwd := o.WorkDir
	if cwd == "" {
		cwd, _ = os.Getwd() // without one, path.cwd is empty
	}
	s := &Scope{
		opts: o, template: t,
		variables: make(map[string]*promise, len(t.Variables)),
		locals:    make(map[string]*promise, len(t.Locals)),
		data:      map[string]map[string]*promise{},
		modules:   make(map[string]*promise, len(t.Modules)),
		functions: &hcl.EvalContext{Functions: o.Functions},
		reading:   make(chan struct{}, mostAtOnce),
		path: cty.ObjectVal(map[string]cty.Value{
			"cwd": cty.StringVal(filepath.ToSlash(cwd)), "root": cty.StringVal(filepath.ToSlash(rootDir(t, o, cwd))),
		}),
		packer: cty.ObjectVal(map[string]cty.Value{"version": cty.StringVal(o.CoreVersion)}),
	}
	own := slices.Sorted(maps.Keys(t.Sources)) // before var files are read
	s.secrets = newSecrets(o.Secrets, func() [][]byte {
		var out [][]byte
		for _, name := range own {
			out = append(out, t.Sources[name])
		}
		return out
	})
	diags := s.setVariables()
	for _, l := range t.Locals {
		s.locals[l.Name] = &promise{address: "local." + l.Name, place: l.Range, refs: l.Expr.Variables(), eval: s.local(l)}
	}
	for _, d := range t.Data {
		if s.data[d.Type] == nil {
			s.data[d.Type] = map[string]*promise{}
		}
		s.data[d.Type][d.Name] = &promise{
			address: dataRoot + d.Type + "." + d.Name, place: d.Range, refs: dataRefs(d),
			eval: func(ctx context.Context) (cty.Value, diag.List) {
				if d.ForEach != nil {
					return s.eachData(ctx, d)
				}
				return o.ReadData(ctx, d, s.View())
			},
		}
	}
	for _, m := range t.Modules {
		s.modules[m.Name] = &promise{
			address: "module." + m.Name, place: m.Range, refs: moduleRefs(m),
			eval: func(ctx context.Context) (cty.Value, diag.List) { return o.ReadModule(ctx, m, s.View()) },
		}
	}
	return s, diags
}

// rootDir is path.root. That of a module is absolute: a path below it then
// means the same to functions, which start in the template's folder, and to
// components, which start in the working directory.
func rootDir(t *template.Template, o Options, cwd string) string {
	if o.Call == nil || filepath.IsAbs(t.Dir) {
		return t.Dir
	}
	return filepath.Join(cwd, t.Dir)
}

func (s *Scope) local(l *template.Local) func(context.Context) (cty.Value, diag.List) {
	return func(ctx context.Context) (cty.Value, diag.List) {
		val, diags := s.View().Value(ctx, l.Expr)
		if l.Sensitive {
			s.secrets.root(val)
			diags = append(diags, tooShort(val, fmt.Sprintf("local %q", l.Name), l.Range)...)
			val = val.Mark(sensitive)
		}
		return val, diags
	}
}

// Variable returns the value of a variable, without the mark of a sensitive
// one, and whether it has one.
func (s *Scope) Variable(name string) (cty.Value, bool) { return lookup(s.variables, name) }

// Local returns the value of a local after Settle.
func (s *Scope) Local(name string) (cty.Value, bool) { return lookup(s.locals, name) }

func lookup(m map[string]*promise, name string) (cty.Value, bool) {
	p := m[name]
	if p == nil || !p.settled.Load() {
		return cty.DynamicVal, false
	}
	v, _ := p.value.UnmarkDeep()
	return v, true
}

// IsSensitiveVariable reports whether the value of a variable is secret, because
// it says so or, in a legacy template, because it was computed from one that is.
func (s *Scope) IsSensitiveVariable(name string) bool {
	p := s.variables[name]
	return p != nil && p.value.ContainsMarked()
}

// IsSensitive reports whether the value of a local is secret, because it says
// so or because it was computed from something that is.
func (s *Scope) IsSensitive(local string) bool {
	p := s.locals[local]
	return p != nil && p.settled.Load() && p.value.ContainsMarked()
}
