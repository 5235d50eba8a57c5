// Package ratelimit paces calls to the services of providers: one limiter for each
// endpoint, shared by all builds of a run, so that parallel builds do not throttle
// each other.
//
// A limiter lets everything through until its endpoint asks for fewer calls. Then
// it waits as long as the endpoint says, halves the rate at which it was called,
// and lets it grow again slowly while calls succeed.
package ratelimit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ingot/internal/retry"
)

// Clock is the time.
type Clock interface {
	Now() time.Time
	// Sleep waits for d; when ctx ends first it returns the cause.
	Sleep(ctx context.Context, d time.Duration) error
}

// Limits has the limiters of a run. A nil *Limits limits nothing.
type Limits struct {
	clock Clock
	mu    sync.Mutex
	by    map[string]*Limiter // guarded by mu
}

// New returns Limits that limit nothing yet.
func New(clock Clock) *Limits { return &Limits{clock: clock, by: map[string]*Limiter{}} }

// Endpoint returns the limiter of an endpoint, such as "registry.example.com". It
// is the same for all who ask.
func (l *Limits) Endpoint(name string) *Limiter {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by[name] == nil {
		l.by[name] = &Limiter{clock: l.clock, pace: rate.NewLimiter(rate.Inf, 1)}
	}
	return l.by[name]
}

const (
	// slowest is the lowest rate that a limiter goes down to, in calls a second.
	slowest rate.Limit = 0.5
	// window is over what time calls are counted, and how long a rate is kept
	// before it may grow.
	window = time.Second
)

// Limiter paces the calls to one endpoint. A nil *Limiter lets everything through.
type Limiter struct {
	clock Clock
	pace  *rate.Limiter

	mu sync.Mutex // guards what follows
	// until is when the endpoint wants to be called again.
	until time.Time
	// changed is when the rate was changed, peak what it was before it was cut
	// for the first time.
	changed time.Time
	peak    rate.Limit
	// begun is when the current window began; calls and before count those in it
	// and in the one before.
	begun         time.Time
	calls, before int
}

// Wait waits until the endpoint may be called. It fails only with ctx's cause.
func (l *Limiter) Wait(ctx context.Context) error {
	if l == nil {
		return context.Cause(ctx)
	}
	for {
		now := l.clock.Now()
		l.mu.Lock()
		rest := l.until.Sub(now)
		l.mu.Unlock()
		if rest <= 0 {
			break
		}
		if err := l.clock.Sleep(ctx, rest); err != nil {
			return err
		}
	}
	now := l.clock.Now()
	turn := l.pace.ReserveN(now, 1)
	if err := l.clock.Sleep(ctx, turn.DelayFrom(now)); err != nil {
		turn.CancelAt(l.clock.Now())
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(l.clock.Now())
	return nil
}

func (l *Limiter) count(now time.Time) {
	switch since := now.Sub(l.begun); {
	case since >= 2*window:
		l.begun, l.before, l.calls = now, 0, 0
	case since >= window:
		l.begun, l.before, l.calls = l.begun.Add(window), l.calls, 0
	}
	l.calls++
}

// Observe learns from the outcome of a call that began at a time: class is that of
// its error, Unclassified for none, and after how long the endpoint wants to be left
// alone, 0 when it has not said.
func (l *Limiter) Observe(began time.Time, class retry.Class, after time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	switch class {
	case retry.Throttled:
		if until := now.Add(after); after > 0 && until.After(l.until) {
			l.until = until
		}
		// Calls that were under way together are one reason to slow down.
		if !began.Before(l.changed) {
			l.slow(now)
		}
	case retry.Unclassified:
		l.quicken(now)
	}
}

func (l *Limiter) slow(now time.Time) {
	seen := rate.Limit(float64(max(l.calls, l.before)) / window.Seconds())
	limit := l.pace.Limit()
	if limit == rate.Inf {
		limit, l.peak = seen, seen
	}
	l.pace.SetLimitAt(now, max(min(limit, seen)/2, slowest))
	l.changed = now
}

// quicken adds a tenth for each second without a complaint, and takes the limit away
// when it has grown to twice of where it was needed.
func (l *Limiter) quicken(now time.Time) {
	limit := l.pace.Limit()
	if limit == rate.Inf || now.Sub(l.changed) < window {
		return
	}
	limit += max(limit/10, slowest)
	if limit > 2*max(l.peak, 1) {
		limit = rate.Inf
	}
	l.pace.SetLimitAt(now, limit)
	l.changed = now
}

// Do waits for its turn, calls fn and learns from its error.
func (l *Limiter) Do(ctx context.Context, fn func(context.Context) error) error {
	if err := l.Wait(ctx); err != nil {
		return err
	}
	if l == nil {
		return fn(ctx)
	}
	began := l.clock.Now()
	err := fn(ctx)
	class := retry.ClassOf(err)
	if err != nil && class == retry.Unclassified {
		class = retry.Fatal
	}
	l.Observe(began, class, retry.AfterOf(err))
	return err
}
