package jsondoc

import (
	"bytes"
	"encoding/json"
)

// Print writes a value as JSON with an indent of two spaces and a line end.
// The order of keys is kept, and <, > and & are not escaped.
func (n *Node) Print() []byte {
	var out bytes.Buffer
	n.print(&out, "\n")
	out.WriteByte('\n')
	return out.Bytes()
}

// print writes n; newline is a line break with the indent of the line that
// n stands in.
func (n *Node) print(out *bytes.Buffer, newline string) {
	if n == nil {
		out.WriteString("null")
		return
	}
	inner := newline + "  "
	switch n.Kind {
	case Null:
		out.WriteString("null")
	case Bool:
		if n.Bool {
			out.WriteString("true")
		} else {
			out.WriteString("false")
		}
	case Number:
		out.WriteString(n.Text)
	case String:
		quote(out, n.Text)
	case Array:
		for i, e := range n.Elements {
			separate(out, i, '[', inner)
			e.print(out, inner)
		}
		closeWith(out, len(n.Elements), "[]", newline)
	case Object:
		for i, m := range n.Members {
			separate(out, i, '{', inner)
			quote(out, m.Name)
			out.WriteString(": ")
			m.Value.print(out, inner)
		}
		closeWith(out, len(n.Members), "{}", newline)
	}
}

func separate(out *bytes.Buffer, i int, open byte, newline string) {
	if i == 0 {
		out.WriteByte(open)
	} else {
		out.WriteByte(',')
	}
	out.WriteString(newline)
}

func closeWith(out *bytes.Buffer, n int, brackets, newline string) {
	if n == 0 {
		out.WriteString(brackets)
		return
	}
	out.WriteString(newline)
	out.WriteByte(brackets[1])
}

func quote(out *bytes.Buffer, text string) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text)        // a string can always be written
	out.Truncate(out.Len() - 1) // Encode ends with a line break
}
