package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// How many runs are remembered, and for how long.
const (
	KeepRuns = 50
	KeepAge  = 30 * 24 * time.Hour
)

// Last is what stands for the newest run.
const Last = "last"

const (
	suffix         = ".jsonl"
	outcomesSuffix = ".outcomes"
)

// ErrNotFound means that no run of that name is remembered.
var ErrNotFound = errors.New("no such run in the history")

// Store is the folder with the files, DIR/RUN.jsonl.
type Store struct {
	Dir string
}

// Path is the file of a run.
func (s Store) Path(run string) string { return filepath.Join(s.Dir, run+suffix) }

// OutcomesPath is the file beside it with what the builds of a run made.
func (s Store) OutcomesPath(run string) string { return filepath.Join(s.Dir, run+outcomesSuffix) }

func (s Store) create(run string) (*os.File, error) {
	if uuid.Validate(run) != nil {
		return nil, fmt.Errorf("run id %q: want a UUID", run)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(s.Path(run), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
}

// Runs returns the ids of the runs that are remembered, newest first.
func (s Store) Runs() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	var out []string
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), suffix)
		if ok && e.Type().IsRegular() && uuid.Validate(id) == nil {
			out = append(out, id)
		}
	}
	// The ids of runs begin with the time.
	slices.Sort(out)
	slices.Reverse(out)
	return out, nil
}

// Find returns the id of the run that name means: an id, what only one id begins
// with, or Last.
func (s Store) Find(name string) (string, error) {
	runs, err := s.Runs()
	if err != nil {
		return "", err
	}
	if name == Last {
		if len(runs) == 0 {
			return "", fmt.Errorf("%w: none has been recorded yet", ErrNotFound)
		}
		return runs[0], nil
	}
	var found []string
	for _, id := range runs {
		if name != "" && strings.HasPrefix(id, strings.ToLower(name)) {
			found = append(found, id)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%d runs begin with %q: %s", len(found), name, strings.Join(found[:min(len(found), 5)], ", "))
	}
	return "", fmt.Errorf("%w: %q; `ingot runs list` shows what there is", ErrNotFound, name)
}

// Prune removes the files of runs that are not among the newest KeepRuns, or
// whose last event is longer ago than KeepAge. Runs that are alive stay. What
// cannot be removed is left to the next run.
func (s Store) Prune(now time.Time, alive func(run string) bool) error {
	runs, err := s.Runs()
	if err != nil {
		return err
	}
	for i, id := range runs {
		info, err := os.Stat(s.Path(id))
		if err != nil || i < KeepRuns && now.Sub(info.ModTime()) < KeepAge || alive(id) {
			continue
		}
		_ = os.Remove(s.Path(id))
	}
	return s.pruneOutcomes()
}

// pruneOutcomes removes the files beside those that are gone.
func (s Store) pruneOutcomes() error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("history: %w", err)
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), outcomesSuffix)
		if !ok || uuid.Validate(id) != nil {
			continue
		}
		if _, err := os.Lstat(s.Path(id)); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(filepath.Join(s.Dir, e.Name()))
		}
	}
	return nil
}
