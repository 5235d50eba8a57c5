package lang

import (
	"bytes"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"
)

// mark is the type of the marks that this package puts on values.
type mark string

// sensitive marks what comes from a sensitive variable or local.
const sensitive = mark("sensitive")

// shortestSecret is the length below which a text is not reported as secret:
// hiding one or two characters would blank out all output and hide nothing.
const shortestSecret = 3

// secrets gathers what must not be printed.
type secrets struct {
	report func(string)
	// texts are the template's files; see derived.
	texts func() map[string][]byte

	mu    sync.Mutex
	seen  map[string]bool // guarded by mu; what was decided already
	roots []string        // guarded by mu; what was declared to be secret
}

// root reports every leaf of a value that was declared sensitive.
func (s *secrets) root(v cty.Value) {
	for _, text := range leaves(v) {
		s.mu.Lock()
		known := s.seen[text]
		s.seen[text] = true
		if !known {
			s.roots = append(s.roots, text)
		}
		s.mu.Unlock()
		if !known && s.report != nil {
			s.report(text)
		}
	}
}

// derived reports the leaves of a value that was computed from a sensitive
// one, such as its base64 form. Two kinds of text are left out because
// reporting them would only blank out harmless output: one that holds the
// secret as it is, which is hidden anyway, and one that the template itself
// spells out, such as the branches of a conditional.
func (s *secrets) derived(v cty.Value) {
	for _, text := range leaves(v) {
		s.mu.Lock()
		known := s.seen[text]
		s.seen[text] = true
		report := !known && !s.holdsRoot(text) && !s.spelledOut(text)
		s.mu.Unlock()
		if report && s.report != nil {
			s.report(text)
		}
	}
}

func (s *secrets) holdsRoot(text string) bool {
	for _, r := range s.roots {
		if strings.Contains(text, r) {
			return true
		}
	}
	return false
}

func (s *secrets) spelledOut(text string) bool {
	for _, src := range s.texts() {
		if bytes.Contains(src, []byte(text)) {
			return true
		}
	}
	return false
}

// leaves lists the texts of the strings and numbers in v that are long enough
// to be hidden. Bools are never secret by themselves.
func leaves(v cty.Value) []string {
	v, _ = v.UnmarkDeep()
	var out []string
	// Walk fails only when its callback does.
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.IsNull() || !v.IsKnown() {
			return false, nil
		}
		text := ""
		switch v.Type() {
		case cty.String:
			text = v.AsString()
		case cty.Number:
			text = v.AsBigFloat().Text('f', -1)
		}
		if len(text) >= shortestSecret {
			out = append(out, text)
		}
		return true, nil
	})
	return out
}

// tooShort reports whether v holds a text that is too short to be hidden.
func tooShort(v cty.Value) bool {
	found := false
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
			if n := len(v.AsString()); n > 0 && n < shortestSecret {
				found = true
			}
		}
		return true, nil
	})
	return found
}
