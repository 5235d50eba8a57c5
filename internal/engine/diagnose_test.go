package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"ingot/internal/component"
	"ingot/internal/engine"
)

// shown is a machine that cannot be reached but looked at.
type shown struct {
	machine
	s   *stage
	err error
}

func (m shown) Dial(context.Context, component.Run) (component.Communicator, error) {
	return nil, m.err
}

func (m shown) Diagnose(_ context.Context, r component.Run) component.Diagnosis {
	m.s.note("diagnose")
	return component.Diagnosis{
		Console: []string{"kernel panic", "end of trace"},
		Saved:   []component.Saved{{What: "the screen of the machine", Path: r.ReportDir + "/screen.png"}},
		Errs:    []error{errors.New("no memory dump")},
	}
}

// Ensure that a machine that could not be reached is looked at while it still
// exists, and that what it shows is told; and not after an interrupt.
func TestDiagnosis(t *testing.T) {
	s := newStage()
	b := s.build(s.step("one", nil))
	b.Job.(*job).machine = shown{s: s, err: errors.New("no answer")}
	res := s.run(t, context.Background(), func(o *engine.Options) { o.ReportDir = "/reports" }, b)
	if got, want := s.said(), "prepare boot diagnose reap(machine)"; got != want || res.Failed() != 1 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	told := s.problems()
	for _, want := range []string{"kernel panic\n  end of trace", "the screen of the machine in /reports/screen.png", "no memory dump"} {
		if !slices.ContainsFunc(told, func(text string) bool { return strings.Contains(text, want) }) {
			t.Errorf("%q is not told: %q", want, told)
		}
	}

	s = newStage()
	ctx, cancel := context.WithCancelCause(context.Background())
	b = s.build()
	b.Job.(*job).machine = shown{s: s, err: errors.New("no answer")}
	b.Job.(*job).boot = func(context.Context) error { cancel(errors.New("interrupt")); return nil }
	s.run(t, ctx, nil, b)
	if strings.Contains(s.said(), "diagnose") {
		t.Errorf("said %s", s.said())
	}
}

// problems are the texts of problems and warnings.
func (s *stage) problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, e := range s.events {
		switch e := e.Event.(type) {
		case component.Problem:
			out = append(out, e.Text)
		case component.Warning:
			out = append(out, e.Summary+": "+e.Detail)
		}
	}
	return out
}
