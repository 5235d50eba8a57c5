package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"ingot/internal/component"
	"ingot/internal/retry"
	"ingot/internal/shellenv"
)

// cleanupTimeout bounds the removal of files after a failure or a cancel.
const cleanupTimeout = 30 * time.Second

// refusals is how often to try when the machine answers that it does not take
// the script. It may still be starting up; waiting long would hide a typo.
const refusals = 3

type step struct{ config }

var _ component.InputReader = (*step)(nil)

// Apply runs the scripts in order and stops at the first that fails.
func (s *step) Apply(ctx context.Context, t component.Target) error {
	if caps := t.Comm.Caps(); !caps.Run || !caps.Put {
		return fmt.Errorf("shell: this build has no machine to run scripts on (communicator %q); use shell-local for scripts on this one: %w", caps.Transport, component.ErrUnsupported)
	}
	env := s.Assemble(shellenv.Supplied(t.Template, t.HTTPAddr))
	for _, src := range s.sources() {
		t.Say("Provisioning with shell script: " + src.label)
		if err := s.runScript(ctx, t, src, env); err != nil {
			return fmt.Errorf("shell: script %s: %w", src.label, err)
		}
	}
	if s.PauseAfter > 0 {
		t.Say(fmt.Sprintf("Pausing %s after this provisioner...", s.PauseAfter))
		return t.Clock.Sleep(ctx, s.PauseAfter)
	}
	return nil
}

func (s *step) runScript(ctx context.Context, t component.Target, src source, env shellenv.Env) error {
	at := s.remote()
	single := singleTrip(t.Comm.Caps())
	exit, err := s.start(ctx, t, src, env, at, single)
	lost := errors.Is(err, component.ErrDisconnected) && context.Cause(ctx) == nil
	accepted := lost && !isNotStarted(err) && s.acceptsDisconnect()
	if accepted || err == nil && s.acceptsDisconnect() && slices.Contains(s.ValidExitCodes, exit.Code) {
		expectRestart(t.Comm)
	}
	if !s.SkipClean && (err != nil || !single) {
		must := accepted || err == nil && slices.Contains(s.ValidExitCodes, exit.Code)
		if cleanErr := s.clean(ctx, t, at, must); cleanErr != nil {
			return cleanErr
		}
	}
	switch {
	case accepted:
		return nil
	case lost && !isNotStarted(err):
		return fmt.Errorf("%w while the script ran; if it restarts the machine, set expect_disconnect = true", err)
	case err != nil:
		return err
	case !slices.Contains(s.ValidExitCodes, exit.Code):
		return s.exitError(exit)
	}
	return nil
}

// expectRestart makes what comes next wait for a machine that may be
// restarting, although the script may have ended before anything is seen of
// it.
func expectRestart(c component.Communicator) {
	if r, ok := c.(component.RestartAware); ok {
		r.ExpectRestart()
	}
}

func (s *step) exitError(exit component.Exit) error {
	if exit.Signal != "" {
		return fmt.Errorf("script was ended by signal %s (exit status %d). Allowed exit codes are: %v", exit.Signal, exit.Code, s.ValidExitCodes)
	}
	return fmt.Errorf("script exited with non-zero exit status: %d. Allowed exit codes are: %v", exit.Code, s.ValidExitCodes)
}

// singleTrip reports whether a composed command can be used.
func singleTrip(c component.Caps) bool { return c.Shell == component.POSIX && !c.AlwaysPTY }

// start tries until the script has started, or start_retry_timeout is over.
// It never starts a script a second time: only what failed before the machine
// had all of it is repeated.
func (s *step) start(ctx context.Context, t component.Target, src source, env shellenv.Env, at remote, single bool) (exit component.Exit, err error) {
	begin, rejected := t.Clock.Now(), 0
	err = retry.Do(ctx, t.Clock, retry.Policy{
		First: 500 * time.Millisecond,
		Max:   5 * time.Second,
		Retryable: func(err error) bool {
			var early *earlyError
			if context.Cause(ctx) != nil || !errors.As(err, &early) || early.final {
				return false
			}
			if early.refused {
				rejected++
				return rejected < refusals
			}
			return t.Clock.Now().Sub(begin) < s.StartRetryTimeout
		},
		Notify: func(err error, attempt int, delay time.Duration) {
			t.Emit(component.Retrying{What: "upload of script " + src.label, Class: retry.ClassOf(err).String(), Attempt: attempt, Delay: delay, Err: err})
		},
	}, func(ctx context.Context) error {
		var err error
		if single {
			exit, err = s.oneTrip(ctx, t, src, env, at)
		} else {
			exit, err = s.separateTrips(ctx, t, src, env, at)
		}
		return err
	})
	return exit, err
}

// clean removes the script's files. When must is set, the step has succeeded
// and the machine may be restarting: it is tried for start_retry_timeout and a
// failure counts. Otherwise one attempt is made and a failure is a warning.
func (s *step) clean(ctx context.Context, t component.Target, at remote, must bool) error {
	command := component.Command{Line: removeCommand(t.Comm.Caps().Shell, at.files())}
	remove := func(ctx context.Context) error {
		exit, err := t.Comm.Run(ctx, command)
		if err == nil && exit.Code != 0 {
			err = refused(fmt.Errorf("%s: %s", command.Line, exit))
		}
		return err
	}
	var err error
	if must {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.StartRetryTimeout, fmt.Errorf("gave up after %s", s.StartRetryTimeout))
		defer cancel()
		err = retry.Do(ctx, t.Clock, retry.Policy{
			First:     500 * time.Millisecond,
			Max:       5 * time.Second,
			Retryable: func(err error) bool { return !isNotStarted(err) && !errors.Is(err, component.ErrUnsupported) },
		}, remove)
	} else {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = remove(detached)
	}
	switch {
	case err == nil:
		return nil
	case must:
		return fmt.Errorf("remove the script from the machine: %w", err)
	}
	t.Emit(component.Warning{
		Summary: "A script may be left on the machine",
		Detail:  fmt.Sprintf("%s could not be removed: %s.", at.script, err),
	})
	return nil
}

// earlyError is a failure from before the script started.
type earlyError struct {
	error
	// refused: the machine answered that it does not take the script.
	refused bool
	// final: trying again cannot help.
	final bool
}

func (e *earlyError) Unwrap() error { return e.error }

func notStarted(err error) error {
	return &earlyError{
		error:   err,
		refused: errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission),
		final:   errors.Is(err, component.ErrUnsupported),
	}
}

func refused(err error) error { return &earlyError{error: err, refused: true} }

func final(err error) error { return &earlyError{error: err, final: true} }

func isNotStarted(err error) bool {
	var early *earlyError
	return errors.As(err, &early)
}

// Inputs are the scripts.
func (s *step) Inputs() component.Inputs {
	var out component.Inputs
	for _, src := range s.sources() {
		if src.path != "" {
			out.Files = append(out.Files, src.path)
		}
	}
	return out
}
