// Package cloudinit is the cloud-init provisioner: it waits until cloud-init
// has set the machine up and reports what it says about that.
package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/retry"
)

type provisioner struct{}

// New returns the cloud-init provisioner.
func New() component.Provisioner { return provisioner{} }

const (
	defaultTimeout = 15 * time.Minute
	// progressInterval is the time between two words about the wait.
	progressInterval = 5 * time.Second
	// lookTimeout is how long one look at the machine may take that is not
	// the wait itself.
	lookTimeout = 30 * time.Second
	// refusals is how often cloud-init may answer with something that is no
	// status. It does so for a moment while it writes its own files.
	refusals = 3
)

type config struct {
	Timeout        time.Duration `cty:"wait_timeout"`
	Required       bool          `cty:"required"`
	FailOnDegraded bool          `cty:"fail_on_degraded"`
}

func (provisioner) Schema() component.Schema {
	return component.Schema{
		Description: "Waits until cloud-init has set the machine up, and fails with what its log says when it could not. A machine without cloud-init is ready at once.",
		Manual: &component.Manual{
			Example: `provisioner "cloud-init" {
  wait_timeout = "10m"
  required     = true
}
`,
		},
		Attributes: []component.Attribute{
			component.DurationAttr("wait_timeout", "", "How long cloud-init may take. A restart of the machine on the way is waited for. Default 15m."),
			component.Bool("required", "Fail when the machine has no cloud-init, or a disabled one. Default false: there is nothing to wait for then."),
			component.Bool("fail_on_degraded", "Fail also when cloud-init has done its work but reports problems on the way. Default false: they become a warning."),
		},
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	var s step
	if err := component.Decode(cfg, &s.config); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	if s.Timeout < 0 {
		return nil, diag.At("wait_timeout", "Negative duration", "wait_timeout must not be negative, got %s.", s.Timeout)
	}
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	}
	return s, nil
}

type step struct{ config }

// Inputs has none: waiting leaves nothing behind.
func (step) Inputs() component.Inputs { return component.Inputs{Neutral: true} }

// Apply waits.
func (s step) Apply(ctx context.Context, t component.Target) error {
	if caps := t.Comm.Caps(); !caps.Run {
		return fmt.Errorf("cloud-init: this build has no machine to wait for (communicator %q): %w", caps.Transport, component.ErrUnsupported)
	}
	if err := s.apply(ctx, t); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = errors.Join(cause, err)
		}
		return fmt.Errorf("cloud-init: %w", err)
	}
	return nil
}

func (s step) apply(ctx context.Context, t component.Target) error {
	if t.Comm.Caps().Shell != component.POSIX {
		return s.nothing(t, "This machine has no POSIX shell, and so no cloud-init.", "the machine has no POSIX shell, and so no cloud-init")
	}
	m := &machine{Target: t, since: t.Clock.Now()}
	st, err := s.wait(ctx, m)
	switch {
	case errors.Is(err, errAbsent):
		return s.nothing(t, "This machine has no cloud-init.", "the machine has no cloud-init")
	case errors.As(err, new(*timeoutError)):
		m.showLogs(ctx)
		return err
	case err != nil:
		return err
	}
	return s.judge(ctx, m, st)
}

// nothing ends the step for a machine on which there is nothing to wait for.
func (s step) nothing(t component.Target, say, problem string) error {
	if s.Required {
		return fmt.Errorf("%s (required = true)", problem)
	}
	t.Say(say + " Nothing to wait for.")
	return nil
}

// judge says what a final status means.
func (s step) judge(ctx context.Context, m *machine, st status) error {
	took := m.elapsed().Round(100 * time.Millisecond)
	switch {
	case st.disabled():
		return s.nothing(m.Target, "cloud-init is disabled on this machine"+st.because()+".", "cloud-init is disabled on the machine"+st.because())
	case st.failed():
		m.showLogs(ctx)
		return fmt.Errorf("it ended with errors: %s", st.problems())
	case st.degraded() && s.FailOnDegraded:
		m.showLogs(ctx)
		return fmt.Errorf("it has ended, but reports problems (fail_on_degraded = true): %s", st.problems())
	case st.degraded():
		m.Emit(component.Warning{Summary: "cloud-init has ended, but reports problems", Detail: st.problems()})
		m.showLogs(ctx)
		return nil
	case !st.done():
		return fmt.Errorf("it reports the status %q, which is neither done nor an error", st.Status)
	}
	m.Say(fmt.Sprintf("cloud-init has set the machine up%s; waited %s.", st.from(), took))
	return nil
}

// wait asks for the status until it is final or the time is up. The machine
// may restart meanwhile.
func (s step) wait(ctx context.Context, m *machine) (status, error) {
	m.Say("Waiting for cloud-init...")
	limited, cancel := context.WithTimeoutCause(ctx, s.Timeout, errTimeout)
	defer cancel()
	stop := m.reportProgress(limited)
	defer stop()
	var st status
	refused := 0
	err := retry.Do(limited, m.Clock, retry.Policy{
		First: time.Second,
		Max:   5 * time.Second,
		Retryable: func(err error) bool {
			switch {
			case limited.Err() != nil, errors.Is(err, errAbsent):
				return false
			case errors.Is(err, component.ErrDisconnected), errors.Is(err, errUnfinished):
				return true
			case errors.As(err, new(*answerError)):
				refused++
				return refused < refusals
			}
			return false
		},
		Notify: func(err error, _ int, _ time.Duration) {
			m.Emit(component.Waiting{For: "cloud-init", Detail: err.Error(), Elapsed: m.elapsed()})
		},
	}, func(ctx context.Context) error {
		var err error
		if st, err = m.status(ctx); err == nil && st.unfinished() {
			err = fmt.Errorf("%w: %s", errUnfinished, st.Status)
		}
		return err
	})
	stop()
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return status{}, &timeoutError{limit: s.Timeout, stage: m.stageOrNothing(ctx)}
	}
	return st, err
}

var (
	errTimeout    = errors.New("the time is up")
	errAbsent     = errors.New("cloud-init is not there")
	errUnfinished = errors.New("cloud-init has not ended")
)

// timeoutError says that cloud-init had not ended when the time was up.
type timeoutError struct {
	limit time.Duration
	stage string // empty when it is not known
}

func (e *timeoutError) Error() string {
	where := ""
	if e.stage != "" {
		where = ", which is in the stage " + e.stage
	}
	return fmt.Sprintf("waited %s (wait_timeout) for the end of cloud-init%s", e.limit, where)
}
