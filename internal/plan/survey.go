package plan

import (
	"context"
	"slices"

	"github.com/hashicorp/hcl/v2"

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
	Chains       [][]*SurveyedStep
}

// SurveyedUse is one source used by a build block.
type SurveyedUse struct {
	Addr   addr.Build
	Source *SurveyedSource
	// Extra is what the build block adds to the source, or nil.
	Extra *lang.Section
}

// SurveyedStep is a provisioner or post-processor block.
type SurveyedStep struct {
	*template.Step
	Section *lang.Section

	only, except []string
}

// RunsFor reports whether only and except let the step run for a use.
func (s *SurveyedStep) RunsFor(u *SurveyedUse) bool {
	name := u.Addr.Source.String()
	if s.only != nil {
		return slices.Contains(s.only, name)
	}
	return !slices.Contains(s.except, name)
}

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
	sources := map[addr.Source]*SurveyedSource{}
	for _, s := range t.SourceBlocks {
		sourced := &SurveyedSource{s, p.surveyBody(ctx, "", s.Addr, lang.Body{Body: s.Body, Header: s.Range}, nil)}
		sources[s.Addr] = sourced
		out.Sources = append(out.Sources, sourced)
	}
	for _, d := range t.Data {
		section := p.scope.View().Section(ctx, lang.Body{Body: d.Body, Header: d.Range}, nil)
		out.Data = append(out.Data, &SurveyedData{d, section})
	}
	for _, b := range t.Builds {
		blk, _ := p.block(ctx, b)
		out.Builds = append(out.Builds, p.surveyBuild(ctx, b, blk, sources))
	}
	return out, diags.Sort()
}

func (p *planner) surveyBuild(ctx context.Context, b *template.Build, blk *block, sources map[addr.Source]*SurveyedSource) *SurveyedBuild {
	out := &SurveyedBuild{Build: b, Name: blk.name}
	for _, u := range blk.uses {
		use := &SurveyedUse{Addr: u.addr, Source: sources[u.source.Addr]}
		if u.extra != nil {
			use.Extra = p.surveyBody(ctx, blk.name, u.addr.Source, lang.Body{Body: u.extra.Body, Header: u.extra.Range}, nil)
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
		section := p.surveyBody(ctx, blk.name, seen, lang.Body{Body: s.Body, Header: s.Range}, s.Meta)
		return &SurveyedStep{Step: s.Step, Section: section, only: s.only, except: s.except}
	}
	for _, s := range blk.provisioners {
		out.Provisioners = append(out.Provisioners, step(s))
	}
	if blk.errorCleanup != nil {
		out.ErrorCleanup = step(blk.errorCleanup)
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
func (p *planner) surveyBody(ctx context.Context, block string, source addr.Source, b lang.Body, meta map[string]*hcl.Attribute) *lang.Section {
	v := p.scope.View()
	v.Source = source
	v.Build = &lang.BuildData{Block: block, AnyName: true}
	return v.Section(ctx, b, meta)
}
