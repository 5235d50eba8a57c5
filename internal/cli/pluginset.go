package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/plugin/host"
	"ingot/internal/plugin/install"
	"ingot/internal/plugin/lock"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
	"ingot/internal/plugin/resolve"
	"ingot/internal/plugin/store"
	"ingot/internal/template"
)

// pluginFlags say which plugins are used.
type pluginFlags struct {
	preferPlugins  []string
	skipPrerelease bool
}

func (f *pluginFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringSliceVar(&f.preferPlugins, "prefer-plugin", nil, "use the plugin of this `name` although there is something built in for it; may be repeated")
	fl.BoolVar(&f.skipPrerelease, "ignore-prerelease-plugins", false, "use released versions of plugins only")
}

// withoutEffect says which of the flags given change nothing.
func (f *pluginFlags) withoutEffect(why string) (out diag.List) {
	if len(f.preferPlugins) > 0 {
		out = append(out, diag.Warnf("-prefer-plugin has no effect", why)...)
	}
	if f.skipPrerelease {
		out = append(out, diag.Warnf("-ignore-prerelease-plugins has no effect", why)...)
	}
	return out
}

// pluginStore is the plugin folder of this user.
func (a *app) pluginStore() (*store.Store, error) {
	dir, err := store.Folder(a.getenv)
	if err != nil {
		return nil, err
	}
	d, err := findDirs(a.getenv)
	if err != nil {
		return nil, err
	}
	return &store.Store{Dir: dir, Cache: d.Cache}, nil
}

// usePlugins makes the components of plugins available to a plan, until the screen is
// closed. Lenient does not complain about plugins of which nothing is used.
func (a *app) usePlugins(ctx context.Context, f templateFlags, path string, t *template.Template, in *plan.Inputs, lenient bool, s *screen) diag.List {
	locked, diags := lockOf(t)
	open, err := a.pluginHost(f.core, t, s)
	warm := !lenient && len(f.only)+len(f.except) == 0
	if err != nil {
		return append(diags, diag.Errorf("Invalid setting of plugins", "%s.", err)...)
	}
	input := resolve.Input{
		Lock: locked, Prefer: f.preferPlugins, ReleasesOnly: f.skipPrerelease,
		Native: in.Provider, Core: inPackerItself, Lenient: lenient, InitCommand: initCommandFor(path),
	}
	input.Open = func(found store.Found, uses []resolve.Component) component.Provider {
		p := open(found)
		if warm {
			p.Warm(ctx, startedFirst(uses, in.EvaluateData))
		}
		return p
	}
	if a.getenv(packerwire.CookieVariable) != "" {
		input.NoStore = errors.New("this program runs as a plugin itself")
	} else {
		input.Store, input.NoStore = a.pluginStore()
	}
	r := resolve.New(ctx, input)
	s.closers = append(s.closers, r.Close)
	in.ProviderFor = func(one *template.Template) (component.Provider, diag.List) {
		p, _, diags := r.Resolve(one)
		if one == t {
			diags = append(diags, p.CheckPreferred()...)
		}
		return p, diags
	}
	return diags
}

// startedFirst are the components whose processes are started side by side before any
// is needed. A data source needs one only when it is read.
func startedFirst(uses []resolve.Component, data bool) (out []host.Use) {
	for _, u := range uses {
		switch u.Kind {
		case "builder":
			out = append(out, host.Use{Kind: process.Builder, Name: u.Name})
		case "provisioner":
			out = append(out, host.Use{Kind: process.Provisioner, Name: u.Name})
		case "post-processor":
			out = append(out, host.Use{Kind: process.PostProcessor, Name: u.Name})
		case "data source":
			if data {
				out = append(out, host.Use{Kind: process.DataSource, Name: u.Name})
			}
		}
	}
	return out
}

// The environment variables that say how plugins are run.
const (
	cleanVariable  = "INGOT_PLUGIN_CLEAN_ENV"
	keepVariable   = "INGOT_PLUGIN_KEEP_ENV"
	memoryVariable = "INGOT_PLUGIN_MEMORY"
	filesVariable  = "INGOT_PLUGIN_OPEN_FILES"
	gobVariable    = "PACKER_FORCE_GOB"
)

// pluginHost runs plugins as the environment says.
func (a *app) pluginHost(core host.Core, t *template.Template, s *screen) (func(store.Found) *host.Provider, error) {
	d, err := findDirs(a.getenv)
	if err != nil {
		return nil, err
	}
	var limits process.Limits
	if text := a.getenv(memoryVariable); text != "" {
		n, err := units.RAMInBytes(text)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("%s is %q; it has to be a size such as 2GB", memoryVariable, text)
		}
		limits.Memory = uint64(n)
	}
	if text := a.getenv(filesVariable); text != "" {
		if limits.OpenFiles, err = strconv.ParseUint(text, 10, 32); err != nil || limits.OpenFiles == 0 {
			return nil, fmt.Errorf("%s is %q; it has to be a number", filesVariable, text)
		}
	}
	keep := strings.FieldsFunc(a.getenv(keepVariable), func(r rune) bool { return r == ',' || r == ' ' })
	isSet := func(name string) bool { v := a.getenv(name); return v != "" && v != "0" }
	core.Version = packerVersion
	for name, secret := range sensitiveVariables(t) {
		if secret {
			core.SensitiveVariables = append(core.SensitiveVariables, name)
		}
	}
	slices.Sort(core.SensitiveVariables)
	return func(f store.Found) *host.Provider {
		return host.New(host.Plugin{
			Path: f.Path, Name: f.Binary.Name, Digest: f.SHA256, Description: f.Description, Core: core,
			Log:    func(line string) { s.log.Info(line, "plugin", f.Binary.Name) },
			Limits: limits, CleanEnv: isSet(cleanVariable), KeepEnv: keep,
			SpecCache: filepath.Join(d.Cache, "plugins", "schemas"), Live: a.plugins, ForceGob: isSet(gobVariable),
		})
	}, nil
}

// lockOf reads the lock file beside a template.
func lockOf(t *template.Template) (*lock.File, diag.List) {
	f, diags := lock.Read(filepath.Join(t.Resolve(t.Dir), lock.Name))
	if f.Text != nil {
		t.Sources[f.Path] = f.Text
	}
	return f, diags
}

// inPackerItself reports whether a component is one of Packer's own, whose name no
// plugin can have.
func inPackerItself(kind, name string) bool {
	return slices.Contains(map[string][]string{
		"builder":        {"file", "null"},
		"provisioner":    {"breakpoint", "file", "powershell", "shell", "shell-local", "sleep", "windows-restart", "windows-shell"},
		"post-processor": {"artifice", "checksum", "compress", "manifest", "shell-local"},
		"data source":    {"http", "null"},
	}[kind], name)
}

// initCommand is what users run to install the plugins of a template.
func initCommandFor(path string) string {
	if path == "" || path == "-" {
		path = "."
	}
	if strings.ContainsAny(path, " '\"$\\") {
		path = fmt.Sprintf("%q", path)
	}
	return "ingot init " + path
}

// installerFlags say how plugins are installed.
type installerFlags struct {
	requireSignatures bool
}

func (f *installerFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.requireSignatures, "require-signatures", false, "refuse releases that are not signed with a key in "+install.KeysVariable)
}

// installer makes an installer; done removes its temporary files. report hears what
// is tried again.
func (a *app) installer(f installerFlags, s *store.Store, report func(string)) (in *install.Installer, done func() error, err error) {
	d, err := findDirs(a.getenv)
	if err != nil {
		return nil, nil, err
	}
	in = &install.Installer{Store: s, Sources: install.SourcesFromEnv(a.getenv), RequireSignature: f.requireSignatures}
	switch required := a.getenv(install.SignaturesVariable); required {
	case "":
	case "require":
		in.RequireSignature = true
	default:
		return nil, nil, fmt.Errorf("%s is %q; it can only be \"require\"", install.SignaturesVariable, required)
	}
	if path := a.getenv(install.KeysVariable); path != "" {
		if in.Keys, err = install.ReadKeys(path); err != nil {
			return nil, nil, err
		}
	}
	work, err := os.MkdirTemp(a.getenv("TMPDIR"), "ingot-plugins-")
	if err != nil {
		return nil, nil, err
	}
	var ends []func()
	in.Run = component.Run{
		Clock: component.SystemClock{}, CacheDir: d.Cache, WorkDir: work, AtEnd: func(stop func()) { ends = append(ends, stop) },
		Events: component.SinkFunc(func(e component.Event) {
			if r, ok := e.(component.Retrying); ok {
				report(fmt.Sprintf("The %s is tried again in %s: %v", r.What, r.Delay.Round(100_000_000), r.Err))
			}
		}),
	}
	return in, func() error {
		for _, stop := range slices.Backward(ends) {
			stop()
		}
		return os.RemoveAll(work)
	}, nil
}

// reportTo prints lines for the user on the error stream.
func (a *app) reportTo() func(string) {
	return func(line string) { fmt.Fprintln(a.streams.Err, line) }
}

// parsePlatforms reads the arguments of -platform.
func parsePlatforms(texts []string) (out []store.Platform, all bool, err error) {
	for _, text := range texts {
		if text == "all" {
			all = true
			continue
		}
		p, err := store.ParsePlatform(text)
		if err != nil {
			return nil, false, fmt.Errorf("-platform: %w", err)
		}
		out = append(out, p)
	}
	if all && len(out) > 0 {
		return nil, false, errors.New("-platform: all stands for every platform; name no others with it")
	}
	return out, all, nil
}

// recordPrograms finds the digests of a plugin's programs for other platforms, and
// adds them to what is locked.
func recordPrograms(ctx context.Context, in *install.Installer, l *lock.Plugin, platforms []store.Platform, all bool) error {
	if all {
		platforms = install.SortedPlatforms(l.Archives)
	}
	elsewhere := *in
	elsewhere.Store = &store.Store{Dir: filepath.Join(in.Run.WorkDir, "platforms")}
	for _, p := range platforms {
		if l.Programs[p] != "" {
			continue
		}
		got, err := elsewhere.Install(ctx, install.Request{Plugin: l.Address, Version: l.Version, Platform: p, Zips: l.Archives, Programs: l.Programs})
		if err != nil {
			return err
		}
		l.Programs[p] = got.Program
	}
	return nil
}

// lockEntry is what is locked of a plugin that was installed.
func lockEntry(old *lock.Plugin, got *install.Installed, want wantedPlugin) *lock.Plugin {
	l := &lock.Plugin{
		Address: want.address, Version: got.Name.Version, Constraints: want.constraints.String(), Origin: got.Origin,
		Archives: maps.Clone(got.Zips), Programs: map[store.Platform]string{},
	}
	if old != nil && old.Version.Equal(l.Version) {
		maps.Copy(l.Programs, old.Programs)
		if len(l.Archives) == 0 || len(old.Archives) > 0 {
			l.Archives, l.Origin = maps.Clone(old.Archives), old.Origin
		}
	}
	l.Programs[got.Name.Platform] = got.Program
	return l
}
