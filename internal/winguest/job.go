package winguest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/retry"
)

// Disconnected stands for a lost connection in valid_exit_codes, as it does in
// Packer.
const Disconnected = 2300218

// Running is what a user may say about how scripts are run. It can be embedded
// in a configuration whose schema has RunningAttributes.
type Running struct {
	ValidExitCodes    []int         `cty:"valid_exit_codes"`
	StartRetryTimeout time.Duration `cty:"start_retry_timeout"`
	Binary            *bool         `cty:"binary"`
}

// RunningAttributes describes Running for a schema.
func RunningAttributes() []component.Attribute {
	return []component.Attribute{
		{Name: "valid_exit_codes", Type: cty.List(cty.Number), Description: "Exit codes that mean success. 2300218 stands for a lost connection, as when the script restarts the machine. Default 0."},
		component.DurationAttr("start_retry_timeout", "", "How long to try again to upload and start a script, and the longest time without progress in one attempt. Default 5m."),
		component.Bool("binary", "Upload scripts byte for byte. That is always done."),
	}
}

// Check finds mistakes in r.
func (r Running) Check() diag.List {
	var out diag.List
	if r.StartRetryTimeout < 0 {
		out = append(out, diag.At("start_retry_timeout", "Negative duration", "start_retry_timeout must not be negative, got %s.", r.StartRetryTimeout)...)
	}
	if r.Binary != nil && !*r.Binary {
		out = append(out, diag.WarnAt("binary", "Setting without effect", "Scripts for Windows machines are always uploaded byte for byte.")...)
	}
	return out
}

// Machine returns the machine behind t with the settings of r.
func (r Running) Machine(t component.Target) Machine {
	if r.StartRetryTimeout == 0 {
		r.StartRetryTimeout = DefaultPatience
	}
	return Machine{Target: t, Patience: r.StartRetryTimeout}
}

// Job is one script with everything that it needs.
type Job struct {
	// Label is what the user calls the script.
	Label string
	// Files are put on the machine before, and removed afterwards.
	Files []File
	// Line is the command that runs the script.
	Line string
	// As is the user to run it as; nil is the one who is connected.
	As *Account
	// ValidExitCodes mean success; empty is 0.
	ValidExitCodes []int
	// Stdout takes what the script prints on its standard output, and with As
	// on its standard error too; nil shows it.
	Stdout io.Writer
	// ComesBack says that a lost connection does not mean the end: whoever
	// runs the job waits for the machine. So it is tidied up then.
	ComesBack bool
	// Keep leaves the files on the machine.
	Keep bool
	// Removal is the command that removes files. It fails when one is left.
	Removal func(paths []string) string
}

// Do uploads the files, runs the script and removes the files whatever
// happened, a cancel included. What fails before the script has begun is tried
// again; a script is never begun twice.
func (m Machine) Do(ctx context.Context, job Job) error {
	if len(job.ValidExitCodes) == 0 {
		job.ValidExitCodes = []int{0}
	}
	var exit component.Exit
	err := m.begin(ctx, "start of script "+job.Label, func(ctx context.Context) error {
		for _, f := range job.Files {
			if err := m.put(ctx, f); err != nil {
				return err
			}
		}
		var err error
		if job.As != nil {
			exit, err = m.runAs(ctx, job, job.Line)
		} else {
			exit, err = m.run(ctx, job.Line, job.Stdout)
		}
		return err
	})
	lost := errors.Is(err, component.ErrDisconnected) && context.Cause(ctx) == nil && !isNotStarted(err)
	accepted := lost && slices.Contains(job.ValidExitCodes, Disconnected)
	if !job.Keep {
		must := accepted || lost && job.ComesBack || err == nil && slices.Contains(job.ValidExitCodes, exit.Code)
		must = must && context.Cause(ctx) == nil
		if cleanErr := m.clean(ctx, job, must); cleanErr != nil {
			if lost && context.Cause(ctx) == nil {
				return fmt.Errorf("the connection was lost while the script ran, and the machine did not come back: %v", cleanErr) //nolint:errorlint // it is no longer one that waiting helps with
			}
			return cleanErr
		}
	}
	switch {
	case accepted:
		return nil
	case lost && job.ComesBack:
		return err
	case lost:
		return fmt.Errorf("%w while the script ran; if it restarts the machine, use the windows-restart provisioner instead, or add %d to valid_exit_codes", err, Disconnected)
	case err != nil:
		return err
	case !slices.Contains(job.ValidExitCodes, exit.Code):
		return fmt.Errorf("script exited with non-zero exit status: %d. Allowed exit codes are: %v", exit.Code, job.ValidExitCodes)
	}
	return nil
}

// clean removes the files. When must is set, the script has succeeded and the
// machine may be restarting: it is tried as long as there is patience, and a
// failure counts. Otherwise one attempt is made and a failure is a warning.
func (m Machine) clean(ctx context.Context, job Job, must bool) error {
	paths := make([]string, len(job.Files))
	for i, f := range job.Files {
		paths[i] = f.Path
	}
	var err error
	if must {
		err = m.patiently(ctx, func(ctx context.Context) error { return m.remove(ctx, job, paths) })
	} else {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = m.remove(detached, job, paths)
	}
	switch {
	case err == nil:
		return nil
	case must:
		return fmt.Errorf("remove the script from the machine: %w", err)
	}
	m.Emit(component.Warning{
		Summary: "A script may be left on the machine",
		Detail:  fmt.Sprintf("%v could not be removed: %s.", paths, err),
	})
	return nil
}

// patiently repeats fn until it succeeds, as long as there is patience.
func (m Machine) patiently(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.Patience, fmt.Errorf("gave up after %s", m.Patience))
	defer cancel()
	rejected := 0
	return retry.Do(ctx, m.Clock, retry.Policy{
		First: 500 * time.Millisecond,
		Max:   5 * time.Second,
		Retryable: func(err error) bool {
			if isNotStarted(err) {
				rejected++
			}
			return rejected < refusals && !errors.Is(err, component.ErrUnsupported)
		},
	}, fn)
}

// remove removes files as the user who put them there, and if that is refused
// as the one who ran them.
func (m Machine) remove(ctx context.Context, job Job, paths []string) error {
	_, err := m.Output(ctx, job.Removal(paths))
	if err == nil || job.As == nil || !isNotStarted(err) {
		return err
	}
	exit, asErr := m.runAs(ctx, Job{As: job.As, ComesBack: job.ComesBack}, job.Removal(paths))
	if asErr == nil && exit.Code != 0 {
		asErr = refused(fmt.Errorf("as %s: %s", job.As.User, exit))
	}
	return asErr
}
