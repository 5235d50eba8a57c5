package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/plan"
)

// postProcess runs the chains and returns the artifacts that exist at the end,
// also when there is an error.
//
// Nothing is destroyed before what replaces it has been made: an input goes
// only when its consumer has succeeded, and the builder's artifact only when
// every chain has succeeded and none wants to keep it.
func (b *build) postProcess(ctx context.Context, made *component.Artifact) ([]*component.Artifact, error) {
	if made == nil || len(b.plan.Chains) == 0 {
		return compact(made), nil
	}
	var (
		errs     []error
		results  []*component.Artifact
		consumed []*component.Artifact
		keepMade = false
	)
	err := b.phase(ctx, component.PhasePostProcess, func(ctx context.Context) error {
		for _, chain := range b.plan.Chains {
			out := b.runChain(ctx, chain, made)
			results = append(results, out.left...)
			consumed = append(consumed, out.consumed...)
			keepMade = keepMade || out.keepFirst || out.err != nil
			if out.err != nil {
				errs = append(errs, out.err)
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		keepMade = true
	}
	if keepMade {
		results = append([]*component.Artifact{made}, results...)
	} else {
		consumed = append(consumed, made)
	}
	results = unique(results)
	for _, a := range consumed {
		if destroyErr := b.destroy(a, results); destroyErr != nil {
			err = errors.Join(err, destroyErr)
			results = append(results, a)
		}
	}
	return results, err
}

type chainResult struct {
	// left are the artifacts that remain, without the builder's; consumed
	// the ones to destroy.
	left, consumed []*component.Artifact
	keepFirst      bool
	err            error
}

func (b *build) runChain(ctx context.Context, chain plan.Chain, made *component.Artifact) chainResult {
	var res chainResult
	current := made
	for i, step := range chain {
		if err := context.Cause(ctx); err != nil {
			res.err = err
			break
		}
		out, keep, err := b.runPostStep(ctx, step, current)
		if err != nil {
			res.err = err
			break
		}
		switch {
		case i == 0:
			res.keepFirst = keep
		case current == made || keep:
			res.left = append(res.left, current)
		case current != out:
			res.consumed = append(res.consumed, current)
		}
		if current = out; current == nil {
			return res
		}
	}
	// After a failure, what the failed step was given is still there.
	if current != nil && current != made {
		res.left = append(res.left, current)
	} else if current == made && res.err == nil {
		res.keepFirst = true
	}
	return res
}

func (b *build) runPostStep(ctx context.Context, step *plan.PostStep, in *component.Artifact) (*component.Artifact, bool, error) {
	rt := b.inStep(step.Addr)
	begin := b.o.Clock.Now()
	rt.Emit(component.StepStarted{})
	facts := maps.Clone(b.facts)
	maps.Copy(facts, in.Data)
	if _, ok := facts["ID"]; !ok {
		facts["ID"] = cty.StringVal(in.ID)
	}
	rt.Template.Build = plan.FactTexts(facts)
	var (
		out *component.Artifact
		use component.InputUse
	)
	transform, diags := step.Bind(ctx, facts)
	err := b.refuse(rt, diags)
	if err == nil {
		out, use, err = transform.Process(ctx, rt, in)
	}
	if err == nil && out != nil && out != in {
		rt.Emit(component.ArtifactMade{Artifact: out})
	}
	rt.Emit(component.StepEnded{Duration: b.o.Clock.Now().Sub(begin), Err: err, Attempts: 1})
	if err != nil {
		return nil, true, fmt.Errorf("%s (%s line %d): %w", step.Addr, step.Range.Filename, step.Range.Start.Line, err)
	}
	keep := use != component.Consumes
	if step.KeepInput != nil && use != component.Requires {
		keep = *step.KeepInput
	}
	return out, keep, nil
}

// destroy removes an artifact that was replaced, except for what a remaining
// artifact consists of too.
func (b *build) destroy(a *component.Artifact, remaining []*component.Artifact) error {
	inUse := map[string]bool{}
	for _, r := range remaining {
		for _, res := range r.Resources {
			inUse[res.Kind+"\x00"+res.ID] = true
		}
		for _, f := range r.Files {
			inUse[component.FileKind+"\x00"+absolutePath(f.Path)] = true
		}
	}
	var errs []error
	for i := len(a.Resources) - 1; i >= 0; i-- {
		res := a.Resources[i]
		if inUse[res.Kind+"\x00"+res.ID] || holdsAny(res, remaining) {
			continue
		}
		if err := b.o.Ledger.Reap(b.o.Release, res); err != nil {
			errs = append(errs, fmt.Errorf("delete the artifact %s, which was replaced: %w", a.Summary, err))
		}
	}
	return errors.Join(errs...)
}

// holdsAny reports whether a folder holds a file of a remaining artifact.
func holdsAny(res component.Resource, remaining []*component.Artifact) bool {
	if res.Kind != component.DirKind {
		return false
	}
	for _, a := range remaining {
		for _, f := range a.Files {
			if rel, err := filepath.Rel(res.ID, absolutePath(f.Path)); err == nil && filepath.IsLocal(rel) {
				return true
			}
		}
	}
	return false
}

func compact(artifacts ...*component.Artifact) []*component.Artifact {
	var out []*component.Artifact
	for _, a := range artifacts {
		if a != nil {
			out = append(out, a)
		}
	}
	return out
}

// unique drops repetitions: a post-processor may hand on what it was given.
func unique(artifacts []*component.Artifact) []*component.Artifact {
	seen := map[*component.Artifact]bool{}
	var out []*component.Artifact
	for _, a := range artifacts {
		if !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	return out
}

func absolutePath(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}
