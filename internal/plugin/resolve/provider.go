package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plugin/store"
	"ingot/internal/template"
)

// Provider is the components of one template.
type Provider struct {
	r         *Resolver
	native    component.Provider
	preferred map[string]bool
	// used are the types of components that the template names.
	used []template.ComponentType
	// entries are the required plugins, those with the longest names first.
	entries []*entry
	// installed are the plugins that are there, by name; nil until one is looked
	// for. found are those of them that were opened.
	installed []string
	listed    bool
	found     map[string]*discovered
}

// discovered is an installed plugin that the template does not require.
type discovered struct {
	name     string
	provider component.Provider
	refused  []store.Refused
	wrong    error
}

// Builder implements component.Provider.
func (p *Provider) Builder(name string) component.Builder {
	return lookUp(p, "builder", name, component.Provider.Builder)
}

// Provisioner implements component.Provider.
func (p *Provider) Provisioner(name string) component.Provisioner {
	return lookUp(p, "provisioner", name, component.Provider.Provisioner)
}

// PostProcessor implements component.Provider.
func (p *Provider) PostProcessor(name string) component.PostProcessor {
	return lookUp(p, "post-processor", name, component.Provider.PostProcessor)
}

// DataSource implements component.Provider.
func (p *Provider) DataSource(name string) component.DataSource {
	return lookUp(p, "data source", name, component.Provider.DataSource)
}

// Close does nothing: what is open may be used by other templates. Resolver.Close
// ends it.
func (p *Provider) Close() error { return nil }

// lookUp finds a component: what is built into Packer too, what a required plugin
// has or what is built in for it, what else is built in, and what is installed.
func lookUp[C comparable](p *Provider, kind, name string, get func(component.Provider, string) C) C {
	var none C
	if p.r.in.Core(kind, name) {
		return get(p.native, name)
	}
	for _, e := range p.entries {
		if !belongs(name, e.accessor) {
			continue
		}
		if e.native != "" {
			if c := get(p.native, e.nativeType(name)); c != none {
				return c
			}
		}
		if opened := e.load(p); opened != nil {
			if c := get(opened, inner(name, e.accessor)); c != none {
				return c
			}
		}
		if e.wrong != nil || e.reported {
			return none // what is wrong must not be hidden by something else
		}
	}
	fromInstalled := func(only func(string) bool) C {
		for _, d := range p.discover(name, only) {
			if d.provider != nil {
				if c := get(d.provider, inner(name, d.name)); c != none {
					return c
				}
			}
		}
		return none
	}
	if c := fromInstalled(func(plugin string) bool { return p.preferred[plugin] }); c != none {
		return c
	}
	if c := get(p.native, name); c != none {
		return c
	}
	return fromInstalled(func(string) bool { return true })
}

// uses are the components of a plugin that the template names, each once.
func (p *Provider) uses(d store.Description, accessor string) []Component {
	has := map[string][]string{"builder": d.Builders, "provisioner": d.Provisioners, "post-processor": d.PostProcessors, "data source": d.DataSources}
	var out []Component
	for _, u := range p.used {
		c := Component{u.Kind, inner(u.Type, accessor)}
		if belongs(u.Type, accessor) && slices.Contains(has[c.Kind], c.Name) && !slices.Contains(out, c) && !p.r.in.Core(u.Kind, u.Type) {
			out = append(out, c)
		}
	}
	return out
}

// discover opens the installed plugins that a component may be part of by its type,
// those with the longest names first. For each name the highest version counts,
// wherever it came from.
func (p *Provider) discover(typ string, want func(plugin string) bool) []*discovered {
	if p.r.in.Store == nil {
		return nil
	}
	var out []*discovered
	for _, name := range p.plugins() {
		if !belongs(typ, name) || !want(name) {
			continue
		}
		d := p.found[name]
		if d == nil {
			d = &discovered{name: name}
			var f *store.Found
			f, d.refused, d.wrong = p.r.in.Store.Choose(p.r.ctx, store.Want{Name: name, ReleasesOnly: p.r.in.ReleasesOnly, Approve: p.r.approve(nil)})
			if f != nil {
				d.provider = p.r.opened(*f, p.uses(f.Description, name))
			}
			p.found[name] = d
		}
		out = append(out, d)
	}
	return out
}

// plugins are the names of the plugins that are installed, the longest first.
func (p *Provider) plugins() []string {
	if p.listed {
		return p.installed
	}
	p.listed, p.found = true, map[string]*discovered{}
	all, err := p.r.in.Store.List()
	if err != nil {
		return nil // a component that is not found says where it was looked for
	}
	for _, b := range all {
		p.installed = append(p.installed, b.Name)
	}
	p.installed = slices.Compact(p.installed)
	slices.SortStableFunc(p.installed, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return p.installed
}

// Manifest lists what is built in, by the names that the template gives it, and what
// the plugins have that were opened.
func (p *Provider) Manifest() component.Manifest {
	m := p.native.Manifest()
	out := component.Manifest{
		Builders: slices.Clone(m.Builders), Provisioners: slices.Clone(m.Provisioners),
		PostProcessors: slices.Clone(m.PostProcessors), DataSources: slices.Clone(m.DataSources),
	}
	add := func(from component.Manifest, rename func(string) string) {
		for _, pair := range []struct {
			to   *[]string
			from []string
		}{{&out.Builders, from.Builders}, {&out.Provisioners, from.Provisioners}, {&out.PostProcessors, from.PostProcessors}, {&out.DataSources, from.DataSources}} {
			for _, name := range pair.from {
				if name = rename(name); name != "" {
					*pair.to = append(*pair.to, name)
				}
			}
		}
	}
	for _, e := range p.entries {
		if e.native != "" {
			add(m, func(name string) string {
				if !belongs(name, e.native) {
					return ""
				}
				return e.accessor + strings.TrimPrefix(name, e.native)
			})
		}
		if e.provider != nil {
			add(e.provider.Manifest(), func(name string) string { return outer(name, e.accessor) })
		}
	}
	for _, d := range p.found {
		if d.provider != nil {
			add(d.provider.Manifest(), func(name string) string { return outer(name, d.name) })
		}
	}
	for _, list := range []*[]string{&out.Builders, &out.Provisioners, &out.PostProcessors, &out.DataSources} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return out
}

// Explain says why there is no component of a name, when that is because of a
// plugin.
func (p *Provider) Explain(kind, name string, at hcl.Range) (diag.List, bool) {
	for _, e := range p.entries {
		if belongs(name, e.accessor) {
			return e.explain(p.r, kind, name, at)
		}
	}
	for _, d := range p.discover(name, func(string) bool { return true }) {
		switch {
		case d.wrong != nil:
			return diag.In(at, "Plugin does not match the lock file", "The %s %q is part of the plugin %s: %s. Run \"%s\".", kind, name, d.name, d.wrong, p.r.in.InitCommand), true
		case d.provider == nil:
			return diag.In(at, "Plugin cannot be used", "The %s %q is part of the plugin %s, which is installed and cannot be used.%s", kind, name, d.name, explainRefused(d.refused)), true
		default:
			names := outerNames(d.provider, kind, d.name)
			return diag.In(at, "Unknown "+kind, "The plugin %s has no %s %q.%s", d.name, kind, name, diag.Suggest(name, kind+"s", names)), true
		}
	}
	return nil, false
}

// CheckPreferred finds names in Input.Prefer that are no plugin's: neither one that
// the template requires nor one that is installed.
func (p *Provider) CheckPreferred() diag.List {
	known := slices.Clone(p.installedNames())
	for _, e := range p.entries {
		known = append(known, e.accessor)
	}
	var diags diag.List
	for _, name := range p.r.in.Prefer {
		if !slices.Contains(known, name) {
			diags = append(diags, diag.Errorf("Unknown plugin", "%s", fmt.Sprintf("-prefer-plugin=%s: the template does not require a plugin %q, and none is installed.%s", name, name, diag.Suggest(name, "plugins", known)))...)
		}
	}
	return diags
}

func (p *Provider) installedNames() []string {
	if p.r.in.Store == nil {
		return nil
	}
	return p.plugins()
}
