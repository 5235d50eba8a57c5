// Package resolve decides where each component of a template comes from: it is built
// in, or part of a plugin that the template requires, or of one that is just
// installed.
//
// A plugin's file is read, and the plugin asked what it has, when a component is
// wanted whose type starts with the plugin's name. Others are not touched.
package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plugin/lock"
	"ingot/internal/plugin/store"
	"ingot/internal/template"
)

// Input is what a Resolver needs.
type Input struct {
	// Store is what is installed; nil when there can be no plugins, for the reason
	// in NoStore.
	Store   *store.Store
	NoStore error
	// Lock is what is locked; nil for nothing.
	Lock *lock.File
	// Prefer are the names of plugins to use although there is something built in,
	// beside those that templates name.
	Prefer []string
	// ReleasesOnly passes over pre-releases of plugins.
	ReleasesOnly bool
	// Native is what is built in. Core reports of a component whether it is built
	// into Packer too, so that no plugin can take its place.
	Native component.Provider
	Core   func(kind, name string) bool
	// Open makes the components of a plugin, by their names without the plugin's.
	// Uses are those that the template which is looked at names, by these names.
	Open func(f store.Found, uses []Component) component.Provider
	// Lenient does not complain about plugins of which nothing is used.
	Lenient bool
	// InitCommand is what users are told to run, such as "ingot init .".
	InitCommand string
}

// Component names a component of a plugin.
type Component struct {
	// Kind is "builder", "provisioner", "post-processor" or "data source".
	Kind string
	// Name is the one that the plugin gives it.
	Name string
}

// Resolver gives templates their components.
type Resolver struct {
	in Input
	// ctx is the command's: components are looked up without one.
	ctx context.Context

	mu sync.Mutex
	// open are the plugins that are in use, by path; guarded by mu.
	open map[string]component.Provider
}

// New makes a resolver. Until ctx ends, plugins may be asked what they have.
func New(ctx context.Context, in Input) *Resolver {
	return &Resolver{in: in, ctx: ctx, open: map[string]component.Provider{}}
}

// Close ends what was started. Nothing may be looked up any more.
func (r *Resolver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, p := range r.open {
		errs = append(errs, p.Close())
	}
	r.open = nil
	return errors.Join(errs...)
}

// Use says where a required plugin's components come from.
type Use uint8

// The uses.
const (
	// Native: all that the template uses is built in.
	Native Use = iota + 1
	// Plugin: the plugin is used.
	Plugin
	// Missing: the plugin would be used, and none that is wanted is installed.
	Missing
)

// Choice is what becomes of one required plugin.
type Choice struct {
	Required *template.RequiredPlugin
	Use      Use
	// Why is the reason, as the end of a sentence.
	Why string
	// Installed are the binaries that would do by their names, best last.
	Installed []store.Binary
	// Locked is what the lock file has; nil for nothing.
	Locked *lock.Plugin
}

// Resolve gives the components of one template. Required plugins that are missing,
// and other mistakes in what is asked for, are in the list with their places.
func (r *Resolver) Resolve(t *template.Template) (*Provider, []Choice, diag.List) {
	used := t.ComponentTypes()
	p := &Provider{r: r, native: r.in.Native, used: used}
	diags := p.prefer(t)
	var choices []Choice
	for _, req := range t.RequiredPlugins {
		e := p.entry(req)
		p.entries = append(p.entries, e)
		c, more := e.choose(r, used)
		choices = append(choices, c)
		diags = append(diags, more...)
	}
	// Of several names that a type may start with, the longest is the nearest.
	slices.SortStableFunc(p.entries, func(a, b *entry) int { return cmp.Compare(len(b.accessor), len(a.accessor)) })
	return p, choices, diags
}

// prefer reads which plugins are preferred.
func (p *Provider) prefer(t *template.Template) (diags diag.List) {
	p.preferred = map[string]bool{}
	required := make([]string, len(t.RequiredPlugins))
	for i, req := range t.RequiredPlugins {
		required[i] = req.Accessor
	}
	for _, one := range t.PreferPlugins {
		if !slices.Contains(required, one.Name) {
			diags = append(diags, diag.In(one.Range, "Unknown plugin", "There is no required plugin %q.%s", one.Name, diag.Suggest(one.Name, "required plugins", required))...)
		}
		p.preferred[one.Name] = true
	}
	for _, name := range p.r.in.Prefer {
		p.preferred[name] = true
	}
	return diags
}

// entry is a required plugin.
type entry struct {
	accessor string
	required *template.RequiredPlugin
	// native is the name that built-in components have in place of the accessor;
	// empty when nothing is built in or the plugin is to be used.
	native string
	locked *lock.Plugin
	why    string
	// reported says that it is missing and that this was said.
	reported bool

	asked    bool
	provider component.Provider
	found    *store.Found
	wrong    error
}

func (p *Provider) entry(req *template.RequiredPlugin) *entry {
	e := &entry{accessor: req.Accessor, required: req}
	if p.r.in.Lock != nil {
		e.locked = p.r.in.Lock.Plugin(req.Address)
	}
	native := nativeName(req.Address, p.native.Manifest())
	switch {
	case native == "":
		e.why = "nothing is built in for it"
	case p.preferred[req.Accessor]:
		e.why = "it is preferred to what is built in"
	case e.locked != nil:
		e.why = "it is locked"
	default:
		e.native = native
	}
	return e
}

// otherNatives are addresses beside github.com/hashicorp/NAME of plugins whose
// components may be built in.
func otherNatives() []string { return []string{"github.com/rgl/windows-update"} }

// nativeName is the name that built-in components of a plugin have; empty when there
// are none. Only the well-known plugin of the name is meant, never somebody else's.
func nativeName(p addr.Plugin, m component.Manifest) string {
	address := strings.ToLower(p.String())
	if !strings.HasPrefix(address, "github.com/hashicorp/") && !slices.Contains(otherNatives(), address) {
		return ""
	}
	name := strings.ToLower(p.Name())
	for _, list := range [][]string{m.Builders, m.Provisioners, m.PostProcessors, m.DataSources} {
		if slices.ContainsFunc(list, func(typ string) bool { return belongs(typ, name) }) {
			return name
		}
	}
	return ""
}

// belongs reports whether the type of a component starts with the name of a plugin.
func belongs(typ, name string) bool { return typ == name || strings.HasPrefix(typ, name+"-") }

// inner is the name of a component without that of its plugin.
func inner(typ, accessor string) string {
	if typ == accessor {
		return store.DefaultComponent
	}
	return strings.TrimPrefix(typ, accessor+"-")
}

// nativeType is the built-in name of a component of a required plugin.
func (e *entry) nativeType(typ string) string { return e.native + strings.TrimPrefix(typ, e.accessor) }

// choose says what becomes of a required plugin.
func (e *entry) choose(r *Resolver, used []template.ComponentType) (Choice, diag.List) {
	c := Choice{Required: e.required, Use: Plugin, Why: e.why, Locked: e.locked}
	if e.native != "" {
		var lacking []string
		for _, u := range used {
			if belongs(u.Type, e.accessor) && !has(r.in.Native.Manifest(), u.Kind, e.nativeType(u.Type)) {
				lacking = append(lacking, u.Kind+" "+u.Type)
			}
		}
		if len(lacking) == 0 {
			c.Use, c.Why = Native, "what the template uses of it is built in"
			return c, nil
		}
		slices.Sort(lacking)
		c.Why = "not everything is built in: " + strings.Join(slices.Compact(lacking), ", ")
	}
	if r.in.Store == nil {
		c.Use = Missing
		return c, diag.In(e.required.Range, "Missing plugins", "The plugin %s cannot be used: %s.", e.required.Address, r.in.NoStore)
	}
	if e.locked != nil && !r.in.Lenient && e.required.Version != nil && !e.required.Version.Check(e.locked.Version.Core()) {
		c.Use, e.reported = Missing, true
		return c, diag.In(e.required.Range, "Lock file does not fit",
			"The template wants version %s of %s; the lock file %s:%d has %s. Change one of them: \"%s\" with -upgrade locks a version that fits.",
			e.required.Version, e.required.Address, e.locked.Range.Filename, e.locked.Range.Start.Line, e.locked.Version, r.in.InitCommand)
	}
	ok, refused, err := r.in.Store.Candidates(e.want(r))
	if err != nil {
		c.Use = Missing
		return c, diag.In(e.required.Range, "Missing plugins", "%s.", err)
	}
	if c.Installed = ok; len(ok) > 0 {
		return c, nil
	}
	c.Use = Missing
	if r.in.Lenient {
		return c, nil
	}
	e.reported = true
	return c, diag.In(e.required.Range, "Missing plugins", "%s", e.missing(r, refused))
}

func has(m component.Manifest, kind, typ string) bool { return slices.Contains(namesOf(m, kind), typ) }

func (e *entry) want(r *Resolver) store.Want {
	w := store.Want{Source: e.required.Address, Constraints: e.required.Version, ReleasesOnly: r.in.ReleasesOnly, Approve: r.approve(e.locked)}
	if e.locked != nil {
		w.Version = e.locked.Version
	}
	return w
}

// missing is what to say when no binary will do by its name.
func (e *entry) missing(r *Resolver, refused []store.Refused) string {
	version := ""
	switch {
	case e.locked != nil:
		version = ", version " + e.locked.Version.String() + " as locked,"
	case e.required.Version != nil:
		version = ", version " + e.required.Version.String() + ","
	}
	return fmt.Sprintf("The plugin %s%s is not installed in %s. Run \"%s\".%s", e.required.Address, version, r.in.Store.Dir, r.in.InitCommand, explainRefused(refused))
}

// explainRefused says why what is there is not used.
func explainRefused(refused []store.Refused) string {
	var out strings.Builder
	for _, x := range refused {
		fmt.Fprintf(&out, "\n  %s is not used: %s", x.Path, strings.TrimSuffix(x.Why.Error(), "."))
	}
	return out.String()
}

// DigestError says that a plugin is not the one that is locked.
type DigestError struct {
	Binary store.Binary
	Lock   *lock.Plugin
}

// Error says what is wrong and what to do.
func (d *DigestError) Error() string {
	at := fmt.Sprintf("%s:%d", d.Lock.Range.Filename, d.Lock.Range.Start.Line)
	want := d.Lock.Programs[store.Here()]
	switch {
	case !d.Binary.Version.Equal(d.Lock.Version):
		return fmt.Sprintf("%s is version %s; %s locks %s", d.Binary.Path, d.Binary.Version, at, d.Lock.Version)
	case want == "":
		return fmt.Sprintf("%s has no checksum for %s at %s: run init on such a machine, which adds it", d.Binary.Path, store.Here(), at)
	}
	return fmt.Sprintf("%s has the checksum sha256:%s; %s locks sha256:%s", d.Binary.Path, d.Binary.SHA256, at, want)
}

// approve compares a plugin with what is locked.
func (r *Resolver) approve(locked *lock.Plugin) func(store.Binary) error {
	return func(b store.Binary) error {
		l := locked
		if source, err := addr.ParsePlugin(b.Source); l == nil && err == nil && r.in.Lock != nil {
			l = r.in.Lock.Plugin(source)
		}
		if l == nil || b.Version.Equal(l.Version) && l.Programs[store.Here()] == b.SHA256 {
			return nil
		}
		return &DigestError{b, l}
	}
}

// load finds and opens the plugin, once.
func (e *entry) load(p *Provider) component.Provider {
	r := p.r
	if e.asked || r.in.Store == nil {
		return e.provider
	}
	e.asked = true
	found, refused, err := r.in.Store.Choose(r.ctx, e.want(r))
	switch {
	case err != nil:
		e.wrong = err
	case found == nil && len(refused) > 0:
		e.wrong = errors.New(e.missing(r, refused))
	case found != nil:
		e.found, e.provider = found, r.opened(*found, p.uses(found.Description, e.accessor))
	}
	return e.provider
}

// opened is the one provider of a plugin.
func (r *Resolver) opened(f store.Found, uses []Component) component.Provider {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.open[f.Path]
	if p == nil {
		p = r.in.Open(f, uses)
		r.open[f.Path] = p
	}
	return p
}

// explain says why a component of a required plugin is not there.
func (e *entry) explain(r *Resolver, kind, name string, at hcl.Range) (diag.List, bool) {
	required := fmt.Sprintf("%s, required at %s:%d,", e.required.Address, e.required.Range.Filename, e.required.Range.Start.Line)
	var digest *DigestError
	switch {
	case e.reported:
		return nil, true
	case errors.As(e.wrong, &digest):
		return diag.In(at, "Plugin does not match the lock file",
			"The %s %q is part of the plugin %s which is not the one that is locked: %s.\nRun \"%s\" with -force to install the locked one again, or with -upgrade to lock another.",
			kind, name, required, digest, r.in.InitCommand), true
	case e.wrong != nil:
		return diag.In(at, "Plugin cannot be used", "The %s %q is part of the plugin %s which cannot be used. %s", kind, name, required, upperFirst(e.wrong.Error())), true
	case e.found != nil:
		names := outerNames(e.provider, kind, e.accessor)
		return diag.In(at, "Unknown "+kind, "The plugin %s has no %s %q in version %s.%s", required, kind, name, e.found.Binary.Version, diag.Suggest(name, kind+"s", names)), true
	case r.in.Store == nil:
		return diag.In(at, "Missing plugins", "The %s %q is part of the plugin %s which cannot be used: %s.", kind, name, required, r.in.NoStore), true
	}
	return diag.In(at, "Missing plugins", "The %s %q is part of the plugin %s which is not installed in %s. Run \"%s\".", kind, name, required, r.in.Store.Dir, r.in.InitCommand), true
}

func upperFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func namesOf(m component.Manifest, kind string) []string {
	switch kind {
	case "builder":
		return m.Builders
	case "provisioner":
		return m.Provisioners
	case "post-processor":
		return m.PostProcessors
	}
	return m.DataSources
}

// outerNames are the types by which templates know the components of a plugin.
func outerNames(p component.Provider, kind, accessor string) []string {
	var out []string
	for _, name := range namesOf(p.Manifest(), kind) {
		out = append(out, outer(name, accessor))
	}
	return out
}

// outer is the type by which templates know a component of a plugin.
func outer(name, accessor string) string {
	if name == store.DefaultComponent {
		return accessor
	}
	return accessor + "-" + name
}
