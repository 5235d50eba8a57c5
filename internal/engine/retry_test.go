package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/component"
	"ingot/internal/engine"
	"ingot/internal/plan"
	"ingot/internal/retry"
)

// Ensure that a build is made again after failures that its retry block names,
// from a new machine after the old one was released, and told so.
func TestBuildIsMadeAgain(t *testing.T) {
	again := plan.DefaultRetry()
	again.Max = 3
	none, two := 0, 2
	noRoom := retry.As(retry.Capacity, errors.New("no room"))
	const attempt = "prepare boot reap(machine) "
	for _, c := range []struct {
		name  string
		retry plan.Retry
		flag  *int
		errs  []error
		said  string
		err   string
	}{
		{"no block", plan.Retry{}, nil, []error{noRoom}, attempt, "no room"},
		{"capacity, then success", again, nil, []error{noRoom, noRoom}, attempt + attempt + "prepare boot one capture reap(machine)", ""},
		{"as often as allowed", again, nil, []error{noRoom, noRoom, noRoom, noRoom}, strings.Repeat(attempt, 4), "failed 4 times, the last time with: no room"},
		{"another class", again, nil, []error{retry.As(retry.Permission, errors.New("denied"))}, attempt, "denied"},
		{"unclassified", again, nil, []error{errors.New("odd")}, attempt, "odd"},
		{"any", plan.Retry{Max: 1, Any: true}, nil, []error{errors.New("odd")}, attempt + "prepare boot one capture reap(machine)", ""},
		{"any is not all", plan.Retry{Max: 1, Any: true}, nil, []error{retry.As(retry.User, errors.New("wrong"))}, attempt, "wrong"},
		{"flag without block", plan.Retry{}, &two, []error{noRoom, noRoom, noRoom}, attempt + attempt + attempt, "failed 3 times"},
		{"flag switches off", again, &none, []error{noRoom}, attempt, "no room"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage()
				b := s.build(s.step("one", nil))
				b.Retry = c.retry
				b.Job.(*job).boot = func(context.Context) error {
					if len(c.errs) == 0 {
						return nil
					}
					err := c.errs[0]
					c.errs = c.errs[1:]
					return err
				}
				failures := len(c.errs)
				begin := time.Now()
				res := s.run(t, context.Background(), func(o *engine.Options) { o.MaxRetries = c.flag }, b)
				if s.said() != strings.TrimSpace(c.said) {
					t.Errorf("said %s\nwant %s", s.said(), c.said)
				}
				err := res.Builds[0].Err
				if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				told := 0
				for _, e := range s.events {
					if r, ok := e.Event.(component.Retrying); ok && r.What == "the build" && r.Delay > 0 {
						told++
					}
				}
				retries := strings.Count(s.said(), "prepare") - 1
				if told != retries || (time.Since(begin) > 0) != (retries > 0) {
					t.Errorf("%d retries were told of %d after %d failures, in %s", told, retries, failures, time.Since(begin))
				}
			})
		})
	}
}

// Ensure that nothing is made again that exists, or that the user has decided
// about, and that an interrupt ends the wait.
func TestBuildIsNotMadeAgain(t *testing.T) {
	passing := retry.As(retry.Transient, errors.New("lost"))
	again := plan.DefaultRetry()
	t.Run("artifact made", func(t *testing.T) {
		s := newStage()
		b := s.build()
		b.Retry = again
		b.Chains = []plan.Chain{{post(nil, func(context.Context, component.Run, *component.Artifact) (*component.Artifact, component.InputUse, error) {
			return nil, component.Consumes, passing
		})}}
		res := s.run(t, context.Background(), nil, b)
		if strings.Count(s.said(), "boot") != 1 || len(res.Builds[0].Artifacts) != 1 {
			t.Errorf("said %s, %+v", s.said(), res)
		}
	})
	t.Run("left as it is", func(t *testing.T) {
		s := newStage()
		b := s.build(s.step("bad", func(context.Context, component.Target) error { return passing }))
		b.Retry = again
		s.run(t, context.Background(), func(o *engine.Options) { o.OnError = engine.Abort }, b)
		if strings.Count(s.said(), "boot") != 1 || s.exists() != "machine" {
			t.Errorf("said %s, left %s", s.said(), s.exists())
		}
	})
	t.Run("panic", func(t *testing.T) {
		s := newStage()
		b := s.build(s.step("bad", func(context.Context, component.Target) error { panic(passing) }))
		b.Retry = plan.Retry{Max: 1, Any: true}
		s.run(t, context.Background(), nil, b)
		if strings.Count(s.said(), "boot") != 1 {
			t.Errorf("said %s", s.said())
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage()
			b := s.build()
			b.Retry = again
			b.Retry.Delay = time.Hour
			b.Job.(*job).boot = func(context.Context) error { return passing }
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(time.Minute, func() { cancel(errors.New("interrupt")) })
			begin := time.Now()
			res := s.run(t, ctx, nil, b)
			if time.Since(begin) != time.Minute || strings.Count(s.said(), "boot") != 1 || !errors.Is(res.Builds[0].Err, passing) {
				t.Errorf("after %s: said %s; %v", time.Since(begin), s.said(), res.Builds[0].Err)
			}
		})
	})
}
