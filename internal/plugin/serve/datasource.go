package serve

import (
	"context"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/plugin/wirespec"
)

// dataSource serves one of our data sources.
type dataSource struct {
	*plugin
	name string
	c    component.DataSource

	mu         sync.Mutex
	settings   settings // guarded by mu; of the last Configure
	configured bool
}

func (d *dataSource) what() string { return `The data source "` + d.name + `"` }

// ConfigSpec implements packerwire.DataSourceServer.
func (d *dataSource) ConfigSpec(context.Context) ([]byte, error) { return d.configSpec(d.c.Schema()) }

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
	s, err := readConfigs(configs)
	if err != nil {
		return err
	}
	if _, err := d.config(ctx, s, moment{}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settings, d.configured = s, true
	return nil
}

func (d *dataSource) config(ctx context.Context, s settings, at moment) (cty.Value, error) {
	cfg, diags := d.evaluate(ctx, d.what(), d.c.Schema(), s, at, func(string) {})
	return cfg, findings(diags)
}

// Execute implements packerwire.DataSourceServer.
func (d *dataSource) Execute(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	s, configured := d.settings, d.configured
	d.mu.Unlock()
	if !configured {
		return nil, errUnprepared
	}
	cfg, err := d.config(ctx, s, moment{final: true})
	if err != nil {
		return nil, err
	}
	v, diags := d.c.Read(ctx, cfg)
	if err := findings(diags); err != nil {
		return nil, err
	}
	return d.enc.EncodeResult(v)
}
