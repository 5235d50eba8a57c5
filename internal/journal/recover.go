package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ingot/internal/component"
)

// RecoverOptions narrows down what Recover does.
type RecoverOptions struct {
	// OlderThan leaves runs alone that started less than this ago.
	OlderThan time.Duration
	// Runs, when not empty, are the only runs looked at. Naming a run that
	// is alive is an error.
	Runs []string
	// DryRun only reports.
	DryRun bool
	Now    time.Time
	// Report is told of each resource: err is nil when it was removed (or
	// would be).
	Report func(run RunInfo, r component.Resource, err error)
	// Alive is told of runs that were passed over because they are alive.
	Alive func(run RunInfo)
	// Damaged is told of journals that could only be read in part.
	Damaged func(run RunInfo, damage string)
}

// Recovered counts what Recover did.
type Recovered struct {
	Runs, Removed, Failed int
}

// Recover removes what runs whose process is gone have left behind, newest
// resource first, and then their journals (a damaged one stays as evidence). A run that is alive is never
// touched: its lock is taken before its journal is believed. What could not be
// removed stays in the journal.
func Recover(ctx context.Context, store Store, reapers Reapers, o RecoverOptions) (Recovered, error) {
	var total Recovered
	states, err := store.List(ctx)
	if err != nil {
		return total, err
	}
	wanted := map[string]bool{}
	for _, id := range o.Runs {
		wanted[id] = true
	}
	var errs []error
	for _, st := range states {
		named := wanted[st.Run.ID]
		delete(wanted, st.Run.ID)
		if len(o.Runs) > 0 && !named {
			continue
		}
		if o.OlderThan > 0 && o.Now.Sub(st.Run.Started) < o.OlderThan {
			continue
		}
		if err := recoverRun(ctx, store, reapers, st, o, &total); err != nil {
			if errors.Is(err, ErrAlive) {
				if o.Alive != nil {
					o.Alive(st.Run)
				}
				if !named {
					continue
				}
			}
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return total, errors.Join(append(errs, context.Cause(ctx))...)
		}
	}
	for id := range wanted {
		errs = append(errs, errors.Join(ErrNotFound, errors.New(id)))
	}
	if sweeper, ok := store.(Sweeper); ok && !o.DryRun && len(o.Runs) == 0 {
		errs = append(errs, sweeper.Sweep(ctx))
	}
	return total, errors.Join(errs...)
}

func recoverRun(ctx context.Context, store Store, reapers Reapers, st State, o RecoverOptions, total *Recovered) error {
	if st.Alive {
		return ErrAlive
	}
	if o.DryRun {
		return previewRun(st, o, total)
	}
	log, err := store.Adopt(ctx, st.Run.ID)
	if err != nil {
		return err
	}
	defer log.Close()
	// Only now, under the lock, does the journal stand still.
	if st, err = log.State(); err != nil {
		return err
	}
	if st.Run.Format > Format {
		return fmt.Errorf("journal: run %s was recorded by a newer ingot (format %d, this one knows %d): use that one to reap it", st.Run.ID, st.Run.Format, Format)
	}
	noteDamage(st, o)
	total.Runs++
	var errs []error
	for i := len(st.Open) - 1; i >= 0 && ctx.Err() == nil; i-- {
		open := st.Open[i]
		err := reapers.Reap(ctx, open.Resource)
		if err == nil {
			err = log.Append(Record{Type: Released, Time: o.Now, Lease: open.Lease, Build: open.Build})
		}
		if o.Report != nil {
			o.Report(st.Run, open.Resource, err)
		}
		if err != nil {
			total.Failed++
			errs = append(errs, err)
			continue
		}
		total.Removed++
	}
	if len(errs) > 0 || ctx.Err() != nil {
		return errors.Join(errs...)
	}
	if st.Damage != "" {
		// A lost line may have named a resource: the file is evidence.
		return nil
	}
	return store.Remove(ctx, log)
}

func previewRun(st State, o RecoverOptions, total *Recovered) error {
	noteDamage(st, o)
	total.Runs++
	for i := len(st.Open) - 1; i >= 0; i-- {
		total.Removed++
		if o.Report != nil {
			o.Report(st.Run, st.Open[i].Resource, nil)
		}
	}
	return nil
}

func noteDamage(st State, o RecoverOptions) {
	if st.Damage != "" && o.Damaged != nil {
		o.Damaged(st.Run, st.Damage)
	}
}
