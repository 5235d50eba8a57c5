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

// Delayed is implemented by errors that know how long the other side wants to be
// left alone.
type Delayed interface {
	error
	RetryAfter() time.Duration
}

type delayed struct {
	error
	after time.Duration
}

func (d delayed) RetryAfter() time.Duration { return d.after }
func (d delayed) Unwrap() error             { return d.error }

// After gives err a time before which it is not to be tried again; nil stays nil.
func After(d time.Duration, err error) error {
	if err == nil || d <= 0 {
		return err
	}
	return delayed{err, d}
}

// AfterOf returns the time before which it is not to be tried again, 0 when err
// does not say.
func AfterOf(err error) time.Duration {
	var d Delayed
	if errors.As(err, &d) {
		return d.RetryAfter()
	}
	return 0
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
// ctx ends. An error that says when to try again (After) is waited for that long. It returns fn's last error; when ctx ended the wait, the cause is
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
		d := max(delays.NextBackOff(), AfterOf(err))
		if p.Notify != nil {
			p.Notify(err, attempt, d)
		}
		if stop := s.Sleep(ctx, d); stop != nil {
			return errors.Join(err, stop)
		}
	}
}
