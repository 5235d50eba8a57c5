package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	goversion "github.com/hashicorp/go-version"
	"github.com/spf13/cobra"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/plugin/install"
	"ingot/internal/plugin/lock"
	"ingot/internal/plugin/resolve"
	"ingot/internal/plugin/store"
	"ingot/internal/template"
)

type initFlags struct {
	templateFlags
	installerFlags
	upgrade, force, lock bool
	platforms            []string
}

func (a *app) initCommand() *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use:   "init [flags] TEMPLATE",
		Short: "Install the plugins that a template requires, and lock them",
		Long: `Installs what required_plugins lists and is not there yet, and records versions
and checksums in ingot.lock.hcl beside the template. Where the lock file has a
plugin, exactly that is installed. What is built in needs no plugin: nothing is
downloaded for it, unless the plugin is preferred or locked.

Plugins come from the release site and from GitHub; INGOT_PLUGIN_SOURCES names
mirrors, OCI registries, folders or archives in their place (docs/plugins.md).`,
		Example: `  ingot init .
  ingot init -upgrade .
  ingot init -prefer-plugin=docker -platform=linux_arm64 .`,
		Args: oneTemplate,
		RunE: func(cmd *cobra.Command, args []string) error { return a.initTemplate(cmd.Context(), f, args[0]) },
	}
	f.templateFlags.register(c)
	fl := c.Flags()
	fl.BoolVar(&f.upgrade, "upgrade", false, "install the newest versions that the template allows, and lock them")
	fl.BoolVar(&f.force, "force", false, "install again what is there already")
	fl.BoolVar(&f.lock, "lock", true, "write the lock file; with -lock=false it is only read")
	fl.StringArrayVar(&f.platforms, "platform", nil, "record the checksums of programs for this `platform` too, such as linux_arm64, or for all; may be repeated")
	f.installerFlags.register(c)
	return c
}

// wantedPlugin is a plugin that is required, by one template or by several.
type wantedPlugin struct {
	address     addr.Plugin
	accessors   []string
	constraints goversion.Constraints
	choice      resolve.Choice
}

func (a *app) initTemplate(ctx context.Context, f initFlags, path string) (err error) {
	platforms, all, err := parsePlatforms(f.platforms)
	if err != nil {
		return err
	}
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	work, stop := interruptible(ctx)
	defer stop()
	wanted, locked, err := a.requirements(work, f.templateFlags, path, screen)
	if err != nil {
		return err
	}
	return a.installWanted(work, f, screen, wanted, locked, platforms, all)
}

// requirements reads what a template and its modules require, and its lock file. What is
// wrong with them has been shown when it fails.
func (a *app) requirements(ctx context.Context, f templateFlags, path string, screen *screen) (wanted []wantedPlugin, locked *lock.File, err error) {
	t, in, diags, err := a.load(ctx, f, path, screen.secrets.Add)
	if err != nil {
		return nil, nil, err
	}
	diags = append(diags, hclOnly(t, diags)...)
	if !diags.HasErrors() {
		var more diag.List
		locked, more = lockOf(t)
		if diags = append(diags, more...); !more.HasErrors() {
			wanted, more = a.wantedPlugins(ctx, f, t, in, locked)
			diags = append(diags, more...)
		}
	}
	screen.diagnostics(diags, t.Sources)
	if diags.HasErrors() {
		return nil, nil, exitError{exitFailure}
	}
	return wanted, locked, nil
}

// hclOnly refuses a template that cannot require plugins, when nothing else is wrong with it.
func hclOnly(t *template.Template, wrong diag.List) diag.List {
	if t.Legacy == nil || wrong.HasErrors() {
		return nil
	}
	return diag.Errorf("A legacy JSON template requires no plugins", "It uses what is installed. Install plugins with \"ingot plugins install\", or write the template anew with \"ingot hcl2_upgrade\".")
}

// wantedPlugins lists what the template and its modules require, with what becomes
// of each.
func (a *app) wantedPlugins(ctx context.Context, f templateFlags, t *template.Template, in plan.Inputs, locked *lock.File) ([]wantedPlugin, diag.List) {
	templates, diags := plan.Templates(ctx, t, in)
	s, err := a.pluginStore()
	if err != nil {
		return nil, append(diags, diag.Errorf("No place for plugins", "%s.", err)...)
	}
	r := resolve.New(ctx, resolve.Input{Store: s, Lock: locked, Prefer: f.preferPlugins, Native: builtins(), Core: inPackerItself, Lenient: true})
	byAddress := map[addr.Plugin]*wantedPlugin{}
	for _, one := range templates {
		p, choices, more := r.Resolve(one)
		diags = append(diags, more...)
		if one == t {
			diags = append(diags, p.CheckPreferred()...)
		}
		for _, c := range choices {
			w := byAddress[c.Required.Address]
			if w == nil {
				w = &wantedPlugin{address: c.Required.Address, choice: c}
				byAddress[c.Required.Address] = w
			}
			if c.Use != resolve.Native {
				w.choice = c
			}
			w.accessors = append(w.accessors, c.Required.Accessor)
			w.constraints = append(w.constraints, c.Required.Version...)
		}
	}
	var out []wantedPlugin
	for _, address := range slices.SortedFunc(maps.Keys(byAddress), func(a, b addr.Plugin) int { return strings.Compare(a.String(), b.String()) }) {
		out = append(out, *byAddress[address])
	}
	return out, diags
}

// installWanted installs what is wanted, one after the other; a failure does not keep
// the rest from being installed.
func (a *app) installWanted(ctx context.Context, f initFlags, screen *screen, wanted []wantedPlugin, locked *lock.File, platforms []store.Platform, all bool) (err error) {
	if len(wanted) == 0 {
		screen.notice("No plugins requirement found: the template requires no plugins, and there is nothing to install.")
		return nil
	}
	s, err := a.pluginStore()
	if err != nil {
		return err
	}
	in, done, err := a.installer(f.installerFlags, s, a.reportTo())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	i := initializer{in: in, flags: f, locked: locked, say: screen.notice}
	failed := false
	for _, w := range wanted {
		err := i.plugin(ctx, w)
		if err == nil {
			if l := locked.Plugin(w.address); l != nil {
				err = recordPrograms(ctx, in, l, platforms, all)
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			failed = true
			screen.diagnostics(diag.In(w.choice.Required.Range, "Plugin is not installed", "%s.", strings.TrimSuffix(err.Error(), ".")), nil)
		}
	}
	if f.lock {
		changed, err := locked.Write()
		if err != nil {
			return fmt.Errorf("%w. With -lock=false no lock file is written", err)
		}
		if changed {
			screen.notice("Wrote " + filepath.Join(filepath.Dir(locked.Path), lock.Name) + ". Keep it with the template: it holds the versions and checksums of the plugins.")
		}
	}
	if failed {
		return exitError{exitFailure}
	}
	return nil
}

// initializer does what init does for one plugin after the other.
type initializer struct {
	in     *install.Installer
	flags  initFlags
	locked *lock.File
	say    func(string)
}

func (i *initializer) plugin(ctx context.Context, w wantedPlugin) error {
	if w.choice.Use == resolve.Native {
		i.say(fmt.Sprintf("%s is not needed: %s. -prefer-plugin=%s installs and uses the plugin all the same.", w.address, w.choice.Why, w.accessors[0]))
		return nil
	}
	old := i.locked.Plugin(w.address)
	if old != nil && !i.flags.upgrade {
		return i.asLocked(ctx, w, old)
	}
	if !i.flags.upgrade {
		found, _, err := i.in.Store.Choose(ctx, store.Want{Source: w.address, Constraints: w.constraints, ReleasesOnly: true})
		if err != nil {
			return err
		}
		if found != nil && !i.flags.force {
			i.say(fmt.Sprintf("%s v%s is installed already in %q: %s.", w.address, found.Binary.Version, found.Path, w.choice.Why))
			i.lockInstalled(ctx, w, *found)
			return nil
		}
		if found != nil {
			return i.install(ctx, w, install.Request{Plugin: w.address, Version: found.Binary.Version, Force: true}, nil)
		}
	}
	return i.install(ctx, w, install.Request{Plugin: w.address, Constraints: w.constraints, Force: i.flags.force}, old)
}

// asLocked installs exactly what is locked.
func (i *initializer) asLocked(ctx context.Context, w wantedPlugin, l *lock.Plugin) error {
	if !w.constraints.Check(l.Version.Core()) {
		return fmt.Errorf("the template wants version %s; %s has %s. Use -upgrade to lock a version that fits", w.constraints, i.locked.Path, l.Version)
	}
	return i.install(ctx, w, install.Request{Plugin: w.address, Version: l.Version, Zips: l.Archives, Programs: l.Programs, Force: i.flags.force}, l)
}

func (i *initializer) install(ctx context.Context, w wantedPlugin, req install.Request, old *lock.Plugin) error {
	if done := i.isThere(ctx, w, req); done {
		return nil
	}
	got, err := i.in.Install(ctx, req)
	if err != nil {
		return err
	}
	for _, note := range got.Notes {
		i.say("Note: " + note)
	}
	if got.Already {
		i.say(fmt.Sprintf("%s v%s is installed already in %q, as %s has it (%s): %s.", w.address, got.Name.Version, got.Path, got.Origin, got.Signature, w.choice.Why))
	} else {
		i.say(fmt.Sprintf("Installed plugin %s v%s in %q", w.address, got.Name.Version, got.Path))
		i.say(fmt.Sprintf("  from %s (%s): %s.", got.Origin, got.Signature, w.choice.Why))
	}
	i.locked.Set(lockEntry(old, got, w))
	return nil
}

// isThere reports whether the very program that is locked is installed, so that
// nothing has to be asked.
func (i *initializer) isThere(ctx context.Context, w wantedPlugin, req install.Request) bool {
	want := req.Programs[store.Here()]
	if want == "" || req.Force {
		return false
	}
	approve := func(b store.Binary) error {
		if b.SHA256 != want {
			return errors.New("not the one that is locked")
		}
		return nil
	}
	found, _, err := i.in.Store.Choose(ctx, store.Want{Source: w.address, Version: req.Version, Approve: approve})
	if err != nil || found == nil {
		return false
	}
	i.say(fmt.Sprintf("%s v%s is installed already in %q, as it is locked.", w.address, found.Binary.Version, found.Path))
	return true
}

// lookLimit is how long the checksums of a plugin that is there already are looked
// for. Without a network they are not found, and the plugin can be used all the same.
const lookLimit = 20 * time.Second

// lockInstalled locks a plugin that is there already. Nothing is downloaded but the
// checksums of its release.
func (i *initializer) lockInstalled(ctx context.Context, w wantedPlugin, found store.Found) {
	if !i.flags.lock {
		return
	}
	got := &install.Installed{
		Path: found.Path, Program: found.SHA256,
		Name: store.FileName{Name: found.Binary.Name, Version: found.Binary.Version, API: found.Binary.API, Platform: store.Here()},
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, fmt.Errorf("no answer within %s", lookLimit))
	defer cancel()
	quiet := *i.in
	quiet.Run.Events = component.SinkFunc(func(component.Event) {})
	zips, origin, err := quiet.Look(ctx, install.Request{Plugin: w.address, Version: found.Binary.Version})
	if err != nil {
		i.say(fmt.Sprintf("Note: only the checksum for %s is locked, since those for other platforms could not be had: %s", store.Here(), err))
	}
	got.Zips, got.Origin = zips, origin
	i.locked.Set(lockEntry(nil, got, w))
}
