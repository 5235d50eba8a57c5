package upgrade

import (
	"strconv"
	"strings"
	"text/template/parse"

	"ingot/internal/diag"
	"ingot/internal/legacy"
	"ingot/internal/legacy/jsondoc"
)

// kind is the type of an expression's value.
type kind uint8

const (
	stringKind kind = iota
	numberKind
	boolKind
)

// expr is an HCL expression.
type expr struct {
	code string
	kind kind
	// text is the value of a string that is written out, when isText.
	text   string
	isText bool
	// loose expressions have operators outside of brackets.
	loose bool
}

func textExpr(text string) expr { return expr{code: quote(text), text: text, isText: true} }

// operand is the code of e as a part of a larger expression.
func (e expr) operand() string {
	if e.loose {
		return "(" + e.code + ")"
	}
	return e.code
}

// place is where a string stands, which decides what its actions can become.
type place struct {
	in section
	// builder is the one that the string belongs to, where there is only one.
	builder *builder
	// node is the string.
	node *jsondoc.Node
	// usesFacts is set when the string came to need a value of the machine.
	usesFacts *bool
}

type section uint8

const (
	// inDefault is the default of a variable, where HCL has only env.
	inDefault section = iota
	// inLocal is a local that a variable's default became.
	inLocal
	inSource
	inStep
	// inMeta is a meta-argument of a step, where HCL knows nothing of the
	// machine or the source.
	inMeta
)

// text converts a string of the legacy template. Actions that have no
// counterpart in HCL stay in it as they are, for the component to render.
func (u *upgrader) text(n *jsondoc.Node, at place) pieces {
	source := n.Text
	at.node = n
	t, err := legacy.ParseText(source)
	if err != nil || !t.HasAction() {
		return pieces{literal(source)}
	}
	if len(t.Defined) > 0 {
		return u.kept(source, at)
	}
	before := u.conversions
	out := u.nodes(t.Root, at).join()
	if u.conversions == before {
		return pieces{literal(source)} // as it was written
	}
	return out
}

func (u *upgrader) nodes(list *parse.ListNode, at place) pieces {
	var out pieces
	if list == nil {
		return nil
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			out = append(out, literal(string(n.Text)))
		case *parse.ActionNode:
			e, ok := u.pipe(n.Pipe, at)
			switch {
			case !ok:
				out = append(out, u.kept(n.String(), at)...)
			case e.isText:
				u.conversions++
				out = append(out, literal(e.text))
			default:
				u.conversions++
				out = append(out, piece{expr: e})
			}
		case *parse.IfNode:
			out = append(out, u.condition(n, at)...)
		default:
			out = append(out, u.kept(n.String(), at)...)
		}
	}
	return out
}

// condition converts {{if}} to a conditional expression.
func (u *upgrader) condition(n *parse.IfNode, at place) pieces {
	test, ok := u.pipe(n.Pipe, at)
	if ok {
		test, ok = truth(test)
	}
	// Names that are declared in one branch are only known there.
	if !ok || strings.Contains(n.String(), ":=") || strings.Contains(n.String(), "{{break}}") || strings.Contains(n.String(), "{{continue}}") {
		return u.kept(n.String(), at)
	}
	u.conversions++
	then, otherwise := u.nodes(n.List, at), u.nodes(n.ElseList, at)
	return pieces{{expr: expr{code: test.code + " ? " + then.expr().operand() + " : " + otherwise.expr().operand(), loose: true}}}
}

// truth is what Go templates take a value for.
func truth(e expr) (expr, bool) {
	switch e.kind {
	case boolKind:
		return e, true
	case stringKind:
		return expr{code: e.operand() + ` != ""`, kind: boolKind, loose: true}, true
	}
	return e, false
}

// kept is an action, or a text with some, that stays as it is. What HCL
// templates do not have is put into it as a quoted string.
func (u *upgrader) kept(text string, at place) pieces {
	t, err := legacy.ParseText(text)
	if err != nil {
		return pieces{literal(text)}
	}
	u.keptActions = true
	var out pieces
	end := 0
	for _, c := range t.Calls("user", "template_dir", "env", "vault", "consul_key", "aws_secretsmanager", "aws_secretsmanager_raw") {
		args := make([]expr, len(c.Args))
		for i, a := range c.Args {
			args[i] = textExpr(a)
		}
		e, ok := u.call(c.Name, args, at)
		if !ok || !c.Literal || c.Start < end {
			u.report(diag.In(at.node.Range, "Cannot convert an action",
				"HCL has no %s inside of template actions, and this use of it cannot be taken out of its action. Write the action in a simpler way.", c.Name))
			return out
		}
		u.conversions++
		out = append(out, literal(text[end:c.Start]), piece{expr: expr{code: "jsonencode(" + e.code + ")"}})
		end = c.End
	}
	return append(out, literal(text[end:]))
}

// pipe converts what stands inside an action. It is false when HCL has no
// expression for it.
func (u *upgrader) pipe(p *parse.PipeNode, at place) (expr, bool) {
	if len(p.Decl) > 0 {
		return expr{}, false
	}
	var piped []expr
	for _, cmd := range p.Cmds {
		e, ok := u.command(cmd, piped, at)
		if !ok {
			return expr{}, false
		}
		piped = []expr{e}
	}
	// Text that holds actions is rendered where it arrives, so it has to
	// stay behind one.
	if len(piped) != 1 || piped[0].isText && strings.Contains(piped[0].text, "{{") {
		return expr{}, false
	}
	return piped[0], true
}

func (u *upgrader) command(cmd *parse.CommandNode, piped []expr, at place) (expr, bool) {
	id, isCall := cmd.Args[0].(*parse.IdentifierNode)
	if !isCall {
		if len(cmd.Args) > 1 || len(piped) > 0 {
			return expr{}, false
		}
		return u.operand(cmd.Args[0], at)
	}
	var args []expr
	for _, a := range cmd.Args[1:] {
		e, ok := u.operand(a, at)
		if !ok {
			return expr{}, false
		}
		args = append(args, e)
	}
	return u.call(id.Ident, append(args, piped...), at)
}

func (u *upgrader) operand(n parse.Node, at place) (expr, bool) {
	switch n := n.(type) {
	case *parse.StringNode:
		return textExpr(n.Text), !strings.Contains(n.Text, "{{")
	case *parse.NumberNode:
		return expr{code: strconv.FormatInt(n.Int64, 10), kind: numberKind}, n.IsInt
	case *parse.BoolNode:
		return expr{code: strconv.FormatBool(n.True), kind: boolKind}, true
	case *parse.IdentifierNode:
		return u.call(n.Ident, nil, at)
	case *parse.PipeNode:
		return u.pipe(n, at)
	}
	return expr{}, false
}

// call converts the call of a function. It is false when HCL has none that
// does the same.
func (u *upgrader) call(name string, args []expr, at place) (expr, bool) {
	if at.in == inDefault && name != "env" {
		u.needsLocal = true
	}
	if f := converter(name); f != nil {
		return f(u, args, at)
	}
	return none()
}

// callConverter converts a call with its arguments; it is false when HCL
// cannot express it.
type callConverter func(u *upgrader, args []expr, at place) (expr, bool)

func none() (expr, bool) { return expr{}, false }
