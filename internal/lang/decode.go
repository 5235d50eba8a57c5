package lang

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/template"
)

// Decode evaluates one or more bodies, which must not set the same argument
// twice, into a configuration of the schema. Every mistake is reported.
func (v *View) Decode(ctx context.Context, bodies []Body, spec *Spec, o *Override) (*Config, diag.List) {
	d := decoding{ctx: ctx, view: v}
	cfg := d.bodies(bodies, spec, o)
	return cfg, d.diags
}

// decoding is one run of Decode.
type decoding struct {
	ctx   context.Context
	view  *View
	diags diag.List
}

func (d *decoding) report(l diag.List) { d.diags = append(d.diags, l...) }

func (d *decoding) bodies(bodies []Body, spec *Spec, o *Override) *Config {
	cfg := &Config{Schema: spec.schema, header: bodies[0].Header, attrs: map[string]*hcl.Attribute{}, override: o}
	views := map[string]*View{}
	blocks := map[string][]Body{}
	for _, b := range bodies {
		content, diags := template.Content(b.Body, spec.body, spec.what)
		d.report(diags)
		cfg.Incomplete = cfg.Incomplete || diags.HasErrors()
		for name, a := range content.Attributes {
			if first := cfg.attrs[name]; first != nil {
				d.report(diag.In(a.Range, "Duplicate argument",
					"The argument %q is already set at %s:%d. The use of a source in a build can only add arguments, not change them.",
					name, first.Range.Filename, first.Range.Start.Line))
				continue
			}
			cfg.attrs[name] = a
			if b.View != nil {
				views[name] = b.View
			}
		}
		for _, block := range content.Blocks {
			blocks[block.Type] = append(blocks[block.Type], Body{block.Body, block.DefRange, b.View})
		}
	}
	d.checkOverride(spec, o)
	values := make(map[string]cty.Value, len(spec.schema.Attributes)+len(spec.blocks))
	for i := range spec.schema.Attributes {
		a := &spec.schema.Attributes[i]
		values[a.Name] = d.attribute(spec, cfg, a, cmp.Or(views[a.Name], d.view))
	}
	for _, b := range spec.blocks {
		values[b.Name] = d.nested(spec, cfg, b, blocks[b.Name])
	}
	cfg.Value = cty.ObjectVal(values)
	return cfg
}

// checkOverride finds overriding values that the schema does not know.
func (d *decoding) checkOverride(spec *Spec, o *Override) {
	if o == nil {
		return
	}
	for _, name := range keys(o.Values) {
		known := spec.attrs[name] != nil
		for _, b := range spec.blocks {
			known = known || b.Name == name
		}
		if !known {
			d.report(diag.In(PartRange(o.Expr, cty.GetAttrPath(name)), "Unsupported argument", "%s has no argument %q.%s",
				spec.what, name, diag.Suggest(name, "arguments", keys(spec.attrs))))
		}
	}
}

// attribute is the value of one argument.
func (d *decoding) attribute(spec *Spec, cfg *Config, a *component.Attribute, v *View) cty.Value {
	if o := cfg.override; o != nil {
		if val, ok := o.Values[a.Name]; ok {
			return d.finish(spec, cfg, a, val, part(o.Expr, cty.GetAttrStep{Name: a.Name}), o.Expr)
		}
	}
	set := cfg.attrs[a.Name]
	if set == nil {
		return d.unset(spec, cfg, a, cfg.header)
	}
	val, diags := v.Value(d.ctx, set.Expr)
	d.report(diags)
	if diags.HasErrors() {
		return cty.UnknownVal(a.Type)
	}
	if a.Deprecated != "" {
		d.report(diag.WarnIn(set.NameRange, "Deprecated argument", "The argument %q is deprecated. %s", a.Name, a.Deprecated))
	}
	return d.finish(spec, cfg, a, val, set.Expr, set.Expr)
}

func (d *decoding) unset(spec *Spec, cfg *Config, a *component.Attribute, at hcl.Range) cty.Value {
	if !a.Required {
		return a.DefaultValue()
	}
	cfg.Incomplete = true
	d.report(diag.In(at, "Missing argument", "%s needs the argument %q.%s", spec.what, a.Name, sentence(a.Description)))
	return cty.UnknownVal(a.Type)
}

// sentence puts a description behind another sentence.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, _, more := strings.Cut(text, ". ")
	if more {
		first += "."
	}
	return " " + first
}

// finish brings an evaluated value into its form: unmarked, of the wanted
// type, with template actions rendered, and checked. Expr may be nil, then
// whole stands for it.
func (d *decoding) finish(spec *Spec, cfg *Config, a *component.Attribute, val cty.Value, expr, whole hcl.Expression) cty.Value {
	if expr == nil {
		expr = whole
	}
	val, secret := d.unmark(val)
	for _, path := range secret {
		cfg.addSecret(a.Name, path)
	}
	legacy := d.view.scope.template.Legacy != nil
	if legacy {
		val = d.legacyValue(cfg, a, val, expr)
		d.hideRendered(val, secret)
	}
	if val.IsNull() || a.Format == component.Duration && isEmpty(val) {
		return d.unset(spec, cfg, a, expr.Range())
	}
	c, err := convertWeakly(val, a.Type)
	if err != nil {
		at := PartRange(expr, mismatch(val, a.Type))
		d.report(diag.In(at, "Wrong type", "The argument %q has to be %s, but it is %s%s.",
			a.Name, typeName(a.Type), diag.Describe(val), because(err)))
		return cty.UnknownVal(a.Type)
	}
	if c.split && !legacy {
		d.report(diag.WarnIn(expr.Range(), "Text taken for a list",
			"The argument %q is a list; the text was split at its commas into %d elements. Write [...] to say what is meant.", a.Name, c.value.LengthInt()))
	}
	val = c.value
	if !a.Late && !legacy {
		val = d.render(cfg, a.Name, val, expr)
	}
	val = d.checkStrings(a, val, expr)
	if a.Sensitive {
		d.view.scope.secrets.root(val)
		cfg.addSecret(a.Name, nil)
	}
	return val
}

func isEmpty(v cty.Value) bool {
	return v.Type() == cty.String && v.IsKnown() && !v.IsNull() && v.AsString() == ""
}

// unmark takes the marks off, notes what they were on and says where.
func (d *decoding) unmark(val cty.Value) (cty.Value, []cty.Path) {
	if !val.ContainsMarked() {
		return val, nil
	}
	plain, marks := val.UnmarkDeepWithPaths()
	paths := make([]cty.Path, len(marks))
	for i, m := range marks {
		paths[i] = m.Path
		part, err := m.Path.Apply(plain)
		if err != nil {
			part = plain // a path cannot lead into a set
		}
		d.view.scope.secrets.derived(part)
	}
	return plain, paths
}

// hideRendered notes the secret parts of a value as they are after their
// actions were rendered, which may have changed them.
func (d *decoding) hideRendered(val cty.Value, secret []cty.Path) {
	for _, path := range secret {
		if part, err := path.Apply(val); err == nil {
			d.view.scope.secrets.derived(part)
		}
	}
}

// eachString applies f to every known string in val.
func eachString(val cty.Value, f func(cty.Path, string) cty.Value) cty.Value {
	if val.Type() == cty.String {
		if val.IsNull() || !val.IsKnown() {
			return val
		}
		return f(nil, val.AsString())
	}
	if val.Type().IsPrimitiveType() {
		return val
	}
	// Transform fails only when its callback does.
	out, _ := cty.Transform(val, func(p cty.Path, v cty.Value) (cty.Value, error) {
		if v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
			return f(p, v.AsString()), nil
		}
		return v, nil
	})
	return out
}

// render replaces the template actions in the strings of val. What needs the
// machine becomes unknown.
func (d *decoding) render(cfg *Config, name string, val cty.Value, expr hcl.Expression) cty.Value {
	if !holdsAction(val) {
		return val
	}
	return eachString(val, func(p cty.Path, text string) cty.Value {
		if !gotmpl.HasAction(text) {
			return cty.StringVal(text)
		}
		out, err := gotmpl.Render(text, d.view.Template, nil)
		switch {
		case errors.Is(err, gotmpl.ErrNotYetKnown) && d.view.Build != nil && d.view.Build.FactsRefused != "":
			d.report(diag.In(PartRange(expr, p), "Build values are not known here", "%s", d.view.Build.FactsRefused))
			return cty.UnknownVal(cty.String)
		case errors.Is(err, gotmpl.ErrNotYetKnown):
			d.view.UsedFacts = true
			cfg.addAction(name, p)
			d.checkBuildNames(text, PartRange(expr, p))
			return cty.UnknownVal(cty.String)
		case err != nil:
			d.report(diag.In(PartRange(expr, p), "Template action failed", "%s.", actionError(err)))
			return cty.UnknownVal(cty.String)
		}
		return cty.StringVal(out)
	})
}

// checkBuildNames finds a template action that asks for a value that the
// machine will never have.
func (d *decoding) checkBuildNames(text string, at hcl.Range) {
	b := d.view.Build
	if b == nil || b.AnyName {
		return
	}
	v := d.view.Template
	v.Build = make(map[string]string, len(b.Names))
	for name := range b.Names {
		v.Build[name] = ""
	}
	// Other errors may only be due to the values being empty.
	if _, err := gotmpl.Render(text, v, nil); errors.Is(err, gotmpl.ErrNotSupplied) {
		d.report(diag.In(at, "Unsupported build value", "%s.", actionError(err)))
	}
}

// actionError is the error of a template action without the text of the
// template, which is shown above it, and the library's own positions in it.
func actionError(err error) string {
	position := regexp.MustCompile(`(?s)^template text ".*": \d+(:\d+)?: (executing "" at )?`)
	return position.ReplaceAllString(err.Error(), "")
}

func holdsAction(val cty.Value) bool {
	found := false
	eachString(val, func(_ cty.Path, text string) cty.Value {
		found = found || gotmpl.HasAction(text)
		return cty.StringVal(text)
	})
	return found
}

// checkStrings applies OneOf and Format.
func (d *decoding) checkStrings(a *component.Attribute, val cty.Value, expr hcl.Expression) cty.Value {
	if len(a.OneOf) == 0 && a.Format == component.Text {
		return val
	}
	return eachString(val, func(p cty.Path, text string) cty.Value {
		if len(a.OneOf) > 0 && !slices.Contains(a.OneOf, text) {
			d.report(diag.In(PartRange(expr, p), "Invalid value", "The argument %q cannot be %q.%s",
				a.Name, text, diag.Suggest(text, "values", a.OneOf)))
			return cty.UnknownVal(cty.String)
		}
		switch a.Format {
		case component.Duration:
			if _, diags := ParseDuration(PartRange(expr, p), a.Name, text); diags != nil {
				d.report(diags)
				return cty.UnknownVal(cty.String)
			}
		case component.Path:
			return cty.StringVal(d.view.scope.expandHome(text))
		}
		return cty.StringVal(text)
	})
}

// ParseDuration reads a duration that stands at a place, as the argument of
// that name.
func ParseDuration(at hcl.Range, name, text string) (time.Duration, diag.List) {
	d, err := time.ParseDuration(text)
	switch {
	case err == nil:
		return d, nil
	case strings.Trim(text, "0123456789.") == "" && text != "":
		// A number without a unit is what people write most.
		return 0, diag.In(at, "Invalid duration", "The argument %q is %s without a unit. Write %q for seconds, %q for minutes.", name, text, text+"s", text+"m")
	}
	return 0, diag.In(at, "Invalid duration", "The argument %q is %q, which is not a duration such as \"30s\", \"5m\" or \"1h30m\".", name, text)
}

// expandHome replaces a leading ~ by the home folder.
func (s *Scope) expandHome(path string) string {
	if path != "~" && !strings.HasPrefix(path, "~/") && !strings.HasPrefix(path, "~"+string(os.PathSeparator)) {
		return path
	}
	if s.opts.Home == "" {
		return path
	}
	return filepath.Join(s.opts.Home, path[1:])
}

// nested is the value of one kind of nested block.
func (d *decoding) nested(spec *Spec, cfg *Config, b *blockSpec, blocks []Body) cty.Value {
	if o := cfg.override; o != nil {
		if val, ok := o.Values[b.Name]; ok {
			return d.nestedOverride(cfg, b, val, PartRange(o.Expr, cty.GetAttrPath(b.Name)))
		}
	}
	if len(blocks) == 0 {
		if b.Required {
			cfg.Incomplete = true
			d.report(diag.In(cfg.header, "Missing block", "%s needs a %q block.", spec.what, b.Name))
		}
		if b.Repeated {
			return cty.ListValEmpty(b.ty)
		}
		return cty.NullVal(b.ty)
	}
	if !b.Repeated && len(blocks) > 1 {
		d.report(diag.In(blocks[1].Header, "Duplicate block", "%s has at most one %q block; the first is at %s:%d.",
			spec.what, b.Name, blocks[0].Header.Filename, blocks[0].Header.Start.Line))
	}
	unknown := false
	values := make([]cty.Value, len(blocks))
	for i, block := range blocks {
		inner := d.bodies([]Body{block}, b.spec, nil)
		cfg.Incomplete = cfg.Incomplete || inner.Incomplete
		if cfg.blocks == nil {
			cfg.blocks = map[string][]*Config{}
		}
		cfg.blocks[b.Name] = append(cfg.blocks[b.Name], inner)
		values[i] = inner.Value
		for _, path := range inner.Secrets {
			if b.Repeated {
				path = append(cty.IndexIntPath(i), path...)
			}
			cfg.addSecret(b.Name, path)
		}
		// A dynamic block over a collection that is not known yet has
		// one body of this kind.
		if u, ok := block.Body.(interface{ Unknown() bool }); ok && u.Unknown() {
			unknown = true
		}
	}
	switch {
	case unknown && b.Repeated:
		return cty.UnknownVal(cty.List(b.ty))
	case !b.Repeated:
		return values[0]
	case !cty.CanListVal(values):
		return cty.TupleVal(values)
	}
	return cty.ListVal(values)
}

// nestedOverride converts an object, or a list of objects, into what the
// block would be.
func (d *decoding) nestedOverride(cfg *Config, b *blockSpec, val cty.Value, at hcl.Range) cty.Value {
	var optional []string
	for name := range b.ty.AttributeTypes() {
		optional = append(optional, name)
	}
	want := cty.ObjectWithOptionalAttrs(b.ty.AttributeTypes(), optional)
	if b.Repeated {
		want = cty.List(want)
	}
	plain, secret := d.unmark(val)
	for _, path := range secret {
		cfg.addSecret(b.Name, path)
	}
	c, err := convertWeakly(plain, want)
	if err != nil {
		d.report(diag.In(at, "Wrong type", "The block %q is overridden by %s%s. Write an object with the arguments of the block (%s).",
			b.Name, diag.Describe(val), because(err), typeexpr.TypeString(b.ty)))
		return cty.UnknownVal(want.WithoutOptionalAttributesDeep())
	}
	return c.value
}
