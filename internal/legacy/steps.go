package legacy

import (
	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/legacy/jsondoc"
)

// metaKeys are the meta-arguments of a kind of step.
func metaKeys(kind addr.StepKind) map[string]bool {
	if kind == addr.PostProcessor {
		return map[string]bool{"name": true, "keep_input_artifact": true, "only": true, "except": true}
	}
	return map[string]bool{"only": true, "except": true, "override": true, "pause_before": true, "timeout": true, "max_retries": true}
}

// chain reads an element of post-processors.
func (r *reader) chain(n *jsondoc.Node) {
	elements := []*jsondoc.Node{n}
	if n.Is(jsondoc.Array) {
		elements = n.Elements
	}
	var chain []*Step
	for _, e := range elements {
		if s := r.postProcessor(e); s != nil {
			chain = append(chain, s)
		}
	}
	if len(chain) > 0 {
		r.t.Chains = append(r.t.Chains, chain)
	}
}

// postProcessor reads one post-processor, which may be its type alone.
func (r *reader) postProcessor(n *jsondoc.Node) *Step {
	if n.Is(jsondoc.Array) {
		r.report(diag.In(head(n.Range), "Wrong type", "A chain of post-processors cannot hold another chain. Write its members one after the other."))
		return nil
	}
	if !n.Is(jsondoc.String) {
		return r.step(addr.PostProcessor, n)
	}
	if n.Text == "" {
		r.report(diag.In(n.Range, "Missing type", "The type of a post-processor cannot be empty."))
		return nil
	}
	return &Step{
		Kind: addr.PostProcessor, Type: n.Text, TypeRange: n.Range, Node: n,
		Config: &jsondoc.Node{Kind: jsondoc.Object, Range: n.Range},
	}
}

// step reads one provisioner or post-processor; nil when it is none.
func (r *reader) step(kind addr.StepKind, n *jsondoc.Node) *Step {
	if !n.Is(jsondoc.Object) {
		want := "an object"
		if kind == addr.PostProcessor {
			want = "an object, a string with its type, or an array of these"
		}
		r.wrong(n, "A "+kind.String(), want)
		return nil
	}
	s := &Step{Kind: kind, Node: n, Config: &jsondoc.Node{Kind: jsondoc.Object, Range: n.Range}}
	var ok bool
	if s.Type, s.TypeRange, ok = r.componentType(n, kind.String()); !ok {
		return nil
	}
	meta := metaKeys(kind)
	for _, m := range n.Members {
		switch {
		case m.Name == "type":
		case !meta[m.Name]:
			s.Config.Members = append(s.Config.Members, m)
		case m.Value.Is(jsondoc.Null):
		case r.metaKind(m):
			s.Meta = append(s.Meta, m)
		}
	}
	return s
}

// metaKind checks the kind of a meta-argument.
func (r *reader) metaKind(m jsondoc.Member) bool {
	what := "The argument \"" + m.Name + "\""
	before := len(r.diags)
	switch m.Name {
	case "only", "except":
		for _, n := range r.list(m.Value, what) {
			r.is(n, jsondoc.String, "The name of a builder in \""+m.Name+"\"")
		}
	case "override":
		if r.is(m.Value, jsondoc.Object, what) {
			for _, o := range m.Value.Members {
				r.is(o.Value, jsondoc.Object, "The override for \""+o.Name+"\"")
			}
		}
	case "name":
		r.is(m.Value, jsondoc.String, what)
	case "pause_before", "timeout":
		r.either(m.Value, what, jsondoc.String, jsondoc.Number)
	case "max_retries":
		r.either(m.Value, what, jsondoc.Number, jsondoc.String)
	case "keep_input_artifact":
		r.either(m.Value, what, jsondoc.Bool, jsondoc.String)
	}
	return len(r.diags) == before
}

func (r *reader) either(n *jsondoc.Node, what string, a, b jsondoc.Kind) {
	if !n.Is(a) && !n.Is(b) {
		r.wrong(n, what, a.String()+" or "+b.String())
	}
}

// checkNames finds names in only, except and override that no builder has,
// once all builders are known.
func (r *reader) checkNames() {
	known := make([]string, 0, len(r.builders))
	for _, b := range r.t.Builders {
		known = append(known, b.Name)
	}
	steps := append([]*Step(nil), r.t.Provisioners...)
	if s := r.t.ErrorCleanup; s != nil {
		steps = append(steps, s)
	}
	for _, chain := range r.t.Chains {
		steps = append(steps, chain...)
	}
	for _, s := range steps {
		r.checkStepNames(s, known)
	}
}

func (r *reader) checkStepNames(s *Step, known []string) {
	if only, except := s.Get("only"), s.Get("except"); only != nil && except != nil && len(only.Elements) > 0 && len(except.Elements) > 0 {
		r.report(diag.In(head(except.Range), "Both only and except",
			"A %s has either only (line %d) or except, not both. Remove one of them.", s.Kind, only.Range.Start.Line))
	}
	for _, m := range s.Meta {
		switch m.Name {
		case "only", "except":
			for _, n := range m.Value.Elements {
				if r.builders[n.Text] == nil {
					r.unknownBuilder(s, jsondoc.Member{Name: n.Text, NameRange: n.Range}, m.Name, known)
				}
			}
		case "override":
			for _, o := range m.Value.Members {
				if r.builders[o.Name] == nil {
					r.unknownBuilder(s, o, m.Name, known)
				}
			}
		}
	}
}

// unknownBuilder reports a name that no builder has. Packer does not look at
// those of an error-cleanup-provisioner, so there it is no error.
func (r *reader) unknownBuilder(s *Step, m jsondoc.Member, in string, known []string) {
	found := diag.In(m.NameRange, "Unknown builder in "+in, "The template has no builder named %q.%s", m.Name, diag.Suggest(m.Name, "builders", known))
	if s.Kind == addr.ErrorCleanup {
		found[0].Severity = diag.Warning
	}
	r.report(found)
}
