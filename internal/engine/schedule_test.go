package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/engine"
	"ingot/internal/plan"
)

// named is the address of a build of this file.
func named(name string) addr.Build {
	return addr.Build{Source: addr.Source{Type: "test", Name: name}}
}

// needing is a build of that name with one step of that name.
func (s *stage) needing(name string, f step, needs ...string) *plan.Build {
	b := s.build(s.step(name, f))
	b.Addr = named(name)
	b.Job = quiet{&job{s: newStage()}}
	for _, n := range needs {
		b.Needs = append(b.Needs, named(n))
	}
	if len(needs) > 0 {
		b.Bind = func(context.Context, plan.Made) (*plan.Build, diag.List) { return b, nil }
	}
	return b
}

// quiet is a job whose machine and artifact are no business of the stage.
type quiet struct{ *job }

func (quiet) Boot(context.Context, component.Run) (component.Machine, error) { return machine{}, nil }
func (quiet) Capture(_ context.Context, r component.Run, _ component.Machine) (*component.Artifact, error) {
	return &component.Artifact{ID: "of " + r.Build.String()}, nil
}

// waits lists what was said to be waited for, as "BUILD: WHAT SINCE".
func waits(s *stage) []string {
	var out []string
	for _, e := range s.events {
		if w, ok := e.Event.(component.Waiting); ok {
			out = append(out, e.Build.String()+": "+w.For+" "+w.Elapsed.String())
		}
	}
	return out
}

func sleeping(d time.Duration) step {
	return func(ctx context.Context, t component.Target) error { return t.Clock.Sleep(ctx, d) }
}

// Ensure that a build starts when all that it needs has succeeded, wherever it
// stands in the plan, is planned with their artifacts, and says what it waits
// for.
func TestBuildsWaitForWhatTheyNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		last := s.needing("last", nil, "slow", "quick")
		var seen plan.Made
		bound := s.needing("bound", nil)
		bound.Addr = last.Addr
		last.Bind = func(_ context.Context, made plan.Made) (*plan.Build, diag.List) {
			seen = made
			return bound, diag.Warnf("Told at run time", "")
		}
		res := s.run(t, context.Background(), func(o *engine.Options) { o.Parallel = 1 },
			last, s.needing("slow", sleeping(40*time.Second)), s.needing("quick", sleeping(time.Second)))
		if got := s.said(); got != "slow quick bound" || res.Failed() != 0 {
			t.Errorf("said %q; %+v", got, res)
		}
		if len(seen) != 2 || seen[named("slow")][0].ID != "of test.slow" || seen[named("quick")][0].ID != "of test.quick" {
			t.Errorf("planned with %v", seen)
		}
		want := []string{
			"test.last: the builds test.slow, test.quick 0s", "test.last: the builds test.slow, test.quick 2s",
			"test.last: the builds test.slow, test.quick 32s", "test.last: the build test.quick 40s",
		}
		if got := waits(s); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("waits:\n%s", strings.Join(got, "\n"))
		}
		warned := false
		for _, e := range s.events {
			w, ok := e.Event.(component.Warning)
			warned = warned || ok && w.Summary == "Told at run time" && e.Build == last.Addr
		}
		if !warned {
			t.Error("the warning of the second planning got lost")
		}
	})
}

// Ensure that builds that need nothing of each other do not wait, and that
// those that wait take no place from others.
func TestWaitingBuildsTakeNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		begin := time.Now()
		s.run(t, context.Background(), func(o *engine.Options) { o.Parallel = 2 },
			s.needing("b", sleeping(time.Minute), "a"), s.needing("a", sleeping(time.Minute)),
			s.needing("c", sleeping(time.Minute)), s.needing("d", sleeping(time.Minute), "a"))
		if got := time.Since(begin); got != 2*time.Minute {
			t.Errorf("took %s", got)
		}
	})
}

// Ensure that what needs a failed build, directly or not, is not started and
// counts as failed, and that the rest runs.
func TestDependentsOfAFailedBuildAreSkipped(t *testing.T) {
	s := newStage()
	res := s.run(t, context.Background(), nil,
		s.needing("grandchild", nil, "child"), s.needing("child", nil, "bad", "good"),
		s.needing("bad", failing), s.needing("good", nil), s.needing("other", nil, "good"))
	if got := s.said(); strings.Contains(got, "child") || !strings.Contains(got, "other") {
		t.Errorf("said %q", got)
	}
	if res.Failed() != 3 {
		t.Errorf("%d failed", res.Failed())
	}
	for i, want := range []string{"artifact of test.child, which failed", "artifact of test.bad, which failed"} {
		if err := res.Builds[i].Err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", res.Builds[i].Addr, err)
		}
	}
	ended := 0
	for _, e := range s.events {
		if _, ok := e.Event.(component.BuildEnded); ok {
			ended++
		}
	}
	if ended != 5 {
		t.Errorf("%d builds were said to have ended", ended)
	}
}

// Ensure that a mistake that shows only when the artifacts are there fails the
// build before it makes anything.
func TestMistakeFoundAtRunTimeFailsTheBuild(t *testing.T) {
	s := newStage()
	b := s.needing("b", nil, "a")
	b.Bind = func(context.Context, plan.Made) (*plan.Build, diag.List) {
		return nil, diag.Errorf("No artifact", "None.")
	}
	res := s.run(t, context.Background(), nil, s.needing("a", nil), b)
	if err := res.Builds[1].Err; err == nil || !strings.Contains(err.Error(), "No artifact: None.") || s.said() != "a" {
		t.Errorf("said %q, error %v", s.said(), err)
	}
}

// Ensure that an interrupt ends builds that wait.
func TestInterruptEndsWaitingBuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		ctx, cancel := context.WithCancelCause(context.Background())
		stop := errors.New("stop")
		res := s.run(t, ctx, nil, s.needing("b", nil, "a"), s.needing("a", func(ctx context.Context, _ component.Target) error {
			cancel(stop)
			<-ctx.Done()
			return context.Cause(ctx)
		}))
		if err := res.Builds[0].Err; err == nil || !strings.Contains(err.Error(), "the run was interrupted") {
			t.Errorf("error %v", err)
		}
		if !errors.Is(res.Builds[1].Err, stop) || res.Failed() != 2 {
			t.Errorf("result %+v", res)
		}
	})
}

// Ensure that with -fail-fast a failed build ends the others, those that have
// not started too, that they are not blamed, and that what they hold is released.
func TestFailFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		slow := s.build(s.step("slow", sleeping(time.Hour)))
		slow.Addr = named("slow")
		bad := s.needing("bad", func(ctx context.Context, t component.Target) error {
			return errors.Join(t.Clock.Sleep(ctx, time.Minute), errStep)
		})
		begin := time.Now()
		res := s.run(t, context.Background(), func(o *engine.Options) { o.Parallel, o.FailFast = 2, true },
			slow, bad, s.needing("never", nil))
		if took := time.Since(begin); took != time.Minute || res.Failed() != 3 || res.Interrupted != nil {
			t.Errorf("took %s: %+v", took, res)
		}
		for i, want := range []string{"stopped by -fail-fast: test.bad failed", "step broke", "not started: test.bad failed"} {
			err := res.Builds[i].Err
			if !strings.Contains(err.Error(), want) || errors.Is(err, engine.ErrOtherFailed) != (i != 1) {
				t.Errorf("build %d: %v, want %q", i, err, want)
			}
		}
		if s.exists() != "" || strings.Contains(s.said(), "never") {
			t.Errorf("said %s; left %s", s.said(), s.exists())
		}
	})
}
