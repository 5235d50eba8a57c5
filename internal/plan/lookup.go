package plan

import (
	"context"
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/lang"
)

func (p *planner) builder(ctx context.Context, name string, at hcl.Range) (*found[component.Builder], diag.List) {
	return find(ctx, p, p.builders, "builder", name, at, p.in.Provider.Builder, func(m component.Manifest) []string { return m.Builders })
}

func (p *planner) provisioner(ctx context.Context, name string, at hcl.Range) (*found[component.Provisioner], diag.List) {
	return find(ctx, p, p.provisioners, "provisioner", name, at, p.in.Provider.Provisioner, func(m component.Manifest) []string { return m.Provisioners })
}

func (p *planner) postProcessor(ctx context.Context, name string, at hcl.Range) (*found[component.PostProcessor], diag.List) {
	return find(ctx, p, p.postProcessors, "post-processor", name, at, p.in.Provider.PostProcessor, func(m component.Manifest) []string { return m.PostProcessors })
}

func (p *planner) dataSource(ctx context.Context, name string, at hcl.Range) (*found[component.DataSource], diag.List) {
	return find(ctx, p, p.dataSources, "data source", name, at, p.in.Provider.DataSource, func(m component.Manifest) []string { return m.DataSources })
}

// find looks a component up, once for each name. Data sources are looked up by
// several goroutines.
func find[C interface {
	comparable
	Schema() component.Schema
}](ctx context.Context, p *planner, known map[string]*found[C], kind, name string, at hcl.Range, get func(string) C, names func(component.Manifest) []string) (*found[C], diag.List) {
	p.lookup.Lock()
	defer p.lookup.Unlock()
	f, ok := known[name]
	if !ok {
		var none C
		if c := get(name); c != none {
			if l, ok := any(c).(component.Loader); ok {
				if err := l.Load(ctx); err != nil {
					return nil, diag.In(at, "The "+kind+" cannot be used", "%s.", err)
				}
			}
			f = &found[C]{c, lang.NewSpec(fmt.Sprintf("The %s %q", kind, name), c.Schema())}
		}
		known[name] = f
	}
	if f == nil {
		return nil, p.missing(kind, name, at, names(p.in.Provider.Manifest()))
	}
	return f, nil
}

// Explainer is implemented by a provider that can tell why it does not have a
// component. handled says that nothing is left to be said; the list may be empty when
// it has been said already.
type Explainer interface {
	Explain(kind, name string, at hcl.Range) (diags diag.List, handled bool)
}

// missing explains why there is no component of a name: it is misspelled, or
// part of a plugin.
func (p *planner) missing(kind, name string, at hcl.Range, names []string) diag.List {
	if e, ok := p.in.Provider.(Explainer); ok {
		if diags, handled := e.Explain(kind, name, at); handled {
			return diags
		}
	}
	help := diag.Suggest(name, kind+"s", names)
	if _, near := diag.Nearest(name, names); !near {
		help += " It may be part of a plugin: add that to required_plugins and run \"ingot init\"."
	}
	return diag.In(at, "Unknown "+kind, "There is no %s %q.%s", kind, name, help)
}
