package legacy

import (
	"errors"
	"strings"
	"text/template/parse"
)

// Text is a string of a legacy template whose actions have been parsed. The
// functions that they call need not exist.
type Text struct {
	Source string
	// Root is the parsed text; positions in it are bytes of Source. It is
	// nil when Source has no action. Named templates that Source defines
	// are in Defined.
	Root    *parse.ListNode
	Defined []*parse.Tree
}

// ParseText parses the actions in a string. The error says what is wrong
// without repeating the string.
func ParseText(source string) (*Text, error) {
	t := &Text{Source: source}
	if !strings.Contains(source, "{{") {
		return t, nil
	}
	root := parse.New("")
	root.Mode = parse.SkipFuncCheck
	set := map[string]*parse.Tree{}
	if _, err := root.Parse(source, "", "", set); err != nil {
		why := strings.TrimPrefix(err.Error(), "template: :")
		if line, rest, ok := strings.Cut(why, ": "); ok && line == "1" {
			why = rest // the first line needs no number
		}
		return nil, errors.New(why)
	}
	t.Root = root.Root
	for name, tree := range set {
		if name != "" {
			t.Defined = append(t.Defined, tree)
		}
	}
	return t, nil
}

// HasAction reports whether anything in the text has to be rendered.
func (t *Text) HasAction() bool { return t.Root != nil }

// Call is a call of a function in a text.
type Call struct {
	// Name is the function.
	Name string
	// Args are the values of the arguments when Literal; otherwise some of
	// them are not written out as strings.
	Args    []string
	Literal bool
	// Start and End are the bytes of the call in Source, without brackets
	// around it. For a text that is piped into the function, as in
	// {{"x" | user}}, that is the whole of it.
	Start, End int
}

// Calls lists the calls of functions with one of the names, in the order of
// the text, also those inside brackets, pipelines, conditions and loops.
func (t *Text) Calls(names ...string) []Call {
	if t.Root == nil {
		return nil
	}
	f := callFinder{names: map[string]bool{}}
	for _, n := range names {
		f.names[n] = true
	}
	f.node(t.Root)
	for _, tree := range t.Defined {
		f.node(tree.Root)
	}
	return inOrder(f.calls)
}

func inOrder(calls []Call) []Call {
	// Only named templates, which are rare, come out of order.
	for i := 1; i < len(calls); i++ {
		for j := i; j > 0 && calls[j].Start < calls[j-1].Start; j-- {
			calls[j], calls[j-1] = calls[j-1], calls[j]
		}
	}
	return calls
}

// callFinder walks a parsed text.
type callFinder struct {
	names map[string]bool
	calls []Call
}

func (f *callFinder) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, e := range n.Nodes {
			f.node(e)
		}
	case *parse.ActionNode:
		f.pipe(n.Pipe)
	case *parse.IfNode:
		f.branch(&n.BranchNode)
	case *parse.RangeNode:
		f.branch(&n.BranchNode)
	case *parse.WithNode:
		f.branch(&n.BranchNode)
	case *parse.TemplateNode:
		f.pipe(n.Pipe)
	case *parse.PipeNode:
		f.pipe(n)
	case *parse.ChainNode:
		f.node(n.Node)
	}
}

func (f *callFinder) branch(n *parse.BranchNode) {
	f.pipe(n.Pipe)
	f.node(n.List)
	f.node(n.ElseList)
}

func (f *callFinder) pipe(p *parse.PipeNode) {
	if p == nil {
		return
	}
	for i, c := range p.Cmds {
		var piped parse.Node
		if i > 0 {
			piped = p.Cmds[i-1]
		}
		f.command(c, piped, i == 1)
	}
}

// command looks at one command. Piped is the command whose value is its last
// argument, and first is set when that is the start of the pipeline.
func (f *callFinder) command(c *parse.CommandNode, piped parse.Node, first bool) {
	for i, arg := range c.Args {
		id, isName := arg.(*parse.IdentifierNode)
		if !isName {
			f.node(arg)
			continue
		}
		if !f.names[id.Ident] {
			continue
		}
		call := Call{Name: id.Ident, Literal: true, Start: int(id.Pos), End: int(id.Pos) + len(id.Ident)}
		if i == 0 {
			call.arguments(c.Args[1:])
			call.pipedInto(piped, first)
		}
		f.calls = append(f.calls, call)
	}
}

// arguments adds those that follow the name.
func (c *Call) arguments(args []parse.Node) {
	for _, a := range args {
		s, ok := a.(*parse.StringNode)
		if !ok {
			c.Literal = false
			continue
		}
		c.Args = append(c.Args, s.Text)
		c.End = int(s.Pos) + len(s.Quoted)
	}
}

func (c *Call) pipedInto(piped parse.Node, first bool) {
	if piped == nil {
		return
	}
	cmd, ok := piped.(*parse.CommandNode)
	if ok && first && len(cmd.Args) == 1 {
		if s, ok := cmd.Args[0].(*parse.StringNode); ok {
			c.Args = append(c.Args, s.Text)
			c.Start = int(s.Pos)
			return
		}
	}
	c.Literal = false
}

// Part is a piece of a text: literal text, or one action.
type Part struct {
	// Text is the literal text as it is printed, after trim markers were
	// obeyed; of an action it is how the action is written, with braces.
	Text string
	// Pipe is what the action prints; nil for literal text.
	Pipe *parse.PipeNode
	// Call is set when the action is one call of a function with string
	// arguments and nothing else.
	Call *Call
}

// Constant is what the part prints when that needs nothing to be evaluated.
func (p Part) Constant() (string, bool) {
	if p.Pipe == nil {
		return p.Text, true
	}
	if len(p.Pipe.Cmds) != 1 || len(p.Pipe.Cmds[0].Args) != 1 {
		return "", false
	}
	s, ok := p.Pipe.Cmds[0].Args[0].(*parse.StringNode)
	if !ok {
		return "", false
	}
	return s.Text, true
}

// Parts cuts the text into literal text and actions. It is false when the
// text has more than that: conditions, loops, assignments, named templates.
func (t *Text) Parts() ([]Part, bool) {
	if t.Root == nil {
		return []Part{{Text: t.Source}}, true
	}
	if len(t.Defined) > 0 {
		return nil, false
	}
	var out []Part
	for _, n := range t.Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			out = append(out, Part{Text: string(n.Text)})
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 {
				return nil, false
			}
			out = append(out, Part{Text: n.String(), Pipe: n.Pipe, Call: onlyCall(n.Pipe)})
		default:
			return nil, false
		}
	}
	return out, true
}

// onlyCall is the call that makes up a pipeline, or nil.
func onlyCall(p *parse.PipeNode) *Call {
	first := p.Cmds[0].Args[0]
	if len(p.Cmds) == 2 && len(p.Cmds[0].Args) == 1 {
		first = p.Cmds[1].Args[0]
	} else if len(p.Cmds) > 1 {
		return nil
	}
	id, ok := first.(*parse.IdentifierNode)
	if !ok {
		return nil
	}
	f := callFinder{names: map[string]bool{id.Ident: true}}
	f.pipe(p)
	if len(f.calls) != 1 || !f.calls[0].Literal {
		return nil
	}
	return &f.calls[0]
}
