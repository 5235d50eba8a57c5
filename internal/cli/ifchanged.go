package cli

import (
	"os"
	"path/filepath"
	"sync"

	"ingot/internal/engine"
	"ingot/internal/outcome"
	"ingot/internal/stepcache"
)

// ifChanged is what -if-changed needs; nil without it.
func (a *app) ifChanged(f buildFlags, d dirs) (*engine.IfChanged, error) {
	if !f.ifChanged {
		return nil, nil
	}
	secret, err := stepcache.LoadSecret(filepath.Join(d.State, "step-cache.key"))
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	all := sync.OnceValues(func() (map[string]*outcome.Outcome, error) { return a.lastOutcomes(d, dir) })
	return &engine.IfChanged{Secret: secret, Last: func(build string) (*outcome.Outcome, error) {
		last, err := all()
		return last[build], err
	}}, nil
}

// lastOutcomes are the newest outcomes of the builds that were run in a folder and
// can be compared.
func (a *app) lastOutcomes(d dirs, dir string) (map[string]*outcome.Outcome, error) {
	store := historyStore(d)
	runs, err := store.Runs()
	if err != nil {
		return nil, err
	}
	out := map[string]*outcome.Outcome{}
	for _, id := range runs {
		found, err := outcome.Read(store.OutcomesPath(id))
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			usable := o.Dir == dir && o.Inputs != nil && o.Ended != nil && o.Ended.Failure == ""
			if usable && out[o.Build] == nil {
				out[o.Build] = o
			}
		}
	}
	return out, nil
}
