package serve

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// served is one of our components with the configuration that the host has sent last. P is
// what becomes of a configuration: a job, a step, a transform.
type served[P any] struct {
	*plugin
	name string
	// what is the component in messages.
	what   string
	schema component.Schema
	make   func(ctx context.Context, cfg cty.Value) (P, diag.List)

	mu   sync.Mutex
	sent *settings // guarded by mu; nil before the first
}

func newServed[P any](p *plugin, kind, name string, schema component.Schema, make func(context.Context, cty.Value) (P, diag.List)) *served[P] {
	return &served[P]{plugin: p, name: name, what: fmt.Sprintf("The %s %q", kind, name), schema: schema, make: make}
}

// ConfigSpec is the schema as the host wants it. A default is told in the documentation
// only: an attribute that is not set arrives as null.
func (c *served[P]) ConfigSpec(context.Context) ([]byte, error) { return c.enc.EncodeSchema(c.schema) }

// configure checks a configuration and keeps it when nothing is wrong with it. Hosts send
// one again and again, with more known each time.
func (c *served[P]) configure(ctx context.Context, configs []any) (P, diag.List, error) {
	s, err := readConfigs(configs)
	if err != nil {
		var none P
		return none, nil, err
	}
	planned, diags := c.plan(ctx, s, moment{}, func(string) {})
	if err := findings(diags); err != nil {
		return planned, diags, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = &s
	return planned, diags, nil
}

func (c *served[P]) plan(ctx context.Context, s settings, at moment, sensitive func(string)) (P, diag.List) {
	cfg, diags := c.evaluate(ctx, c.what, c.schema, s, at, sensitive)
	if diags.HasErrors() {
		var none P
		return none, diags
	}
	planned, more := c.make(ctx, cfg)
	return planned, append(diags, more...)
}

// errUnprepared is the answer of a component that is told to work before it was
// told how.
var errUnprepared = errors.New("it was not prepared: no configuration has been sent")

// configured is what configure has kept.
func (c *served[P]) configured() (settings, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent == nil {
		return settings{}, errUnprepared
	}
	return *c.sent, nil
}
