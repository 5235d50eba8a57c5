package plan

import (
	"slices"

	"ingot/internal/diag"
)

// SelectFinished leaves in the plan the builds that are among finished, each with
// its post-processors. With globs, only the builds that match one are left; a glob
// that matches post-processors leaves these, with those before them in their
// chains, since they work on what comes from there. What matches nothing is an
// error, as is a plan that nothing is left of. Gone are the names that no build of
// the plan has.
func SelectFinished(p *Plan, finished, globs []string) (gone []string, diags diag.List) {
	var builds []*Build
	for _, name := range finished {
		i := slices.IndexFunc(p.Builds, func(b *Build) bool { return b.Addr.String() == name })
		if i < 0 {
			gone = append(gone, name)
			continue
		}
		builds = append(builds, p.Builds[i])
	}
	if len(builds) == 0 {
		return gone, diag.Errorf("Nothing to process", "The template has none of the builds of the run: %s.", diag.Names(finished))
	}
	sel, diags := newSelection(globs, nil, false)
	if diags.HasErrors() {
		return gone, diags
	}
	p.Builds, diags = sel.finished(builds)
	return gone, diags
}

// finished applies -only to builds that are finished.
func (s *selection) finished(builds []*Build) ([]*Build, diag.List) {
	var forBuilds, forSteps []*pattern
	var names, labels []string
	for _, pat := range s.only {
		for _, b := range builds {
			if pat.matches(b.Addr.Name()) || pat.matches(b.Addr.String()) {
				pat.matched = true
			}
		}
		if pat.matched {
			forBuilds = append(forBuilds, pat)
		} else {
			forSteps = append(forSteps, pat)
		}
	}
	var left []*Build
	var without []string
	for _, b := range builds {
		names = append(names, b.Addr.String())
		if len(forBuilds) > 0 && !matchAny(forBuilds, b.Addr.Name()) && !matchAny(forBuilds, b.Addr.String()) {
			continue
		}
		cut := *b
		cut.Chains = nil
		for _, chain := range b.Chains {
			upTo := -1
			for i, step := range chain {
				labels = append(labels, step.Addr.Label(), step.Addr.Type)
				if matchAny(forSteps, step.Addr.Label()) || matchAny(forSteps, step.Addr.Type) {
					upTo = i
				}
			}
			if len(forSteps) == 0 {
				upTo = len(chain) - 1
			}
			if upTo >= 0 {
				cut.Chains = append(cut.Chains, chain[:upTo+1])
			}
		}
		if len(cut.Chains) == 0 {
			without = append(without, b.Addr.String())
			continue
		}
		left = append(left, &cut)
	}
	var diags diag.List
	for _, pat := range s.only {
		if !pat.matched {
			diags = append(diags, diag.Errorf("-only matches nothing", "Neither a build of the run nor a post-processor is named like %q. The builds are %s.%s",
				pat.text, diag.Names(names), diag.Suggest(pat.text, "post-processors", unrepeated(labels)))...)
		}
	}
	if len(left) == 0 && !diags.HasErrors() {
		diags = diag.Errorf("Nothing to process", "The template has no post-processors for %s.", diag.Names(without))
	}
	return left, diags
}

func unrepeated(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}
