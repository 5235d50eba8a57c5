package host

import (
	"context"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
)

// dataSource is a data source of a plugin.
type dataSource struct{ part }

var (
	_ component.DataSource = (*dataSource)(nil)
	_ component.Loader     = (*dataSource)(nil)
)

// Result is the type that the plugin gives its result.
func (d *dataSource) Result() cty.Type {
	s, err := d.host.spec(context.Background(), d.use, nil)
	if err != nil {
		return cty.DynamicPseudoType
	}
	return s.result
}

// Read reads the data in a process of its own.
func (d *dataSource) Read(ctx context.Context, cfg cty.Value) (cty.Value, diag.List) {
	s, err := d.host.spec(ctx, d.use, nil)
	if err != nil {
		return cty.DynamicVal, diag.Errorf("The plugin failed", "%s.", err)
	}
	none := cty.UnknownVal(s.result)
	if !cfg.IsWhollyKnown() {
		return none, nil // it would read something else
	}
	var p *process.Process
	defer func() {
		if p != nil {
			_ = d.host.end(ctx, p) // Close tries again
		}
	}()
	found := d.host.check(ctx, d.use, settings{cfg: cfg}, s.schema, func(ctx context.Context, p *process.Process, list []any) error {
		return packerwire.DataSource{Caller: p.Caller()}.Configure(ctx, list)
	}, &p)
	if found.HasErrors() {
		return none, found
	}
	data, err := packerwire.DataSource{Caller: p.Caller()}.Execute(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return none, diag.Errorf("Interrupted", "%s.", context.Cause(ctx))
		}
		return none, diag.Errorf("The data could not be read", "The plugin %s: %s", d.host.plugin.Name, clean(p.Explain(err).Error()))
	}
	v, err := d.host.encoding.DecodeResult(data)
	if err == nil {
		v, err = convert.Convert(v, s.result)
	}
	if err != nil {
		return none, diag.Errorf("The data could not be read", "The plugin %s sent something else than its data source %s promises: %s.", d.host.plugin.Name, process.Shown(d.use.name), err)
	}
	return v, nil
}
