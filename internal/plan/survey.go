package plan

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/template"
)

// Survey is what a template says, evaluated as far as that is possible without
// knowing its components: for judging templates whose plugins are missing.
type Survey struct {
	Sources []*SurveyedSource
	Data    []*SurveyedData
	Builds  []*SurveyedBuild
}

// SurveyedSource is a source block.
type SurveyedSource struct {
	*template.Source
	Section *lang.Section
}

// SurveyedData is a data block.
type SurveyedData struct {
	*template.Data
	Section *lang.Section
}

// SurveyedBuild is a build block.
type SurveyedBuild struct {
	*template.Build
	Name         string
	Uses         []*SurveyedUse
	Provisioners []*SurveyedStep
	// ErrorCleanup is nil when there is none.
	ErrorCleanup *SurveyedStep
	// Tests are the checks of each test.
	Tests  [][]*SurveyedStep
	Chains [][]*SurveyedStep
}

// SurveyedUse is one source used by a build block.
type SurveyedUse struct {
	Addr   addr.Build
	Source *SurveyedSource
	// Extra is what the build block adds to the source, or nil.
	Extra *lang.Section

	use *use
}

// SurveyedStep is a provisioner or post-processor block.
type SurveyedStep struct {
	*template.Step
	Section *lang.Section

	step *step
}

// RunsFor reports whether only and except let the step run for a use.
func (s *SurveyedStep) RunsFor(u *SurveyedUse) bool { return s.step.runsFor(u.use) }

// NewSurvey surveys a template. No component is planned and no data source is
// read. The findings are about the inputs alone, such as a var file that
// cannot be read; mistakes in the template are left to Make, and what they
// concern is unknown or missing in the Survey.
func NewSurvey(ctx context.Context, t *template.Template, in Inputs) (*Survey, diag.List) {
	in.EvaluateData = false
	own := map[string]bool{}
	for name := range t.Sources {
		own[name] = true
	}
	p, found := newPlanner(ctx, t, in)
	var diags diag.List
	for _, d := range found {
		if d.Subject == nil || !own[d.Subject.Filename] {
			diags = append(diags, d)
		}
	}

	out := &Survey{}
	sources := map[*template.Source]*SurveyedSource{}
	for _, s := range t.SourceBlocks {
		section := p.surveyBody(ctx, "", s.Addr, lang.Body{Body: s.Body, Header: s.Range}, nil, surveyedRoots(s.ForEach))
		sourced := &SurveyedSource{s, section}
		sources[s] = sourced
		out.Sources = append(out.Sources, sourced)
	}
	for _, d := range t.Data {
		v := p.scope.View()
		v.Roots = surveyedRoots(d.ForEach)
		section := v.Section(ctx, lang.Body{Body: d.Body, Header: d.Range}, nil)
		out.Data = append(out.Data, &SurveyedData{d, section})
	}
	for _, b := range t.Builds {
		out.Builds = append(out.Builds, p.surveyInstances(ctx, b, sources))
	}
	return out, diags.Sort()
}

// surveyInstances surveys a build block once, in its first instance, with the
// sources that all instances use.
func (p *planner) surveyInstances(ctx context.Context, b *template.Build, sources map[*template.Source]*SurveyedSource) *SurveyedBuild {
	instances, _ := p.instances(ctx, b)
	if len(instances) == 0 {
		inst := instance{roots: surveyedRoots(b.ForEach)}
		if b.Matrix != nil {
			inst = inst.with("matrix", surveyedMatrix(b.Matrix), "")
		}
		instances = []instance{inst}
	}
	var out *SurveyedBuild
	for _, inst := range instances {
		blk, _ := p.block(ctx, b, inst)
		surveyed := p.surveyBuild(ctx, b, blk, sources)
		if out == nil {
			out = surveyed
			continue
		}
		out.Uses = append(out.Uses, surveyed.Uses...)
	}
	return out
}

// surveyedRoots are the names that a block with for_each has besides, with
// unknown values.
func surveyedRoots(forEach *hcl.Attribute) map[string]cty.Value {
	if forEach == nil {
		return nil
	}
	return map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.UnknownVal(cty.String), "value": cty.DynamicVal})}
}

// surveyedMatrix is a combination of a matrix with unknown values.
func surveyedMatrix(m *template.Matrix) cty.Value {
	values := map[string]cty.Value{}
	for _, a := range m.Axes {
		values[a.Name] = cty.DynamicVal
	}
	return cty.ObjectVal(values)
}

func (p *planner) surveyBuild(ctx context.Context, b *template.Build, blk *block, sources map[*template.Source]*SurveyedSource) *SurveyedBuild {
	out := &SurveyedBuild{Build: b, Name: blk.name}
	for _, u := range blk.uses {
		if src := u.source; sources[src.Source] == nil {
			// It belongs to a module.
			section := src.owner.surveyBody(ctx, "", src.Addr, lang.Body{Body: src.Body, Header: src.Range}, nil, surveyedRoots(src.ForEach))
			sources[src.Source] = &SurveyedSource{src.Source, section}
		}
		use := &SurveyedUse{Addr: u.addr, Source: sources[u.source.Source], use: u}
		if u.extra != nil {
			use.Extra = p.surveyBody(ctx, blk.name, u.addr.Source, lang.Body{Body: u.extra.Body, Header: u.extra.Range}, nil, blk.roots)
		}
		out.Uses = append(out.Uses, use)
	}
	// A step sees values of the source that it runs for. They differ only
	// where a build has several sources.
	var seen addr.Source
	if len(blk.uses) > 0 {
		seen = blk.uses[0].addr.Source
	}
	step := func(s *step) *SurveyedStep {
		roots := blk.roots
		if s.outer != nil {
			roots = nil
		}
		section := s.owner.surveyBody(ctx, blk.name, seen, lang.Body{Body: s.Body, Header: s.Range}, s.Meta, roots)
		return &SurveyedStep{Step: s.Step, Section: section, step: s}
	}
	for _, s := range blk.provisioners {
		out.Provisioners = append(out.Provisioners, step(s))
	}
	if blk.errorCleanup != nil {
		out.ErrorCleanup = step(blk.errorCleanup)
	}
	for _, t := range blk.tests {
		var checks []*SurveyedStep
		for _, s := range t.checks {
			checks = append(checks, step(s))
		}
		out.Tests = append(out.Tests, checks)
	}
	for _, steps := range blk.chains {
		var chain []*SurveyedStep
		for _, s := range steps {
			chain = append(chain, step(s))
		}
		out.Chains = append(out.Chains, chain)
	}
	return out
}

// surveyBody evaluates a body with every value of the machine unknown.
func (p *planner) surveyBody(ctx context.Context, block string, source addr.Source, b lang.Body, meta map[string]*hcl.Attribute, roots map[string]cty.Value) *lang.Section {
	v := p.scope.View()
	v.Source, v.Roots = source, roots
	v.Build = &lang.BuildData{Block: block, AnyName: true}
	return v.Section(ctx, b, meta)
}
