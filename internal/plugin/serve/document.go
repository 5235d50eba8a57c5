package serve

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/lang"
	"ingot/internal/plugin/wirespec"
	"ingot/internal/template"
)

// settings is what a host has configured a component with.
type settings struct {
	// values are the arguments, later elements of the list having replaced
	// earlier ones.
	values map[string]any
	// core is what the host says of itself: its packer_ keys without that prefix.
	core map[string]any
	// legacy is set for the configurations of JSON templates, which are plain
	// maps.
	legacy bool
}

// The keys of core.
const (
	buildNameKey   = "build_name"
	builderTypeKey = "builder_type"
	coreVersionKey = "core_version"
	debugKey       = "debug"
	forceKey       = "force"
	onErrorKey     = "on_error"
	userVarsKey    = "user_variables"
	templateKey    = "template_path"
)

// corePrefix begins the keys that are the host's own.
const corePrefix = "packer_"

// placeholderMark is in a value of the map by which the host of a JSON template
// announces the values of the machine.
const placeholderMark = "Build_PackerRunUUID."

// readConfigs merges the list that Prepare and Configure are given.
func readConfigs(list []any) (settings, error) {
	s := settings{values: map[string]any{}, core: map[string]any{}, legacy: true}
	for i, element := range list {
		var values map[string]any
		switch e := element.(type) {
		case nil:
			continue
		case []byte:
			v, err := wirespec.DecodeConfig(e)
			if err != nil {
				return s, fmt.Errorf("element %d of the configuration: %w", i, err)
			}
			if !v.Type().IsObjectType() || v.IsNull() {
				return s, fmt.Errorf("element %d of the configuration is not an object but %s", i, v.Type().FriendlyName())
			}
			s.legacy = false
			values = map[string]any{}
			for name, av := range v.AsValueMap() {
				if !av.IsNull() {
					values[name] = av
				}
			}
		case map[string]any:
			values = e
		default:
			return s, fmt.Errorf("element %d of the configuration is neither a document nor a map", i)
		}
		if text, _ := values["PackerRunUUID"].(string); i == len(list)-1 && strings.Contains(text, placeholderMark) {
			continue // it says only that values of the machine are not there yet
		}
		for name, v := range values {
			if key, ok := strings.CutPrefix(name, corePrefix); ok {
				s.core[key] = v
			} else if name != "type" {
				s.values[name] = v
			}
		}
	}
	return s, nil
}

// text is a value of core as text; hosts send true and false as either.
func (s settings) text(key string) string {
	switch v := s.core[key].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case bool:
		return fmt.Sprint(v)
	case cty.Value:
		if v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
			return v.AsString()
		}
	}
	return ""
}

func (s settings) flag(key string) bool { return s.text(key) == "true" }

// moment is when a configuration is evaluated.
type moment struct {
	// final is set when the work is about to begin. Before, texts in which
	// something is not known yet are unknown, and so is what needs the machine.
	final bool
	// facts are the values of the machine; nil when there is none.
	facts map[string]cty.Value
}

// evaluate makes the configuration of a schema, checked as that of a template is.
func (p *plugin) evaluate(ctx context.Context, what string, schema component.Schema, s settings, at moment, sensitive func(string)) (cty.Value, diag.List) {
	t := &template.Template{}
	if s.legacy {
		t.Legacy = &template.Legacy{}
	}
	scope, diags := lang.NewScope(t, lang.Options{Home: p.Home, CoreVersion: p.CoreVersion, Secrets: sensitive})
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	view := scope.View()
	view.Template = p.vars(s, at)
	doc, err := documentOf(schema, s.values, !at.final && !s.legacy)
	if err != nil {
		return cty.NilVal, diag.Errorf("Configuration that cannot be read", "%s: %v.", what, err)
	}
	cfg, diags := view.Decode(ctx, []lang.Body{{Body: doc}}, lang.NewSpec(what, schema), nil)
	return cfg.Value, diags
}

// vars are what template actions see.
func (p *plugin) vars(s settings, at moment) gotmpl.Vars {
	v := gotmpl.Vars{
		BuildName: s.text(buildNameKey), BuildType: s.text(builderTypeKey), CoreVersion: s.text(coreVersionKey),
		Start: p.began,
	}
	if at.final {
		v.Build = factTexts(at.facts)
	}
	if s.legacy {
		v.External = map[string]func(...string) (string, error){
			"user":         func(args ...string) (string, error) { return userVariable(s.core[userVarsKey], args) },
			"template_dir": func(...string) (string, error) { return templateDir(s.text(templateKey)) },
		}
	}
	return v
}

func userVariable(vars any, args []string) (string, error) {
	if len(args) != 1 {
		return "", fmt.Errorf("user needs the name of a variable")
	}
	all, _ := vars.(map[string]any)
	switch v := all[args[0]].(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("there is no user variable %q", args[0])
}

// templateDir is the folder of the template.
func templateDir(path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("the host has not said where the template is")
	}
	return absoluteDir(path)
}

// factTexts are facts as template actions print them.
func factTexts(facts map[string]cty.Value) map[string]string {
	out := make(map[string]string, len(facts))
	for name, v := range facts {
		if text, ok := scalarText(v); ok {
			out[name] = text
		}
	}
	return out
}

// document is a configuration as a body, so that it is decoded like one of a
// template.
type document struct {
	attrs  map[string]cty.Value
	blocks map[string][]*document
}

// documentOf sorts the values of a configuration into arguments and blocks. With
// early, texts that a host sends in place of what it does not know are unknown.
func documentOf(schema component.Schema, values map[string]any, early bool) (*document, error) {
	d := &document{attrs: map[string]cty.Value{}, blocks: map[string][]*document{}}
	block := map[string]component.Block{}
	for _, b := range schema.Blocks {
		block[b.Name] = b
	}
	for name, raw := range values {
		b, nested := block[name]
		if !nested {
			v, err := valueOf(raw, 0)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if early {
				v = withUnknowns(v)
			}
			d.attrs[name] = v
			continue
		}
		parts, err := blockParts(raw)
		if err != nil {
			return nil, fmt.Errorf("the block %s: %w", name, err)
		}
		for _, part := range parts {
			inner, err := documentOf(b.Schema, part, early)
			if err != nil {
				return nil, fmt.Errorf("the block %s: %w", name, err)
			}
			d.blocks[name] = append(d.blocks[name], inner)
		}
	}
	return d, nil
}

// blockParts are the blocks of a kind: an object is one, a list any number.
func blockParts(raw any) ([]map[string]any, error) {
	switch v := raw.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return []map[string]any{v}, nil
	case []any:
		var out []map[string]any
		for _, e := range v {
			more, err := blockParts(e)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	case cty.Value:
		return blockValues(v)
	}
	return nil, fmt.Errorf("it is %T and not an object", raw)
}

func blockValues(v cty.Value) ([]map[string]any, error) {
	t := v.Type()
	switch {
	case v.IsNull():
		return nil, nil
	case t.IsObjectType() || t.IsMapType():
		one := map[string]any{}
		for name, av := range v.AsValueMap() {
			if !av.IsNull() {
				one[name] = av
			}
		}
		return []map[string]any{one}, nil
	case t.IsListType() || t.IsTupleType() || t.IsSetType():
		var out []map[string]any
		for _, ev := range v.AsValueSlice() {
			more, err := blockValues(ev)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	}
	return nil, fmt.Errorf("it is %s and not an object", t.FriendlyName())
}

// mostNested is how deep the values of a plain map may be nested.
const mostNested = 64

// valueOf makes a value of what a map of the host holds.
func valueOf(raw any, depth int) (cty.Value, error) {
	if depth > mostNested {
		return cty.NilVal, fmt.Errorf("values are nested deeper than %d", mostNested)
	}
	switch v := raw.(type) {
	case nil:
		return cty.NullVal(cty.DynamicPseudoType), nil
	case cty.Value:
		return v, nil
	case string:
		return cty.StringVal(v), nil
	case []byte:
		return cty.StringVal(string(v)), nil
	case bool:
		return cty.BoolVal(v), nil
	case int64:
		return cty.NumberIntVal(v), nil
	case uint64:
		return cty.NumberUIntVal(v), nil
	case float64:
		return floatValue(v)
	case time.Time:
		return cty.StringVal(v.Format(time.RFC3339Nano)), nil
	case []any:
		out := make([]cty.Value, len(v))
		for i, e := range v {
			ev, err := valueOf(e, depth+1)
			if err != nil {
				return cty.NilVal, err
			}
			out[i] = ev
		}
		return cty.TupleVal(out), nil
	case map[string]any:
		out := make(map[string]cty.Value, len(v))
		for name, e := range v {
			ev, err := valueOf(e, depth+1)
			if err != nil {
				return cty.NilVal, err
			}
			out[name] = ev
		}
		return cty.ObjectVal(out), nil
	}
	return cty.NilVal, fmt.Errorf("a value of the kind %T cannot be used", raw)
}

// floatValue refuses what is no number; infinities are none in a configuration.
func floatValue(f float64) (cty.Value, error) {
	if f != f || f-f != 0 {
		return cty.NilVal, fmt.Errorf("%v is not a number", f)
	}
	return cty.NumberFloatVal(f), nil
}

// withUnknowns makes unknown what a host may send because it does not know it yet:
// texts that say so, and lists and maps with nothing in them. That a number is 0 or
// something is false may mean the same, but cannot be told.
func withUnknowns(v cty.Value) cty.Value {
	// The callback never fails.
	out, _ := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		switch t := v.Type(); {
		case v.IsNull() || !v.IsKnown():
		case t == cty.String && strings.Contains(v.AsString(), wirespec.UnknownText),
			(t.IsListType() || t.IsMapType()) && v.LengthInt() == 0:
			return cty.UnknownVal(t), nil
		}
		return v, nil
	})
	return out
}

// Content implements hcl.Body. Texts of findings are those of the library, which
// the decoder knows.
func (d *document) Content(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Diagnostics) {
	content := &hcl.BodyContent{Attributes: hcl.Attributes{}}
	var diags hcl.Diagnostics
	known := map[string]bool{}
	for _, a := range schema.Attributes {
		known[a.Name] = true
		if v, ok := d.attrs[a.Name]; ok {
			content.Attributes[a.Name] = &hcl.Attribute{Name: a.Name, Expr: hcl.StaticExpr(v, hcl.Range{})}
		}
	}
	for _, b := range schema.Blocks {
		known[b.Type] = true
		for _, body := range d.blocks[b.Type] {
			content.Blocks = append(content.Blocks, &hcl.Block{Type: b.Type, Body: body})
		}
	}
	for _, name := range sortedNames(d.attrs) {
		if !known[name] {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Unsupported argument",
				Detail: fmt.Sprintf("An argument named %q is not expected here.", name),
			})
		}
	}
	return content, diags
}

// PartialContent implements hcl.Body; nothing of it is left to be read.
func (d *document) PartialContent(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Body, hcl.Diagnostics) {
	content, diags := d.Content(schema)
	return content, &document{}, diags
}

// JustAttributes implements hcl.Body.
func (d *document) JustAttributes() (hcl.Attributes, hcl.Diagnostics) {
	out := hcl.Attributes{}
	for name, v := range d.attrs {
		out[name] = &hcl.Attribute{Name: name, Expr: hcl.StaticExpr(v, hcl.Range{})}
	}
	return out, nil
}

// MissingItemRange implements hcl.Body: a host does not tell places.
func (d *document) MissingItemRange() hcl.Range { return hcl.Range{} }

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// findings are errors as the text that a host shows: one in a line, without the
// places, which it does not know.
func findings(l diag.List) error {
	l = l.Errors()
	if len(l) == 0 {
		return nil
	}
	lines := make([]string, len(l))
	for i, d := range l {
		lines[i] = sentenceOf(d)
	}
	return fmt.Errorf("%s", strings.Join(lines, "\n"))
}

func warnings(l diag.List) []string {
	var out []string
	for _, d := range l.Warnings() {
		out = append(out, sentenceOf(d))
	}
	return out
}

func sentenceOf(d *diag.Diagnostic) string {
	if d.Detail == "" {
		return d.Summary
	}
	return d.Summary + ": " + d.Detail
}
