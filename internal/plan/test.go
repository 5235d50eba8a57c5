package plan

import (
	"context"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/template"
)

// test is a test block with its meta-arguments evaluated.
type test struct {
	*template.Test
	// head has only and except of the block.
	head   *step
	checks []*step
}

func (p *planner) test(ctx context.Context, v *lang.View, t *template.Test, blk *block) (*test, diag.List) {
	m := metaReader{planner: p, ctx: ctx, view: v, attrs: t.Meta}
	out := &test{Test: t, head: &step{owner: p}}
	out.head.only, out.head.except = m.names("only", blk), m.names("except", blk)
	diags := m.diags
	for _, s := range t.Checks {
		st, more := p.meta(ctx, v, s, blk)
		diags = append(diags, more...)
		diags = append(diags, neverCached(s, "a check")...)
		out.checks = append(out.checks, st)
	}
	return out, diags
}

// neverCached warns of arguments about the result of a step that is never used
// again.
func neverCached(s *template.Step, what string) diag.List {
	var diags diag.List
	for _, name := range []string{"cache", "cache_ttl"} {
		if a := s.Meta[name]; a != nil {
			diags = append(diags, diag.WarnIn(a.NameRange, "Argument without effect",
				"The result of %s is never used again: remove the argument %q.", what, name)...)
		}
	}
	return diags
}

// tests plans the tests that are left for the build.
func (b *binder) tests(ctx context.Context, sel *selection) diag.List {
	var diags diag.List
	for i, t := range b.block.tests {
		if sel.cuts(t.Name) || !t.head.runsFor(b.use) {
			continue
		}
		out := &Test{Name: t.Name, Range: t.Range}
		for j, s := range t.checks {
			if !s.runsFor(b.use) {
				continue
			}
			st, more := b.provisioner(ctx, s, s.address(i, j))
			diags = append(diags, more...)
			out.Checks = append(out.Checks, st)
		}
		if len(out.Checks) == 0 {
			continue
		}
		diags = append(diags, b.unbootable(t)...)
		b.build.Tests = append(b.build.Tests, out)
	}
	return diags
}

// unbootable refuses tests of what cannot be started.
func (b *binder) unbootable(t *test) diag.List {
	if b.build.Job == nil {
		return nil // it is wrong anyway
	}
	why := "the builder " + b.use.source.Addr.Type + " makes no machine of it"
	if job, ok := b.build.Job.(component.Bootable); ok {
		why = job.Unbootable()
	}
	if why == "" {
		return nil
	}
	return diag.In(t.Range, "Artifact cannot be tested", "The test %q has to start the artifact of %s, but %s. Restrict the test to other sources with only or except, or remove it.",
		t.Name, b.use.addr, why)
}
