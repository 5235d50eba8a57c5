package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	goversion "github.com/hashicorp/go-version"
	"github.com/spf13/cobra"

	"ingot/internal/addr"
	"ingot/internal/plan"
	"ingot/internal/plugin/install"
	"ingot/internal/plugin/store"
)

func (a *app) pluginsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "plugins COMMAND",
		Aliases: []string{"plugin"},
		Short:   "Install, list, remove or copy plugins",
		Long: `Plugins are programs in Packer's plugin folder: PACKER_PLUGIN_PATH, or the folder
plugins of Packer's configuration folder. 'ingot init' installs those that a
template requires; these commands are for the rest. With 'serve' this program is
itself a plugin, for Packer (docs/plugins.md).`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("a command is missing: install, installed, required, remove, vendor or serve"), cmd}
		},
	}
	c.AddCommand(a.pluginsInstallCommand(), a.pluginsInstalledCommand(), a.pluginsRequiredCommand(), a.pluginsRemoveCommand(), a.pluginsVendorCommand(), a.pluginServeCommand())
	return c
}

type pluginsInstallFlags struct {
	installerFlags
	path  string
	force bool
}

func (a *app) pluginsInstallCommand() *cobra.Command {
	var f pluginsInstallFlags
	c := &cobra.Command{
		Use:   "install [flags] SOURCE [VERSION]",
		Short: "Install a plugin",
		Long: `Installs the newest release of a plugin that VERSION allows, or with -path a
program that is on this machine. The lock file of a template is not changed.`,
		Example: `  ingot plugins install github.com/hashicorp/vsphere
  ingot plugins install github.com/hashicorp/vsphere '>= 1.2, < 2'
  ingot plugins install -path=./packer-plugin-mine example.com/me/mine`,
		Args: between(1, 2, "the source address of a plugin, such as github.com/hashicorp/vsphere, and maybe a version"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.pluginsInstall(cmd, f, args) },
	}
	fl := c.Flags()
	fl.StringVar(&f.path, "path", "", "install this `program`, or the zip archive of a release, and download nothing")
	fl.BoolVar(&f.force, "force", false, "install again what is there already")
	f.register(c)
	return c
}

// between checks the number of arguments.
func between(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError{fmt.Errorf("wanted is %s; got %d arguments", what, len(args)), cmd}
		}
		return nil
	}
}

// constraintArgument reads a version constraint from the command line.
func constraintArgument(args []string) (goversion.Constraints, error) {
	if len(args) == 0 {
		return nil, nil
	}
	c, err := goversion.NewConstraint(args[0])
	if err != nil {
		return nil, fmt.Errorf("%q is not a version constraint such as \">= 1.2.0, < 2.0.0\"", args[0])
	}
	for _, one := range c {
		if one.Prerelease() {
			return nil, fmt.Errorf("%q: unsupported prerelease for constraint; plugins can be asked for by release only", args[0])
		}
	}
	return c, nil
}

func (a *app) pluginsInstall(cmd *cobra.Command, f pluginsInstallFlags, args []string) (err error) {
	p, err := addr.ParsePlugin(args[0])
	if err != nil {
		return err
	}
	want, err := constraintArgument(args[1:])
	if err != nil {
		return err
	}
	if f.path != "" && len(args) > 1 {
		return usageError{errors.New("-path installs a program whose version is what it says itself: give no version with it"), cmd}
	}
	s, err := a.pluginStore()
	if err != nil {
		return err
	}
	work, stop := interruptible(cmd.Context())
	defer stop()
	in, done, err := a.installer(f.installerFlags, s, a.reportTo())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if f.path != "" {
		return a.installFile(work, in, p, f.path)
	}
	got, err := in.Install(work, install.Request{Plugin: p, Constraints: want, Force: f.force})
	if err != nil {
		return err
	}
	for _, note := range got.Notes {
		fmt.Fprintln(a.streams.Err, "Note: "+note)
	}
	if got.Already {
		fmt.Fprintf(a.streams.Out, "%s v%s is installed already in %q\n", p, got.Name.Version, got.Path)
		return nil
	}
	fmt.Fprintf(a.streams.Out, "Installed plugin %s v%s in %q\n  from %s (%s)\n", p, got.Name.Version, got.Path, got.Origin, got.Signature)
	return nil
}

func (a *app) installFile(ctx context.Context, in *install.Installer, p addr.Plugin, path string) error {
	from, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	got, err := in.InstallFile(ctx, p, from)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.streams.Out, "Successfully installed plugin %s from %s to %s\n", p, from, got.Path)
	return nil
}

func (a *app) pluginsInstalledCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "installed",
		Short: "List the plugins that are installed",
		Long: `Prints the path of each plugin for this machine, one a line. Plugins that cannot
be used, for instance because their checksum is wrong, are named on standard
error with the reason.`,
		Example: `  ingot plugins installed`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.pluginStore()
			if err != nil {
				return err
			}
			work, stop := interruptible(cmd.Context())
			defer stop()
			found, refused, err := s.Usable(work)
			if err != nil {
				return err
			}
			for _, f := range found {
				fmt.Fprintln(a.streams.Out, f.Path)
			}
			for _, r := range refused {
				fmt.Fprintf(a.streams.Err, "%s cannot be used: %v\n", r.Path, r.Why)
			}
			return nil
		},
	}
}

func (a *app) pluginsRequiredCommand() *cobra.Command {
	var f templateFlags
	c := &cobra.Command{
		Use:   "required [flags] TEMPLATE",
		Short: "List the plugins that a template requires",
		Long: `Prints one line for each required plugin: its local name, its source address, the
versions that are wanted, and the paths of the installed plugins that would do.`,
		Example: `  ingot plugins required .`,
		Args:    oneTemplate,
		RunE:    func(cmd *cobra.Command, args []string) error { return a.pluginsRequired(cmd.Context(), f, args[0]) },
	}
	f.register(c)
	return c
}

func (a *app) pluginsRequired(ctx context.Context, f templateFlags, path string) (err error) {
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	work, stop := interruptible(ctx)
	defer stop()
	t, in, diags, err := a.load(work, f, path, screen.secrets.Add)
	if err != nil {
		return err
	}
	diags = append(diags, hclOnly(t, diags)...)
	templates, more := plan.Templates(work, t, in)
	diags = append(diags, more...)
	screen.diagnostics(diags, t.Sources)
	if diags.HasErrors() {
		return exitError{exitFailure}
	}
	s, err := a.pluginStore()
	if err != nil {
		return err
	}
	for _, one := range templates {
		for _, r := range one.RequiredPlugins {
			line := fmt.Sprintf("%s %s %q", r.Accessor, r.Address, r.Version.String())
			ok, _, err := s.Candidates(store.Want{Source: r.Address, Constraints: r.Version, ReleasesOnly: f.skipPrerelease})
			if err != nil {
				return err
			}
			for _, b := range ok {
				line += " " + b.Path
			}
			fmt.Fprintln(a.streams.Out, line)
		}
	}
	return nil
}

func (a *app) pluginsRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove SOURCE [VERSION] | remove PATH",
		Short: "Remove installed plugins",
		Long: `Removes the plugins of a source address that VERSION allows, all without one, or
the plugin at an absolute path in the plugin folder. Prints what it removes. Only
plugins for this machine are removed.`,
		Example: `  ingot plugins remove github.com/hashicorp/vsphere
  ingot plugins remove github.com/hashicorp/vsphere '< 1.2'`,
		Args: between(1, 2, "the source address of a plugin and maybe a version, or an absolute path"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.pluginsRemove(cmd, args) },
	}
}

func (a *app) pluginsRemove(cmd *cobra.Command, args []string) error {
	s, err := a.pluginStore()
	if err != nil {
		return err
	}
	var gone []store.Binary
	if filepath.IsAbs(args[0]) {
		if len(args) > 1 {
			return usageError{errors.New("a path names one plugin: give no version with it"), cmd}
		}
		b, err := s.At(filepath.Clean(args[0]))
		if err != nil {
			return err
		}
		gone = []store.Binary{b}
	} else if gone, err = a.pluginsOf(s, args); err != nil {
		return err
	}
	for _, b := range gone {
		if err := s.Remove(b); err != nil {
			return err
		}
		fmt.Fprintln(a.streams.Out, b.Path)
	}
	if len(gone) == 0 {
		return fmt.Errorf("no plugin %s is installed in %s", strings.Join(args, " "), s.Dir)
	}
	return nil
}

// pluginsOf are the plugins of a source address, whatever protocol they speak.
func (a *app) pluginsOf(s *store.Store, args []string) ([]store.Binary, error) {
	p, err := addr.ParsePlugin(args[0])
	if err != nil {
		return nil, err
	}
	want, err := constraintArgument(args[1:])
	if err != nil {
		return nil, err
	}
	all, err := s.Installed(p)
	if err != nil {
		return nil, err
	}
	var out []store.Binary
	for _, b := range all {
		if want == nil || want.Check(b.Version.Core()) {
			out = append(out, b)
		}
	}
	return out, nil
}

type pluginsVendorFlags struct {
	templateFlags
	installerFlags
	platforms []string
	all       bool
}

func (a *app) pluginsVendorCommand() *cobra.Command {
	var f pluginsVendorFlags
	c := &cobra.Command{
		Use:   "vendor [flags] TARGET [TEMPLATE]",
		Short: "Copy the plugins of a template into a folder or an archive",
		Long: `Puts the plugins that a template requires (default: that of this folder) into a
folder, or into an archive when TARGET ends with .zip, .tar.gz or .tgz, for this
machine's platform or for those named. A machine without a network uses the folder
as PACKER_PLUGIN_PATH, or installs from it with INGOT_PLUGIN_SOURCES=TARGET. Versions
are those of the lock file; the checksums of what is copied are added to it.`,
		Example: `  ingot plugins vendor plugins
  ingot plugins vendor -platform=linux_amd64 -platform=linux_arm64 plugins.tar.gz templates/web`,
		Args: between(1, 2, "a folder or an archive to write, and maybe a template"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "."
			if len(args) > 1 {
				path = args[1]
			}
			return a.pluginsVendor(cmd.Context(), f, args[0], path)
		},
	}
	f.templateFlags.register(c)
	fl := c.Flags()
	fl.StringArrayVar(&f.platforms, "platform", nil, "the `platform` of the plugins, such as linux_arm64, or all that they are released for; may be repeated (default: this machine's)")
	fl.BoolVar(&f.all, "all", false, "copy also the plugins for which there is something built in")
	f.installerFlags.register(c)
	return c
}
