package componenttest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// ProvisionerConfig says what the suite works with.
type ProvisionerConfig struct {
	New func() component.Provisioner
	// Valid configurations can be planned, and their steps applied to a
	// target of Target. Invalid ones are refused.
	Valid, Invalid Configs
	// Target returns a target whose Run is r.
	Target func(t testing.TB, r component.Run) component.Target
	// Instant names the valid configurations whose steps do nothing that a
	// cancel could stop.
	Instant []string
}

// Provisioner checks that a provisioner keeps the contract of
// component.Provisioner and its steps that of component.Step.
func Provisioner(t *testing.T, cfg ProvisionerConfig) { keep(t, provisionerPromises(cfg)) }

func provisionerPromises(cfg ProvisionerConfig) []promise {
	p := planned{
		schema: func() component.Schema { return cfg.New().Schema() },
		plan: func(ctx context.Context, v cty.Value) (bool, diag.List) {
			step, diags := cfg.New().Plan(ctx, v)
			return step != nil, diags
		},
		valid: cfg.Valid, invalid: cfg.Invalid,
	}
	return append(p.promises(),
		promise{"a step can be applied, and applied again", cfg.appliesAgain},
		promise{"a step releases what it acquires", cfg.releases},
		promise{"a cancelled step fails with the cause", cfg.stops},
		promise{"the inputs of a step are the same each time", cfg.inputs},
	)
}

// each plans every valid configuration and hands the step to fn.
func (cfg ProvisionerConfig) each(t testing.TB, fn func(name string, s component.Step, target component.Target, j *MemoryJournal) error) error {
	var errs []error
	for name, values := range cfg.Valid {
		prov := cfg.New()
		step, diags := prov.Plan(t.Context(), prov.Schema().Object(values))
		if diags.HasErrors() || step == nil {
			errs = append(errs, fmt.Errorf("%s: plan: %w", name, diags.Err()))
			continue
		}
		r, j, _ := NewRun(t)
		if err := fn(name, step, cfg.Target(t, r), j); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (cfg ProvisionerConfig) appliesAgain(t testing.TB) error {
	return cfg.each(t, func(_ string, s component.Step, target component.Target, _ *MemoryJournal) error {
		if err := s.Apply(t.Context(), target); err != nil {
			return fmt.Errorf("first time: %w", err)
		}
		if err := s.Apply(t.Context(), target); err != nil {
			return fmt.Errorf("second time: %w", err)
		}
		return nil
	})
}

func (cfg ProvisionerConfig) releases(t testing.TB) error {
	return cfg.each(t, func(_ string, s component.Step, target component.Target, j *MemoryJournal) error {
		err := s.Apply(t.Context(), target)
		if open := j.Open(); len(open) > 0 {
			err = errors.Join(err, fmt.Errorf("it still holds %v", open))
		}
		return err
	})
}

func (cfg ProvisionerConfig) stops(t testing.TB) error {
	return cfg.each(t, func(name string, s component.Step, target component.Target, j *MemoryJournal) error {
		if slices.Contains(cfg.Instant, name) {
			return nil
		}
		err := s.Apply(stopped(t), target)
		if !errors.Is(err, errStop) {
			return fmt.Errorf("got %v, want an error that wraps the context's cause", err)
		}
		if open := j.Open(); len(open) > 0 {
			return fmt.Errorf("it still holds %v", open)
		}
		return nil
	})
}

func (cfg ProvisionerConfig) inputs(t testing.TB) error {
	return cfg.each(t, func(_ string, s component.Step, _ component.Target, _ *MemoryJournal) error {
		reader, ok := s.(component.InputReader)
		if !ok {
			return nil
		}
		first, second := reader.Inputs(), reader.Inputs()
		switch {
		case !reflect.DeepEqual(first, second):
			return fmt.Errorf("two calls of Inputs return %+v and %+v", first, second)
		case first.Volatile != "" && first.Neutral:
			return fmt.Errorf("the method Inputs says that the step leaves nothing and that its result cannot be used again: %+v", first)
		case slices.Contains(first.Files, ""):
			return fmt.Errorf("the method Inputs names a file without a name: %q", first.Files)
		}
		return nil
	})
}
