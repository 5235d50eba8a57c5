// Package addr names the things a template declares: sources, builds and the
// steps inside them. Addresses are immutable values, comparable with ==, and
// print the way users type them in -only and -except.
package addr

import (
	"fmt"
	"strconv"
	"strings"
)

// Source is one source block: its component type and its name.
type Source struct {
	Type string
	Name string
}

// String returns "type.name".
func (s Source) String() string { return s.Type + "." + s.Name }

// IsZero reports whether s names nothing.
func (s Source) IsZero() bool { return s == Source{} }

// ParseSource reads "type.name" or "source.type.name". The name may not
// contain a dot.
func ParseSource(text string) (Source, error) {
	rest := strings.TrimPrefix(text, "source.")
	typ, name, ok := strings.Cut(rest, ".")
	if !ok || typ == "" || name == "" || strings.Contains(name, ".") {
		return Source{}, fmt.Errorf("source reference %q: want \"source.TYPE.NAME\" or \"TYPE.NAME\"", text)
	}
	return Source{Type: typ, Name: name}, nil
}

// Build is one source used by one build block.
type Build struct {
	// Block is the name of the build block, empty when it has none.
	Block string
	// Source is the source's type with its name, or the local name that
	// the build gave to this use of it.
	Source Source
	// Ordinal tells apart builds whose full name is the same: 0 for the
	// first of them, then 2, 3 and so on.
	Ordinal int
	// TypeOnly says that the builder of a legacy JSON template has no name
	// of its own: its name is its type, which is shown once.
	TypeOnly bool
}

// Name returns the full name without the ordinal: "[block.]type.name". It is
// what -only and -except match and what every line of output starts with.
func (b Build) Name() string {
	if b.TypeOnly {
		return b.Source.Type
	}
	if b.Block == "" {
		return b.Source.String()
	}
	return b.Block + "." + b.Source.String()
}

// String returns Name, and "#N" behind it for a second or later build of the
// same name.
func (b Build) String() string {
	if b.Ordinal < 2 {
		return b.Name()
	}
	return b.Name() + "#" + strconv.Itoa(b.Ordinal)
}

// IsZero reports whether b names nothing, as in events that belong to the
// whole run.
func (b Build) IsZero() bool { return b == Build{} }

// StepKind says what sort of step an address names.
type StepKind uint8

// The kinds of step.
const (
	Provisioner StepKind = iota + 1
	ErrorCleanup
	PostProcessor
	// Check is a provisioner inside a test block.
	Check
)

// String returns the block name that templates use for the kind.
func (k StepKind) String() string {
	switch k {
	case Provisioner:
		return "provisioner"
	case ErrorCleanup:
		return "error-cleanup-provisioner"
	case PostProcessor:
		return "post-processor"
	case Check:
		return "check"
	}
	return "step"
}

// Step is one provisioner or post-processor of a build. The zero Step names
// no step.
type Step struct {
	Kind StepKind
	// Chain is the number of the post-processor chain or, of a check, of the
	// test, from 0; 0 for other kinds.
	Chain int
	// Index is the position among the steps of the kind (and chain), from 0.
	Index int
	Type  string
	// Name is the label the template gave to the step, often empty.
	Name string
}

// IsZero reports whether s names no step.
func (s Step) IsZero() bool { return s == Step{} }

// Label returns the step's name, or its type when it has none.
func (s Step) Label() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Type
}

// String returns a text that is unique inside a build, such as
// "provisioner[2].shell" or "post-processor[0][1].manifest".
func (s Step) String() string {
	switch {
	case s.IsZero():
		return ""
	case s.Kind == PostProcessor || s.Kind == Check:
		return fmt.Sprintf("%s[%d][%d].%s", s.Kind, s.Chain, s.Index, s.Type)
	default:
		return fmt.Sprintf("%s[%d].%s", s.Kind, s.Index, s.Type)
	}
}

// ParseStep reads what String of a step returns. The name of a step is not in
// that text.
func ParseStep(text string) (Step, error) {
	wrong := fmt.Errorf("step %q: want a text such as \"provisioner[0].shell\"", text)
	kind, rest, ok := strings.Cut(text, "[")
	var s Step
	numbers := []*int{&s.Index}
	switch kind {
	case Provisioner.String():
		s.Kind = Provisioner
	case ErrorCleanup.String():
		s.Kind = ErrorCleanup
	case PostProcessor.String():
		s.Kind, numbers = PostProcessor, []*int{&s.Chain, &s.Index}
	case Check.String():
		s.Kind, numbers = Check, []*int{&s.Chain, &s.Index}
	default:
		return Step{}, wrong
	}
	for i, to := range numbers {
		var number string
		if i > 0 {
			rest, ok = strings.CutPrefix(rest, "[")
		}
		if ok {
			number, rest, ok = strings.Cut(rest, "]")
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if !ok || err != nil {
			return Step{}, wrong
		}
		*to = int(n)
	}
	if s.Type, ok = strings.CutPrefix(rest, "."); !ok || s.Type == "" {
		return Step{}, wrong
	}
	return s, nil
}
