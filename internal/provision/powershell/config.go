// Package powershell is the powershell provisioner: it runs PowerShell scripts
// on Windows machines, as the connected user or with the rights of another
// one.
package powershell

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/shellenv"
	"ingot/internal/winguest"
)

type provisioner struct{}

// New returns the powershell provisioner.
func New() component.Provisioner { return provisioner{} }

type config struct {
	shellenv.Settings
	winguest.Scripts
	winguest.Running
	ExecuteCommand         string        `cty:"execute_command"`
	ElevatedExecuteCommand string        `cty:"elevated_execute_command"`
	ElevatedUser           string        `cty:"elevated_user"`
	ElevatedPassword       string        `cty:"elevated_password"`
	ElevatedFormat         string        `cty:"elevated_env_var_format"`
	ExecutionPolicy        string        `cty:"execution_policy"`
	RemotePath             string        `cty:"remote_path"`
	RemoteEnvVarPath       string        `cty:"remote_env_var_path"`
	DebugMode              int           `cty:"debug_mode"`
	UsePwsh                bool          `cty:"use_pwsh"`
	SkipClean              bool          `cty:"skip_clean"`
	PauseAfter             time.Duration `cty:"pause_after"`
}

const remoteFolder = "c:/Windows/Temp/"

func (provisioner) Schema() component.Schema {
	execute := component.String("execute_command", "The command that runs a script. {{.Path}} is the script on the machine and {{.Vars}} a script there that sets the environment variables. Default: PowerShell with execution_policy, which reads {{.Vars}}, runs {{.Path}} and exits with the exit code of the last program.")
	execute.Late = true
	elevated := component.String("elevated_execute_command", "The same as execute_command, used when elevated_user is set. Default: as for execute_command.")
	elevated.Late = true
	password := component.String("elevated_password", "Password of elevated_user. Without one, elevated_user is a service account such as SYSTEM.")
	password.Sensitive = true
	policy := component.String("execution_policy", "The execution policy of PowerShell for the scripts. With `none` the one of the machine stays as it is. Default bypass.")
	policy.OneOf = []string{"bypass", "allsigned", "default", "remotesigned", "restricted", "undefined", "unrestricted", "none"}
	attributes := append(shellenv.Attributes(), winguest.ScriptAttributes()...)
	return component.Schema{
		Description: "Uploads PowerShell scripts to a Windows machine and runs them there.",
		Manual: &component.Manual{
			Example: `provisioner "powershell" {
  environment_vars = ["FEATURE=Web-Server"]
  inline = [
    "$ErrorActionPreference = 'Stop'",
    "Install-WindowsFeature -Name $env:FEATURE",
  ]
}
`,
		},
		Attributes: append(append(attributes, winguest.RunningAttributes()...),
			execute,
			elevated,
			component.String("elevated_user", "Run the scripts with the highest rights of this user, through a scheduled task."),
			password,
			component.String("elevated_env_var_format", "The same as env_var_format, used when elevated_user is set."),
			policy,
			component.String("remote_path", "Path of the script on the machine. Behind a separator at its end, the name of the script is put. Default: a random name in c:/Windows/Temp."),
			component.String("remote_env_var_path", "Path on the machine of the script that sets the environment variables. Default: a random name in c:/Windows/Temp."),
			component.Number("debug_mode", "Trace level of Set-PSDebug: 1 prints each line that is run, 2 also variables and calls. Default 0."),
			component.Bool("use_pwsh", "Run the scripts with PowerShell 7 (pwsh) in place of Windows PowerShell."),
			component.Bool("skip_clean", "Leave scripts on the machine."),
			component.DurationAttr("pause_after", "", "Time to wait after the last script."),
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
	out = append(out, shellenv.CheckFormat(cfg, "elevated_env_var_format", c.ElevatedFormat)...)
	out = append(out, shellenv.CheckTemplate("execute_command", c.ExecuteCommand, "Path", "Vars")...)
	out = append(out, shellenv.CheckTemplate("elevated_execute_command", c.ElevatedExecuteCommand, "Path", "Vars")...)
	if c.DebugMode < 0 || c.DebugMode > 2 {
		out = append(out, diag.At("debug_mode", "Trace level out of range", "debug_mode must be 0, 1 or 2, got %d.", c.DebugMode)...)
	}
	if c.PauseAfter < 0 {
		out = append(out, diag.At("pause_after", "Negative duration", "pause_after must not be negative, got %s.", c.PauseAfter)...)
	}
	out = append(out, c.checkElevation(cfg)...)
	if out.HasErrors() {
		return nil, out
	}
	return &step{c}, out
}

func (c *config) checkElevation(cfg cty.Value) diag.List {
	if !cfg.IsKnown() || !component.Known(cfg, "elevated_user") || c.ElevatedUser != "" {
		return nil
	}
	if component.HasValue(cfg, "elevated_password") {
		return diag.At("elevated_password", "Password without a user", "elevated_password is set, but elevated_user is not: set it to the user who has this password.")
	}
	for _, name := range []string{"elevated_execute_command", "elevated_env_var_format"} {
		if component.HasValue(cfg, name) {
			return diag.WarnAt(name, "Setting without effect", "%s is used only when elevated_user is set.", name)
		}
	}
	return nil
}

// account is the user to run scripts as, nil for the one who is connected.
func (c *config) account() *winguest.Account {
	if c.ElevatedUser == "" {
		return nil
	}
	return &winguest.Account{User: c.ElevatedUser, Password: c.ElevatedPassword}
}

// remote is where one script lives on the machine while it runs.
type remote struct{ script, vars string }

// remote chooses the paths. Names that the user has not chosen cannot be
// guessed. local is the script's path here, empty for inline lines.
func (c *config) remote(local string) remote {
	id := winguest.Unguessable()
	r := remote{script: c.RemotePath, vars: c.RemoteEnvVarPath}
	name := "script-" + id + ".ps1"
	switch {
	case r.script == "":
		r.script = remoteFolder + name
	case strings.HasSuffix(r.script, "/"), strings.HasSuffix(r.script, `\`):
		if local != "" {
			name = path.Base(strings.ReplaceAll(local, `\`, "/"))
		}
		r.script += name
	}
	if r.vars == "" {
		r.vars = remoteFolder + "ingot-env-" + id + ".ps1"
	}
	return r
}

// variables is the script that sets the environment.
func (c *config) variables(env shellenv.Env) string {
	format := c.Format
	if c.ElevatedUser != "" {
		format = c.ElevatedFormat
	}
	if format == "" {
		format = "${env:%s} = \"%s\"\n"
	}
	return env.FormatWith(format, winguest.Escape) + "\n"
}

// interpreter is the program, and its options for the execution policy.
func (c *config) interpreter() (program, options string) {
	program = "powershell"
	if c.UsePwsh {
		program = "pwsh"
	}
	switch c.ExecutionPolicy {
	case "none":
		return program, ""
	case "":
		return program, "-ExecutionPolicy bypass"
	}
	return program, "-ExecutionPolicy " + c.ExecutionPolicy
}

// commandLine is the command that runs a script which is at a place.
func (c *config) commandLine(v gotmpl.Vars, at remote) (string, error) {
	attribute, text := "execute_command", c.ExecuteCommand
	if c.ElevatedUser != "" {
		attribute, text = "elevated_execute_command", c.ElevatedExecuteCommand
	}
	if text == "" {
		return c.defaultCommand(at), nil
	}
	line, err := gotmpl.Render(text, v, shellenv.Fields(v, map[string]string{"Path": at.script, "Vars": at.vars}))
	if err != nil {
		return "", fmt.Errorf("%s: %w", attribute, err)
	}
	return line, nil
}

// prelude is what every script begins with.
func (c *config) prelude() string {
	text := "$ProgressPreference = 'SilentlyContinue'\n"
	if c.DebugMode > 0 {
		text += "Set-PSDebug -Trace " + strconv.Itoa(c.DebugMode) + "\n"
	}
	return text
}

func (c *config) defaultCommand(at remote) string {
	program, options := c.interpreter()
	if len(c.Inline) > 0 {
		return strings.Join(strings.Fields(program+" "+options+" -NonInteractive"), " ") + ` -File "` + at.script + `"`
	}
	// PowerShell goes on after a script that it cannot read or may not run,
	// and there is no exit code then.
	return winguest.Encoded(program, options, c.prelude()+
		". "+winguest.Literal(at.vars)+"\n"+
		"try { $null = (Get-Command -Name "+winguest.Literal(at.script)+" -CommandType ExternalScript -ErrorAction Stop).ScriptBlock } catch { [Console]::Error.WriteLine(($_ | Out-String)); exit 1 }\n"+
		"& "+winguest.Literal(at.script)+"\n"+
		"exit $LastExitCode\n")
}

// inlineScript is the file that inline lines become. It reads the variables
// itself, since the command may know only the path of one script.
func (c *config) inlineScript(at remote) string {
	return c.prelude() +
		". " + winguest.Literal(at.vars) + "\n" +
		"try {\n" +
		strings.Join(c.Inline, "\n") + "\n" +
		"} catch {\n" +
		"[Console]::Error.WriteLine(($_ | Out-String))\n" +
		"exit 1\n" +
		"}\n" +
		"if ($global:LASTEXITCODE) { exit $global:LASTEXITCODE }\n"
}
