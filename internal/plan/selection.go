package plan

import (
	"strings"

	"github.com/gobwas/glob"

	"ingot/internal/diag"
)

// selection is -only and -except.
type selection struct {
	only, except []*pattern
	// plain are the names of the builders of a legacy template by the full
	// names of their builds; patterns are compared with both.
	plain map[string]string
	// kept counts the builds that were selected.
	kept int
}

// pattern is one glob and whether it was of any use.
type pattern struct {
	text    string
	glob    *glob.Pattern
	matched bool
}

// newSelection reads -only and -except. For a legacy template a text that is no
// pattern can still be a name.
func newSelection(only, except []string, legacy bool) (*selection, diag.List) {
	s := &selection{}
	var diags diag.List
	for _, part := range []struct {
		flag string
		args []string
		into *[]*pattern
	}{{"-only", only, &s.only}, {"-except", except, &s.except}} {
		for _, arg := range part.args {
			for _, text := range splitGlobs(arg) {
				g, err := glob.Compile(text)
				if err != nil && !legacy {
					diags = append(diags, diag.Errorf("Invalid pattern", "%s %s: %q is not a pattern: %s.", part.flag, arg, text, err)...)
					continue
				}
				*part.into = append(*part.into, &pattern{text: text, glob: g})
			}
		}
	}
	return s, diags
}

// splitGlobs cuts at commas that are not inside braces or brackets.
func splitGlobs(arg string) []string {
	var out []string
	depth, start := 0, 0
	add := func(text string) {
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, text)
		}
	}
	for i := 0; i < len(arg); i++ {
		switch arg[i] {
		case '\\':
			i++
		case '{', '[':
			depth++
		case '}', ']':
			depth = max(depth-1, 0)
		case ',':
			if depth == 0 {
				add(arg[start:i])
				start = i + 1
			}
		}
	}
	add(arg[start:])
	return out
}

// matchAny tells every pattern of the name, so that each knows whether it is
// of use.
func matchAny(patterns []*pattern, name string) bool {
	any := false
	for _, p := range patterns {
		if p.matches(name) {
			p.matched, any = true, true
		}
	}
	return any
}

func (p *pattern) matches(name string) bool {
	return p.text == name || p.glob != nil && p.glob.Match(name)
}

// alias notes what the builds of a legacy template are also called.
func (s *selection) alias(blocks []*block) {
	s.plain = map[string]string{}
	for _, blk := range blocks {
		for _, u := range blk.uses {
			if u.plain != "" {
				s.plain[u.addr.Name()] = u.plain
			}
		}
	}
}

// matches reports whether a build of this full name is meant by a pattern.
func (s *selection) matches(patterns []*pattern, name string) bool {
	any := matchAny(patterns, name)
	if plain := s.plain[name]; plain != "" {
		any = matchAny(patterns, plain) || any
	}
	return any
}

// wants reports whether a build of this full name is selected.
func (s *selection) wants(name string) bool {
	only, except := s.matches(s.only, name), s.matches(s.except, name)
	return (len(s.only) == 0 || only) && !except
}

// excludes reports whether -except names a build.
func (s *selection) excludes(name string) bool { return s.matches(s.except, name) }

// cuts reports whether -except names this post-processor.
func (s *selection) cuts(label string) bool { return matchAny(s.except, label) }

// unmatched complains about patterns that matched nothing, and about a
// selection that leaves nothing.
func (s *selection) unmatched(blocks []*block, total int) diag.List {
	var names []string
	seen := map[string]bool{}
	for _, blk := range blocks {
		for _, u := range blk.uses {
			if n := u.addr.Name(); !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	var diags diag.List
	for _, part := range []struct {
		flag     string
		patterns []*pattern
	}{{"-only", s.only}, {"-except", s.except}} {
		for _, p := range part.patterns {
			if !p.matched && total > 0 {
				diags = append(diags, diag.Warnf(part.flag+" matches nothing", "No build is named like %q.%s", p.text, diag.Suggest(p.text, "builds", names))...)
			}
		}
	}
	if total > 0 && s.kept == 0 {
		diags = append(diags, diag.Errorf("No builds to run", "-only and -except leave no build. The builds of the template are %s.", diag.Names(names))...)
	}
	return diags
}
