package host

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
	"ingot/internal/plugin/wirespec"
)

// askPatience is how long a plugin may take to say what is wrong with a configuration,
// for which some ask a server, or to describe itself.
const askPatience = 5 * time.Minute

var errSlow = fmt.Errorf("the plugin did not answer within %s", askPatience)

// core is the map that every component is given before its configuration.
func (h *Provider) core(build addr.Build, u use, force, debug bool) map[string]any {
	c := h.plugin.Core
	m := map[string]any{
		"packer_build_name": build.Source.Name, "packer_builder_type": build.Source.Type,
		"packer_core_version": c.Version, "packer_on_error": c.OnError,
		"packer_debug": strconv.FormatBool(debug), "packer_force": strconv.FormatBool(force),
	}
	if u.kind == process.Provisioner || u.kind == process.PostProcessor {
		names := make([]any, len(c.SensitiveVariables))
		for i, n := range c.SensitiveVariables {
			names[i] = n
		}
		m["packer_sensitive_variables"] = names
	}
	return m
}

// settings is a configuration with what it is planned for.
type settings struct {
	cfg      cty.Value
	planning component.Planning
}

// list is the argument of Prepare and Configure.
func (h *Provider) list(s settings, u use, build addr.Build, force, debug bool) ([]any, error) {
	doc, err := wirespec.EncodeConfig(wirespec.WithoutUnknowns(s.cfg))
	if err != nil {
		return nil, fmt.Errorf("the configuration for the plugin %s: %w", h.plugin.Name, err)
	}
	if u.kind == process.DataSource {
		return []any{doc}, nil
	}
	list := []any{h.core(build, u, force, debug), doc}
	if u.kind == process.Provisioner {
		list = append(list, nil) // overrides are in the configuration already
	}
	if s.planning.Legacy && u.kind != process.Builder {
		list = append(list, placeholders(s.planning.Facts))
	}
	return list, nil
}

// placeholders are what the build function of legacy JSON templates gives before the
// machine runs.
func placeholders(facts []string) map[string]any {
	out := map[string]any{}
	for _, name := range slices.Concat(commonData(), facts) {
		out[name] = "Build_" + name + ". To set this dynamically in the Packer template, you must use the `build` function"
	}
	out["WinRMPassword"] = "{{.WinRMPassword}}"
	return out
}

// commonData are the names that every machine's data have.
func commonData() []string {
	return []string{
		"ID", "Host", "Port", "User", "Password", "ConnType", "PackerRunUUID", "PackerHTTPPort", "PackerHTTPIP", "PackerHTTPAddr",
		"SSHPublicKey", "SSHPrivateKey", "WinRMPassword",
	}
}

// check lets a plugin look at a configuration in a process that has looked at others
// before. What it finds wrong is confirmed by a process of its own, so that nothing that
// was left over from another configuration is told. When nothing is wrong and take is not
// nil, it gets the process; else the process waits for the next configuration.
func (h *Provider) check(
	ctx context.Context, u use, s settings, schema component.Schema,
	ask func(context.Context, *process.Process, []any) error, take **process.Process,
) diag.List {
	if !s.cfg.IsKnown() {
		return nil // there is nothing that could be wrong yet
	}
	list, err := h.list(s, u, s.planning.Build, h.plugin.Core.Force, h.plugin.Core.Debug)
	if err != nil {
		return diag.Errorf("The configuration cannot be sent to the plugin", "%s.", err)
	}
	start := h.borrow
	for again := false; ; again = true {
		p, err := start(ctx, u)
		if err != nil {
			return h.failed(u, err)
		}
		err = h.askList(ctx, p, list, ask)
		switch {
		case err == nil && take != nil:
			*take = p
			return nil
		case err == nil:
			h.put(u, p)
			return nil
		}
		_ = h.end(ctx, p) // Close tries again
		switch {
		case ctx.Err() != nil:
			return diag.Errorf("Interrupted", "%s.", context.Cause(ctx))
		case again && packerwire.IsRemote(err):
			return findings(s.cfg, schema, err)
		case again:
			return h.failed(u, err)
		}
		start = h.fresh
	}
}

// fresh starts a process in which nothing has been checked.
func (h *Provider) fresh(ctx context.Context, u use) (*process.Process, error) {
	return h.start(ctx, u, nil, "", nil)
}

func (h *Provider) askList(ctx context.Context, p *process.Process, list []any, ask func(context.Context, *process.Process, []any) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askPatience, errSlow)
	defer cancel()
	return p.Explain(ask(ctx, p, list))
}

// failed is the diagnostic of a plugin that does not do what plugins do.
func (h *Provider) failed(u use, err error) diag.List {
	return diag.Errorf("The plugin failed", "The plugin %s could not check the configuration of its %s %s: %s",
		h.plugin.Name, u.kind, process.Shown(u.name), err)
}

// errorItem is an item of the lists that plugins make of several errors: "* " or a tab
// and "* " before each.
var errorItem = regexp.MustCompile(`(?m)^\s*\* `)

// errorHead is the line above such a list.
var errorHead = regexp.MustCompile(`^\d+ errors?(\(s\))? occurred:\s*\n`)

// findings makes diagnostics of what a plugin complains about, one of each item, with the
// attribute that it names.
func findings(cfg cty.Value, schema component.Schema, err error) diag.List {
	var out diag.List
	for _, text := range items(err.Error()) {
		d := &diag.Diagnostic{Severity: diag.Error, Summary: "The plugin refuses the configuration", Detail: text}
		if name := attributeIn(text, cfg, schema); name != "" {
			d.Path = diag.AttrPath(name)
		}
		out = append(out, d)
	}
	return out
}

func items(text string) []string {
	text = strings.ToValidUTF8(text, "�")
	head := errorHead.FindString(text)
	if head == "" {
		return []string{strings.TrimSpace(text)}
	}
	var out []string
	for _, item := range errorItem.Split(text[len(head):], -1) {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	if len(out) == 0 {
		return []string{strings.TrimSpace(text)}
	}
	return out
}

var word = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// attributeIn is the attribute that a text is about: the one that is set and whose name
// occurs in it; empty when there is none, or more than one.
func attributeIn(text string, cfg cty.Value, schema component.Schema) string {
	found := ""
	for _, w := range word.FindAllString(text, -1) {
		a, ok := schema.Attribute(w)
		if !ok || strings.HasPrefix(w, "packer_") || !component.IsSet(cfg, a.Name) || w == found {
			continue
		}
		if found != "" {
			return ""
		}
		found = w
	}
	return found
}

// warnings makes diagnostics of the warnings of a plugin.
func warnings(texts []string) diag.List {
	var out diag.List
	for _, t := range texts {
		out = append(out, diag.Warnf("Warning of the plugin", "%s", strings.TrimSpace(strings.ToValidUTF8(t, "�")))...)
	}
	return out
}
