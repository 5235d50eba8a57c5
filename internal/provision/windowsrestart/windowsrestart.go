// Package windowsrestart is the windows-restart provisioner: it restarts a
// Windows machine and waits until it can be used again.
package windowsrestart

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
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
	defaultTimeout = 5 * time.Minute

	servicing = `HKLM:SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\`
)

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
			component.String("restart_command", "The command that restarts the machine. Default `"+winguest.RestartCommand+"`."),
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
		c.RestartCommand = winguest.RestartCommand
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

// Inputs are none but the settings.
func (*step) Inputs() component.Inputs { return component.Inputs{} }

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
	wait, err := m.Restart(ctx, s.RestartCommand, s.Timeout)
	if err != nil {
		return err
	}
	if s.CheckCommand != "" {
		if err := wait.Until(ctx, "success of restart_check_command", s.Timeout, func(ctx context.Context) error {
			_, err := m.Output(ctx, s.CheckCommand)
			return err
		}); err != nil {
			return err
		}
	}
	if s.CheckRegistry {
		if err := wait.Until(ctx, "end of the work that the registry tells of", winguest.AnswerTimeout, func(ctx context.Context) error {
			return s.registry(ctx, m)
		}); err != nil {
			return err
		}
	}
	m.Say("The machine has restarted.")
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
