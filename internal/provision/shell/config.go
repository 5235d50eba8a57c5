// Package shell is the shell provisioner: it uploads scripts to a machine
// with a POSIX shell and runs them there.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/shellenv"
)

// disconnectCode stands for a lost connection in valid_exit_codes, as it does
// in Packer.
const disconnectCode = 2300218

const defaultStartRetryTimeout = 5 * time.Minute

type provisioner struct{}

// New returns the shell provisioner.
func New() component.Provisioner { return provisioner{} }

type config struct {
	shellenv.Settings
	Inline            []string      `cty:"inline"`
	Script            string        `cty:"script"`
	Scripts           []string      `cty:"scripts"`
	ExecuteCommand    string        `cty:"execute_command"`
	InlineShebang     string        `cty:"inline_shebang"`
	RemoteFolder      string        `cty:"remote_folder"`
	RemoteFile        string        `cty:"remote_file"`
	RemotePath        string        `cty:"remote_path"`
	Binary            bool          `cty:"binary"`
	UseEnvVarFile     bool          `cty:"use_env_var_file"`
	SkipClean         bool          `cty:"skip_clean"`
	ExpectDisconnect  bool          `cty:"expect_disconnect"`
	ValidExitCodes    []int         `cty:"valid_exit_codes"`
	StartRetryTimeout time.Duration `cty:"start_retry_timeout"`
	PauseAfter        time.Duration `cty:"pause_after"`

	// ShebangSet: the user has chosen inline_shebang.
	ShebangSet bool
}

func (provisioner) Schema() component.Schema {
	execute := component.String("execute_command", "The command that runs a script. {{.Path}} is the script on the machine, {{.Vars}} the environment variables and {{.EnvVarFile}} the file with them. Default \"chmod +x {{.Path}}; {{.Vars}} {{.Path}}\", or with use_env_var_file \"chmod +x {{.Path}}; . {{.EnvVarFile}} && {{.Path}}\".")
	execute.Late = true
	script := component.String("script", "Path of a script to upload and run.")
	script.Format = component.Path
	scripts := component.Strings("scripts", "Paths of scripts to upload and run, one after the other.")
	scripts.Format = component.Path
	return component.Schema{
		Description: "Uploads shell scripts to the machine and runs them there.",
		Manual: &component.Manual{
			Example: `provisioner "shell" {
  environment_vars = ["DEBIAN_FRONTEND=noninteractive"]
  inline = [
    "apt-get update",
    "apt-get install -y --no-install-recommends ca-certificates",
    "rm -rf /var/lib/apt/lists/*",
  ]
}
`,
		},
		Attributes: append(shellenv.Attributes(),
			component.Strings("inline", "Lines of a script to run on the machine."),
			script,
			scripts,
			execute,
			component.String("inline_shebang", "The interpreter of inline lines. Default /bin/sh -e."),
			component.String("remote_folder", "Folder on the machine for the script. Default /tmp."),
			component.String("remote_file", "Name of the script on the machine. Default: a random one."),
			component.String("remote_path", "Path of the script on the machine, in place of remote_folder and remote_file."),
			component.Bool("binary", "Upload scripts byte for byte. By default CR LF line ends become LF."),
			component.Bool("use_env_var_file", "Upload the environment variables as a file that the command reads."),
			component.Bool("skip_clean", "Leave scripts on the machine."),
			component.Bool("expect_disconnect", "A connection that is lost while a script runs is not an error, as when the script restarts the machine. Over SSH, what comes next waits until the machine has restarted, which its boot id tells, or is found not to be going down; no pause is needed."),
			component.Attribute{Name: "valid_exit_codes", Type: cty.List(cty.Number), Description: "Exit codes that mean success. Default 0. 2300218 stands for a lost connection."},
			component.DurationAttr("start_retry_timeout", "", "How long to try again to upload and start a script, and the longest time without progress in one attempt. Default 5m."),
			component.DurationAttr("pause_after", "", "Time to wait after the last script."),
		),
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	c.ShebangSet = component.IsSet(cfg, "inline_shebang")
	out := c.checkSource(cfg)
	out = append(out, c.checkFiles()...)
	out = append(out, c.Check(cfg)...)
	out = append(out, shellenv.CheckTemplate("execute_command", c.ExecuteCommand, "Path", "Vars", "EnvVarFile")...)
	if given(cfg, "remote_path") && (given(cfg, "remote_folder") || given(cfg, "remote_file")) {
		out = append(out, diag.WarnAt("remote_path", "Setting without effect",
			"remote_path names the whole path: remote_folder and remote_file are not used for the script.")...)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"start_retry_timeout", c.StartRetryTimeout}, {"pause_after", c.PauseAfter}} {
		if d.value < 0 {
			out = append(out, diag.At(d.name, "Negative duration", "%s must not be negative, got %s.", d.name, d.value)...)
		}
	}
	if out.HasErrors() {
		return nil, out
	}
	c.setDefaults()
	return &step{c}, out
}

func (c *config) setDefaults() {
	if len(c.ValidExitCodes) == 0 {
		c.ValidExitCodes = []int{0}
	}
	if c.StartRetryTimeout == 0 {
		c.StartRetryTimeout = defaultStartRetryTimeout
	}
	if c.RemoteFolder == "" {
		c.RemoteFolder = "/tmp"
	}
	if !c.ShebangSet || c.InlineShebang == "" {
		c.InlineShebang = "/bin/sh -e"
	}
}

func (c *config) checkSource(cfg cty.Value) diag.List {
	var set []string
	none := true
	for _, name := range []string{"inline", "script", "scripts"} {
		if component.HasValue(cfg, name) {
			set = append(set, name)
		}
		none = none && !given(cfg, name)
	}
	switch {
	case none && cfg.IsKnown():
		return diag.Errorf("No script", "Set inline, script or scripts to what is to be run.")
	case len(set) > 1:
		return diag.At(set[1], "More than one script source", "Only one of inline, script and scripts can be set; this has %s and %s.", set[0], set[1])
	}
	return nil
}

func (c *config) checkFiles() diag.List {
	var out diag.List
	check := func(attribute, path string) {
		if path == "" || gotmpl.HasAction(path) {
			return
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			out = append(out, diag.At(attribute, "Script not found", "There is no file %q.", path)...)
		case err != nil:
			out = append(out, diag.At(attribute, "Script not readable", "%s.", err)...)
		case info.IsDir():
			out = append(out, diag.At(attribute, "Script is a folder", "%q is a folder, not a script.", path)...)
		}
	}
	check("script", c.Script)
	for _, p := range c.Scripts {
		check("scripts", p)
	}
	return out
}

// given reports whether an attribute holds anything, or may once it is known.
func given(cfg cty.Value, name string) bool {
	if !component.IsSet(cfg, name) {
		return false
	}
	v, _ := cfg.GetAttr(name).Unmark()
	if !v.IsKnown() {
		return true
	}
	if v.Type() == cty.String {
		return v.AsString() != ""
	}
	return v.LengthInt() > 0
}

// acceptsDisconnect reports whether a lost connection counts as success.
func (c *config) acceptsDisconnect() bool {
	return c.ExpectDisconnect || slices.Contains(c.ValidExitCodes, disconnectCode)
}

// remote is where one script lives on the machine while it runs.
type remote struct {
	script string
	// envFile is "" unless use_env_var_file is set.
	envFile string
}

// remote chooses the paths. Names that the user has not chosen cannot be
// guessed, since the folder is usually writable for everybody.
func (c *config) remote() remote {
	r := remote{script: c.RemotePath}
	if r.script == "" {
		name := c.RemoteFile
		if name == "" {
			name = "script_" + randomHex() + ".sh"
		}
		r.script = c.RemoteFolder + "/" + name
	}
	if c.UseEnvVarFile {
		r.envFile = c.RemoteFolder + "/varfile_" + randomHex() + ".sh"
	}
	return r
}

// files are the paths to remove afterwards.
func (r remote) files() []string {
	if r.envFile == "" {
		return []string{r.script}
	}
	return []string{r.script, r.envFile}
}

// variables writes the environment in the form that the settings ask for.
func (c *config) variables(env shellenv.Env) string {
	format := c.Format
	if format == "" {
		format = "%s='%s' "
		if c.UseEnvVarFile {
			format = "export %s='%s'\n"
		}
	}
	return env.Format(format)
}

// commandLine is the command that runs the script, without what surrounds it.
func (c *config) commandLine(v gotmpl.Vars, env shellenv.Env, at remote) (string, error) {
	text := c.ExecuteCommand
	if text == "" {
		text = "chmod +x {{.Path}}; {{.Vars}} {{.Path}}"
		if c.UseEnvVarFile {
			text = "chmod +x {{.Path}}; . {{.EnvVarFile}} && {{.Path}}"
		}
	}
	fields := map[string]string{"Path": at.script, "EnvVarFile": at.envFile, "Vars": ""}
	if !c.UseEnvVarFile {
		fields["Vars"] = c.variables(env)
	}
	line, err := gotmpl.Render(text, v, shellenv.Fields(v, fields))
	if err != nil {
		return "", fmt.Errorf("execute_command: %w", err)
	}
	return line, nil
}
