package lint

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/diag"
)

func pluginRules() []*Rule {
	return []*Rule{
		{
			ID: "PLG101", Severity: diag.Warning, Title: "Plugin that is not required", check: missingPlugin,
			Why:    "The component belongs to a plugin that required_plugins does not list. init does not install it, and which version runs depends on what each machine happens to have.",
			Advice: "Add the plugin to required_plugins, with a version.",
		},
		{
			ID: "PLG102", Severity: diag.Warning, Title: "Plugin without an upper version", check: openVersion,
			Why:    "The constraint takes every later version. A plugin's release that breaks something reaches all builds the same night.",
			Advice: "Use ~>, as in version = \"~> 1.3\", or name one version.",
		},
		{
			ID: "PLG103", Severity: diag.Info, Title: "Plugin that is not used", check: unusedPlugin,
			Why:    "No component of the template belongs to the plugin. It is downloaded and trusted for nothing.",
			Advice: "Remove it from required_plugins.",
		},
	}
}

// usedType is the type of one component.
type usedType struct {
	kind, typ string
	at        hcl.Range
}

// usedTypes are the types of all components of the template.
func (p *pass) usedTypes() []usedType {
	var out []usedType
	for _, s := range p.in.Survey.Sources {
		out = append(out, usedType{"builder", s.Addr.Type, s.TypeRange})
	}
	for _, d := range p.in.Survey.Data {
		out = append(out, usedType{"data source", d.Type, d.TypeRange})
	}
	for _, b := range p.builds {
		for _, s := range b.steps {
			out = append(out, usedType{"provisioner", s.Type, s.TypeRange})
		}
		for _, s := range b.posts {
			out = append(out, usedType{"post-processor", s.Type, s.TypeRange})
		}
	}
	return out
}

// inCore are components of Packer itself, which no plugin brings.
func inCore(kind, typ string) bool {
	switch kind {
	case "builder":
		return slices.Contains([]string{"file", "null"}, typ)
	case "provisioner":
		return slices.Contains([]string{"breakpoint", "file", "hcp-sbom", "powershell", "shell", "shell-local", "sleep", "windows-restart", "windows-shell"}, typ)
	case "post-processor":
		return slices.Contains([]string{"artifice", "checksum", "compress", "manifest", "provenance", "shell-local"}, typ)
	}
	return slices.Contains([]string{"http", "null", "hcp-packer-version", "hcp-packer-artifact", "hcp-packer-iteration", "hcp-packer-image"}, typ)
}

func (p *pass) builtIn(kind, typ string) bool {
	m := p.in.BuiltIn
	names := map[string][]string{"builder": m.Builders, "provisioner": m.Provisioners, "post-processor": m.PostProcessors, "data source": m.DataSources}
	return slices.Contains(names[kind], typ)
}

func belongsTo(typ, accessor string) bool {
	return typ == accessor || strings.HasPrefix(typ, accessor+"-")
}

func missingPlugin(p *pass) {
	if p.in.Template.Legacy != nil {
		return // there is no place to list them
	}
	reported := map[string]bool{}
	for _, u := range p.usedTypes() {
		kind, typ := u.kind, u.typ
		known := inCore(kind, typ) || p.builtIn(kind, typ) || reported[typ]
		for _, r := range p.in.Template.RequiredPlugins {
			known = known || belongsTo(typ, r.Accessor)
		}
		if !known {
			reported[typ] = true
			p.report(u.at, "The %s %q is part of a plugin that is not listed.", kind, typ)
		}
	}
}

func openVersion(p *pass) {
	for _, r := range p.in.Template.RequiredPlugins {
		bounded := false
		for _, c := range r.Version {
			op := strings.Trim(c.String(), " .0123456789")
			bounded = bounded || op == "" || op == "=" || op == "~>" || op == "<" || op == "<="
		}
		if !bounded {
			p.report(r.Range, "%q takes every later version of %s.", r.Version.String(), r.Accessor)
		}
	}
}

func unusedPlugin(p *pass) {
	for _, r := range p.in.Template.RequiredPlugins {
		used := len(p.in.Survey.Sources)+len(p.in.Survey.Data)+len(p.builds) == 0
		for _, u := range p.usedTypes() {
			used = used || belongsTo(u.typ, r.Accessor)
		}
		if !used {
			p.report(r.Range, "Nothing here belongs to the plugin %s.", r.Accessor)
		}
	}
}
