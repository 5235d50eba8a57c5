package lint

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"ingot/internal/diag"
)

func templateRules() []*Rule {
	return []*Rule{
		{
			ID: "TPL101", Severity: diag.Info, Title: "Variable or local that is not used", check: unusedNames,
			Why:    "Nothing refers to it. Whoever sets it expects an effect that it does not have; often its name is misspelled where it should be used.",
			Advice: "Remove it, or use it.",
		},
		{
			ID: "TPL102", Severity: diag.Warning, Title: "Source that no build uses", check: unusedSources,
			Why:    "No build block lists the source, so that it is never built and its mistakes are never found.",
			Advice: "List it in the sources of a build, or remove it.",
		},
		{
			ID: "TPL103", Severity: diag.Warning, Title: "Breakpoint left in the template", check: leftBreakpoint,
			Why:    "A breakpoint waits for somebody to press Enter. In a pipeline nobody does: the step fails.",
			Advice: "Remove it, or set disable = true.",
		},
	}
}

var jsonReference = pattern("\\b(var|local)\\.([A-Za-z_][A-Za-z0-9_-]*)|\\b(user)\\s+\\\\?[`'\"]([^`'\"\\\\]+)")

// references are the variables and locals that the template's files refer to,
// as "var.NAME" and "local.NAME"; "var.*" when all of them are referred to at
// once.
func (p *pass) references() map[string]bool {
	out := map[string]bool{}
	for name := range p.templateFiles {
		src := p.sources[name]
		if p.isJSON(name) {
			for _, m := range jsonReference().FindAllStringSubmatch(string(src), -1) {
				if m[1] != "" {
					out[m[1]+"."+m[2]] = true
				} else {
					out["var."+m[4]] = true
				}
			}
			continue
		}
		f, _ := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
		if f == nil {
			continue
		}
		body, ok := f.Body.(*hclsyntax.Body)
		if !ok {
			continue
		}
		collectReferences(body, out)
		// Template actions in strings have variables of their own.
		for _, m := range jsonReference().FindAllStringSubmatch(string(src), -1) {
			if m[3] != "" {
				out["var."+m[4]] = true
			}
		}
	}
	return out
}

// collectReferences adds what a body refers to. The validation of a variable
// refers to the variable itself, which is no use.
func collectReferences(body *hclsyntax.Body, out map[string]bool) {
	for _, a := range body.Attributes {
		for _, tr := range a.Expr.Variables() {
			root := tr.RootName()
			if root != "var" && root != "local" {
				continue
			}
			name := "*"
			if len(tr) > 1 {
				switch step := tr[1].(type) {
				case hcl.TraverseAttr:
					name = step.Name
				case hcl.TraverseIndex:
					if text, ok := plainText(step.Key); ok {
						name = text
					}
				}
			}
			out[root+"."+name] = true
		}
	}
	for _, b := range body.Blocks {
		if b.Type != "variable" {
			collectReferences(b.Body, out)
		}
	}
}

func unusedNames(p *pass) {
	// A folder of variables alone is for other templates.
	if len(p.in.Survey.Sources)+len(p.builds) == 0 {
		return
	}
	refs := p.references()
	if !refs["var.*"] {
		for _, v := range p.in.Template.Variables {
			if !refs["var."+v.Name] {
				p.report(v.Range, "Nothing uses var.%s.", v.Name)
			}
		}
	}
	if !refs["local.*"] {
		for _, l := range p.in.Template.Locals {
			if !refs["local."+l.Name] {
				p.report(l.Range, "Nothing uses local.%s.", l.Name)
			}
		}
	}
}

func unusedSources(p *pass) {
	if len(p.builds) == 0 {
		return
	}
	for _, b := range p.builds {
		// Which sources it uses may depend on what is not known.
		if len(b.Uses) == 0 {
			return
		}
	}
	for _, m := range p.machines {
		if m.build == nil {
			p.report(m.header(), "No build uses %q.", m.source.Addr.String())
		}
	}
}

func leftBreakpoint(p *pass) {
	for s := range p.steps {
		if s.Type != "breakpoint" {
			continue
		}
		a := s.Section.Argument("disable")
		if isTrue(a) || isUnknown(a) {
			continue
		}
		p.report(s.Range, "The build stops here until Enter is pressed.")
	}
}
