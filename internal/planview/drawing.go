package planview

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"ingot/internal/addr"
	"ingot/internal/component"
)

// role is what a node of a drawing stands for.
type role uint8

const (
	sourceRole role = iota + 1
	stepRole
	artifactRole
	failureRole
)

// node is a box of a drawing; its label may have several lines.
type node struct {
	id    string
	role  role
	label []string
}

// edge is an arrow; those to what runs only after a failure are dotted.
type edge struct {
	from, to  string
	onFailure bool
}

// group is a build with its boxes and arrows.
type group struct {
	id, title string
	nodes     []node
	edges     []edge
	// first and artifact are the nodes that arrows between builds lead to
	// and come from.
	first, artifact string
}

func (g *group) node(n node) string {
	g.nodes = append(g.nodes, n)
	return n.id
}

// groups are the builds as boxes and arrows: the source, the provisioners in a
// row, the artifact, and from there one row for each chain.
func (v *View) groups() []group {
	out := make([]group, len(v.Builds))
	for i, b := range v.Builds {
		out[i] = b.group(fmt.Sprintf("b%d", i))
	}
	return out
}

// needs are the arrows between builds, from an artifact to what uses it.
func (v *View) needs(groups []group) []edge {
	index := make(map[addr.Build]int, len(v.Builds))
	for i, b := range v.Builds {
		index[b.Addr] = i
	}
	var out []edge
	for i, b := range v.Builds {
		for _, need := range b.Needs {
			if from, ok := index[need]; ok {
				out = append(out, edge{from: groups[from].artifact, to: groups[i].first})
			}
		}
	}
	return out
}

func (b *Build) group(id string) group {
	g := group{id: id, title: b.Addr.String()}
	g.first, g.artifact = id+"s", id+"a"
	last := g.node(node{g.first, sourceRole, []string{b.Source.String()}})
	connect := func(n node) {
		g.edges = append(g.edges, edge{from: last, to: n.id})
		last = g.node(n)
	}
	for i, s := range b.Provisioners {
		connect(node{fmt.Sprintf("%sp%d", id, i), stepRole, s.label()})
	}
	if s := b.ErrorCleanup; s != nil {
		n := node{id + "e", failureRole, s.label()}
		g.edges = append(g.edges, edge{last, g.node(n), true})
	}
	connect(node{g.artifact, artifactRole, artifactLabel(b.Creates)})
	for i, t := range b.Tests {
		connect(node{fmt.Sprintf("%st%d", id, i), stepRole, []string{"test " + t.Name}})
	}
	tested := last
	for i, chain := range b.Chains {
		last = tested
		for j, s := range chain {
			connect(node{fmt.Sprintf("%sc%d_%d", id, i, j), stepRole, s.label()})
		}
	}
	return g
}

// label is what is in the box of a step: what it is and what it makes.
func (s *Step) label() []string { return append([]string{s.Label()}, lasting(s.Creates)...) }

func artifactLabel(l []component.Creation) []string {
	if names := lasting(l); len(names) > 0 {
		return names
	}
	return []string{"no artifact"}
}

// lasting is what stays, one a line.
func lasting(l []component.Creation) []string {
	var out []string
	for _, c := range l {
		if !c.Temporary {
			out = append(out, strings.TrimSpace(c.Kind+" "+c.Name))
		}
	}
	return out
}

// WriteMermaid writes the plan as a Mermaid flowchart.
func (v *View) WriteMermaid(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "flowchart LR")
	groups := v.groups()
	for _, g := range groups {
		fmt.Fprintf(out, "  subgraph %s[\"%s\"]\n", g.id, mermaidText(g.title))
		for _, n := range g.nodes {
			opening, closing := `["`, `"]`
			switch n.role {
			case sourceRole:
				opening, closing = `[("`, `")]`
			case artifactRole:
				opening, closing = `(["`, `"])`
			case failureRole:
				opening, closing = `{{"`, `"}}`
			}
			lines := make([]string, len(n.label))
			for i, line := range n.label {
				lines[i] = mermaidText(line)
			}
			fmt.Fprintf(out, "    %s%s%s%s\n", n.id, opening, strings.Join(lines, "<br/>"), closing)
		}
		for _, e := range g.edges {
			arrow := "-->"
			if e.onFailure {
				arrow = "-.->|on failure|"
			}
			fmt.Fprintf(out, "    %s %s %s\n", e.from, arrow, e.to)
		}
		fmt.Fprintln(out, "  end")
	}
	for _, e := range v.needs(groups) {
		fmt.Fprintf(out, "  %s --> %s\n", e.from, e.to)
	}
	return out.Flush()
}

// mermaidText is a text between quotation marks. Mermaid has entities with #
// for all that has a meaning there, HTML and Markdown included.
func mermaidText(text string) string {
	var out strings.Builder
	for _, r := range printable(text) {
		if strings.ContainsRune("\"#&;<>`\\*_~[]{}()|", r) {
			fmt.Fprintf(&out, "#%d;", r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// WriteDOT writes the plan as a graph for Graphviz.
func (v *View) WriteDOT(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "digraph plan {\n  rankdir = LR;\n  node [shape = box];\n")
	groups := v.groups()
	for _, g := range groups {
		fmt.Fprintf(out, "  subgraph cluster_%s {\n    label = %s;\n", g.id, dotText(g.title))
		for _, n := range g.nodes {
			shape := ""
			switch n.role {
			case sourceRole:
				shape = ", shape = cylinder"
			case artifactRole:
				shape = ", shape = ellipse"
			case failureRole:
				shape = ", style = dashed"
			}
			fmt.Fprintf(out, "    %s [label = %s%s];\n", n.id, dotText(n.label...), shape)
		}
		for _, e := range g.edges {
			style := ""
			if e.onFailure {
				style = ` [style = dashed, label = "on failure"]`
			}
			fmt.Fprintf(out, "    %s -> %s%s;\n", e.from, e.to, style)
		}
		fmt.Fprint(out, "  }\n")
	}
	for _, e := range v.needs(groups) {
		fmt.Fprintf(out, "  %s -> %s;\n", e.from, e.to)
	}
	fmt.Fprint(out, "}\n")
	return out.Flush()
}

var dotEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// dotText is a quoted label of one or more lines. A backslash would otherwise
// be the beginning of an escape, such as \N for the name of the node.
func dotText(lines ...string) string {
	escaped := make([]string, len(lines))
	for i, line := range lines {
		escaped[i] = dotEscapes.Replace(printable(line))
	}
	return `"` + strings.Join(escaped, `\n`) + `"`
}
