package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/journal"
)

// sweep is `ingot reap -provider`.
func (a *app) sweep(ctx context.Context, f reapFlags, runs []string, out reapPrinter) error {
	s, err := a.sweeper(f.provider)
	if err != nil {
		return err
	}
	o := journal.SweepOptions{Runs: runs, DryRun: f.dryRun, Now: time.Now(), Report: out.found, Left: out.left}
	if f.olderThanSet {
		o.OlderThan = &f.olderThan
	}
	total, err := journal.Sweep(ctx, journal.FileStore{Dir: out.runsDir}, s, o)
	if err != nil && total.Failed == 0 {
		return err
	}
	out.swept(total)
	if total.Failed > 0 {
		return exitError{exitFailure} // each failure has been printed
	}
	return nil
}

// sweeper finds who can ask a provider.
func (a *app) sweeper(name string) (component.Sweeper, error) {
	var known []string
	for _, r := range a.allReapers() {
		s, ok := r.(component.Sweeper)
		if !ok {
			continue
		}
		if s.Provider() == name {
			return s, nil
		}
		known = append(known, s.Provider())
	}
	slices.Sort(known)
	text := fmt.Sprintf("-provider: %q cannot be asked what runs have made there; these can: %s", name, strings.Join(known, ", "))
	if builtins().Builder(name) != nil {
		text += fmt.Sprintf(". What the %s builder makes is on this machine: `ingot reap` without -provider removes it", name)
	} else if near, ok := diag.Nearest(name, known); ok {
		text += fmt.Sprintf(". Did you mean %q?", near)
	}
	return nil, fmt.Errorf("%s", text)
}

// name is what a person can tell a resource by.
func nameOf(f component.Found) string {
	text := f.Resource.Kind + "  " + firstOf(f.Resource.ID, f.Resource.Token)
	var of []string
	if f.Run != "" {
		of = append(of, "run "+f.Run)
	}
	if f.Build != "" {
		of = append(of, f.Build)
	}
	if len(of) > 0 {
		text += "  (" + strings.Join(of, ", ") + ")"
	}
	return text
}

func (p reapPrinter) foundLine(typ string, f component.Found) reapLine {
	l := reapLine{Type: typ, Run: f.Run, Build: f.Build, Resource: &f.Resource}
	if !f.Expires.IsZero() {
		l.Expires = &f.Expires
	}
	return l
}

// found says what a sweep has removed.
func (p reapPrinter) found(f component.Found, err error) {
	if p.flags.json {
		l := p.foundLine("resource", f)
		removed := err == nil && !p.flags.dryRun
		if l.Removed = &removed; err != nil {
			l.Error = err.Error()
		}
		p.line(l)
		return
	}
	verb := "removed"
	if p.flags.dryRun {
		verb = "would remove"
	}
	if err != nil {
		fmt.Fprintf(p.app.streams.Err, "Error: remove %s: %v\n", nameOf(f), err)
		return
	}
	fmt.Fprintf(p.app.streams.Out, "%s  %s\n", verb, nameOf(f))
}

// left says what a sweep has left alone; to people only when they want a list.
func (p reapPrinter) left(f component.Found, why string) {
	p.seen.left++
	if p.flags.json {
		l := p.foundLine("left", f)
		l.Reason = why
		p.line(l)
		return
	}
	if p.flags.dryRun {
		fmt.Fprintf(p.app.streams.Out, "would leave  %s: %s\n", nameOf(f), why)
	}
}

func (p reapPrinter) swept(t journal.Recovered) {
	if p.flags.json {
		p.line(reapLine{Type: "summary", Runs: &t.Runs, Count: &t.Removed, Failed: &t.Failed})
		return
	}
	text := fmt.Sprintf("%s: %d removed, %d failed, %d left alone.", p.flags.provider, t.Removed, t.Failed, p.seen.left)
	switch {
	case t.Removed+t.Failed+p.seen.left == 0:
		text = fmt.Sprintf("%s: nothing of any run is there.", p.flags.provider)
	case p.flags.dryRun:
		text = fmt.Sprintf("%s: %d would be removed, %d left alone.", p.flags.provider, t.Removed, p.seen.left)
	}
	fmt.Fprintln(p.app.streams.Out, text)
}
