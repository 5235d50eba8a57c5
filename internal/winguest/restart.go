package winguest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// RestartCommand restarts a Windows machine at once.
const RestartCommand = `shutdown /r /f /t 0 /c "restart by ingot"`

// AnswerTimeout is how long to wait for one answer: a machine that is going
// down may take a question and never answer.
const AnswerTimeout = 30 * time.Second

// goingDown are the exit codes of shutdown when a restart is under way:
// success, ERROR_SHUTDOWN_IN_PROGRESS and ERROR_SHUTDOWN_IS_SCHEDULED.
func goingDown(code int) bool { return slices.Contains([]int{0, 1115, 1190}, code) }

// Restart restarts the machine with a command, and returns once the machine
// says that it has started again. All of it may take timeout, which is the
// attribute restart_timeout in errors. What the machine has to do besides can
// be waited for with the Wait, whose time began after the command.
func (m Machine) Restart(ctx context.Context, command string, timeout time.Duration) (Wait, error) {
	before, err := m.before(ctx, timeout)
	if err != nil {
		return Wait{}, err
	}
	m.Say("Restarting the machine...")
	if err := m.ask(ctx, command, timeout); err != nil {
		return Wait{}, err
	}
	wait := m.Wait(timeout)
	m.Say("Waiting for the machine to restart...")
	return wait, wait.Until(ctx, "restart of the machine", AnswerTimeout, func(ctx context.Context) error {
		return hasRestarted(ctx, m, before)
	})
}

// Answers fails as long as the machine cannot be used.
func (m Machine) Answers(ctx context.Context) error {
	_, err := readBoot(ctx, m)
	return err
}

// before reads when the machine was last started. It may still be connecting.
func (m Machine) before(ctx context.Context, timeout time.Duration) (boot, error) {
	var b boot
	refused := 0
	wait := m.Wait(timeout)
	wait.hopeless = func(err error) bool {
		if !errors.Is(err, component.ErrDisconnected) && !errors.Is(err, errNoAnswer) {
			refused++
		}
		return refused >= refusals
	}
	err := wait.Until(ctx, "answer of the machine", AnswerTimeout, func(ctx context.Context) error {
		var err error
		b, err = readBoot(ctx, m)
		return err
	})
	return b, err
}

// ask asks for the restart. When the connection is lost, or no answer comes,
// the machine may have been quick; whether it has restarted is seen later.
func (m Machine) ask(ctx context.Context, command string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errNoAnswer)
	defer cancel()
	exit, err := m.run(ctx, command, nil)
	switch {
	case errors.Is(err, component.ErrDisconnected), errors.Is(err, errNoAnswer):
		return nil
	case err != nil:
		return fmt.Errorf("the command that restarts the machine: %w", err)
	case !goingDown(exit.Code):
		return fmt.Errorf("the command that restarts the machine, %s, ended with %s", command, exit)
	}
	return nil
}

func hasRestarted(ctx context.Context, m Machine, before boot) error {
	after, err := readBoot(ctx, m)
	if err != nil {
		return err
	}
	if !restarted(before, after) {
		return fmt.Errorf("the machine answers, and has been running since %s", after.at.Format(time.RFC3339))
	}
	return nil
}

var errNoAnswer = errors.New("no answer")

// Wait repeats checks until a deadline that they have in common.
type Wait struct {
	m       Machine
	since   time.Time
	timeout time.Duration
	// hopeless, when set, tells errors that end the wait.
	hopeless func(error) bool
}

// Wait returns a wait that begins now.
func (m Machine) Wait(timeout time.Duration) Wait {
	return Wait{m: m, since: m.Clock.Now(), timeout: timeout}
}

// Until repeats check until it succeeds, with a pause after every failure
// whatever it is. One attempt takes at most limit.
func (w Wait) Until(ctx context.Context, what string, limit time.Duration, check func(context.Context) error) error {
	left := func() time.Duration { return w.timeout - w.m.Clock.Now().Sub(w.since) }
	late := false
	err := retry.Do(ctx, w.m.Clock, retry.Policy{
		First: time.Second,
		Max:   5 * time.Second,
		Retryable: func(err error) bool {
			late = left() <= 0
			return context.Cause(ctx) == nil && !late && (w.hopeless == nil || !w.hopeless(err))
		},
		Notify: func(err error, _ int, _ time.Duration) {
			w.m.Emit(component.Waiting{For: what, Detail: err.Error(), Elapsed: w.m.Clock.Now().Sub(w.since)})
		},
	}, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, max(min(limit, left()), time.Second), errNoAnswer)
		defer cancel()
		return check(ctx)
	})
	if late && context.Cause(ctx) == nil {
		return fmt.Errorf("waited %s (restart_timeout) for the %s; the last thing seen was: %w", w.timeout, what, err)
	}
	return err
}
