package fix

import (
	"slices"
	"strings"

	"ingot/internal/legacy/jsondoc"
)

var dockerEmail = Fixer{
	Name:        "docker-email",
	Description: `Removes "login_email" from builders and post-processors; docker has no use for it.`,
	Apply: func(doc *jsondoc.Node) bool {
		return each(append(builders(doc, anyType), postProcessors(doc, anyType)...), drop("login_email"))
	},
}

var dockerTags = Fixer{
	Name:        "docker-tag-tags",
	Description: `Merges "tag" of docker-tag post-processors into the list "tags".`,
	Apply: ofPostProcessors(types("docker-tag"), func(p *jsondoc.Node) bool {
		if !p.Has("tag") {
			return false
		}
		tags, ok := tagList(p.Get("tags"))
		more, okToo := tagList(p.Get("tag"))
		if !ok || !okToo {
			return false
		}
		var merged []*jsondoc.Node
		var seen []string
		for _, t := range append(tags, more...) {
			if !slices.Contains(seen, t) {
				seen = append(seen, t)
				merged = append(merged, jsondoc.NewString(t))
			}
		}
		p.Rename("tag", "tags")
		p.Set("tags", jsondoc.NewArray(merged...))
		return true
	}),
}

// tagList reads tags from a list or from a string with commas.
func tagList(n *jsondoc.Node) (tags []string, ok bool) {
	switch {
	case n == nil:
		return nil, true
	case n.Is(jsondoc.String):
		return splitOutsideActions(n.Text), true
	case !n.Is(jsondoc.Array):
		return nil, false
	}
	for _, e := range n.Elements {
		if !e.Is(jsondoc.String) {
			return nil, false
		}
		tags = append(tags, e.Text)
	}
	return tags, true
}

// splitOutsideActions splits at commas, but not at those in {{...}}.
func splitOutsideActions(s string) []string {
	var parts []string
	start, inAction := 0, false
	for i := range len(s) {
		switch {
		case strings.HasPrefix(s[i:], "{{"):
			inAction = true
		case strings.HasPrefix(s[i:], "}}"):
			inAction = false
		case s[i] == ',' && !inAction:
			parts = append(parts, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[start:]))
}
