// Package localscript runs scripts on the machine that Ingot itself runs on.
// It is what the shell-local provisioner and the shell-local post-processor
// have in common; what a script's success means is theirs to say.
package localscript

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/shellenv"
)

// Scripts is a checked configuration: one or more scripts to run one after
// the other.
type Scripts struct {
	shellenv.Settings
	Command           string   `cty:"command"`
	Inline            []string `cty:"inline"`
	Script            string   `cty:"script"`
	Paths             []string `cty:"scripts"`
	ExecuteCommand    []string `cty:"execute_command"`
	InlineShebang     string   `cty:"inline_shebang"`
	TempfileExtension string   `cty:"tempfile_extension"`
	OnlyOn            []string `cty:"only_on"`
	UseLinuxPathing   bool     `cty:"use_linux_pathing"`
	ValidExitCodes    []int    `cty:"valid_exit_codes"`

	// WrapSingle runs an execute_command of one element through "sh -c",
	// as the post-processor does.
	WrapSingle bool

	// grace is how long a cancelled script has to end by itself.
	grace time.Duration
}

// killGrace is the time between SIGTERM and SIGKILL.
const killGrace = 5 * time.Second

var systems = []string{"darwin", "freebsd", "linux", "openbsd", "solaris", "windows"}

// Attributes describes Scripts for a schema.
func Attributes() []component.Attribute {
	command := component.String("command", "One line to run.")
	command.Deprecated = "Use inline, a list of lines."
	execute := component.Strings("execute_command", "The command that runs a script, as a list of arguments. {{.Script}} is the script's path and {{.Vars}} the environment variables.")
	execute.Late = true
	script := component.String("script", "Path of a script to run.")
	script.Format = component.Path
	scripts := component.Strings("scripts", "Paths of scripts to run one after the other.")
	scripts.Format = component.Path
	return append(shellenv.Attributes(),
		command,
		component.Strings("inline", "Lines of a script to run."),
		script,
		scripts,
		execute,
		component.String("inline_shebang", "The interpreter of inline lines. Default /bin/sh -e; none on Windows."),
		component.String("tempfile_extension", "What the name of the file with the inline lines ends with. Default .cmd on Windows."),
		component.Strings("only_on", "Run only on these operating systems: "+strings.Join(systems, ", ")+"."),
		component.Bool("use_linux_pathing", "Give the script's path the form that the Windows Subsystem for Linux understands."),
		component.Attribute{Name: "valid_exit_codes", Type: cty.List(cty.Number), Description: "Exit codes that mean success. Default 0."},
	)
}

// Plan checks a configuration that has Attributes. Nothing is run or written.
// The Scripts are nil if and only if there are errors.
func Plan(cfg cty.Value) (*Scripts, diag.List) {
	s := &Scripts{grace: killGrace}
	if err := component.Decode(cfg, s); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	var out diag.List
	out = append(out, s.checkSource(cfg)...)
	out = append(out, s.checkFiles(cfg)...)
	out = append(out, s.Check(cfg)...)
	if component.Known(cfg, "only_on") {
		for _, name := range s.OnlyOn {
			if !slices.Contains(systems, name) {
				out = append(out, diag.At("only_on", "Unknown operating system",
					"%q is not one of %s.", name, strings.Join(systems, ", "))...)
			}
		}
	}
	if s.UseLinuxPathing && (given(cfg, "inline") || given(cfg, "command")) {
		out = append(out, diag.At("use_linux_pathing", "Conflicting settings",
			"use_linux_pathing changes the path of a script file: use it with script or scripts, not with inline or command.")...)
	}
	for _, arg := range s.ExecuteCommand {
		out = append(out, shellenv.CheckTemplate("execute_command", arg, "Vars", "Script", "Command")...)
	}
	if len(s.ValidExitCodes) == 0 {
		s.ValidExitCodes = []int{0}
	}
	if out.HasErrors() {
		return nil, out
	}
	return s, out
}

// Files are the scripts that are files.
func (s *Scripts) Files() []string {
	var out []string
	if s.Script != "" {
		out = append(out, s.Script)
	}
	return append(out, s.Paths...)
}

func (s *Scripts) checkSource(cfg cty.Value) diag.List {
	var set []string
	none := true
	for _, name := range []string{"command", "inline", "script", "scripts"} {
		if component.HasValue(cfg, name) {
			set = append(set, name)
		}
		none = none && !given(cfg, name)
	}
	switch {
	case none && cfg.IsKnown():
		return diag.Errorf("No script", "Set inline, script or scripts to what is to be run.")
	case len(set) > 1:
		return diag.At(set[1], "More than one script source", "Only one of inline, script, scripts and command can be set; this has %s.", strings.Join(set, " and "))
	}
	return nil
}

func (s *Scripts) checkFiles(cfg cty.Value) diag.List {
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
	check("script", s.Script)
	for _, p := range s.Paths {
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

// skipped says why nothing is to be run on this system, or "".
func (s *Scripts) skipped() string {
	if len(s.OnlyOn) == 0 || slices.Contains(s.OnlyOn, runtime.GOOS) {
		return ""
	}
	return fmt.Sprintf("Skipping shell-local: it runs only on %s, and this is %s.", strings.Join(s.OnlyOn, ", "), runtime.GOOS)
}

// linuxPath turns C:\x\y into /mnt/c/x/y.
func linuxPath(path string) string {
	path = strings.ReplaceAll(path, `\`, "/")
	if len(path) > 1 && path[1] == ':' {
		return "/mnt/" + strings.ToLower(path[:1]) + path[2:]
	}
	return path
}
