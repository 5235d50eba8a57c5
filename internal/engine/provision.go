package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"ingot/internal/component"
	"ingot/internal/plan"
	"ingot/internal/retry"
)

// cleanupTimeout bounds an error-cleanup-provisioner that has no time-out of
// its own and runs after an interrupt.
const cleanupTimeout = 5 * time.Minute

// provision runs the provisioners. On failure it runs the
// error-cleanup-provisioner, since only here the machine is still connected,
// and lets the user decide with -on-error=ask.
func (b *build) provision(ctx context.Context, m component.Machine, comm component.Communicator) error {
	sealer, _ := m.(component.StepSealer)
	skipper, _ := m.(component.StepSkipper)
	b.cache.started()
	for i, step := range b.plan.Provisioners {
		if b.cache.skips(i) {
			b.inStep(step.Addr).Emit(component.StepSkipped{Reason: "its result is in the step cache"})
			if skipper != nil {
				skipper.SkipStep(stepInfo(step, i))
			}
			continue
		}
		if err := b.debugPause(ctx, step.Addr.String()); err != nil {
			return err
		}
		clean, err := b.provisionStep(ctx, step, comm)
		if err != nil {
			b.cache.failed(i)
		}
		if err == nil && sealer != nil {
			err = sealer.SealStep(ctx, b.rt, stepInfo(step, i))
		}
		if err == nil {
			err = b.cache.save(ctx, i, clean, m)
		}
		if err != nil {
			return b.provisionFailed(comm, err)
		}
	}
	if f, ok := comm.(component.Finisher); ok {
		if err := f.Finish(ctx); err != nil {
			b.rt.Emit(component.Warning{Summary: "The machine could not be tidied up", Detail: err.Error()})
		}
	}
	return context.Cause(ctx)
}

func stepInfo(s *plan.Step, i int) component.StepInfo {
	info := component.StepInfo{Type: s.Addr.Type, Name: s.Addr.Name, Index: i}
	if in, ok := s.Planned.(component.InputReader); ok {
		info.Neutral = in.Inputs().Neutral
	}
	return info
}

// provisionStep runs one step until it succeeds or the user gives up. Clean says
// that no failure was tolerated.
func (b *build) provisionStep(ctx context.Context, step *plan.Step, comm component.Communicator) (clean bool, err error) {
	touched := false // by hand
	for {
		tolerated, err := b.runStep(ctx, step, comm)
		if err == nil {
			return !tolerated && !touched, nil
		}
		if b.o.OnError != Ask {
			return false, err
		}
		choice := b.askAboutStep(ctx, err, comm, &touched)
		switch choice {
		case choiceRetry:
			continue
		case choiceNext:
			b.inStep(step.Addr).Emit(component.Warning{Summary: "Going on although " + nth(step) + " has failed", Detail: "That was decided at the terminal."})
			return false, nil
		case choiceAbort:
			b.leave = true
		}
		return false, finalError{err}
	}
}

// askAboutStep asks until it is decided what becomes of a failed step. Touched says
// that somebody has worked on the machine meanwhile.
func (b *build) askAboutStep(ctx context.Context, cause error, comm component.Communicator, touched *bool) choice {
	offers := []choice{choiceCleanup, choiceAbort, choiceRetry, choiceNext}
	if component.CanShell(comm) {
		offers = append(offers, choiceShell)
	}
	for {
		choice := b.ask(ctx, cause, offers)
		if choice != choiceShell {
			return choice
		}
		*touched = true
		if err := component.OpenShell(ctx, b.rt, comm); err != nil && ctx.Err() == nil {
			b.rt.Emit(component.Problem{Text: err.Error()})
		}
		cause = nil // it has been said
	}
}

func (b *build) provisionFailed(comm component.Communicator, cause error) error {
	clean := b.plan.ErrorCleanup
	if clean == nil || b.leave || b.o.OnError == Abort {
		return cause
	}
	ctx, cancel := context.WithTimeoutCause(b.o.Release, cleanupTimeout, errors.New("error-cleanup-provisioner took too long"))
	defer cancel()
	if _, err := b.runStep(ctx, clean, comm); err != nil {
		b.rt.Emit(component.Problem{Text: "error-cleanup-provisioner: " + err.Error()})
	}
	return cause
}

// runStep applies a step with everything that its meta-arguments wrap around
// it: pause, then attempts with a time-out each, then continue_on_error, which
// turns a failure into a tolerated one.
func (b *build) runStep(ctx context.Context, step *plan.Step, comm component.Communicator) (tolerated bool, err error) {
	rt := b.inStep(step.Addr)
	if step.PauseBefore > 0 {
		rt.Say(fmt.Sprintf("Pausing %s before the next provisioner...", step.PauseBefore))
		if err := b.o.Clock.Sleep(ctx, step.PauseBefore); err != nil {
			return false, err
		}
	}
	begin := b.o.Clock.Now()
	rt.Emit(component.StepStarted{})
	attempts := 0
	err = retry.Do(ctx, b.o.Clock, retry.Policy{
		Attempts:  1 + step.MaxRetries,
		First:     retryFirst,
		Max:       retryMax,
		Retryable: func(err error) bool { return ctx.Err() == nil && worthAnother(err) },
		Notify: func(err error, attempt int, delay time.Duration) {
			rt.Emit(component.Retrying{What: step.Addr.String(), Class: retry.ClassOf(err).String(), Attempt: attempt, Delay: delay, Err: err})
		},
	}, func(ctx context.Context) error {
		attempts++
		return b.attempt(ctx, step, comm, rt)
	})
	if err != nil && attempts > 1 {
		err = fmt.Errorf("failed %d times, the last time with: %w", attempts, err)
	}
	tolerated = err != nil && step.ContinueOnError && ctx.Err() == nil
	rt.Emit(component.StepEnded{Duration: b.o.Clock.Now().Sub(begin), Err: err, Attempts: attempts, Tolerated: tolerated})
	if tolerated {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s (%s line %d): %w", step.Addr, step.Range.Filename, step.Range.Start.Line, err)
	}
	return false, nil
}

// worthAnother: max_retries is the user's word that a failure may pass, so all
// errors count but those that say of themselves that they will not.
func worthAnother(err error) bool { return retry.ClassOf(err).MayPass() }

// Delays between the attempts of max_retries.
const (
	retryFirst = 500 * time.Millisecond
	retryMax   = 30 * time.Second
)

func (b *build) attempt(ctx context.Context, step *plan.Step, comm component.Communicator, rt component.Run) error {
	if step.Timeout > 0 {
		rt.Say(fmt.Sprintf("Setting a %s time-out for the next provisioner...", step.Timeout))
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, step.Timeout, fmt.Errorf("time-out of %s reached", step.Timeout))
		defer cancel()
	}
	action, diags := step.Bind(ctx, b.facts)
	if err := b.refuse(rt, diags); err != nil {
		return err
	}
	err := action.Apply(ctx, component.Target{
		Run: rt, Comm: comm, HTTPAddr: b.rt.Template.Build["PackerHTTPAddr"], Facts: maps.Clone(b.facts),
	})
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}

func isTransient(err error) bool { return retry.ClassOf(err) == retry.Transient }
