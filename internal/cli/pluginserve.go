package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"ingot/internal/component"
	"ingot/internal/plugin/serve"
	"ingot/internal/plugin/store"
	"ingot/internal/watchdog"
)

// isPlugin reports whether a command line is that of a plugin: its program has the name
// of one, or it is what hosts run to find out what a program is, before they give it such
// a name.
func isPlugin(args []string) bool {
	if len(args) == 2 && args[1] == "describe" {
		return true
	}
	return strings.HasPrefix(filepath.Base(args[0]), store.Prefix)
}

func (a *app) pluginServeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve describe | serve start KIND [--protobuf] NAME",
		Short: "Serve Ingot's components to Packer, which starts this",
		Long: `Lets Packer use Ingot's builders, provisioners, post-processors and data sources.
Packer starts its plugins itself, by the name of their file, so that usually this
program is copied under such a name and this command is not needed:

  cp "$(command -v ingot)" packer-plugin-ingot
  packer plugins install --path packer-plugin-ingot github.com/ingot/ingot

Then templates have the builder ingot-oci, the provisioner ingot-shell and so on
(docs/plugins.md). The command does the same as a program of that name: describe
lists what there is, and start serves one component until the host is gone.`,
		Example: `  ingot plugin serve describe`,
		// The flag is that of the protocol and stands anywhere.
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				if arg == "-h" || arg == "-help" || arg == "--help" {
					return cmd.Help()
				}
			}
			return a.servePlugin(cmd.Context(), args)
		},
	}
}

// servePlugin is this program as a plugin.
func (a *app) servePlugin(ctx context.Context, args []string) error {
	// Whoever asks for the description may do so in an empty environment.
	d, noDirs := findDirs(a.getenv)
	home := a.getenv("HOME")
	if home == "" {
		home, _ = os.UserHomeDir() // only paths with ~ need it
	}
	getenv, err := a.takePluginVariables()
	if err != nil {
		return err
	}
	err = serve.Main(ctx, args, serve.Options{
		Components: builtins(), Version: pluginVersion(), CoreVersion: packerVersion,
		Dialers: a.dialers(), Reapers: a.reapers(),
		OpenJournal: func(ctx context.Context) (serve.Journal, error) {
			if noDirs != nil {
				return serve.Journal{}, noDirs
			}
			return a.servedRun(ctx, d)
		},
		Terminal: isTerminal(os.Stdin), Home: home, TempDir: a.getenv("TMPDIR"), CacheDir: d.Cache,
		ReportDir: filepath.Join(d.State, "reports"), Getenv: getenv,
		Out: a.streams.Out, Err: a.streams.Err, IgnoreSignals: swallowSignals,
	})
	if err != nil {
		return fmt.Errorf("plugin: %w", err)
	}
	return nil
}

// takePluginVariables takes what a host says to a plugin out of the environment, and
// returns what still knows it: a program that a script of the user starts, such as
// another Packer, is no plugin.
func (a *app) takePluginVariables() (func(string) string, error) {
	taken := map[string]string{}
	for _, name := range serve.Variables() {
		taken[name] = a.getenv(name)
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("the environment of programs that are started: %w", err)
		}
	}
	a.environ = os.Environ()
	return func(name string) string {
		if v, ok := taken[name]; ok {
			return v
		}
		return a.getenv(name)
	}, nil
}

// pluginVersion is the version that hosts compare with the one in the file's name;
// they refuse a version that is none.
func pluginVersion() string {
	if version == "dev" {
		return component.FirstRelease + "-dev"
	}
	return strings.TrimPrefix(version, "v")
}

// servedRun opens the journal of what a host has one component do. A host ends its
// plugins by killing them, so that there is a watchdog as for a build.
func (a *app) servedRun(ctx context.Context, d dirs) (serve.Journal, error) {
	run, err := a.openRun(ctx, d, "", func(id string) *watchdog.Watchdog {
		return a.watchRun(d, id, false, func(text string) { fmt.Fprintln(a.streams.Err, text) })
	})
	if err != nil {
		return serve.Journal{}, err
	}
	return serve.Journal{
		RunID: run.id, Ledger: run.ledger,
		Close: func(ctx context.Context) error { return run.close(ctx, false) },
	}, nil
}

// swallowSignals makes the process pass over the interrupts that the terminal sends to
// all of a group: the host says when to stop. They are received and dropped, since
// signals that are ignored would be ignored by every program started from here.
func swallowSignals() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
}
