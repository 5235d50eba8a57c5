package gotmpl

import (
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
)

// A text that is rendered stays within these bounds, so that a loop or
// templates that use each other cannot run without end.
const (
	// maxOutput is the size of the result in bytes.
	maxOutput = 16 << 20
	// maxTurns is how often loops may go around and named templates be used.
	maxTurns = 10_000
)

// turnFunc counts a turn and prints nothing.
const turnFunc = "_turn"

// counter counts turns.
type counter struct{ turns int }

func (c *counter) turn() (string, error) {
	if c.turns++; c.turns > maxTurns {
		return "", fmt.Errorf("loops and named templates go around more than %d times", maxTurns)
	}
	return "", nil
}

// watch puts a call of the counter into every loop and every named template.
func watch(t *template.Template, text string) error {
	if !strings.Contains(text, "range") && !strings.Contains(text, "template") && !strings.Contains(text, "block") {
		return nil // it goes through once
	}
	call, err := template.New("").Funcs(template.FuncMap{turnFunc: func() string { return "" }}).Parse("{{" + turnFunc + "}}")
	if err != nil {
		return fmt.Errorf("make a counter: %w", err)
	}
	w := watcher{call.Root.Nodes[0]}
	for _, named := range t.Templates() {
		if named.Tree == nil || named.Root == nil {
			continue
		}
		w.list(named.Root)
		named.Root.Nodes = append([]parse.Node{w.call}, named.Root.Nodes...)
	}
	return nil
}

type watcher struct{ call parse.Node }

func (w watcher) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.IfNode:
			w.branch(&n.BranchNode)
		case *parse.WithNode:
			w.branch(&n.BranchNode)
		case *parse.RangeNode:
			w.branch(&n.BranchNode)
			n.List.Nodes = append([]parse.Node{w.call}, n.List.Nodes...)
		}
	}
}

func (w watcher) branch(n *parse.BranchNode) {
	w.list(n.List)
	w.list(n.ElseList)
}

// output is a builder of limited size.
type output struct{ strings.Builder }

func (o *output) Write(p []byte) (int, error) {
	if o.Len()+len(p) > maxOutput {
		return 0, fmt.Errorf("the result has more than %d MB", maxOutput>>20)
	}
	return o.Builder.Write(p)
}
