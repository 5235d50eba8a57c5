// Package retry sorts errors into classes and repeats work that failed for a
// passing reason. It knows no provider: an error says its own class, or is
// wrapped with one by whoever can tell.
package retry

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Class is the reason why something failed, as far as it decides whether and
// how to try again.
type Class uint8

// The classes. Unclassified counts as Fatal for the purpose of retrying.
const (
	Unclassified Class = iota
	// Transient: the same call may well succeed in a moment (connection
	// reset, 502, time-out).
	Transient
	// Throttled: the other side asks for fewer calls.
	Throttled
	// Capacity: the provider has no room for what was asked; another zone
	// or size may work.
	Capacity
	// Permission: credentials are missing or not allowed to do this.
	Permission
	// User: the request itself is wrong.
	User
	// Fatal: trying again cannot help.
	Fatal
)

// String returns the word that events and documentation use.
func (c Class) String() string {
	switch c {
	case Transient:
		return "transient"
	case Throttled:
		return "throttled"
	case Capacity:
		return "capacity"
	case Permission:
		return "permission"
	case User:
		return "user"
	case Fatal:
		return "fatal"
	}
	return "unclassified"
}

// MayPass reports whether another attempt may have a chance. Nothing is known of
// an unclassified error, so that it may.
func (c Class) MayPass() bool { return c != Permission && c != User && c != Fatal }

// Classified is implemented by errors that know their class.
type Classified interface {
	error
	RetryClass() Class
}

type classed struct {
	error
	class Class
}

func (c classed) RetryClass() Class { return c.class }
func (c classed) Unwrap() error     { return c.error }

// As gives err a class; nil stays nil.
func As(class Class, err error) error {
	if err == nil {
		return nil
	}
	return classed{err, class}
}

// ClassOf returns the class of err: what it says itself, else what the
// standard library's network and system errors imply, else Unclassified.
func ClassOf(err error) Class {
	var c Classified
	if errors.As(err, &c) {
		return c.RetryClass()
	}
	if errors.Is(err, context.Canceled) {
		return Fatal
	}
	for _, passing := range []error{
		io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED,
		syscall.EPIPE, syscall.ETIMEDOUT, os.ErrDeadlineExceeded,
	} {
		if errors.Is(err, passing) {
			return Transient
		}
	}
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return Transient
	}
	return Unclassified
}

// Policy says how often and how fast to repeat.
type Policy struct {
	// Attempts is the most calls to make, the first included; 0 means no
	// limit but the context's.
	Attempts int
	// First is the delay after the first failure and Max the longest one.
	// Delays grow by half each time and are jittered by up to half.
	First, Max time.Duration
	// Retryable decides; nil retries Transient and Throttled errors.
	Retryable func(error) bool
	// Notify, when set, is told of every failure that will be retried.
	Notify func(err error, attempt int, delay time.Duration)
}

// Sleeper waits for d, or less when ctx ends, and then returns its cause.
type Sleeper interface {
	Sleep(ctx context.Context, d time.Duration) error
}

// Do calls fn until it succeeds, fails for good, the attempts are used up or
// ctx ends. It returns fn's last error; when ctx ended the wait, the cause is
// joined to it.
func Do(ctx context.Context, s Sleeper, p Policy, fn func(context.Context) error) error {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = p.First, p.Max
	if p.First <= 0 {
		delays.InitialInterval = 200 * time.Millisecond
	}
	if p.Max <= 0 {
		delays.MaxInterval = 10 * time.Second
	}
	retryable := p.Retryable
	if retryable == nil {
		retryable = func(err error) bool {
			c := ClassOf(err)
			return c == Transient || c == Throttled
		}
	}
	for attempt := 1; ; attempt++ {
		err := fn(ctx)
		if err == nil || !retryable(err) || attempt == p.Attempts {
			return err
		}
		d := delays.NextBackOff()
		if p.Notify != nil {
			p.Notify(err, attempt, d)
		}
		if stop := s.Sleep(ctx, d); stop != nil {
			return errors.Join(err, stop)
		}
	}
}

// Limits hands out one concurrency limiter per endpoint, shared by all builds
// of a run, so that parallel builds do not throttle each other. The zero
// value is not usable; use NewLimits.
type Limits struct {
	mu    sync.Mutex
	slots map[string]chan struct{} // guarded by mu
	n     int
}

// NewLimits allows n calls at a time to each endpoint.
func NewLimits(n int) *Limits {
	return &Limits{slots: map[string]chan struct{}{}, n: max(n, 1)}
}

// Acquire waits for a free slot of the endpoint and returns the function
// that gives it back. It fails only with ctx's cause.
func (l *Limits) Acquire(ctx context.Context, endpoint string) (func(), error) {
	l.mu.Lock()
	slot, ok := l.slots[endpoint]
	if !ok {
		slot = make(chan struct{}, l.n)
		l.slots[endpoint] = slot
	}
	l.mu.Unlock()
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
