package componenttest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/gotmpl"
	"ingot/internal/ratelimit"
)

// Events remembers the events of a run.
type Events struct {
	mu  sync.Mutex
	all []component.Event // guarded by mu
}

// Emit implements component.Sink.
func (e *Events) Emit(ev component.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// All returns what was emitted so far.
func (e *Events) All() []component.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]component.Event(nil), e.all...)
}

// Lines returns the lines of output of one stream.
func (e *Events) Lines(stream component.Stream) []string {
	var out []string
	for _, ev := range e.All() {
		if o, ok := ev.(component.Output); ok && o.Stream == stream {
			out = append(out, o.Line)
		}
	}
	return out
}

// Said returns all messages for the user, one to a line.
func (e *Events) Said() string {
	var b strings.Builder
	for _, ev := range e.All() {
		switch ev := ev.(type) {
		case component.Message:
			b.WriteString(ev.Text + "\n")
		case component.Problem:
			b.WriteString("problem: " + ev.Text + "\n")
		case component.Warning:
			b.WriteString("warning: " + ev.Summary + ": " + ev.Detail + "\n")
		}
	}
	return b.String()
}

// NewRun returns a Run for one test, with real time, nobody to ask and private
// folders.
func NewRun(t testing.TB) (component.Run, *MemoryJournal, *Events) {
	t.Helper()
	events, journal := new(Events), new(MemoryJournal)
	return component.Run{
		ID:         "9f0c1d6e-0000-4000-8000-000000000001",
		Build:      addr.Build{Source: addr.Source{Type: "null", Name: "test"}},
		Journal:    journal,
		RunJournal: journal,
		Events:     events,
		Prompt:     nobody{},
		WorkDir:    t.TempDir(),
		CacheDir:   t.TempDir(),
		Clock:      component.SystemClock{},
		Limits:     ratelimit.New(component.SystemClock{}),
		Template:   gotmpl.Vars{BuildName: "test", BuildType: "null", CoreVersion: "1.16.0", Start: time.Now()},
		Sensitive:  func(string) {},
		AtEnd:      t.Cleanup,
	}, journal, events
}

type nobody struct{}

func (nobody) Interactive() bool { return false }

func (nobody) Ask(context.Context, string) (string, error) {
	return "", errors.New("there is nobody to ask")
}
