package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/component"
	"ingot/internal/plugin/host"
	"ingot/internal/plugin/resolve"
	"ingot/internal/plugin/store"
	"ingot/internal/schemadoc"
	"ingot/internal/template"
)

// only is a provider with one component of another.
type only struct {
	component.Provider
	manifest component.Manifest
}

func (o only) Manifest() component.Manifest { return o.manifest }

// pluginSchema describes a component of an installed plugin; false when no plugin has
// it.
func (a *app) pluginSchema(ctx context.Context, kind schemadoc.Kind, name string) (c schemadoc.Component, found bool, err error) {
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return c, false, err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	work, stop := interruptible(ctx)
	defer stop()
	none := &template.Template{Dir: ".", Sources: map[string][]byte{}}
	open, err := a.pluginHost(host.Core{}, none, screen)
	if err != nil {
		return c, false, err
	}
	input := resolve.Input{
		Native: builtins(), Core: inPackerItself, InitCommand: "ingot init .",
		Open: func(f store.Found, _ []resolve.Component) component.Provider { return open(f) },
	}
	input.Store, input.NoStore = a.pluginStore()
	r := resolve.New(work, input)
	screen.closers = append(screen.closers, r.Close)
	p, _, _ := r.Resolve(none)
	loader, one := lookIn(p, kind, name)
	if loader == nil {
		if diags, ok := p.Explain(resolveKind(kind), name, hcl.Range{}); ok {
			return c, false, fmt.Errorf("%s", diags[0].Detail)
		}
		return c, false, nil
	}
	if err := loader.Load(work); err != nil {
		return c, false, err
	}
	c, found = schemadoc.New(one, nil).Component(kind, name)
	return c, found, nil
}

// lookIn finds a component that has to be loaded, as those of plugins have.
func lookIn(p component.Provider, kind schemadoc.Kind, name string) (component.Loader, only) {
	out := only{Provider: p}
	names := []string{name}
	var found any
	switch kind {
	case schemadoc.Builder:
		found, out.manifest.Builders = p.Builder(name), names
	case schemadoc.Provisioner:
		found, out.manifest.Provisioners = p.Provisioner(name), names
	case schemadoc.PostProcessor:
		found, out.manifest.PostProcessors = p.PostProcessor(name), names
	case schemadoc.DataSource:
		found, out.manifest.DataSources = p.DataSource(name), names
	}
	loader, _ := found.(component.Loader)
	return loader, out
}

// resolveKind is a kind in the words of package resolve.
func resolveKind(k schemadoc.Kind) string {
	if k == schemadoc.DataSource {
		return "data source"
	}
	return string(k)
}
