package upgrade

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"ingot/internal/diag"
	"ingot/internal/legacy/jsondoc"
)

// body writes the configuration of a component, or a block in it. Known are
// the shapes of its settings.
func (u *upgrader) body(w *writer, config *jsondoc.Node, known shapes, at place) {
	for _, m := range config.Members {
		s := known[m.Name]
		switch {
		case strings.HasPrefix(m.Name, "_") && m.Value.Is(jsondoc.String):
			w.comment(m.Value.Text)
		case m.Value.Is(jsondoc.Null):
		case !hclsyntax.ValidIdentifier(m.Name):
			u.report(diag.In(m.NameRange, "Cannot convert the name", "A setting in HCL has only letters, digits, _ and - in its name, which is not so for %q.", m.Name))
		case isBlock(m.Value, s):
			u.blocks(w, m, s, at)
		default:
			w.line(m.Name + " = " + u.attribute(m, s, at))
		}
	}
}

// isBlock reports whether a value is written as blocks and not as an
// attribute. Where nothing is known of a setting, objects that hold objects
// and lists of objects are.
func isBlock(n *jsondoc.Node, s shape) bool {
	switch {
	case s.kind == aBlock:
		return n.Is(jsondoc.Object) || n.Is(jsondoc.Array) && allObjects(n)
	case s.kind != unknown:
		return false
	case n.Is(jsondoc.Object):
		for _, m := range n.Members {
			if m.Value.Is(jsondoc.Object) || m.Value.Is(jsondoc.Array) && len(m.Value.Elements) > 0 && allObjects(m.Value) {
				return true
			}
		}
		return false
	}
	return n.Is(jsondoc.Array) && len(n.Elements) > 0 && allObjects(n)
}

func allObjects(list *jsondoc.Node) bool {
	for _, e := range list.Elements {
		if !e.Is(jsondoc.Object) {
			return false
		}
	}
	return true
}

func (u *upgrader) blocks(w *writer, m jsondoc.Member, s shape, at place) {
	all := m.Value.Elements
	if m.Value.Is(jsondoc.Object) {
		all = []*jsondoc.Node{m.Value}
	}
	for _, e := range all {
		w.blank()
		w.line(m.Name + " {")
		u.body(w, e, s.nested, at)
		w.end()
		w.blank()
	}
}

// attribute is the value of an attribute.
func (u *upgrader) attribute(m jsondoc.Member, s shape, at place) string {
	n := m.Value
	switch {
	case s.kind == aList && !n.Is(jsondoc.Array) && !n.Is(jsondoc.Object):
		return u.listOf(n, at)
	case n.Is(jsondoc.Number) && isDuration(m.Name):
		return duration(n)
	case n.Is(jsondoc.String):
		text := u.text(n, at)
		if lines, ok := text.heredoc(); ok {
			return lines
		}
		return text.code()
	}
	return u.value(n, at)
}

// listOf is a list that was written as one value, as in "a,b".
func (u *upgrader) listOf(n *jsondoc.Node, at place) string {
	if !n.Is(jsondoc.String) {
		return "[" + u.value(n, at) + "]"
	}
	text := u.text(n, at).join()
	switch {
	case len(text) == 0:
		return "[]"
	case !text.isLiteral():
		return `compact(split(",", ` + text.code() + `))`
	case strings.Contains(text[0].literal, "{{"):
		return "[" + text.code() + "]" // its commas may be in an action
	}
	var codes []string
	for _, part := range strings.Split(text[0].literal, ",") {
		if part != "" {
			codes = append(codes, quote(part))
		}
	}
	return "[" + strings.Join(codes, ", ") + "]"
}

// lineLength is how long a list on one line gets.
const lineLength = 80

func (u *upgrader) value(n *jsondoc.Node, at place) string {
	switch n.Kind {
	case jsondoc.Bool:
		return strconv.FormatBool(n.Bool)
	case jsondoc.Number:
		return n.Text
	case jsondoc.String:
		return u.text(n, at).code()
	case jsondoc.Array:
		return u.list(n, at)
	case jsondoc.Object:
		return u.object(n, at)
	}
	return "null"
}

func (u *upgrader) list(n *jsondoc.Node, at place) string {
	codes := make([]string, len(n.Elements))
	short := true
	for i, e := range n.Elements {
		codes[i] = u.value(e, at)
		short = short && !e.Is(jsondoc.Object)
	}
	return listCode(codes, short)
}

// listCode writes a list, on one line when it may be and is short.
func listCode(codes []string, mayBeLine bool) string {
	line := "[" + strings.Join(codes, ", ") + "]"
	if mayBeLine && len(line) <= lineLength && !strings.Contains(line, "\n") {
		return line
	}
	return "[\n" + strings.Join(codes, ",\n") + ",\n]"
}

func (u *upgrader) object(n *jsondoc.Node, at place) string {
	if len(n.Members) == 0 {
		return "{}"
	}
	var b strings.Builder
	b.WriteString("{\n")
	for _, m := range n.Members {
		b.WriteString(key(m.Name) + " = " + u.value(m.Value, at) + "\n")
	}
	return b.String() + "}"
}

// key writes the name of a member of an object.
func key(name string) string {
	switch name {
	case "for", "null", "true", "false": // these mean something else
	default:
		if hclsyntax.ValidIdentifier(name) {
			return name
		}
	}
	return quote(name)
}

// isDuration reports whether a setting is a duration, by its name. A number
// is in nanoseconds there, which HCL does not take.
func isDuration(name string) bool {
	switch name {
	case "boot_wait", "pause_before", "pause_after", "pause_before_connecting", "duration", "timeout", "ssh_timeout":
		return true
	}
	return strings.HasSuffix(name, "_timeout") || strings.HasSuffix(name, "_interval")
}

// duration writes a number of nanoseconds as a duration.
func duration(n *jsondoc.Node) string {
	ns, err := strconv.ParseFloat(n.Text, 64)
	if err != nil || math.Abs(ns) >= math.MaxInt64 {
		return n.Text
	}
	return quote(time.Duration(ns).String())
}
