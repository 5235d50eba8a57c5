package cli

import (
	"fmt"

	"ingot/internal/component"
	"ingot/internal/history"
	"ingot/internal/otlp"
)

// readTraceSettings looks whether a trace of the run is wanted. What is wrong with
// the settings is said before the run, in time to stop it.
func (s *screen) readTraceSettings() {
	var err error
	if s.traces, err = otlp.FromEnvironment(s.app.getenv); err != nil {
		s.warn(fmt.Sprintf("No trace will be sent (%v).", err))
	}
}

// trace sends the run that has just ended. A build does not fail because of it,
// and the next interrupt ends it.
func (s *screen) trace(steps ladder) {
	if s.traces.Endpoint == "" || s.recordedIn.run == "" {
		return
	}
	ctx := steps.work
	if ctx.Err() != nil {
		ctx = steps.release
	}
	run, err := s.readRecorded(history.Options{})
	if err == nil {
		err = otlp.Send(ctx, s.traces, run, component.SystemClock{})
	}
	if err != nil {
		s.warn(fmt.Sprintf("No trace was sent (%v).", err))
	}
}
