// Package cli is the command line: one file per command, and the only place
// that wires components, engine, journal and sinks together. builtin.go is the
// one list of components.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/builder/oci"
	"ingot/internal/diag"
	"ingot/internal/plugin/host"
	"ingot/internal/watchdog"
)

// Exit codes. They are Packer's.
const (
	exitOK      = 0
	exitFailure = 1
	// exitUsage is for no command or one that does not exist.
	exitUsage = 127
)

// version is the release; the linker sets it.
var version = "dev"

// packerVersion is the version of Packer whose templates are understood: what
// required_version is compared with and packer.version says. See
// docs/adr/0002.
const packerVersion = "1.16.0"

// exitError is an error that has been printed already, or needs no text.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// usageError is a mistake on the command line.
type usageError struct {
	error
	cmd *cobra.Command
}

func (u usageError) Unwrap() error { return u.error }

// app is what all commands share.
type app struct {
	streams Streams
	getenv  func(string) string
	environ []string
	start   time.Time
	// machineReadable is the flag that may stand anywhere on the line.
	machineReadable bool
	// plugins holds what of plugins is alive.
	plugins *host.Live
}

// Main runs one command line and returns the exit code.
func Main(args []string, streams Streams) int {
	if len(args) > 1 && args[1] == oci.SandboxArg {
		return oci.SandboxMain(args[2:])
	}
	if len(args) > 1 && args[1] == watchdog.Arg {
		return watchdogMain(args[2:], streams)
	}
	a := &app{streams: streams, getenv: os.Getenv, environ: os.Environ(), start: time.Now(), plugins: host.NewLive()}
	root := a.rootCommand(filepath.Base(args[0]))
	if isPlugin(args) {
		return a.report(root, a.servePlugin(context.Background(), args[1:]))
	}
	line := normaliseFlags(root, args[1:])
	line, a.machineReadable = takeFlag(line, "--machine-readable")
	if len(line) == 0 {
		fmt.Fprintf(streams.Out, "%s\n\n%s", root.Long, root.UsageString())
		return exitUsage
	}
	root.SetArgs(line)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	return a.report(root, root.ExecuteContext(context.Background()))
}

// report prints what went wrong and maps it to an exit code; the one place
// that does.
func (a *app) report(root *cobra.Command, err error) int {
	var exit exitError
	var usage usageError
	var unknown unknownCommand
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage):
		fmt.Fprintf(a.streams.Err, "Error: %v\n\n%s\nRun '%s -help' for all flags.\n", usage.error, usage.cmd.UseLine(), usage.cmd.CommandPath())
		return exitFailure
	case errors.As(err, &unknown):
		fmt.Fprintf(a.streams.Err, "Error: %v\n\n%s", unknown, root.UsageString())
		return exitUsage
	}
	fmt.Fprintf(a.streams.Err, "Error: %v\n", err)
	return exitFailure
}

// unknownCommand is a command that does not exist.
type unknownCommand struct {
	name string
	// known are the commands that do.
	known []string
}

// Error says what could have been meant, or that it is a command of Packer's
// which is not there yet.
func (u unknownCommand) Error() string {
	text := fmt.Sprintf("unknown command %q", u.name)
	if u.name == "verify-attestation" {
		return text + ": Packer's command of this name is not available yet (docs/compatibility.md)"
	}
	if near, ok := diag.Nearest(u.name, u.known); ok {
		text += fmt.Sprintf(". Did you mean %q?", near)
	}
	return text
}

// noArguments is the argument check of a command that only has others below it:
// what is there is not the name of one.
func noArguments(parent *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	out := unknownCommand{name: args[0]}
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			out.known = append(out.known, c.Name())
		}
	}
	return out
}

func (a *app) rootCommand(name string) *cobra.Command {
	if name = strings.TrimSuffix(name, ".exe"); name != "packer" {
		name = "ingot"
	}
	root := &cobra.Command{
		Use:   name + " COMMAND",
		Short: "Build identical machine images for many platforms from one template",
		Long: `Ingot builds machine images from templates (HCL2, *.pkr.hcl). It runs Packer
templates unchanged, removes what a crashed run left behind, and says what it
waits for.

  ingot build .            build everything the templates in this folder describe
  ingot validate .         find mistakes without building
  ingot plan .             show what a build would do
  ingot reap               remove what crashed runs left behind`,
		SilenceErrors: true,
		// The flags of the root are of no use in its usage line.
		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		Version:               version,
		Args:                  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("a command is missing"), cmd}
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetVersionTemplate(versionText() + "\n")
	root.Flags().BoolP("version", "v", false, "print the version")
	root.PersistentFlags().Bool("machine-readable", false, "print comma-separated records for scripts, as Packer does")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{flagError(cmd, err), cmd} })
	cobra.AddTemplateFunc("flagUsages", flagUsages)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help"})
	for _, c := range []*cobra.Command{
		a.buildCommand(),
		a.initCommand(),
		a.validateCommand(),
		a.lintCommand(),
		a.planCommand(),
		a.inspectCommand(),
		a.schemaCommand(),
		a.fmtCommand(),
		a.consoleCommand(),
		a.versionCommand(),
		a.fixCommand(),
		a.hcl2UpgradeCommand(),
		a.pluginsCommand(),
		a.runsCommand(),
		a.postProcessCommand(),
		a.reapCommand(),
		a.cacheCommand(),
		a.completionCommand(root),
	} {
		c.Flags().SortFlags = false
		root.AddCommand(c)
	}
	return root
}

// oneTemplate is the argument check of commands that take a template.
func oneTemplate(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	what := "the template is missing: give a folder, or a file such as image.pkr.hcl"
	if len(args) > 1 {
		what = fmt.Sprintf("one template is wanted, got %d: %s", len(args), strings.Join(args, " "))
		for _, a := range args {
			if strings.HasPrefix(a, "-") {
				what += "; flags stand before it"
				break
			}
		}
	}
	return usageError{errors.New(what), cmd}
}
