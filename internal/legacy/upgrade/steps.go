package upgrade

import (
	"slices"
	"strconv"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/legacy"
	"ingot/internal/legacy/jsondoc"
)

func (u *upgrader) sources() string {
	var w writer
	for _, b := range u.builders {
		u.require(b.Type, b.TypeRange)
		w.blank()
		w.line("source " + quote(b.Type) + " " + quote(b.label) + " {")
		u.body(&w, b.Config, builderShapes(b.Type), place{in: inSource, builder: b})
		w.end()
	}
	return w.String()
}

func (u *upgrader) build() string {
	var w writer
	w.line("build {")
	if u.t.Description != "" {
		w.line("description = " + quote(u.t.Description))
		w.blank()
	}
	names := make([]string, len(u.builders))
	for i, b := range u.builders {
		names[i] = quote("source." + b.address())
	}
	w.line("sources = " + listCode(names, true))
	for _, s := range u.t.Provisioners {
		u.provisioner(&w, s)
	}
	if s := u.t.ErrorCleanup; s != nil {
		u.provisioner(&w, s)
	}
	for _, chain := range u.t.Chains {
		w.blank()
		if len(chain) == 1 {
			u.postProcessor(&w, chain[0])
			continue
		}
		w.line("post-processors {")
		for _, s := range chain {
			u.postProcessor(&w, s)
		}
		w.end()
	}
	w.end()
	return w.String()
}

func (u *upgrader) postProcessor(w *writer, s *legacy.Step) {
	u.require(s.Type, s.TypeRange)
	chosen, never := u.selection(s)
	if never {
		return
	}
	w.blank()
	w.line("post-processor " + quote(s.Type) + " {")
	u.meta(w, s, "name", "keep_input_artifact")
	chosen.write(w)
	u.body(w, s.Config, postProcessorShapes(s.Type), place{in: inStep})
	w.end()
}

// provisioner writes a provisioner, also the one for cleaning up.
func (u *upgrader) provisioner(w *writer, s *legacy.Step) {
	u.require(s.Type, s.TypeRange)
	chosen, never := u.selection(s)
	if never {
		return
	}
	overrides, apart := u.overrides(s)
	if s.Kind == addr.ErrorCleanup && len(apart) > 0 {
		// There can be only one such block.
		u.report(diag.In(s.Get("override").Range, "Cannot convert the override",
			"The override of an error-cleanup-provisioner cannot use values of the machine in HCL. Write the difference as a condition in the script."))
		return
	}
	if rest, some := chosen.without(u.builders, apart); some {
		u.provisionerBlock(w, s, s.Config, rest, overrides)
	}
	for _, b := range apart {
		if chosen.has(b) {
			config := merged(s.Config, s.Get("override").Get(b.Name))
			u.provisionerBlock(w, s, config, selection{names: []*builder{b}}, nil)
		}
	}
}

func (u *upgrader) provisionerBlock(w *writer, s *legacy.Step, config *jsondoc.Node, chosen selection, overrides []override) {
	w.blank()
	w.line(s.Kind.String() + " " + quote(s.Type) + " {")
	chosen.write(w)
	u.meta(w, s, "pause_before", "timeout", "max_retries")
	u.body(w, config, provisionerShapes(s.Type), place{in: inStep})
	if len(overrides) > 0 {
		w.blank()
		w.line("override = {")
		for _, o := range overrides {
			w.line(key(o.builder.label) + " = " + o.code)
		}
		w.end()
	}
	w.end()
}

// meta writes the named meta-arguments of a step.
func (u *upgrader) meta(w *writer, s *legacy.Step, names ...string) {
	for _, m := range s.Meta {
		if !slices.Contains(names, m.Name) {
			continue
		}
		code := u.attribute(m, shape{}, place{in: inMeta})
		if m.Value.Is(jsondoc.String) && isBare(m.Name, m.Value.Text) {
			code = m.Value.Text
		}
		w.line(m.Name + " = " + code)
	}
}

// isBare reports whether the text of a meta-argument is a bool or a number that
// was put in quotes.
func isBare(name, text string) bool {
	switch name {
	case "keep_input_artifact":
		return text == "true" || text == "false"
	case "max_retries":
		n, err := strconv.ParseUint(text, 10, 31)
		return err == nil && strconv.FormatUint(n, 10) == text
	}
	return false
}

// selection is only or except of a step. The zero selection is all builds.
type selection struct {
	except bool
	names  []*builder
}

// selection reads only and except. Never is set when no build is meant.
func (u *upgrader) selection(s *legacy.Step) (chosen selection, never bool) {
	for _, m := range s.Meta {
		if m.Name != "only" && m.Name != "except" || len(m.Value.Elements) == 0 {
			continue
		}
		chosen.except = m.Name == "except"
		for _, e := range m.Value.Elements {
			// A name that no builder has is an error, but for the
			// clean-up, where it means nothing.
			if b := u.builder(e.Text); b != nil && !slices.Contains(chosen.names, b) {
				chosen.names = append(chosen.names, b)
			}
		}
		if len(chosen.names) == 0 && !chosen.except {
			u.report(diag.WarnIn(m.NameRange, "Step left out", "The %s %q is only for builders that do not exist.", s.Kind, s.Type))
			return chosen, true
		}
	}
	return chosen, false
}

func (c selection) has(b *builder) bool {
	return len(c.names) == 0 || slices.Contains(c.names, b) != c.except
}

// without is the selection less some builders; some is false when none is
// left.
func (c selection) without(all, less []*builder) (rest selection, some bool) {
	if len(less) == 0 {
		return c, true
	}
	for _, b := range all {
		if c.has(b) && !slices.Contains(less, b) {
			rest.names = append(rest.names, b)
		}
	}
	return rest, len(rest.names) > 0
}

func (c selection) write(w *writer) {
	if len(c.names) == 0 {
		return
	}
	name := "only"
	if c.except {
		name = "except"
	}
	code := name + " = ["
	for i, b := range c.names {
		if i > 0 {
			code += ", "
		}
		code += quote(b.address())
	}
	w.line(code + "]")
}

// override is what a provisioner has for one build.
type override struct {
	builder *builder
	code    string
}

// overrides converts the override of a provisioner. Those that use values of
// the machine cannot be one in HCL: their builders are returned apart.
func (u *upgrader) overrides(s *legacy.Step) (plain []override, apart []*builder) {
	node := s.Get("override")
	if node == nil {
		return nil, nil
	}
	for _, m := range node.Members {
		b := u.builder(m.Name)
		if b == nil {
			u.report(diag.WarnIn(m.NameRange, "Override left out", "There is no builder %q for this override.", m.Name))
			continue
		}
		facts := false
		code := u.settings(m.Value, provisionerShapes(s.Type), place{in: inStep, builder: b, usesFacts: &facts})
		if facts {
			apart = append(apart, b)
		} else {
			plain = append(plain, override{b, code})
		}
	}
	return plain, apart
}

// settings writes the settings of a component as an object.
func (u *upgrader) settings(config *jsondoc.Node, known shapes, at place) string {
	if len(config.Members) == 0 {
		return "{}"
	}
	code := "{\n"
	for _, m := range config.Members {
		code += key(m.Name) + " = " + u.attribute(m, known[m.Name], at) + "\n"
	}
	return code + "}"
}

// merged is a configuration with the settings of an override put over it.
func merged(config, over *jsondoc.Node) *jsondoc.Node {
	out := config.Clone()
	for _, m := range over.Members {
		out.Set(m.Name, m.Value)
	}
	return out
}
