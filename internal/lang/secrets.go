package lang

import (
	"bytes"
	"fmt"
	"index/suffixarray"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
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
	// texts are the template's own files, without var files, and index finds
	// what they spell out; it is made when it is first needed.
	texts func() [][]byte
	index func() *suffixarray.Index

	mu    sync.Mutex
	seen  map[string]bool // guarded by mu; what was decided already
	roots []string        // guarded by mu; what was declared to be secret
}

func newSecrets(report func(string), texts func() [][]byte) *secrets {
	return &secrets{
		report: report, texts: texts, seen: map[string]bool{},
		index: sync.OnceValue(func() *suffixarray.Index { return suffixarray.New(bytes.Join(texts(), []byte{0})) }),
	}
}

// root reports every leaf of a value that was declared sensitive, and the keys
// of maps in it. Keys that the template itself spells out are the names by
// which it takes values out of a map, and no secrets.
func (s *secrets) root(v cty.Value) {
	values, keys := leaves(v)
	for _, text := range values {
		s.addRoot(text)
	}
	for _, text := range keys {
		if !s.spelledOut(text) {
			s.addRoot(text)
		}
	}
}

func (s *secrets) addRoot(text string) {
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

// derived reports the leaves of a value that was computed from a sensitive
// one, such as its base64 form. Two kinds of text are left out because
// reporting them would only blank out harmless output: one that holds the
// secret as it is, which is hidden anyway, and one that the template itself
// spells out, such as the branches of a conditional.
func (s *secrets) derived(v cty.Value) {
	values, keys := leaves(v)
	for _, text := range append(values, keys...) {
		s.mu.Lock()
		known := s.seen[text]
		s.seen[text] = true
		report := !known && !s.holdsRoot(text)
		s.mu.Unlock()
		if report && s.report != nil && !s.spelledOut(text) {
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
	return len(s.index().Lookup([]byte(text), 1)) > 0
}

// leaves lists the texts of the strings and numbers in v, and the keys of the
// maps in it, that are long enough to be hidden. The names of an object's
// attributes are no keys: they belong to its type. Bools are never secret by
// themselves.
func leaves(v cty.Value) (values, keys []string) {
	v, _ = v.UnmarkDeep()
	// Walk fails only when its callback does.
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.IsNull() || !v.IsKnown() {
			return false, nil
		}
		text := ""
		switch {
		case v.Type() == cty.String:
			text = v.AsString()
		case v.Type() == cty.Number:
			text = v.AsBigFloat().Text('f', -1)
		case v.Type().IsMapType():
			for key := range v.AsValueMap() {
				if len(key) >= shortestSecret {
					keys = append(keys, key)
				}
			}
		}
		if len(text) >= shortestSecret {
			values = append(values, text)
		}
		return true, nil
	})
	slices.Sort(keys)
	return values, keys
}

// unhidden says what in a sensitive value cannot be hidden: "a text of fewer
// than 3 characters", or "true or false". It is empty when all can.
func unhidden(v cty.Value) string {
	short, bools := false, false
	v, _ = v.UnmarkDeep()
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if !v.IsKnown() || v.IsNull() {
			return false, nil
		}
		switch v.Type() {
		case cty.String:
			n := len(v.AsString())
			short = short || n > 0 && n < shortestSecret
		case cty.Number:
			short = short || len(v.AsBigFloat().Text('f', -1)) < shortestSecret
		case cty.Bool:
			bools = true
		}
		return true, nil
	})
	var what []string
	if short {
		what = append(what, fmt.Sprintf("a text of fewer than %d characters", shortestSecret))
	}
	if bools {
		what = append(what, "true or false")
	}
	return strings.Join(what, " and ")
}

// tooShort warns of what cannot be hidden in a value that was declared
// sensitive, by a name such as `variable "x"`.
func tooShort(v cty.Value, what string, at hcl.Range) diag.List {
	held := unhidden(v)
	if held == "" {
		return nil
	}
	return diag.WarnIn(at, "Secret too short to hide",
		"The sensitive %s holds %s. It cannot be hidden, since that would blank out all output.", what, held)
}
