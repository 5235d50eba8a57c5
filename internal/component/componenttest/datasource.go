package componenttest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// DataSourceConfig says what the suite works with.
type DataSourceConfig struct {
	New func() component.DataSource
	// Valid configurations can be read, Invalid ones are refused.
	Valid, Invalid Configs
	// Instant names the valid configurations whose reading nothing could
	// stop.
	Instant []string
}

// DataSource checks that a data source keeps the contract of
// component.DataSource.
func DataSource(t *testing.T, cfg DataSourceConfig) { keep(t, dataSourcePromises(cfg)) }

func dataSourcePromises(cfg DataSourceConfig) []promise {
	return []promise{
		{"schema never changes", cfg.schemaStable},
		{"schema describes every attribute", func(testing.TB) error { return checkSchema(cfg.New().Schema()) }},
		{"the result is an object", cfg.resultIsObject},
		{"a value has the type of the result", cfg.readsValid},
		{"refuses invalid configurations", cfg.refusesInvalid},
		{"unknown values are no mistake", cfg.readsUnknown},
		{"a cancelled read fails", cfg.stops},
	}
}

func (cfg DataSourceConfig) schemaStable(testing.TB) error {
	if !reflect.DeepEqual(cfg.New().Schema(), cfg.New().Schema()) || !cfg.New().Result().Equals(cfg.New().Result()) {
		return errors.New("two calls of Schema or Result return different values")
	}
	return nil
}

func (cfg DataSourceConfig) resultIsObject(testing.TB) error {
	if ty := cfg.New().Result(); !ty.IsObjectType() || ty.HasDynamicTypes() {
		return fmt.Errorf("the result is %#v; templates need an object of known types", ty)
	}
	return nil
}

// conforms checks a value against the declared type, without its marks.
func (cfg DataSourceConfig) conforms(v cty.Value) error {
	if v == cty.NilVal {
		return errors.New("the value is the zero cty.Value")
	}
	if want := cfg.New().Result(); !v.Type().Equals(want) {
		return fmt.Errorf("the value is %#v, want %#v", v.Type(), want)
	}
	return nil
}

func (cfg DataSourceConfig) readsValid(t testing.TB) error {
	var errs []error
	for name, values := range cfg.Valid {
		ds := cfg.New()
		v, diags := ds.Read(t.Context(), ds.Schema().Object(values))
		err := diags.Err()
		if err == nil {
			err = cfg.conforms(v)
		}
		if err == nil && !v.IsWhollyKnown() {
			err = fmt.Errorf("parts of the value are not known: %#v", v)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (cfg DataSourceConfig) refusesInvalid(t testing.TB) error {
	var errs []error
	for name, values := range cfg.Invalid {
		ds := cfg.New()
		v, diags := ds.Read(t.Context(), ds.Schema().Object(values))
		if !diags.HasErrors() {
			errs = append(errs, fmt.Errorf("%s: it was accepted", name))
		}
		if err := cfg.conforms(v); err != nil {
			errs = append(errs, fmt.Errorf("%s: with an error too: %w", name, err))
		}
		for _, d := range diags {
			if err := leadsTo(ds.Schema(), d.Path); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (cfg DataSourceConfig) readsUnknown(t testing.TB) error {
	ds := cfg.New()
	s := ds.Schema()
	configs := map[string]cty.Value{"everything": cty.UnknownVal(s.ImpliedType())}
	for name, values := range cfg.Valid {
		for _, a := range s.Attributes {
			if _, set := values[a.Name]; !set {
				continue
			}
			changed := map[string]cty.Value{}
			for k, v := range values {
				changed[k] = v
			}
			changed[a.Name] = cty.UnknownVal(a.Type)
			configs[name+" with "+a.Name] = s.Object(changed)
		}
	}
	var errs []error
	for name, c := range configs {
		v, diags := ds.Read(t.Context(), c)
		err := errors.Join(diags.Err(), cfg.conforms(v))
		if err == nil && v.IsWhollyKnown() {
			err = errors.New("the value is known although the configuration is not")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("unknown: %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (cfg DataSourceConfig) stops(t testing.TB) error {
	var errs []error
	for name, values := range cfg.Valid {
		if slices.Contains(cfg.Instant, name) {
			continue
		}
		ds := cfg.New()
		if _, diags := ds.Read(stopped(t), ds.Schema().Object(values)); !diags.HasErrors() {
			errs = append(errs, fmt.Errorf("%s: it was read although the context had ended", name))
		}
	}
	return errors.Join(errs...)
}
