package componenttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// BuilderConfig says what the suite works with.
type BuilderConfig struct {
	New func() component.Builder
	// Valid configurations can be planned and built. Invalid ones are
	// refused. Valid is called for every build, so that targets can differ.
	Valid   func(t testing.TB) Configs
	Invalid Configs
	// Reap removes the resources of the builder's own kinds; nil when it
	// has only files and folders.
	Reap func(context.Context, component.Resource) error
	// Exists reports whether a resource that is no file is there; nil when
	// there are none.
	Exists func(context.Context, component.Resource) bool
}

// Builder checks that a builder keeps the contract of component.Builder, and
// its jobs and machines theirs.
func Builder(t *testing.T, cfg BuilderConfig) { keep(t, builderPromises(t, cfg)) }

func builderPromises(t testing.TB, cfg BuilderConfig) []promise {
	p := planned{
		schema: func() component.Schema { return cfg.New().Schema() },
		plan: func(ctx context.Context, v cty.Value) (bool, diag.List) {
			job, diags := cfg.New().Plan(ctx, v)
			return job != nil, diags
		},
		valid: cfg.Valid(t), invalid: cfg.Invalid,
	}
	return append(p.promises(),
		promise{"builds from the first phase to the artifact", cfg.builds},
		promise{"facts are known and announced", cfg.factsKnown},
		promise{"the machine can be reached, asked again and again", cfg.reachable},
		promise{"the artifact consists of what was kept", cfg.keepsArtifact},
		promise{"a build that is given up leaves nothing", cfg.leavesNothing},
	)
}

// building is a build in the course of its life.
type building struct {
	job     component.Job
	machine component.Machine
	run     component.Run
	j       *MemoryJournal
}

// each boots a machine of every valid configuration.
func (cfg BuilderConfig) each(t testing.TB, fn func(b building) error) error {
	var errs []error
	for name, values := range cfg.Valid(t) {
		builder := cfg.New()
		job, diags := builder.Plan(t.Context(), builder.Schema().Object(values))
		if diags.HasErrors() || job == nil {
			errs = append(errs, fmt.Errorf("%s: plan: %w", name, diags.Err()))
			continue
		}
		b := building{job: job}
		b.run, b.j, _ = NewRun(t)
		b.j.Reap = cfg.Reap
		if b.j.Reap == nil {
			b.j.Reap = func(_ context.Context, r component.Resource) error {
				return fmt.Errorf("%s %s: BuilderConfig.Reap is needed to remove it", r.Kind, r.ID)
			}
		}
		err := job.Prepare(t.Context(), b.run)
		if err == nil {
			b.machine, err = job.Boot(t.Context(), b.run)
		}
		switch {
		case err == nil && b.machine == nil:
			err = errors.New("neither a machine nor an error came from Boot")
		case err == nil:
			err = fn(b)
		}
		if err = errors.Join(err, b.j.ReleaseAll(context.WithoutCancel(t.Context()))); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// capture stops the machine, as the engine does, and captures it.
func (b building) capture(t testing.TB) (*component.Artifact, error) {
	if s, ok := b.machine.(component.Stopper); ok {
		if err := s.Stop(t.Context(), b.run, nil); err != nil {
			return nil, err
		}
	}
	return b.job.Capture(t.Context(), b.run, b.machine)
}

func (cfg BuilderConfig) builds(t testing.TB) error {
	return cfg.each(t, func(b building) error {
		a, err := b.capture(t)
		if err != nil || a == nil {
			return err
		}
		return describesFiles(a)
	})
}

func (cfg BuilderConfig) factsKnown(t testing.TB) error {
	return cfg.each(t, func(b building) error {
		facts := b.machine.Facts()
		for name, v := range facts {
			if v == cty.NilVal || !v.IsWhollyKnown() {
				return fmt.Errorf("fact %s is not known although the machine runs", name)
			}
		}
		if _, ok := facts["ID"]; !ok {
			return errors.New("there is no fact ID")
		}
		named, ok := b.job.(component.FactNames)
		if !ok {
			return nil
		}
		announced := slices.Sorted(slices.Values(named.FactNames()))
		if got := slices.Sorted(maps.Keys(facts)); !slices.Equal(got, announced) {
			return fmt.Errorf("the facts are %v, announced were %v", got, announced)
		}
		return nil
	})
}

func (cfg BuilderConfig) reachable(t testing.TB) error {
	return cfg.each(t, func(b building) error {
		if d, ok := b.machine.(component.SelfDialer); ok {
			comm, err := d.Dial(t.Context(), b.run)
			if err != nil {
				return err
			}
			if comm.Caps().Transport == "" {
				return errors.New("the communicator does not name its transport")
			}
			return comm.Close()
		}
		for range 3 {
			e, err := b.machine.Endpoint(t.Context())
			if err != nil {
				return err
			}
			if e.Transport == "" || e.Connection == nil || e.Transport != "none" && (e.Host == "" || e.Port == 0) {
				return fmt.Errorf("the endpoint is incomplete: %+v", e)
			}
		}
		return nil
	})
}

func (cfg BuilderConfig) keepsArtifact(t testing.TB) error {
	return cfg.each(t, func(b building) error {
		a, err := b.capture(t)
		if err != nil || a == nil {
			return err
		}
		if err := b.j.ReleaseAll(t.Context()); err != nil {
			return err
		}
		for _, k := range b.j.Kept() {
			if !holds(a.Resources, k) {
				return fmt.Errorf("%s %s was kept, but the artifact does not have it: nothing can ever remove it", k.Kind, k.ID)
			}
		}
		for _, r := range a.Resources {
			if !holds(b.j.Kept(), r) {
				return fmt.Errorf("the artifact has %s %s, which was not kept", r.Kind, r.ID)
			}
		}
		return describesFiles(a)
	})
}

func holds(list []component.Resource, r component.Resource) bool {
	return slices.ContainsFunc(list, func(l component.Resource) bool { return l.Kind == r.Kind && l.ID == r.ID })
}

func (cfg BuilderConfig) leavesNothing(t testing.TB) error {
	return cfg.each(t, func(b building) error {
		made := b.j.Open()
		if kept := b.j.Kept(); len(kept) > 0 {
			return fmt.Errorf("%v was kept before there is an artifact", kept)
		}
		if err := b.j.ReleaseAll(t.Context()); err != nil {
			return err
		}
		for _, r := range made {
			if r.Kind == component.FileKind || r.Kind == component.DirKind {
				if len(contents(r.ID)) > 0 {
					return fmt.Errorf("%s is still there", r.ID)
				}
			} else if cfg.Exists != nil && cfg.Exists(t.Context(), r) {
				return fmt.Errorf("%s %s is still there", r.Kind, r.ID)
			}
		}
		return nil
	})
}
