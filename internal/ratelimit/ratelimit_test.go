package ratelimit_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/ratelimit"
	"ingot/internal/retry"
)

// clock is the time inside of a bubble.
type clock struct{}

func (clock) Now() time.Time { return time.Now() }

func (clock) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// service allows so many calls in each second and complains about the others.
type service struct {
	allowed int
	after   time.Duration

	mu                 sync.Mutex
	second             time.Time
	calls              int
	served, complaints int
}

func (s *service) call(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.second) >= time.Second {
		s.second, s.calls = now, 0
	}
	s.calls++
	if s.calls > s.allowed {
		s.complaints++
		return retry.After(s.after, retry.As(retry.Throttled, errors.New("too many requests")))
	}
	s.served++
	return nil
}

// TestBuildsShareAnEndpoint: twenty builds call a service that allows ten calls a
// second. Together they find its rate, and lose few calls.
func TestBuildsShareAnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := ratelimit.New(clock{})
		s := &service{allowed: 10, after: 2 * time.Second}
		begin := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 30 {
					err := retry.Do(t.Context(), clock{}, retry.Policy{}, func(ctx context.Context) error {
						return limits.Endpoint("cloud").Do(ctx, s.call)
					})
					if err != nil {
						t.Errorf("a call got lost: %v", err)
					}
				}
			})
		}
		wg.Wait()
		took := time.Since(begin)
		if s.served != 600 {
			t.Errorf("%d of 600 calls were served", s.served)
		}
		// Without a limiter every build runs into the limit all the time.
		if s.complaints > 120 {
			t.Errorf("%d complaints for 600 calls", s.complaints)
		}
		if ideal := 60 * time.Second; took < ideal-time.Second || took > 3*ideal {
			t.Errorf("600 calls at 10 a second took %s", took)
		}
		t.Logf("600 calls, %d complaints, %s", s.complaints, took)
	})
}

// TestRetryAfterHoldsEverybodyBack: what one build was told counts for all.
func TestRetryAfterHoldsEverybodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := ratelimit.New(clock{})
		one, other := limits.Endpoint("cloud"), limits.Endpoint("cloud")
		begin := time.Now()
		one.Observe(begin, retry.Throttled, 30*time.Second)
		if err := limits.Endpoint("elsewhere").Wait(t.Context()); err != nil || time.Since(begin) != 0 {
			t.Errorf("another endpoint waits: %s, %v", time.Since(begin), err)
		}
		if err := other.Wait(t.Context()); err != nil || time.Since(begin) != 30*time.Second {
			t.Errorf("called after %s, %v", time.Since(begin), err)
		}
	})
}

// TestLimitGoesAway: after a while without complaints calls are not held back.
func TestLimitGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New(clock{}).Endpoint("cloud")
		l.Observe(time.Now(), retry.Throttled, 0)
		fine := func(context.Context) error { return nil }
		for begin := time.Now(); time.Since(begin) < time.Minute; {
			if err := l.Do(t.Context(), fine); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		begin := time.Now()
		for range 1000 {
			if err := l.Do(t.Context(), fine); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("1000 calls took %s a minute after the last complaint", took)
		}
	})
}

// TestEndedWait: who does not want to wait any more does not, and takes nobody's turn.
func TestEndedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New(clock{}).Endpoint("cloud")
		l.Observe(time.Now(), retry.Throttled, time.Hour)
		enough := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, enough)
		defer cancel()
		called := false
		err := l.Do(ctx, func(context.Context) error { called = true; return nil })
		if !errors.Is(err, enough) || called {
			t.Errorf("got %v, called: %v", err, called)
		}
	})
}

func TestNoLimits(t *testing.T) {
	var none *ratelimit.Limits
	var calls atomic.Int64
	err := none.Endpoint("cloud").Do(t.Context(), func(context.Context) error { calls.Add(1); return nil })
	if err != nil || calls.Load() != 1 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	none.Endpoint("cloud").Observe(time.Now(), retry.Throttled, time.Hour)
}

func TestJudge(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		status int
		header string
		class  retry.Class
		after  time.Duration
	}{
		{200, "", retry.Unclassified, 0},
		{404, "", retry.Unclassified, 0},
		{429, "", retry.Throttled, 0},
		{429, "3", retry.Throttled, 3 * time.Second},
		{429, "Fri, 02 Jan 2026 03:04:35 GMT", retry.Throttled, 30 * time.Second},
		{429, "Fri, 02 Jan 2026 03:00:00 GMT", retry.Throttled, 0},
		{429, "soon", retry.Throttled, 0},
		{429, "-4", retry.Throttled, 0},
		{429, "99999999", retry.Throttled, 10 * time.Minute},
		{503, "", retry.Transient, 0},
		{503, "2", retry.Throttled, 2 * time.Second},
		{500, "", retry.Transient, 0},
		{501, "", retry.Unclassified, 0},
		{408, "", retry.Transient, 0},
	} {
		class, after := ratelimit.Judge(c.status, http.Header{"Retry-After": {c.header}}, now)
		if class != c.class || after != c.after {
			t.Errorf("%d %q: %s, %s; want %s, %s", c.status, c.header, class, after, c.class, c.after)
		}
	}
	for code, want := range map[string]bool{"RequestLimitExceeded": true, "Throttling": true, "SlowDown": true, "AccessDenied": false} {
		if ratelimit.IsThrottlingCode(code) != want {
			t.Errorf("%s: %v", code, !want)
		}
	}
}

type answers []int

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	status := (*a)[0]
	*a = (*a)[1:]
	h := http.Header{}
	if status == 429 {
		h.Set("Retry-After", "5")
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: h, Body: io.NopCloser(strings.NewReader(""))}, nil
}

func TestTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New(clock{}).Endpoint("registry")
		client := &http.Client{Transport: l.Transport(&answers{200, 429, 200})}
		begin := time.Now()
		for _, want := range []time.Duration{0, 0, 5 * time.Second} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := time.Since(begin); got != want {
				t.Errorf("answered %d after %s, want %s", res.StatusCode, got, want)
			}
		}
		err := ratelimit.StatusError("list images", &http.Response{StatusCode: 403, Status: "403 Forbidden"}, time.Now())
		if retry.ClassOf(err) != retry.Permission {
			t.Errorf("403 is %s", retry.ClassOf(err))
		}
	})
}
