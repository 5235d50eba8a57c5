package fix

import (
	"slices"
	"strings"

	"ingot/internal/legacy/jsondoc"
)

// A selector says whether a component is meant, by its type.
type selector func(componentType string) bool

func types(names ...string) selector {
	return func(t string) bool { return slices.Contains(names, t) }
}

func prefixed(prefix string) selector {
	return func(t string) bool { return strings.HasPrefix(t, prefix) }
}

func anyType(string) bool { return true }

// builders are the builders whose type is meant. One without a type is of the
// type "".
func builders(doc *jsondoc.Node, meant selector) []*jsondoc.Node {
	return components(elements(doc.Get("builders")), meant)
}

// postProcessors are the post-processors whose type is meant, alone and in
// chains. Those that are only a name have nothing to repair.
func postProcessors(doc *jsondoc.Node, meant selector) []*jsondoc.Node {
	var all []*jsondoc.Node
	for _, e := range elements(doc.Get("post-processors")) {
		if e.Is(jsondoc.Array) {
			all = append(all, e.Elements...)
		} else {
			all = append(all, e)
		}
	}
	return components(all, meant)
}

// provisioners are the provisioners, also the one for cleaning up, whose type
// is meant.
func provisioners(doc *jsondoc.Node, meant selector) []*jsondoc.Node {
	return components(append(elements(doc.Get("provisioners")), doc.Get("error-cleanup-provisioner")), meant)
}

// provisionerSettings are the configurations of provisioners whose type is
// meant: their own, and what override has for single builds.
func provisionerSettings(doc *jsondoc.Node, meant selector) []*jsondoc.Node {
	var out []*jsondoc.Node
	for _, p := range provisioners(doc, meant) {
		out = append(out, p)
		override := p.Get("override")
		if !override.Is(jsondoc.Object) {
			continue
		}
		for _, m := range override.Members {
			if m.Value.Is(jsondoc.Object) {
				out = append(out, m.Value)
			}
		}
	}
	return out
}

func components(all []*jsondoc.Node, meant selector) []*jsondoc.Node {
	var out []*jsondoc.Node
	for _, n := range all {
		if n.Is(jsondoc.Object) && meant(text(n.Get("type"))) {
			out = append(out, n)
		}
	}
	return out
}

// elements are those of an array, none of anything else.
func elements(n *jsondoc.Node) []*jsondoc.Node {
	if !n.Is(jsondoc.Array) {
		return nil
	}
	return slices.Clip(n.Elements) // for callers that append
}

// text is a string's text, "" for anything else.
func text(n *jsondoc.Node) string {
	if !n.Is(jsondoc.String) {
		return ""
	}
	return n.Text
}

// truth reads a bool, also one written as a string.
func truth(n *jsondoc.Node) (value, ok bool) {
	switch {
	case n.Is(jsondoc.Bool):
		return n.Bool, true
	case text(n) == "true":
		return true, true
	case text(n) == "false":
		return false, true
	}
	return false, false
}

// each applies f to all nodes and reports whether one of them changed.
func each(nodes []*jsondoc.Node, f func(*jsondoc.Node) bool) bool {
	changed := false
	for _, n := range nodes {
		if f(n) {
			changed = true
		}
	}
	return changed
}

// rename makes an edit that gives keys other names; pairs are old and new
// name in turn. When both are there the new one is right.
func rename(pairs ...string) func(*jsondoc.Node) bool {
	return func(n *jsondoc.Node) bool {
		changed := false
		for i := 0; i < len(pairs); i += 2 {
			if n.Rename(pairs[i], pairs[i+1]) {
				changed = true
			}
		}
		return changed
	}
}

// drop makes an edit that removes keys.
func drop(names ...string) func(*jsondoc.Node) bool {
	return func(n *jsondoc.Node) bool {
		changed := false
		for _, name := range names {
			if n.Delete(name) != nil {
				changed = true
			}
		}
		return changed
	}
}

// replace renames a key and gives it a value. When the new name is there
// already, its value is right and only the old one goes.
func replace(n *jsondoc.Node, from, to string, v *jsondoc.Node) {
	had := n.Has(to)
	n.Rename(from, to)
	if !had {
		n.Set(to, v)
	}
}

// ofBuilders makes the Apply of a fixer that edits builders one by one.
func ofBuilders(meant selector, edit func(*jsondoc.Node) bool) func(*jsondoc.Node) bool {
	return func(doc *jsondoc.Node) bool { return each(builders(doc, meant), edit) }
}

// ofPostProcessors is ofBuilders for post-processors.
func ofPostProcessors(meant selector, edit func(*jsondoc.Node) bool) func(*jsondoc.Node) bool {
	return func(doc *jsondoc.Node) bool { return each(postProcessors(doc, meant), edit) }
}

// ofProvisioners is ofBuilders for the settings of provisioners.
func ofProvisioners(meant selector, edit func(*jsondoc.Node) bool) func(*jsondoc.Node) bool {
	return func(doc *jsondoc.Node) bool { return each(provisionerSettings(doc, meant), edit) }
}
