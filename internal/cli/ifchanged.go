package cli

import (
	"os"
	"sync"

	"ingot/internal/engine"
	"ingot/internal/history"
	"ingot/internal/outcome"
)

// ifChanged is what -if-changed needs; nil without it.
func (a *app) ifChanged(f buildFlags, d dirs) (*engine.IfChanged, error) {
	if !f.ifChanged {
		return nil, nil
	}
	secret, err := inputSecret(d)
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	store := historyStore(d)
	runs, err := store.Runs()
	if err != nil {
		return nil, err
	}
	last := &lastOutcomes{store: store, dir: dir, unread: runs, found: map[string]*outcome.Outcome{}}
	return &engine.IfChanged{Secret: secret, Last: last.of}, nil
}

// lastOutcomes are the newest outcomes of the builds that were run in a folder and
// can be compared. Runs are read, the newest first, as far back as is asked for.
type lastOutcomes struct {
	store history.Store
	dir   string

	mu     sync.Mutex
	unread []string                    // guarded by mu, as is found
	found  map[string]*outcome.Outcome // by build
}

// of is the newest outcome of a build, nil when there is none.
func (l *lastOutcomes) of(build string) (*outcome.Outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.found[build] == nil && len(l.unread) > 0 {
		made, err := outcome.Read(l.store.OutcomesPath(l.unread[0]))
		if err != nil {
			return nil, err
		}
		l.unread = l.unread[1:]
		for _, o := range made {
			usable := o.Dir == l.dir && o.Inputs != nil && o.Ended != nil && o.Ended.Failure == ""
			if usable && l.found[o.Build] == nil {
				l.found[o.Build] = o
			}
		}
	}
	return l.found[build], nil
}
