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
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"ingot/internal/diag"
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
	// is evaluated with.
	ReadData func(ctx context.Context, d *template.Data, v *View) (cty.Value, diag.List)
	// WorkDir is path.cwd; empty is the process's working directory.
	WorkDir string
	// Home is what a leading ~ stands for in paths.
	Home string
	// CoreVersion is packer.version.
	CoreVersion string
	// Secrets is told every text that must not be printed.
	Secrets func(string)
}

// Scope is what a template declares, with its values. One goroutine makes and
// settles it; afterwards any number may evaluate with it.
type Scope struct {
	opts      Options
	template  *template.Template
	variables map[string]*promise
	locals    map[string]*promise
	data      map[string]map[string]*promise
	secrets   secrets
	// functions holds nothing but the functions; contexts are its children.
	functions *hcl.EvalContext
	path      cty.Value
	packer    cty.Value

	// stack is the promises that are being evaluated, outermost first, and
	// diags what was found so far; both are of use until Settle returns.
	stack []*promise
	diags diag.List

	full     sync.Once
	fullVars map[string]cty.Value // guarded by full
}

// promise is a value that is computed when it is first asked for.
type promise struct {
	address string
	place   hcl.Range
	eval    func(ctx context.Context) (cty.Value, diag.List)
	state   state
	value   cty.Value
}

type state uint8

const (
	pending state = iota
	running
	settled
)

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
		functions: &hcl.EvalContext{Functions: o.Functions},
		path: cty.ObjectVal(map[string]cty.Value{
			"cwd": cty.StringVal(filepath.ToSlash(cwd)), "root": cty.StringVal(filepath.ToSlash(t.Dir)),
		}),
		packer: cty.ObjectVal(map[string]cty.Value{"version": cty.StringVal(o.CoreVersion)}),
	}
	s.secrets = secrets{report: o.Secrets, seen: map[string]bool{}, texts: func() map[string][]byte { return t.Sources }}
	diags := s.setVariables()
	for _, l := range t.Locals {
		s.locals[l.Name] = &promise{address: "local." + l.Name, place: l.Range, eval: s.local(l)}
	}
	for _, d := range t.Data {
		if s.data[d.Type] == nil {
			s.data[d.Type] = map[string]*promise{}
		}
		s.data[d.Type][d.Name] = &promise{
			address: "data." + d.Type + "." + d.Name, place: d.Range,
			eval: func(ctx context.Context) (cty.Value, diag.List) { return o.ReadData(ctx, d, s.View()) },
		}
	}
	return s, diags
}

func (s *Scope) local(l *template.Local) func(context.Context) (cty.Value, diag.List) {
	return func(ctx context.Context) (cty.Value, diag.List) {
		val, diags := s.View().Value(ctx, l.Expr)
		if l.Sensitive {
			s.secrets.root(val)
			val = val.Mark(sensitive)
		}
		return val, diags
	}
}

// Settle evaluates every local and data source that has not been asked for
// yet, in the order of the template, and returns what was found.
func (s *Scope) Settle(ctx context.Context) diag.List {
	for _, d := range s.template.Data {
		s.force(ctx, s.data[d.Type][d.Name], d.Range)
	}
	for _, l := range s.template.Locals {
		s.force(ctx, s.locals[l.Name], l.Range)
	}
	out := s.diags
	s.diags = nil
	return out
}

// force returns the value of a promise. Ref is where it was asked for.
func (s *Scope) force(ctx context.Context, p *promise, ref hcl.Range) cty.Value {
	switch p.state {
	case settled:
		return p.value
	case running:
		s.diags = append(s.diags, s.cycle(p, ref)...)
		return cty.DynamicVal
	}
	p.state = running
	s.stack = append(s.stack, p)
	val, diags := p.eval(ctx)
	s.stack = s.stack[:len(s.stack)-1]
	s.diags = append(s.diags, diags...)
	if diags.HasErrors() {
		// What depends on it is not complained about again.
		val = cty.DynamicVal
	}
	p.value, p.state = val, settled
	return val
}

// cycle reports that p depends on itself.
func (s *Scope) cycle(p *promise, ref hcl.Range) diag.List {
	start := 0
	for i, q := range s.stack {
		if q == p {
			start = i
		}
	}
	members := s.stack[start:]
	var names, places []string
	for _, q := range members {
		names = append(names, q.address)
		places = append(places, fmt.Sprintf("  %s at %s:%d", q.address, q.place.Filename, q.place.Start.Line))
	}
	const most = 10
	if len(names) > most {
		names = append(append([]string(nil), names[:most]...), "...")
		places = append(places[:most:most], fmt.Sprintf("  and %d more", len(members)-most))
	}
	return diag.In(ref, "Cycle: "+strings.Join(append(names, p.address), " -> "),
		"%s cannot be computed because it depends on itself. Break the circle at one of these places:\n%s",
		p.address, strings.Join(places, "\n"))
}

// Variable returns the value of a variable, without the mark of a sensitive
// one, and whether it has one.
func (s *Scope) Variable(name string) (cty.Value, bool) { return lookup(s.variables, name) }

// Local returns the value of a local after Settle.
func (s *Scope) Local(name string) (cty.Value, bool) { return lookup(s.locals, name) }

func lookup(m map[string]*promise, name string) (cty.Value, bool) {
	p := m[name]
	if p == nil || p.state != settled {
		return cty.DynamicVal, false
	}
	v, _ := p.value.UnmarkDeep()
	return v, true
}

// IsSensitive reports whether the value of a local is secret, because it says
// so or because it was computed from something that is.
func (s *Scope) IsSensitive(local string) bool {
	p := s.locals[local]
	return p != nil && p.state == settled && p.value.ContainsMarked()
}
