// Package jsondoc reads JSON text into a document that keeps what a converter
// needs and encoding/json throws away: the order of the keys, the text of
// numbers, and the place of everything.
package jsondoc

import (
	"github.com/hashicorp/hcl/v2"
)

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// String is the kind as it stands in a sentence: "an object".
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "a bool"
	case Number:
		return "a number"
	case String:
		return "a string"
	case Array:
		return "an array"
	}
	return "an object"
}

// Node is one value of a document. A node made by code has a zero Range.
type Node struct {
	Kind Kind
	// Bool is the value of a bool.
	Bool bool
	// Text is the value of a string, or a number as it was written.
	Text string
	// Elements are those of an array.
	Elements []*Node
	// Members are those of an object, in the order they were written; no
	// name occurs twice.
	Members []Member
	// Range is where the value stands.
	Range hcl.Range
}

// Member is one name of an object with its value.
type Member struct {
	Name string
	// NameRange is the place of the name with its quotes.
	NameRange hcl.Range
	Value     *Node
}

// NewString, NewNumber, NewBool, NewArray and NewObject make nodes without a
// place. The text of a number has to be JSON.
func NewString(text string) *Node { return &Node{Kind: String, Text: text} }

// NewNumber makes a number; text is how JSON writes it.
func NewNumber(text string) *Node { return &Node{Kind: Number, Text: text} }

// NewBool makes a bool.
func NewBool(v bool) *Node { return &Node{Kind: Bool, Bool: v} }

// NewArray makes an array.
func NewArray(elements ...*Node) *Node { return &Node{Kind: Array, Elements: elements} }

// NewObject makes an empty object.
func NewObject() *Node { return &Node{Kind: Object} }

// Is reports whether n is a value of the kind; nil is of no kind.
func (n *Node) Is(k Kind) bool { return n != nil && n.Kind == k }

// Get returns the value of a member of an object, nil when there is none or
// when n is not an object.
func (n *Node) Get(name string) *Node {
	if i := n.index(name); i >= 0 {
		return n.Members[i].Value
	}
	return nil
}

// Has reports whether n is an object with such a member.
func (n *Node) Has(name string) bool { return n.index(name) >= 0 }

// Set gives a member of an object a value, in its place or at the end.
func (n *Node) Set(name string, v *Node) {
	if i := n.index(name); i >= 0 {
		n.Members[i].Value = v
		return
	}
	n.Members = append(n.Members, Member{Name: name, Value: v})
}

// Delete removes a member of an object, and returns its value or nil.
func (n *Node) Delete(name string) *Node {
	i := n.index(name)
	if i < 0 {
		return nil
	}
	v := n.Members[i].Value
	n.Members = append(n.Members[:i:i], n.Members[i+1:]...)
	return v
}

// Rename gives a member another name without moving it. When there is a
// member of the new name already that one wins and the old one is removed. It
// reports whether anything changed.
func (n *Node) Rename(from, to string) bool {
	i := n.index(from)
	switch {
	case i < 0:
		return false
	case n.Has(to):
		n.Delete(from)
	default:
		n.Members[i].Name = to
	}
	return true
}

func (n *Node) index(name string) int {
	if !n.Is(Object) {
		return -1
	}
	for i := range n.Members {
		if n.Members[i].Name == name {
			return i
		}
	}
	return -1
}

// Clone copies a value with all that is in it.
func (n *Node) Clone() *Node {
	if n == nil {
		return nil
	}
	c := *n
	c.Elements, c.Members = nil, nil
	for _, e := range n.Elements {
		c.Elements = append(c.Elements, e.Clone())
	}
	for _, m := range n.Members {
		m.Value = m.Value.Clone()
		c.Members = append(c.Members, m)
	}
	return &c
}

// Walk calls f for n and everything below it, parents first.
func (n *Node) Walk(f func(*Node)) {
	if n == nil {
		return
	}
	f(n)
	for _, e := range n.Elements {
		e.Walk(f)
	}
	for _, m := range n.Members {
		m.Value.Walk(f)
	}
}
