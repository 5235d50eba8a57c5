package plan

import (
	"context"

	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/template"
)

// Overview is what a template declares, for showing it.
type Overview struct {
	Variables []VariableInfo
	Locals    []LocalInfo
	// Data are the data sources as "TYPE.NAME".
	Data    []string
	Modules []ModuleInfo
	Builds  []BuildInfo
}

// VariableInfo is one variable.
type VariableInfo struct {
	Name, Description string
	// Type is the declared type constraint as templates write it, empty
	// when there is none.
	Type string
	// Value is what the variable is set to; unknown when it is not set or
	// what was given is wrong. Of a sensitive variable it must not be shown.
	Value     cty.Value
	Sensitive bool
	// Required variables have no default.
	Required bool
}

// LocalInfo is one local.
type LocalInfo struct {
	Name string
	// Value is unknown where it depends on a data source, or on a mistake.
	// Of a sensitive local it must not be shown.
	Value cty.Value
	// Sensitive is also set when the value was computed from something
	// sensitive.
	Sensitive bool
}

// ModuleInfo is one module block.
type ModuleInfo struct{ Name, Source string }

// BuildInfo is one build block.
type BuildInfo struct {
	Name, Description string
	// Sources are the builds that the block makes.
	Sources      []addr.Build
	Provisioners []addr.Step
	ErrorCleanup addr.Step
	Chains       [][]addr.Step
	Tests        []TestInfo
}

// TestInfo is one test block.
type TestInfo struct {
	Name   string
	Checks []addr.Step
}

// Inspect evaluates what a template declares without planning any component.
// Data sources are read only with EvaluateData. The Overview holds what could be
// found out, also when the list has errors.
func Inspect(ctx context.Context, t *template.Template, in Inputs) (*Overview, diag.List) {
	p, diags := newPlanner(ctx, t, in)
	out := &Overview{}
	p.declared(out)
	blocks, more := p.blocks(ctx)
	diags = append(diags, more...)
	for _, blk := range blocks {
		out.Builds = append(out.Builds, blk.info())
	}
	return out, diags.Sort()
}

// declared fills in all but the builds.
func (p *planner) declared(out *Overview) {
	t := p.template
	for _, v := range t.Variables {
		info := VariableInfo{Name: v.Name, Description: v.Description, Sensitive: v.Sensitive || p.scope.IsSensitiveVariable(v.Name), Required: v.Default == nil}
		info.Value, _ = p.scope.Variable(v.Name)
		if v.Type != cty.NilType {
			info.Type = typeexpr.TypeString(v.Type)
		}
		out.Variables = append(out.Variables, info)
	}
	for _, l := range t.Locals {
		val, _ := p.scope.Local(l.Name)
		out.Locals = append(out.Locals, LocalInfo{Name: l.Name, Value: val, Sensitive: l.Sensitive || p.scope.IsSensitive(l.Name)})
	}
	for _, d := range t.Data {
		out.Data = append(out.Data, d.Type+"."+d.Name)
	}
	for _, m := range t.Modules {
		out.Modules = append(out.Modules, ModuleInfo{m.Name, m.Source})
	}
}

func (blk *block) info() BuildInfo {
	info := BuildInfo{Name: blk.name, Description: blk.description}
	for _, u := range blk.uses {
		info.Sources = append(info.Sources, u.addr)
	}
	for i, s := range blk.provisioners {
		info.Provisioners = append(info.Provisioners, s.address(0, i))
	}
	if blk.errorCleanup != nil {
		info.ErrorCleanup = blk.errorCleanup.address(0, 0)
	}
	for i, steps := range blk.chains {
		var chain []addr.Step
		for j, s := range steps {
			chain = append(chain, s.address(i, j))
		}
		info.Chains = append(info.Chains, chain)
	}
	for i, t := range blk.tests {
		test := TestInfo{Name: t.Name}
		for j, s := range t.checks {
			test.Checks = append(test.Checks, s.address(i, j))
		}
		info.Tests = append(info.Tests, test)
	}
	return info
}
