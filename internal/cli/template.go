package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gitmodule"
	"ingot/internal/lang/funcs"
	"ingot/internal/legacy/fix"
	"ingot/internal/plan"
	"ingot/internal/plugin/host"
	"ingot/internal/template"
	"ingot/internal/ui"
)

// templateFlags are the flags of every command that reads a template.
type templateFlags struct {
	inputs
	pluginFlags
	configType     string
	warnUndeclared bool
	quietUndecl    bool
	evaluateData   bool
	// Accepted because scripts pass them; each says that it has no effect.
	sequential, skipEnforcement bool
	// began is the time that counts as the present; when it is zero, the program's
	// start does. It is not a flag.
	began time.Time
	// core is what plugins are told of a build. It is no flag either.
	core host.Core
}

// register adds the flags. Those that are there only for old scripts are
// hidden from the help.
func (f *templateFlags) register(c *cobra.Command) {
	fl := c.Flags()
	f.inputs.register(fl)
	f.pluginFlags.register(c)
	fl.StringVar(&f.configType, "config-type", "", "`kind` of template on standard input (-) or in a file with another extension: hcl2, or json (a legacy template) by default")
	fl.BoolVar(&f.sequential, "use-sequential-evaluation", false, "")
	fl.BoolVar(&f.skipEnforcement, "skip-enforcement", false, "")
	for _, name := range []string{"use-sequential-evaluation", "skip-enforcement"} {
		fl.Lookup(name).Hidden = true
	}
	switch c.Name() {
	case "build":
		fl.BoolVar(&f.warnUndeclared, "warn-on-undeclared-var", false, "warn about names in var files that the template does not declare")
	case "validate":
		fl.BoolVar(&f.quietUndecl, "no-warn-undeclared-var", false, "do not warn about names in var files that the template does not declare")
	}
}

// withoutEffect says which of the flags given change nothing, and why.
func (f *templateFlags) withoutEffect() diag.List {
	var out diag.List
	for _, x := range []struct {
		set       bool
		name, why string
	}{
		{f.sequential, "use-sequential-evaluation", "Every value is evaluated after what it needs, whatever the order; what does not depend on each other is evaluated at the same time."},
		{f.skipEnforcement, "skip-enforcement", "There is no registry that could add provisioners."},
	} {
		if x.set {
			out = append(out, diag.Warnf("-"+x.name+" has no effect", x.why)...)
		}
	}
	return out
}

// planFor says what a plan is made for.
type planFor struct {
	// build reads data sources and lets valid builds run although others
	// are not.
	build bool
}

// plan loads and plans a template and reports what it finds. bad means that
// there were errors but some builds can run; when nothing can, the error is
// an exitError.
func (a *app) plan(ctx context.Context, f templateFlags, path string, why planFor, s *screen) (p *plan.Plan, bad bool, err error) {
	t, in, diags, err := a.load(ctx, f, path, s.secrets.Add)
	if err != nil {
		return nil, false, err
	}
	if diags.HasErrors() {
		s.diagnostics(append(diags, outdated(t)...), t.Sources)
		return nil, false, exitError{exitFailure}
	}
	in.EvaluateData = why.build || f.evaluateData
	in.WarnUndeclared = f.warnUndeclared || (!why.build && !f.quietUndecl)
	more := a.usePlugins(ctx, f, path, t, &in, false, s)
	if diags = append(diags, more...); more.HasErrors() {
		s.diagnostics(diags, t.Sources)
		return nil, false, exitError{exitFailure}
	}
	p, more = plan.Make(ctx, t, in)
	s.sources, s.secretVars = t.Sources, sensitiveVariables(t)
	diags = append(diags, more...)
	if !why.build || diags.HasErrors() {
		diags = append(diags, outdated(t)...)
	}
	s.diagnostics(diags, t.Sources)
	if diags.HasErrors() && (!why.build || p == nil || len(p.Builds) == 0) {
		return nil, false, exitError{exitFailure}
	}
	return p, diags.HasErrors(), nil
}

// sensitiveVariables are the names of the variables that the template declares to be
// sensitive.
func sensitiveVariables(t *template.Template) map[string]bool {
	out := map[string]bool{}
	for _, v := range t.Variables {
		out[v.Name] = v.Sensitive
	}
	if t.Legacy != nil {
		maps.Copy(out, t.Legacy.Sensitive)
	}
	return out
}

func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// outdated says what fix would repair in a legacy template.
func outdated(t *template.Template) diag.List {
	if t.Legacy == nil {
		return nil
	}
	return fix.Findings(t.Legacy.Document)
}

// load reads the template and gathers the inputs for planning it. When ctx ends
// while it waits for standard input, the error is why.
func (a *app) load(ctx context.Context, f templateFlags, path string, secret func(string)) (*template.Template, plan.Inputs, diag.List, error) {
	return a.loadBy(ctx, f, secret, func(o template.Options) (*template.Template, diag.List) { return template.Load(path, o) })
}

func (a *app) loadBy(ctx context.Context, f templateFlags, secret func(string), read func(template.Options) (*template.Template, diag.List)) (*template.Template, plan.Inputs, diag.List, error) {
	switch f.configType {
	case "", "json", "hcl2":
	default:
		return nil, plan.Inputs{}, nil, errors.New("-config-type is json or hcl2")
	}
	if err := checkPackerSettings(a.getenv); err != nil {
		return nil, plan.Inputs{}, nil, err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return nil, plan.Inputs{}, nil, err
	}
	home := a.getenv("HOME")
	if home == "" {
		home, _ = os.UserHomeDir() // only paths with ~ need it
	}
	o := template.Options{CoreVersion: packerVersion, ConfigType: f.configType}
	if a.streams.In != nil {
		o.Stdin = interruptibleInput{ctx, a.streams.In}
	}
	t, diags := read(o)
	if ctx.Err() != nil {
		return nil, plan.Inputs{}, nil, context.Cause(ctx)
	}
	return t, plan.Inputs{
		Provider: builtins(), Vars: f.vars, VarFiles: f.varFiles, Environ: a.environ, WorkDir: cwd, Home: home,
		FetchModule: a.fetchModule(secret),
		Start:       firstTime(f.began, a.start), CoreVersion: packerVersion, Only: f.only, Except: f.except, Secrets: secret,
		Functions: funcs.Env{
			Vault:      funcs.VaultFromEnv(os.LookupEnv),
			Consul:     funcs.ConsulFromEnv(os.LookupEnv),
			Secrets:    funcs.SecretsManagerFromEnv(os.LookupEnv, time.Now),
			Parameters: funcs.ParameterStoreFromEnv(os.LookupEnv, time.Now),
		},
	}, append(f.withoutEffect(), diags...), nil
}

// explain is findings as text for an event: with their lines for people, in one
// line each for programs.
func (s *screen) explain(l diag.List) string {
	var text strings.Builder
	if s.json != nil || s.machine != nil {
		for _, d := range s.secrets.Diagnostics(l) {
			fmt.Fprintln(&text, d.Error())
		}
	} else {
		_ = diag.Format(&text, l, s.sources, diag.FormatOptions{Redact: s.secrets.Redact}) // a Builder takes everything
	}
	return strings.TrimRight(text.String(), "\n")
}

// diagnostics prints findings in the form that the screen has: text on the
// error stream, JSON lines or records.
func (s *screen) diagnostics(l diag.List, sources map[string][]byte) {
	if len(l) == 0 {
		return
	}
	if s.record != nil {
		s.record.Diagnostics(s.secrets.Diagnostics(l))
	}
	switch {
	case s.json != nil:
		s.json.Diagnostics(s.secrets.Diagnostics(l))
	case s.machine != nil:
		for _, d := range l {
			var e component.Event = component.Problem{Text: d.Severity.String() + ": " + d.Error()}
			s.sink.Handle(component.Stamped{At: time.Now(), Event: e})
		}
	default:
		var text strings.Builder
		color := ui.UseColor(s.colors, isTerminal(s.app.streams.Err), s.app.getenv)
		_ = diag.Format(&text, l, sources, diag.FormatOptions{Color: color, Redact: s.secrets.Redact}) // a Builder takes everything
		resume := s.pause()
		defer resume()
		fmt.Fprintln(s.app.streams.Err, s.secrets.Redact(text.String()))
	}
}

// fetchModule gives the folders of modules in repositories. They are kept in
// the cache.
func (a *app) fetchModule(secret func(string)) func(context.Context, string) (string, []string, error) {
	return func(ctx context.Context, source string) (string, []string, error) {
		for _, s := range gitmodule.Secrets(source) {
			secret(s)
		}
		d, err := findDirs(a.getenv)
		if err != nil {
			return "", nil, err
		}
		store := gitmodule.Store{Dir: filepath.Join(d.Cache, "modules"), Environ: a.environ}
		return store.Fetch(ctx, source)
	}
}
