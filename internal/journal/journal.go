// Package journal remembers on disk what a run has made in the outside world
// and not yet removed, so that the next process can remove it when this one
// is gone. Whatever can outlive the process is acquired through a Ledger; the
// normal end of a build, a failure, an interrupt and `ingot reap` all release
// the open leases newest first through the same Reaper.
//
// docs/journal.md describes the format. The package knows no resource kind;
// reapers are arguments.
package journal

import (
	"context"
	"errors"
	"time"

	"ingot/internal/component"
)

// Format is the version of the record format, written into the first record.
const Format = 1

// ErrAlive means that the process that owns a run is still there.
var ErrAlive = errors.New("the run is still alive")

// ErrNotFound means that there is no such run.
var ErrNotFound = errors.New("no such run")

// Type says what a record states.
type Type string

// The types of record.
const (
	// Started opens a journal; Run is set.
	Started Type = "run"
	// Intent: a resource is about to be made; Resource is set, without ID.
	Intent Type = "intent"
	// Made: it exists; ID and Attrs are set.
	Made Type = "made"
	// Released: it is gone.
	Released Type = "released"
	// Kept: it belongs to an artifact or the user now.
	Kept Type = "kept"
)

// Record is one line of a journal.
type Record struct {
	Type Type      `json:"type"`
	Time time.Time `json:"time"`
	// Lease numbers the leases of a run, from 1. An intent and what
	// becomes of it share the number.
	Lease uint64 `json:"lease,omitempty"`
	// Build is the build that acquired it, "" for the run itself.
	Build    string              `json:"build,omitempty"`
	Resource *component.Resource `json:"resource,omitempty"`
	ID       string              `json:"id,omitempty"`
	// Attrs, in a Made record, are what became known while it was made.
	Attrs map[string]string `json:"attrs,omitempty"`
	Run   *RunInfo          `json:"run,omitempty"`
}

// RunInfo says which process a journal belongs to.
type RunInfo struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
	// PID, ProcessStart and BootID identify the process beyond the reuse of
	// process ids. ProcessStart is in the kernel's own unit.
	PID          int    `json:"pid"`
	ProcessStart string `json:"process_start,omitempty"`
	BootID       string `json:"boot_id,omitempty"`
	Host         string `json:"host,omitempty"`
	// Template is the path of the template as the user gave it.
	Template string    `json:"template,omitempty"`
	Version  string    `json:"version,omitempty"`
	Started  time.Time `json:"started"`
}

// Store keeps journals.
type Store interface {
	// Create opens the journal of a new run and holds its lock until the
	// Log is closed. The run's first record is on disk when it returns.
	Create(ctx context.Context, info RunInfo) (Log, error)

	// List returns the runs there are, oldest first, whether alive or not.
	// A journal that cannot be read is listed with its Damage.
	List(ctx context.Context) ([]State, error)

	// Adopt opens the journal of a run whose process is gone, and holds
	// its lock. It fails with ErrAlive or ErrNotFound.
	Adopt(ctx context.Context, id string) (Log, error)

	// Remove deletes a journal. The caller holds its Log.
	Remove(ctx context.Context, log Log) error
}

// Sweeper is what a Store has that a crash in the middle of Create or Remove
// can leave in disorder.
type Sweeper interface {
	// Sweep removes what List does not show because it is no journal yet, or
	// none any more, unless somebody is at work on it at this moment.
	Sweep(ctx context.Context) error
}

// Log is an open journal. Append may be called from several goroutines.
type Log interface {
	RunID() string
	// Append adds a record. When it returns, the record and all before it
	// survive a power cut. After an error the log takes no more records.
	Append(r Record) error
	// State replays what has been written so far.
	State() (State, error)
	// Close gives up the lock.
	Close() error
}

// State is what a journal adds up to.
type State struct {
	Run RunInfo
	// Alive: another process holds the run.
	Alive bool
	// Open are the leases that are neither released nor kept, oldest first.
	Open []OpenLease
	// Damage says which part of the journal could not be read, "" for none.
	// A torn last line is normal after a crash and not damage.
	Damage string
}

// OpenLease is a resource that may exist.
type OpenLease struct {
	Lease    uint64
	Build    string
	Resource component.Resource
	Since    time.Time
}
