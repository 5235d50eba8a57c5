// Package lint finds what is valid in a template and goes wrong in production
// all the same: secrets in plain text, machines that are open to the world,
// scripts that carry on after a failed command.
//
// Rules see every component the same way, by what is written, so that they
// work for plugins that are not installed. They read the template and the
// scripts it names, and nothing else: no network, no data source.
package lint

import (
	"cmp"
	"context"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/template"
)

// Input is what is judged.
type Input struct {
	Template *template.Template
	Survey   *plan.Survey
	// BuiltIn are the components that need no plugin.
	BuiltIn component.Manifest
	// VarFiles are the files that set variables. They are not part of the
	// template: what is secret in them may well be at its right place.
	VarFiles []string
	// WorkDir is what relative paths of scripts start from; empty is the
	// process's working directory. Home is what a leading ~ stands for.
	WorkDir, Home string
}

// Options choose rules.
type Options struct {
	// Only, when not empty, are the ids of the rules to apply; Disable are
	// those to leave out.
	Only, Disable []string
	// MinSeverity is the mildest severity to report; 0 means all.
	MinSeverity diag.Severity
}

// Finding is one thing that was found.
type Finding struct {
	Rule *Rule
	// Message is one or more sentences about this place. It holds no value
	// of anything secret.
	Message string
	Range   hcl.Range
	// Suppressed says that a comment asks not to report it, for the Reason
	// given there.
	Suppressed bool
	Reason     string
}

// Result is the outcome of one run.
type Result struct {
	// Findings in the order of files and lines, those that are suppressed
	// included.
	Findings []Finding
	// Sources is the text of every file that was looked at, by the name
	// that ranges use, with every secret that was found blanked out.
	Sources map[string][]byte
	// Secrets are texts that were recognised as keys and tokens.
	Secrets []string
}

// Active returns the findings that no comment suppresses.
func (r *Result) Active() []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if !f.Suppressed {
			out = append(out, f)
		}
	}
	return out
}

// Run applies the rules. The error is the context's.
func Run(ctx context.Context, in Input, o Options) (*Result, error) {
	p := newPass(in)
	// Every rule runs whatever was chosen: those about secrets say what must
	// not be shown in the findings of others.
	for _, r := range Rules() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if r.check != nil {
			p.rule = r
			r.check(p)
		}
	}
	chosen := o.chosen()
	sup := readSuppressions(p.sources, p.isJSON)
	var out []Finding
	for _, f := range p.findings {
		if !chosen(f.Rule) {
			continue
		}
		f.Suppressed, f.Reason = sup.match(f)
		out = append(out, f)
	}
	for _, f := range sup.complaints(chosen) {
		if chosen(f.Rule) {
			out = append(out, f)
		}
	}
	out = slices.DeleteFunc(out, func(f Finding) bool { return o.milder(f.Rule) })
	slices.SortStableFunc(out, compareFindings)
	out = slices.CompactFunc(out, func(a, b Finding) bool {
		return a.Rule == b.Rule && a.Range == b.Range && a.Message == b.Message
	})
	return &Result{Findings: out, Sources: p.masked(), Secrets: p.tokens}, nil
}

// Rules are the rules that the options choose.
func (o Options) Rules() []*Rule {
	chosen := o.chosen()
	return slices.DeleteFunc(Rules(), func(r *Rule) bool { return !chosen(r) || o.milder(r) })
}

// milder reports whether findings of a rule are not to be reported for their
// severity.
func (o Options) milder(r *Rule) bool { return o.MinSeverity != 0 && r.Severity > o.MinSeverity }

func (o Options) chosen() func(*Rule) bool {
	return func(r *Rule) bool {
		return (len(o.Only) == 0 || slices.Contains(o.Only, r.ID)) && !slices.Contains(o.Disable, r.ID)
	}
}

func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(a.Range.Filename, b.Range.Filename),
		cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte),
		cmp.Compare(a.Rule.ID, b.Rule.ID),
		cmp.Compare(a.Message, b.Message),
	)
}

// Diagnostic is the finding in the form that other commands print.
func (f Finding) Diagnostic() *diag.Diagnostic {
	detail := f.Message
	if f.Rule.Advice != "" {
		detail += "\n" + f.Rule.Advice
	}
	return &diag.Diagnostic{
		Severity: f.Rule.Severity,
		Summary:  f.Rule.ID + ": " + f.Rule.Title,
		Detail:   detail + "\nMore: " + f.Rule.Document() + ", or ingot lint -explain " + f.Rule.ID,
		Subject:  f.Range.Ptr(),
	}
}
