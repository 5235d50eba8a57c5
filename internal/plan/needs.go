package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/lang"
)

// graph is the builds of a template while it is found out which of them are
// planned, and which need which.
type graph struct {
	*planner
	sel *selection
	// all are in the order of the template.
	all  []*node
	byID map[addr.Build]*node
	// blocks are the builds of each named block.
	blocks map[string][]addr.Build
	diags  diag.List
}

// node is one build of the graph.
type node struct {
	block *block
	use   *use
	// index is its place in graph.all.
	index int
	// build is nil until the build has been planned.
	build *Build
	// needs are the builds whose artifacts it uses, with the place.
	needs map[addr.Build]hcl.Range
	// bad says that it cannot run.
	bad bool
}

func newGraph(p *planner, sel *selection, blocks []*block) *graph {
	g := &graph{planner: p, sel: sel, byID: map[addr.Build]*node{}, blocks: map[string][]addr.Build{}}
	for _, blk := range blocks {
		for _, u := range blk.uses {
			n := &node{block: blk, use: u, index: len(g.all)}
			g.all = append(g.all, n)
			g.byID[u.addr] = n
			if blk.name != "" {
				g.blocks[blk.name] = append(g.blocks[blk.name], u.addr)
			}
		}
	}
	return g
}

// plan plans the builds that are selected and those that they need.
func (g *graph) plan(ctx context.Context) []*Build {
	var waiting []*node
	for _, n := range g.all {
		if g.sel.wants(n.use.addr.Name()) {
			g.sel.kept++
			waiting = append(waiting, n)
		}
	}
	for len(waiting) > 0 {
		n := waiting[0]
		waiting = waiting[1:]
		if n.build == nil {
			g.planOne(ctx, n)
			waiting = append(waiting, g.needed(n)...)
		}
	}
	g.refuseCycles()
	g.dropDependents()
	var out []*Build
	for _, n := range g.all {
		if n.build != nil && !n.bad {
			out = append(out, n.build)
		}
	}
	return out
}

// planOne plans one build and notes what it needs.
func (g *graph) planOne(ctx context.Context, n *node) {
	n.needs = map[addr.Build]hcl.Range{}
	others := &lang.Artifacts{Blocks: g.blocks, Used: n.needs}
	b, diags := g.build(ctx, n.block, n.use, g.sel, others)
	g.diags = append(g.diags, diags...)
	n.build, n.bad = b, diags.HasErrors() || n.block.broken
	if len(n.needs) == 0 {
		return
	}
	b.Needs = slices.SortedFunc(maps.Keys(n.needs), func(x, y addr.Build) int { return g.byID[x].index - g.byID[y].index })
	b.Bind = g.binder(n, diags.Warnings())
}

// binder returns the function that plans the build again when the artifacts
// are there. Told are the warnings that have been given.
func (g *graph) binder(n *node, told diag.List) func(context.Context, Made) (*Build, diag.List) {
	return func(ctx context.Context, made Made) (*Build, diag.List) {
		values := make(map[addr.Build]cty.Value, len(made))
		for a, artifacts := range made {
			values[a] = lang.ArtifactValue(firstOf(artifacts))
		}
		// The planner remembers what it has looked up, and the selection
		// what it has matched.
		g.again.Lock()
		defer g.again.Unlock()
		b, diags := g.build(ctx, n.block, n.use, g.sel, &lang.Artifacts{Blocks: g.blocks, Made: values})
		b.Needs = n.build.Needs
		return b, withoutRepeated(diags, told)
	}
}

// firstOf is the first artifact that there is, or nil.
func firstOf(artifacts []*component.Artifact) *component.Artifact {
	for _, a := range artifacts {
		if a != nil {
			return a
		}
	}
	return nil
}

// needed lists the builds that n needs and that are not planned yet. It tells
// the user of those that were not selected.
func (g *graph) needed(n *node) []*node {
	var out []*node
	for _, a := range n.build.Needs {
		other := g.byID[a]
		if g.sel.wants(a.Name()) || other.build != nil {
			continue
		}
		at := n.needs[a]
		if g.sel.excludes(a.Name()) {
			n.bad = true
			g.diags = append(g.diags, diag.In(at, "Needed build left out",
				"%s uses the artifact of %s, which -except leaves out. Leave out both, or none.", n.use.addr, a)...)
			continue
		}
		g.diags = append(g.diags, diag.WarnIn(at, "Build added",
			"-only does not select %s, but %s uses its artifact. It is built as well.", a, n.use.addr)...)
		out = append(out, other)
	}
	return out
}

// refuseCycles finds builds that need themselves, directly or through others.
func (g *graph) refuseCycles() {
	w := walk{graph: g, state: map[*node]visit{}}
	for _, n := range g.all {
		w.visit(n)
	}
}

// walk goes through the graph depth first.
type walk struct {
	*graph
	state map[*node]visit
	path  []*node
}

type visit uint8

const (
	visiting visit = iota + 1
	visited
)

func (w *walk) visit(n *node) {
	switch {
	case n.build == nil || w.state[n] == visited:
		return
	case w.state[n] == visiting:
		w.cycle(w.path[slices.Index(w.path, n):])
		return
	}
	w.state[n] = visiting
	w.path = append(w.path, n)
	for _, a := range n.build.Needs {
		w.visit(w.byID[a])
	}
	w.path = w.path[:len(w.path)-1]
	w.state[n] = visited
}

// cycle reports builds of which each needs the next, and the last the first.
func (g *graph) cycle(members []*node) {
	first := members[0]
	names := make([]string, 0, len(members)+1)
	var places strings.Builder
	for i, n := range members {
		n.bad = true
		next := members[(i+1)%len(members)].use.addr
		at := n.needs[next]
		names = append(names, n.use.addr.String())
		fmt.Fprintf(&places, "\n  %s uses %s at %s:%d", n.use.addr, next, at.Filename, at.Start.Line)
	}
	at := first.needs[members[1%len(members)].use.addr]
	if len(members) == 1 {
		g.diags = append(g.diags, diag.In(at, "Cycle: a build needs itself",
			"%s uses its own artifact, which is there only when it has finished. Values of the build itself are build.NAME, such as build.ID.", first.use.addr)...)
		return
	}
	g.diags = append(g.diags, diag.In(at, "Cycle: "+strings.Join(append(names, names[0]), " -> "),
		"These builds wait for each other. Break the circle at one of these places:%s", places.String())...)
}

// dropDependents marks builds bad that need a bad one, and says so.
func (g *graph) dropDependents() {
	for changed := true; changed; {
		changed = false
		for _, n := range g.all {
			if n.build == nil || n.bad {
				continue
			}
			for _, a := range n.build.Needs {
				if !g.byID[a].bad {
					continue
				}
				n.bad, changed = true, true
				g.diags = append(g.diags, diag.In(n.needs[a], "Needed build cannot run",
					"%s uses the artifact of %s, which has mistakes.", n.use.addr, a)...)
				break
			}
		}
	}
}
