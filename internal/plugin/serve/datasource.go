package serve

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plugin/wirespec"
)

// dataSource serves one of our data sources.
type dataSource struct {
	*served[cty.Value]
	c component.DataSource
}

func newDataSource(p *plugin, name string, c component.DataSource) *dataSource {
	asItIs := func(_ context.Context, cfg cty.Value) (cty.Value, diag.List) { return cfg, nil }
	return &dataSource{newServed(p, "data source", name, c.Schema(), asItIs), c}
}

// OutputSpec implements packerwire.DataSourceServer.
func (d *dataSource) OutputSpec(context.Context) ([]byte, error) {
	s, err := wirespec.SchemaOf(d.c.Result())
	if err != nil {
		return nil, err
	}
	return d.enc.EncodeSchema(s)
}

// Configure implements packerwire.DataSourceServer.
func (d *dataSource) Configure(ctx context.Context, configs []any) error {
	_, _, err := d.configure(ctx, configs)
	return err
}

// Execute implements packerwire.DataSourceServer.
func (d *dataSource) Execute(ctx context.Context) ([]byte, error) {
	s, err := d.configured()
	if err != nil {
		return nil, err
	}
	cfg, diags := d.plan(ctx, s, moment{final: true}, func(string) {})
	if err := findings(diags); err != nil {
		return nil, err
	}
	v, diags := d.c.Read(ctx, cfg)
	if err := findings(diags); err != nil {
		return nil, err
	}
	return d.enc.EncodeResult(v)
}
