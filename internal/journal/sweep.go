package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"ingot/internal/component"
)

// Lifetime is how long what a run makes is needed, where neither the run nor the
// resource says otherwise.
const Lifetime = 24 * time.Hour

// tokenPrefix begins each token.
const tokenPrefix = "ingot-"

// TokenTime returns when a token was made up; false when it is none of NewToken's.
func TokenTime(token string) (time.Time, bool) {
	text, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || text != strings.ToLower(text) {
		return time.Time{}, false
	}
	id, err := ulid.ParseStrict(strings.ToUpper(text))
	if err != nil {
		return time.Time{}, false
	}
	return ulid.Time(id.Time()), true
}

// SweepOptions say what Sweep may remove.
type SweepOptions struct {
	// OlderThan, when it is not nil, removes what was made longer ago than that,
	// whether it has expired or not.
	OlderThan *time.Duration
	// Runs, when not empty, are the only runs whose resources are removed, and
	// those whether they have expired or not.
	Runs   []string
	DryRun bool
	Now    time.Time
	// Report is told of each resource that is removed (or would be), and why it
	// could not be.
	Report func(f component.Found, err error)
	// Left is told of each resource that is left alone, and why.
	Left func(f component.Found, why string)
}

// Sweep removes what a provider has of runs, without their journals: a state folder may
// be gone with the computer that it was on. It never touches what belongs to a run that
// is alive on this computer, nor what nobody has labelled, and without being told to
// nothing that has not expired. Of runs on other computers only the labels are known.
func Sweep(ctx context.Context, store FileStore, s component.Sweeper, o SweepOptions) (Recovered, error) {
	var total Recovered
	found, err := s.Find(ctx)
	if err != nil {
		return total, err
	}
	live, err := store.liveTokens(ctx)
	if err != nil {
		return total, err
	}
	runs := map[string]bool{}
	var errs []error
	for _, f := range found {
		if why := o.keep(f, store.Alive(f.Run) || live[f.Resource.Token]); why != "" {
			if o.Left != nil {
				o.Left(f, why)
			}
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return total, errors.Join(append(errs, err)...)
		}
		var err error
		if !o.DryRun {
			err = s.Reap(ctx, f.Resource)
		}
		if o.Report != nil {
			o.Report(f, err)
		}
		if runs[f.Run] = true; err != nil {
			total.Failed++
			errs = append(errs, fmt.Errorf("remove %s %s: %w", f.Resource.Kind, describe(f.Resource), err))
			continue
		}
		total.Removed++
	}
	total.Runs = len(runs)
	return total, errors.Join(errs...)
}

// keep returns why a resource is left alone, "" when it is removed.
func (o SweepOptions) keep(f component.Found, alive bool) string {
	made := f.Made
	if at, ok := TokenTime(f.Resource.Token); ok && made.IsZero() {
		made = at
	}
	switch {
	case alive:
		return "its run is alive"
	case len(o.Runs) > 0:
		if !slices.Contains(o.Runs, f.Run) {
			return "it belongs to another run"
		}
		return ""
	case o.OlderThan != nil:
		if made.IsZero() {
			return "nobody knows when it was made"
		}
		if age := o.Now.Sub(made); age < *o.OlderThan {
			return fmt.Sprintf("it was made %s ago", age.Round(time.Second))
		}
		return ""
	}
	expires := f.Expires
	if expires.IsZero() && !made.IsZero() {
		expires = made.Add(Lifetime)
	}
	switch {
	case expires.IsZero():
		return "nobody knows how long it is needed"
	case o.Now.Before(expires):
		return "it may be needed until " + expires.Local().Format(time.DateTime)
	}
	return ""
}

// liveTokens are those of what the runs of this computer hold that are alive. Not every
// resource can say which run it belongs to.
func (s FileStore) liveTokens(ctx context.Context) (map[string]bool, error) {
	states, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, st := range states {
		for _, open := range st.Open {
			if st.Alive {
				out[open.Resource.Token] = true
			}
		}
	}
	return out, nil
}
