// Package diag holds what Ingot tells a user about a mistake: what is wrong,
// where it stands, which value was at fault and what to do. Functions that
// speak to users return a List beside their value, never instead of it, so
// that warnings survive.
//
// The package knows nothing of terminals beyond plain text and SGR colours;
// internal/ui decides where the text goes.
package diag

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Severity tells an error from a warning.
type Severity uint8

// The severities, worst first. An Error stops the command; a Warning does not.
// Info is advice that only commands which judge templates give.
const (
	Error Severity = iota + 1
	Warning
	Info
)

// String returns "Error", "Warning" or "Info".
func (s Severity) String() string {
	switch s {
	case Warning:
		return "Warning"
	case Info:
		return "Info"
	}
	return "Error"
}

// Value is a name from the template with what it evaluated to, shown below
// the source line.
type Value struct {
	Name string
	Text string
}

// Diagnostic is one finding.
type Diagnostic struct {
	Severity Severity
	// Summary is a few words, capitalised, without a full stop.
	Summary string
	// Detail is whole sentences: what is wrong and what to do.
	Detail string
	// Subject is the range that is underlined; nil when the finding has
	// no place in a file.
	Subject *hcl.Range
	// Context is a wider range worth showing, or nil.
	Context *hcl.Range
	// Path names the attribute inside a component's configuration. A
	// component sets it in place of Subject, since it never sees files;
	// whoever evaluated the configuration turns it into a range.
	Path cty.Path
	// Values are the operands of the expression at Subject.
	Values []Value
}

// Error returns the summary and the detail in one line, so that a Diagnostic
// can travel as an error.
func (d *Diagnostic) Error() string {
	where := ""
	if d.Subject != nil {
		where = fmt.Sprintf("%s:%d: ", d.Subject.Filename, d.Subject.Start.Line)
	}
	if d.Detail == "" {
		return where + d.Summary
	}
	return where + d.Summary + ": " + strings.ReplaceAll(d.Detail, "\n", " ")
}

// List is any number of findings, in the order in which they were made.
type List []*Diagnostic

// HasErrors reports whether l has at least one Error.
func (l List) HasErrors() bool {
	for _, d := range l {
		if d.Severity == Error {
			return true
		}
	}
	return false
}

// Errors returns the errors of l without its warnings.
func (l List) Errors() List { return l.filter(Error) }

// Warnings returns the warnings of l without its errors.
func (l List) Warnings() List { return l.filter(Warning) }

func (l List) filter(s Severity) List {
	var out List
	for _, d := range l {
		if d.Severity == s {
			out = append(out, d)
		}
	}
	return out
}

// Err returns nil when l has no error, the diagnostic itself when it has one,
// and all of them joined when it has more.
func (l List) Err() error {
	var errs []error
	for _, d := range l {
		if d.Severity == Error {
			errs = append(errs, d)
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// Errorf makes a list of one error with no place.
func Errorf(summary, detail string, args ...any) List {
	return List{{Severity: Error, Summary: summary, Detail: sprintf(detail, args)}}
}

// Warnf makes a list of one warning with no place.
func Warnf(summary, detail string, args ...any) List {
	return List{{Severity: Warning, Summary: summary, Detail: sprintf(detail, args)}}
}

// At makes a list of one error about the attribute of a component's
// configuration that the names lead to, outermost first.
func At(attribute, summary, detail string, args ...any) List {
	return List{{
		Severity: Error, Summary: summary, Detail: sprintf(detail, args),
		Path: AttrPath(attribute),
	}}
}

// WarnAt is At for a warning.
func WarnAt(attribute, summary, detail string, args ...any) List {
	l := At(attribute, summary, detail, args...)
	l[0].Severity = Warning
	return l
}

// In makes a list of one error at a range.
func In(subject hcl.Range, summary, detail string, args ...any) List {
	return List{{Severity: Error, Summary: summary, Detail: sprintf(detail, args), Subject: subject.Ptr()}}
}

// WarnIn is In for a warning.
func WarnIn(subject hcl.Range, summary, detail string, args ...any) List {
	l := In(subject, summary, detail, args...)
	l[0].Severity = Warning
	return l
}

// AttrPath turns "block.attribute" into a path.
func AttrPath(dotted string) cty.Path {
	var p cty.Path
	for _, part := range strings.Split(dotted, ".") {
		p = p.GetAttr(part)
	}
	return p
}

func sprintf(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}
