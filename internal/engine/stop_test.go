package engine_test

import (
	"context"
	"errors"
	"testing"

	"ingot/internal/component"
)

// stopping is a machine that is shut down before it is captured.
type stopping struct {
	machine
	s   *stage
	err error
}

func (m stopping) Stop(_ context.Context, _ component.Run, comm component.Communicator) error {
	m.s.note("stop(%v)", comm != nil)
	return m.err
}

// Ensure that a machine is stopped after the provisioners and before its capture,
// with the communicator, and that a failure of it leaves nothing captured.
func TestStop(t *testing.T) {
	for _, c := range []struct {
		err    error
		failed int
		want   string
	}{
		{nil, 0, "prepare boot one stop(true) capture reap(machine)"},
		{errors.New("it goes on"), 1, "prepare boot one stop(true) reap(machine)"},
	} {
		s := newStage()
		b := s.build(s.step("one", nil))
		b.Job.(*job).machine = stopping{s: s, err: c.err}
		res := s.run(t, t.Context(), nil, b)
		if got := s.said(); got != c.want || res.Failed() != c.failed {
			t.Errorf("stop: %v\ngot  %s, %d failed\nwant %s, %d failed", c.err, got, res.Failed(), c.want, c.failed)
		}
	}
}
