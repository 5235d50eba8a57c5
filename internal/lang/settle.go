package lang

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"ingot/internal/diag"
	"ingot/internal/template"
)

// mostAtOnce is how many locals and data sources are evaluated at the same
// time. Data sources wait for the network, so the number is not that of the
// processor's cores.
const mostAtOnce = 64

// Settle evaluates every local, data source and module, each once and after
// what it refers to; those that do not depend on each other at the same time.
// The list is in the order of the template, data sources first. When ctx ends, no more
// are begun, and the list says how many are missing.
func (s *Scope) Settle(ctx context.Context) diag.List {
	var all []*promise
	for _, d := range s.template.Data {
		all = append(all, s.data[d.Type][d.Name])
	}
	for _, l := range s.template.Locals {
		all = append(all, s.locals[l.Name])
	}
	for _, m := range s.template.Modules {
		all = append(all, s.modules[m.Name])
	}
	order := ordering{scope: s, groups: map[string]*promise{}}
	for _, p := range all {
		order.visit(p, p.place)
	}
	run := schedule{ctx: ctx}
	run.evaluate(order.ready)

	diags := order.cycles
	if ctx.Err() != nil {
		if l := stopped(ctx, all); l != nil {
			return append(diags, l...)
		}
	}
	for _, p := range all {
		diags = append(diags, p.found...)
		p.found = nil
	}
	return diags
}

// stopped says what is missing because ctx has ended; nil when nothing is. What
// the readings that it ended complain about would only repeat that.
func stopped(ctx context.Context, all []*promise) diag.List {
	var missing []string
	sources, complete := 0, true
	for _, p := range all {
		isData := strings.HasPrefix(p.address, dataRoot)
		if isData {
			sources++
		}
		if p.settled.Load() && !p.found.HasErrors() {
			continue
		}
		complete = false
		if isData {
			missing = append(missing, p.address)
		}
	}
	switch {
	case complete:
		return nil
	case len(missing) == 0:
		return diag.Errorf("Stopped", "The evaluation of the template was stopped: %s.", context.Cause(ctx))
	}
	const most = 5
	names := strings.Join(missing[:min(len(missing), most)], ", ")
	if more := len(missing) - most; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return diag.Errorf("Stopped", "Reading data sources was stopped: %s. Of %d, %d %s not read: %s.",
		context.Cause(ctx), sources, len(missing), wasOrWere(len(missing)), names)
}

func wasOrWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// ordering finds what depends on what, and circles in it, before anything is
// evaluated. Its cost is the number of references.
type ordering struct {
	scope *Scope
	// groups are promises without a value for "all of a kind", by root, so
	// that many references to a whole collection cost no more than to one
	// member.
	groups map[string]*promise
	// stack is the way to the promise that is being visited.
	stack []*promise
	// ready needs nothing, in the order of the template.
	ready  []*promise
	cycles diag.List
}

// visit follows the references of p, which was referred to at ref.
func (o *ordering) visit(p *promise, ref hcl.Range) {
	if p.visit != unvisited {
		return
	}
	p.visit = visiting
	o.stack = append(o.stack, p)
	for _, tr := range p.refs {
		at := ref
		if p.address != "" {
			at = tr.SourceRange()
		}
		for _, q := range o.targets(tr) {
			o.edge(p, q, at)
		}
	}
	for _, q := range p.members {
		o.edge(p, q, ref)
	}
	o.stack = o.stack[:len(o.stack)-1]
	p.visit = visited
	if p.missing == 0 {
		o.ready = append(o.ready, p)
	}
}

// edge notes that p needs q. One that closes a circle is reported and left
// out, so that for p the value of q is unknown.
func (o *ordering) edge(p, q *promise, ref hcl.Range) {
	if q.visit == visiting {
		o.cycles = append(o.cycles, o.cycle(q, ref)...)
		return
	}
	o.visit(q, ref)
	p.missing++
	q.dependents = append(q.dependents, p)
}

// targets are the promises that a reference leads to; none for a name that
// does not exist and for what is known already.
func (o *ordering) targets(tr hcl.Traversal) []*promise {
	one := func(p *promise) []*promise {
		if p == nil {
			return nil
		}
		return []*promise{p}
	}
	s := o.scope
	first, named := stepName(tr, 1)
	switch tr.RootName() {
	case "local":
		if !named {
			return one(o.group("local", s.locals))
		}
		return one(s.locals[first])
	case "module":
		if !named {
			return one(o.group("module", s.modules))
		}
		return one(s.modules[first])
	case "data":
		if !named {
			var out []*promise
			for _, typ := range keys(s.data) {
				out = append(out, o.group(dataRoot+typ, s.data[typ]))
			}
			return out
		}
		second, named := stepName(tr, 2)
		if !named {
			return one(o.group(dataRoot+first, s.data[first]))
		}
		return one(s.data[first][second])
	}
	return nil
}

func (o *ordering) group(root string, of map[string]*promise) *promise {
	if len(of) == 0 {
		return nil
	}
	g := o.groups[root]
	if g == nil {
		g = &promise{}
		for _, name := range keys(of) {
			g.members = append(g.members, of[name])
		}
		o.groups[root] = g
	}
	return g
}

// cycle reports that what stands on the stack from p on depends on itself.
func (o *ordering) cycle(p *promise, ref hcl.Range) diag.List {
	start := len(o.stack) - 1
	for o.stack[start] != p {
		start--
	}
	var names, places []string
	count := 0
	const most = 10
	for _, q := range o.stack[start:] {
		if q.address == "" {
			continue
		}
		if count++; count <= most {
			names = append(names, q.address)
			places = append(places, fmt.Sprintf("  %s at %s:%d", q.address, q.place.Filename, q.place.Start.Line))
		}
	}
	first := names[0]
	if count > most {
		names = append(names, "...")
		places = append(places, fmt.Sprintf("  and %d more", count-most))
	}
	return diag.In(ref, "Cycle: "+strings.Join(append(names, first), " -> "),
		"%s cannot be computed because it depends on itself. Break the circle at one of these places:\n%s",
		first, strings.Join(places, "\n"))
}

// schedule evaluates promises as soon as what they need is there.
type schedule struct {
	ctx     context.Context
	wait    sync.WaitGroup
	mu      sync.Mutex
	ready   []*promise // guarded by mu
	workers int        // guarded by mu
}

// evaluate returns when all that can be reached from first is settled, or
// when the context has ended and what was begun has returned.
func (s *schedule) evaluate(first []*promise) {
	s.mu.Lock()
	s.add(first)
	s.mu.Unlock()
	s.wait.Wait()
}

// add queues promises, and begins as many workers as there is work for. The
// caller holds mu.
func (s *schedule) add(more []*promise) {
	s.ready = append(s.ready, more...)
	for n := len(s.ready); n > 0 && s.workers < mostAtOnce; n-- {
		s.workers++
		s.wait.Add(1)
		go s.work()
	}
}

func (s *schedule) work() {
	defer s.wait.Done()
	for p := s.next(); p != nil; p = s.next() {
		p.settle(s.ctx)
		s.finish(p)
	}
}

// next takes a promise off the queue; nil ends the worker.
func (s *schedule) next() *promise {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) == 0 || s.ctx.Err() != nil {
		s.workers--
		return nil
	}
	p := s.ready[0]
	s.ready = s.ready[1:]
	return p
}

func (s *schedule) finish(p *promise) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var more []*promise
	for _, q := range p.dependents {
		if q.missing--; q.missing == 0 {
			more = append(more, q)
		}
	}
	p.dependents = nil
	switch len(more) {
	case 0:
	case 1:
		// The worker itself goes on with it, or another that is free.
		s.ready = append(s.ready, more...)
	default:
		s.add(more)
	}
}

// dataRefs lists what a data block refers to.
func dataRefs(d *template.Data) []hcl.Traversal {
	refs := bodyRefs(d.Body)
	if d.ForEach != nil {
		refs = append(refs, d.ForEach.Expr.Variables()...)
	}
	return refs
}

// bodyRefs lists what the expressions in a body refer to, at any depth, in the
// order in which it is written.
func bodyRefs(body hcl.Body) []hcl.Traversal {
	var out []hcl.Traversal
	if native, ok := body.(*hclsyntax.Body); ok {
		out = nativeRefs(native, nil)
	} else {
		// In JSON a nested block looks like an argument with an object,
		// whose expression refers to all that is in it.
		attrs, _ := body.JustAttributes() // what is wrong is found when it is decoded
		for _, a := range attrs {
			out = append(out, a.Expr.Variables()...)
		}
	}
	slices.SortFunc(out, func(a, b hcl.Traversal) int {
		return cmp.Compare(a.SourceRange().Start.Byte, b.SourceRange().Start.Byte)
	})
	return out
}

func nativeRefs(body *hclsyntax.Body, out []hcl.Traversal) []hcl.Traversal {
	for _, a := range body.Attributes {
		out = append(out, a.Expr.Variables()...)
	}
	for _, b := range body.Blocks {
		out = nativeRefs(b.Body, out)
	}
	return out
}
