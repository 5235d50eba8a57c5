// Package windowsshell is the windows-shell provisioner: it runs batch files on
// Windows machines.
package windowsshell

import (
	"context"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/shellenv"
	"ingot/internal/winguest"
)

type provisioner struct{}

// New returns the windows-shell provisioner.
func New() component.Provisioner { return provisioner{} }

type config struct {
	shellenv.Settings
	winguest.Scripts
	winguest.Running
	ExecuteCommand string `cty:"execute_command"`
	RemotePath     string `cty:"remote_path"`
	SkipClean      bool   `cty:"skip_clean"`
}

const defaultCommand = `{{.Vars}}"{{.Path}}"`

func (provisioner) Schema() component.Schema {
	execute := component.String("execute_command", "The command that runs a script. {{.Path}} is the script on the machine and {{.Vars}} the commands that set the environment variables. Default `"+defaultCommand+"`.")
	execute.Late = true
	attributes := append(shellenv.Attributes(), winguest.ScriptAttributes()...)
	return component.Schema{
		Description: "Uploads batch files to a Windows machine and runs them there with cmd.exe.",
		Manual: &component.Manual{
			Example: `provisioner "windows-shell" {
  environment_vars = ["TARGET=C:\\tools"]
  inline = [
    "if not exist \"%TARGET%\" mkdir \"%TARGET%\"",
    "setx /m PATH \"%PATH%;%TARGET%\"",
  ]
}
`,
		},
		Attributes: append(append(attributes, winguest.RunningAttributes()...),
			execute,
			component.String("remote_path", "Path of the script on the machine. Default: a random name in c:/Windows/Temp."),
			component.Bool("skip_clean", "Leave scripts on the machine."),
		),
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	out := c.Scripts.Check(cfg)
	out = append(out, c.Settings.Check(cfg)...)
	out = append(out, c.Running.Check()...)
	out = append(out, shellenv.CheckTemplate("execute_command", c.ExecuteCommand, "Path", "Vars")...)
	if component.Known(cfg, "environment_vars") && component.Known(cfg, "env") {
		if _, err := c.variables(c.Assemble(nil)); err != nil {
			out = append(out, diag.Errorf("Not an environment variable for cmd.exe", "%s.", err)...)
		}
	}
	if out.HasErrors() {
		return nil, out
	}
	return &step{c}, out
}

type step struct{ config }

var _ component.InputReader = (*step)(nil)

// Apply runs the scripts in order and stops at the first that fails.
func (s *step) Apply(ctx context.Context, t component.Target) error {
	m := s.Machine(t)
	if err := m.Usable("windows-shell"); err != nil {
		return err
	}
	if !t.Comm.Caps().Shell.Windows() {
		return fmt.Errorf("windows-shell: the machine's shell is not one of Windows: use the shell provisioner: %w", component.ErrUnsupported)
	}
	vars, err := s.variables(s.Assemble(shellenv.Supplied(t.Template, t.HTTPAddr)))
	if err != nil {
		return fmt.Errorf("windows-shell: %w", err)
	}
	if len(s.Inline) > 0 {
		return s.run(ctx, m, "inline", winguest.FromText(strings.Join(s.Inline, "\r\n")+"\r\n"), vars)
	}
	for _, local := range s.Files() {
		if err := s.run(ctx, m, local, winguest.FromFile(local), vars); err != nil {
			return err
		}
	}
	return nil
}

func (s *step) run(ctx context.Context, m winguest.Machine, label string, body winguest.Source, vars string) error {
	at := s.RemotePath
	if at == "" {
		at = "c:/Windows/Temp/script-" + winguest.Unguessable() + ".bat"
	}
	text := s.ExecuteCommand
	if text == "" {
		text = defaultCommand
	}
	line, err := gotmpl.Render(text, m.Template, shellenv.Fields(m.Template, map[string]string{"Path": at, "Vars": vars}))
	if err != nil {
		return fmt.Errorf("windows-shell: execute_command: %w", err)
	}
	m.Say("Provisioning with windows-shell script: " + label)
	err = m.Do(ctx, winguest.Job{
		Label:          label,
		Files:          []winguest.File{{Path: at, Source: body}},
		Line:           m.ForCmd(line),
		ValidExitCodes: s.ValidExitCodes,
		Keep:           s.SkipClean,
		Removal:        func(paths []string) string { return m.ForCmd(winguest.RemoveWithCmd(paths)) },
	})
	if err != nil {
		return fmt.Errorf("windows-shell: script %s: %w", label, err)
	}
	return nil
}

// variables are the commands that set the environment. Without a format of the
// user's, a value stands for itself whatever is in it; with one it is put in
// as it is, since only the user knows where.
func (c *config) variables(env shellenv.Env) (string, error) {
	var b strings.Builder
	for _, v := range env {
		if strings.ContainsAny(v.Name+v.Value, "\r\n\x00") {
			return "", fmt.Errorf("the environment variable %s has a line end in it, which a command line of cmd.exe cannot hold", v.Name)
		}
		if c.Format != "" {
			continue
		}
		b.WriteString(setCommand(v.Name + "=" + v.Value))
		if v.Value == "" {
			b.WriteString(" & ") // it fails when there was no such variable
		} else {
			b.WriteString(" && ")
		}
	}
	if c.Format != "" {
		return env.FormatRaw(c.Format), nil
	}
	return b.String(), nil
}

// setCommand sets a variable. Between quotes, everything but a quote and a
// percent sign stands for itself. With one of those there are no quotes:
// every character with a meaning has a caret in front. A caret before a
// percent sign also keeps %NAME% from being replaced, because then the name
// is one that no variable has.
func setCommand(assignment string) string {
	if !strings.ContainsAny(assignment, `"%`) {
		return `set "` + assignment + `"`
	}
	var b strings.Builder
	b.WriteString(`set ^"`)
	for _, r := range assignment {
		if strings.ContainsRune(`^&|<>()"%!`, r) {
			b.WriteByte('^')
		}
		b.WriteRune(r)
	}
	b.WriteString(`^"`)
	return b.String()
}

// Inputs are the scripts.
func (s *step) Inputs() component.Inputs {
	if len(s.Inline) > 0 {
		return component.Inputs{}
	}
	return component.Inputs{Files: s.Files()}
}
