// Package ui turns the events of a run into what people and programs read:
// lines on a pipe, a live terminal, JSON lines, Packer's machine-readable
// records, a log. Every such form is a Sink; Fanout joins several, a Redactor
// keeps secrets out of all of them. The package also holds the prompter.
//
// Constructors do no work and start nothing, so that a command that prints
// one line pays for nothing else.
package ui

import (
	"errors"
	"sync"

	"ingot/internal/component"
)

// Sink takes all events of a run.
type Sink interface {
	// Handle takes one event. It may be called from several goroutines at
	// once, and never after Close. It does not wait for a slow reader,
	// except that component.Output events are held back when too many of
	// them wait to be written. It never fails: what went wrong is told by
	// Close.
	Handle(component.Stamped)
	// Close writes what is left and restores the terminal. It may be
	// called more than once and while a panic unwinds. The error is the
	// first one met in writing; a reader that went away is not an error.
	Close() error
}

// Pauser is implemented by sinks that share a terminal with the prompter.
type Pauser interface {
	// Pause writes all that was handled so far, takes away what would be
	// in the way of a question, and holds back later output until resume
	// is called.
	Pause() (resume func())
}

type fanout []Sink

// Fanout returns a sink that hands every event to all sinks, in order. Nil
// sinks are skipped.
func Fanout(sinks ...Sink) Sink {
	var all fanout
	for _, s := range sinks {
		if s != nil {
			all = append(all, s)
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return all
}

func (f fanout) Handle(s component.Stamped) {
	for _, sink := range f {
		sink.Handle(s)
	}
}

func (f fanout) Close() error {
	var errs []error
	for _, sink := range f {
		errs = append(errs, sink.Close())
	}
	return errors.Join(errs...)
}

func (f fanout) Pause() func() {
	var resumes []func()
	for _, sink := range f {
		if p, ok := sink.(Pauser); ok {
			resumes = append(resumes, p.Pause())
		}
	}
	return func() {
		for _, resume := range resumes {
			resume()
		}
	}
}

// Recorder keeps all events in memory, for tests and reports.
type Recorder struct {
	mu     sync.Mutex
	events []component.Stamped // guarded by mu
}

// Handle keeps the event.
func (r *Recorder) Handle(s component.Stamped) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, s)
}

// Events returns a copy of what was handled so far, in order.
func (r *Recorder) Events() []component.Stamped {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]component.Stamped(nil), r.events...)
}

// Close does nothing.
func (r *Recorder) Close() error { return nil }
