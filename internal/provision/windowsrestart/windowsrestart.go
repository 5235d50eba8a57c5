// Package windowsrestart is the windows-restart provisioner: it restarts a
// Windows machine and waits until it can be used again.
package windowsrestart

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/retry"
	"ingot/internal/winguest"
)

type provisioner struct{}

// New returns the windows-restart provisioner.
func New() component.Provisioner { return provisioner{} }

type config struct {
	RestartCommand string        `cty:"restart_command"`
	CheckCommand   string        `cty:"restart_check_command"`
	Timeout        time.Duration `cty:"restart_timeout"`
	CheckRegistry  bool          `cty:"check_registry"`
	RegistryKeys   []string      `cty:"registry_keys"`
}

const (
	defaultRestart = `shutdown /r /f /t 0 /c "restart by ingot"`
	defaultTimeout = 5 * time.Minute
	// answerTimeout is how long to wait for one answer: a machine that is
	// going down may take a question and never answer.
	answerTimeout = 30 * time.Second
	// refusals is how often the machine may answer that it cannot say when
	// it was started.
	refusals = 3

	servicing = `HKLM:SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\`
)

// goingDown are the exit codes of shutdown when a restart is under way:
// success, ERROR_SHUTDOWN_IN_PROGRESS and ERROR_SHUTDOWN_IS_SCHEDULED.
func goingDown(code int) bool { return slices.Contains([]int{0, 1115, 1190}, code) }

func (provisioner) Schema() component.Schema {
	return component.Schema{
		Description: "Restarts a Windows machine and waits until it has started again and can be used.",
		Manual: &component.Manual{
			Example: `provisioner "windows-restart" {
  restart_timeout = "15m"
  check_registry  = true
}
`,
		},
		Attributes: []component.Attribute{
			component.String("restart_command", "The command that restarts the machine. Default `"+defaultRestart+"`."),
			component.String("restart_check_command", "A command that succeeds once the machine is ready. It is run again until it does. By default the machine is ready when it says that it has started again."),
			component.DurationAttr("restart_timeout", "", "How long the restart may take, the checks included. Default 5m."),
			component.Bool("check_registry", "Wait also until none of registry_keys exists."),
			component.Strings("registry_keys", "Keys of the registry that exist while Windows has something to finish. Default: `RebootPending`, `PackagesPending` and `RebootInProgress` of Component Based Servicing."),
		},
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	var out diag.List
	if c.Timeout < 0 {
		return nil, diag.At("restart_timeout", "Negative duration", "restart_timeout must not be negative, got %s.", c.Timeout)
	}
	if component.HasValue(cfg, "registry_keys") && component.Known(cfg, "check_registry") && !c.CheckRegistry {
		out = diag.WarnAt("registry_keys", "Setting without effect", "registry_keys is used only when check_registry is true.")
	}
	if c.RestartCommand == "" {
		c.RestartCommand = defaultRestart
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if len(c.RegistryKeys) == 0 {
		c.RegistryKeys = []string{servicing + "RebootPending", servicing + "PackagesPending", servicing + "RebootInProgress"}
	}
	return &step{c}, out
}

type step struct{ config }

// Apply restarts the machine.
func (s *step) Apply(ctx context.Context, t component.Target) error {
	if caps := t.Comm.Caps(); !caps.Run {
		return fmt.Errorf("windows-restart: this build has no machine to restart (communicator %q): %w", caps.Transport, component.ErrUnsupported)
	}
	err := s.restart(ctx, winguest.Machine{Target: t, Patience: s.Timeout})
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	return fmt.Errorf("windows-restart: %w", err)
}

func (s *step) restart(ctx context.Context, m winguest.Machine) error {
	before, err := s.before(ctx, m)
	if err != nil {
		return err
	}
	m.Say("Restarting the machine...")
	if err := s.command(ctx, m); err != nil {
		return err
	}
	wait := waiting{m: m, since: m.Clock.Now(), timeout: s.Timeout}
	m.Say("Waiting for the machine to restart...")
	if err := wait.until(ctx, "restart of the machine", answerTimeout, func(ctx context.Context) error {
		return hasRestarted(ctx, m, before)
	}); err != nil {
		return err
	}
	if s.CheckCommand != "" {
		if err := wait.until(ctx, "success of restart_check_command", s.Timeout, func(ctx context.Context) error {
			_, err := m.Output(ctx, s.CheckCommand)
			return err
		}); err != nil {
			return err
		}
	}
	if s.CheckRegistry {
		if err := wait.until(ctx, "end of the work that the registry tells of", answerTimeout, func(ctx context.Context) error {
			return s.registry(ctx, m)
		}); err != nil {
			return err
		}
	}
	m.Say("The machine has restarted.")
	return nil
}

// before reads when the machine was last started. It may still be connecting.
func (s *step) before(ctx context.Context, m winguest.Machine) (boot, error) {
	var b boot
	refused := 0
	wait := waiting{m: m, since: m.Clock.Now(), timeout: s.Timeout, hopeless: func(err error) bool {
		if !errors.Is(err, component.ErrDisconnected) && !errors.Is(err, errNoAnswer) {
			refused++
		}
		return refused >= refusals
	}}
	err := wait.until(ctx, "answer of the machine", answerTimeout, func(ctx context.Context) error {
		var err error
		b, err = readBoot(ctx, m)
		return err
	})
	return b, err
}

// command asks for the restart. When the connection is lost, or no answer
// comes, the machine may have been quick; whether it has restarted is seen
// later.
func (s *step) command(ctx context.Context, m winguest.Machine) error {
	out, errOut := component.NewLineWriter(m.Events, component.Stdout), component.NewLineWriter(m.Events, component.Stderr)
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, errNoAnswer)
	defer cancel()
	exit, err := m.Comm.Run(ctx, component.Command{Line: s.RestartCommand, Stdout: out, Stderr: errOut})
	out.Flush()
	errOut.Flush()
	switch {
	case errors.Is(err, component.ErrDisconnected), errors.Is(err, errNoAnswer):
		return nil
	case err != nil:
		return fmt.Errorf("restart_command: %w", err)
	case !goingDown(exit.Code):
		return fmt.Errorf("restart_command ended with %s", exit)
	}
	return nil
}

func hasRestarted(ctx context.Context, m winguest.Machine, before boot) error {
	after, err := readBoot(ctx, m)
	if err != nil {
		return err
	}
	if !restarted(before, after) {
		return fmt.Errorf("the machine answers, and has been running since %s", after.at.Format(time.RFC3339))
	}
	return nil
}

func (s *step) registry(ctx context.Context, m winguest.Machine) error {
	left, err := m.Output(ctx, winguest.Own(registryScript(s.RegistryKeys)))
	if err != nil {
		return fmt.Errorf("read the registry: %w", err)
	}
	if keys := strings.Join(strings.FieldsFunc(left, func(r rune) bool { return r == '\r' || r == '\n' }), ", "); keys != "" {
		return fmt.Errorf("the registry still has %s", keys)
	}
	return nil
}

// registryScript prints the keys that exist.
func registryScript(keys []string) string {
	literals := make([]string, len(keys))
	for i, k := range keys {
		literals[i] = winguest.Literal(k)
	}
	return "foreach ($key in @(" + strings.Join(literals, ", ") + ")) { if (Test-Path -LiteralPath $key) { Write-Output $key } }\n"
}

var errNoAnswer = errors.New("no answer")

// waiting repeats checks until a common deadline.
type waiting struct {
	m       winguest.Machine
	since   time.Time
	timeout time.Duration
	// hopeless, when set, tells errors that end the wait.
	hopeless func(error) bool
}

// until repeats check until it succeeds, with a pause after every failure
// whatever it is. One attempt takes at most limit.
func (w waiting) until(ctx context.Context, what string, limit time.Duration, check func(context.Context) error) error {
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
