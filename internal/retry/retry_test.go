package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestClassOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Class
	}{
		{nil, Unclassified},
		{errors.New("x"), Unclassified},
		{As(Capacity, errors.New("x")), Capacity},
		{fmt.Errorf("while: %w", As(Throttled, errors.New("x"))), Throttled},
		{As(Fatal, As(Transient, errors.New("outermost wins"))), Fatal},
		{context.Canceled, Fatal},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), Transient},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Transient},
		{&net.DNSError{IsTimeout: true}, Transient},
	} {
		if got := ClassOf(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
	if As(Transient, nil) != nil {
		t.Error("no error got a class")
	}
	cause := errors.New("cause")
	if !errors.Is(As(User, cause), cause) {
		t.Error("the class hides the cause")
	}
}

// pauses records what was slept.
type pauses struct {
	slept []time.Duration
	end   error
}

func (p *pauses) Sleep(_ context.Context, d time.Duration) error {
	p.slept = append(p.slept, d)
	return p.end
}

func TestDo(t *testing.T) {
	passing, final := As(Transient, errors.New("passing")), errors.New("final")
	for _, c := range []struct {
		name   string
		policy Policy
		errs   []error
		calls  int
		want   error
	}{
		{"first try", Policy{}, []error{nil}, 1, nil},
		{"third try", Policy{}, []error{passing, passing, nil}, 3, nil},
		{"not for what is final", Policy{}, []error{final, nil}, 1, final},
		{"attempts are used up", Policy{Attempts: 2}, []error{passing, passing, nil}, 2, passing},
		{"the caller decides", Policy{Attempts: 5, Retryable: func(error) bool { return true }}, []error{final, nil}, 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			p := &pauses{}
			err := Do(context.Background(), p, c.policy, func(context.Context) error { calls++; return c.errs[calls-1] })
			if calls != c.calls || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%d calls, %v; want %d, %v", calls, err, c.calls, c.want)
			}
			if len(p.slept) != c.calls-1 {
				t.Errorf("slept %v", p.slept)
			}
		})
	}
}

func TestDelaysGrowUpToTheLimit(t *testing.T) {
	p := &pauses{}
	told := 0
	err := Do(context.Background(), p, Policy{Attempts: 30, First: 100 * time.Millisecond, Max: time.Second, Notify: func(error, int, time.Duration) { told++ }},
		func(context.Context) error { return As(Transient, errors.New("x")) })
	if err == nil || told != 29 {
		t.Fatalf("%v, told %d times", err, told)
	}
	if p.slept[0] > 150*time.Millisecond {
		t.Errorf("the first delay is %s", p.slept[0])
	}
	for _, d := range p.slept {
		if d <= 0 || d > 1500*time.Millisecond {
			t.Errorf("a delay of %s", d)
		}
	}
	if last := p.slept[len(p.slept)-1]; last < 500*time.Millisecond {
		t.Errorf("the last delay is %s", last)
	}
}

func TestInterruptedWaitKeepsBothErrors(t *testing.T) {
	stop, cause := errors.New("stop"), As(Transient, errors.New("cause"))
	err := Do(context.Background(), &pauses{end: stop}, Policy{}, func(context.Context) error { return cause })
	if !errors.Is(err, stop) || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestWaitsAsLongAsTheOtherSideSays(t *testing.T) {
	p := &pauses{}
	calls := 0
	err := Do(context.Background(), p, Policy{First: time.Millisecond, Max: time.Millisecond}, func(context.Context) error {
		if calls++; calls > 2 {
			return nil
		}
		return After(7*time.Second, As(Throttled, errors.New("slow down")))
	})
	if err != nil || len(p.slept) != 2 || p.slept[0] != 7*time.Second || p.slept[1] != 7*time.Second {
		t.Errorf("slept %v, %v", p.slept, err)
	}
	if After(time.Second, nil) != nil || AfterOf(errors.New("x")) != 0 {
		t.Error("a time where there is no error, or in one that has none")
	}
}
