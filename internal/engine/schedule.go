package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/plan"
)

// errNotStarted is the error of builds that an interrupt kept from starting.
var errNotStarted = errors.New("not started: the run was interrupted")

// ErrOtherFailed is wrapped by the errors of builds that did nothing wrong: they
// were stopped or not started because another build had failed.
var ErrOtherFailed = errors.New("another build failed")

// stoppedError is why -fail-fast ends the builds that still run.
type stoppedError struct{ failed addr.Build }

func (e stoppedError) Error() string {
	return fmt.Sprintf("stopped by -fail-fast: %s failed", e.failed)
}
func (stoppedError) Is(target error) bool { return target == ErrOtherFailed }

// notStartedError is the error of a build that was not started since another
// had failed.
type notStartedError struct{ why string }

func (e notStartedError) Error() string      { return "not started: " + e.why }
func (notStartedError) Is(target error) bool { return target == ErrOtherFailed }

// schedule starts builds in the order of the plan, several at a time, and each
// one only after the builds that it needs.
type schedule struct {
	*run
	builds  []*plan.Build
	results []BuildResult
	// index finds a build by its address.
	index map[addr.Build]int
	state []progress
	// waiting is what each pending build that needs others was last said
	// to wait for.
	waiting []string
	// left counts the builds that have not ended, running those that run.
	left, running, limit int
	begin                time.Time
	// ended receives the number of a build when it has ended.
	ended chan int
	// stop ends the builds that run.
	stop context.CancelCauseFunc
}

// progress is how far a build has come.
type progress uint8

const (
	pending progress = iota
	running
	succeeded
	failed
)

func newSchedule(r *run, builds []*plan.Build) *schedule {
	s := &schedule{
		run: r, builds: builds, results: make([]BuildResult, len(builds)), index: make(map[addr.Build]int, len(builds)),
		state: make([]progress, len(builds)), waiting: make([]string, len(builds)),
		left: len(builds), limit: r.o.Parallel, begin: r.o.Clock.Now(), ended: make(chan int),
	}
	for i, b := range builds {
		s.index[b.Addr] = i
	}
	if s.limit < 1 {
		s.limit = len(builds)
	}
	return s
}

// runAll runs all builds and returns how they ended.
func (s *schedule) runAll(ctx context.Context) []BuildResult {
	ctx, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	remind, stop := s.reminders(ctx)
	defer stop()
	s.takeUp()
	interrupted := ctx.Done()
	for {
		if ctx.Err() != nil {
			s.abandon(context.Cause(ctx))
			interrupted = nil
		}
		for s.start(ctx) {
		}
		if s.left == 0 {
			return s.results
		}
		select {
		case i := <-s.ended:
			s.running--
			s.end(i)
		case <-remind:
			s.remind()
		case <-interrupted:
		}
	}
}

// takeUp ends the builds that an earlier run has finished.
func (s *schedule) takeUp() {
	if s.o.Earlier == nil {
		return
	}
	for i, b := range s.builds {
		done, ok := s.o.Earlier.Done[b.Addr]
		if !ok {
			continue
		}
		s.results[i] = BuildResult{Addr: b.Addr, Artifacts: done.Artifacts}
		s.sink(component.Origin{Build: b.Addr}).Emit(component.BuildEnded{Artifacts: done.Artifacts, Earlier: done.Run})
		s.end(i)
	}
}

// start starts what can be started, in the order of the plan. It reports
// whether it has given up builds, so that others may have to be given up too.
func (s *schedule) start(ctx context.Context) (skipped bool) {
	for i, b := range s.builds {
		if s.state[i] != pending {
			continue
		}
		missing, broken := s.missing(b)
		switch {
		case len(broken) > 0:
			s.skip(i, notStartedError{fmt.Sprintf("it uses the artifact of %s, which failed", strings.Join(broken, " and of "))})
			skipped = true
		case len(missing) > 0:
			s.wait(i, missing)
		case s.running < s.limit:
			s.state[i] = running
			s.running++
			made := s.made(b)
			go func() {
				s.results[i] = s.runBuild(ctx, b, made, i)
				s.ended <- i
			}()
		}
	}
	return skipped
}

// end notes how a build has ended.
func (s *schedule) end(i int) {
	s.left--
	s.state[i] = succeeded
	if s.results[i].Err != nil {
		s.state[i] = failed
		if s.o.FailFast {
			s.stop(stoppedError{s.builds[i].Addr})
		}
	}
}

// skip ends a build that was not started.
func (s *schedule) skip(i int, err error) {
	s.results[i] = BuildResult{Addr: s.builds[i].Addr, Err: err}
	s.sink(component.Origin{Build: s.builds[i].Addr}).Emit(component.BuildEnded{Err: err})
	s.end(i)
}

// abandon gives up what has not been started.
func (s *schedule) abandon(cause error) {
	err := errNotStarted
	if stopped, ok := errors.AsType[stoppedError](cause); ok {
		err = notStartedError{fmt.Sprintf("%s failed, and -fail-fast is set", stopped.failed)}
	}
	for i := range s.builds {
		if s.state[i] == pending {
			s.skip(i, err)
		}
	}
}

// wait says what a build waits for when that has changed.
func (s *schedule) wait(i int, missing []string) {
	what := "the build " + missing[0]
	if len(missing) > 1 {
		what = "the builds " + strings.Join(missing, ", ")
	}
	if s.waiting[i] != what {
		s.waiting[i] = what
		s.sayWaiting(i)
	}
}

func (s *schedule) sayWaiting(i int) {
	s.sink(component.Origin{Build: s.builds[i].Addr}).Emit(component.Waiting{
		For: s.waiting[i], Elapsed: s.o.Clock.Now().Sub(s.begin),
	})
}

// remind says of every build that waits what it waits for.
func (s *schedule) remind() {
	for i := range s.builds {
		if s.state[i] == pending && s.waiting[i] != "" {
			s.sayWaiting(i)
		}
	}
}

// How long a build waits for another until that is said again, the first time
// and then.
const (
	firstReminder = 2 * time.Second
	nextReminders = 30 * time.Second
)

// reminders returns a channel that says when to remind, and what ends it. When
// no build waits for another there is nothing to be reminded of.
func (s *schedule) reminders(ctx context.Context) (<-chan struct{}, func()) {
	if !slices.ContainsFunc(s.builds, func(b *plan.Build) bool { return len(b.Needs) > 0 }) {
		return nil, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	remind, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for pause := firstReminder; s.o.Clock.Sleep(ctx, pause) == nil; pause = nextReminders {
			select {
			case remind <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return remind, func() { cancel(); <-done }
}

// missing lists the builds that b needs: those that have not ended, and those
// that failed. A build that is not part of the run counts as failed.
func (s *schedule) missing(b *plan.Build) (notYet, broken []string) {
	for _, a := range b.Needs {
		i, ok := s.index[a]
		switch {
		case !ok || s.state[i] == failed:
			broken = append(broken, a.String())
		case s.state[i] != succeeded:
			notYet = append(notYet, a.String())
		}
	}
	return notYet, broken
}

// made is what the builds that b needs have ended with.
func (s *schedule) made(b *plan.Build) plan.Made {
	made := make(plan.Made, len(b.Needs))
	for _, a := range b.Needs {
		made[a] = s.results[s.index[a]].Artifacts
	}
	return made
}
