package legacy

import (
	"strings"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/legacy/jsondoc"
)

// Read checks the shape of a document and gives its typed view, which holds
// what could be understood, also when the list has errors. It is never nil.
// What the values mean is not looked at.
func Read(root *jsondoc.Node) (*Template, diag.List) {
	r := reader{t: &Template{Root: root}, builders: map[string]*Builder{}}
	if !root.Is(jsondoc.Object) {
		at := hcl.Range{}
		if root != nil {
			at = root.Range
		}
		return r.t, diag.In(at, "Invalid template", "A legacy JSON template is an object with the key \"builders\".")
	}
	for _, m := range root.Members {
		r.section(m)
	}
	if !root.Has("builders") || root.Get("builders").Is(jsondoc.Array) && len(root.Get("builders").Elements) == 0 {
		r.report(diag.In(head(root.Range), "No builders", "A legacy JSON template needs at least one builder, as in \"builders\": [{\"type\": \"null\"}]."))
	}
	r.sensitive()
	r.checkNames()
	return r.t, r.diags
}

// reader fills a Template.
type reader struct {
	t *Template
	// builders are those of t by their name.
	builders map[string]*Builder
	diags    diag.List
}

func (r *reader) report(l diag.List) { r.diags = append(r.diags, l...) }

// head is the first character of a range, for what concerns the whole of it.
func head(at hcl.Range) hcl.Range {
	at.End = at.Start
	at.End.Column++
	at.End.Byte++
	return at
}

// wrong reports a value of the wrong kind.
func (r *reader) wrong(n *jsondoc.Node, what, want string) {
	r.report(diag.In(place(n), "Wrong type", "%s has to be %s, not %s.", what, want, n.Kind))
}

// place is where a value stands; of an array or object only its start, since
// the whole may be long.
func place(n *jsondoc.Node) hcl.Range {
	if n.Kind == jsondoc.Array || n.Kind == jsondoc.Object {
		return head(n.Range)
	}
	return n.Range
}

func rootKeys() []string {
	return []string{
		"min_packer_version", "description", "variables", "sensitive-variables", "builders", "provisioners",
		"error-cleanup-provisioner", "post-processors", "comments", "push",
	}
}

func (r *reader) section(m jsondoc.Member) {
	switch m.Name {
	case "min_packer_version":
		if r.is(m.Value, jsondoc.String, "min_packer_version") {
			r.t.MinVersion = m.Value
		}
	case "description":
		if r.is(m.Value, jsondoc.String, "description") {
			r.t.Description = m.Value.Text
		}
	case "variables":
		r.variables(m.Value)
	case "sensitive-variables":
		for _, n := range r.list(m.Value, m.Name) {
			if r.is(n, jsondoc.String, "The name of a sensitive variable") {
				r.t.Sensitive = append(r.t.Sensitive, n)
			}
		}
	case "builders":
		for _, n := range r.list(m.Value, m.Name) {
			r.builder(n)
		}
	case "provisioners":
		for _, n := range r.list(m.Value, m.Name) {
			if s := r.step(addr.Provisioner, n); s != nil {
				r.t.Provisioners = append(r.t.Provisioners, s)
			}
		}
	case "error-cleanup-provisioner":
		r.t.ErrorCleanup = r.step(addr.ErrorCleanup, m.Value)
	case "post-processors":
		for _, n := range r.list(m.Value, m.Name) {
			r.chain(n)
		}
	case "comments":
		r.comments(m.Value)
	case "push":
		r.report(diag.WarnIn(m.NameRange, "push has no effect", "The service that \"push\" was for does not exist any more. Remove the key."))
	default:
		r.otherKey(m)
	}
}

func (r *reader) otherKey(m jsondoc.Member) {
	if strings.HasPrefix(m.Name, "_") {
		if r.is(m.Value, jsondoc.String, "A comment (a key that starts with an underscore)") {
			r.t.Comments = append(r.t.Comments, Comment{m.Name, m.Value.Text, m.Value.Range})
		}
		return
	}
	help := diag.Suggest(m.Name, "keys", rootKeys())
	if hclBlock(m.Name) {
		help = " It is the name of a block in HCL2. A template in the JSON form of HCL2 has a name that ends with .pkr.json."
	}
	r.report(diag.In(m.NameRange, "Unknown key", "A legacy JSON template has no key %q.%s", m.Name, help))
}

// hclBlock reports whether a root key is one of HCL2, so that the file only
// has the wrong name.
func hclBlock(name string) bool {
	switch name {
	case "packer", "variable", "local", "locals", "data", "source", "build", "hcp_packer_registry":
		return true
	}
	return false
}

// is reports whether n is of the kind, and complains when it is not.
func (r *reader) is(n *jsondoc.Node, k jsondoc.Kind, what string) bool {
	if n.Is(k) {
		return true
	}
	r.wrong(n, what, k.String())
	return false
}

// list is the elements of a section that is an array.
func (r *reader) list(n *jsondoc.Node, section string) []*jsondoc.Node {
	if !r.is(n, jsondoc.Array, section) {
		return nil
	}
	return n.Elements
}

func (r *reader) comments(n *jsondoc.Node) {
	for _, e := range r.list(n, "comments") {
		if !e.Is(jsondoc.Object) || len(e.Members) != 1 || !e.Members[0].Value.Is(jsondoc.String) {
			r.wrong(e, "An element of comments", "an object with one string")
			continue
		}
		r.t.Comments = append(r.t.Comments, Comment{e.Members[0].Name, e.Members[0].Value.Text, e.Range})
	}
}

func (r *reader) variables(n *jsondoc.Node) {
	if !r.is(n, jsondoc.Object, "variables") {
		return
	}
	for _, m := range n.Members {
		v := &Variable{Name: m.Name, NameRange: m.NameRange}
		switch m.Value.Kind {
		case jsondoc.Null:
		case jsondoc.String:
			v.Default = m.Value
		default:
			r.report(diag.In(place(m.Value), "Wrong type",
				"The default of the variable %q has to be a string, or null when the variable has to be set. It is %s: write it in quotes.", m.Name, m.Value.Kind))
			v.Default = jsondoc.NewString("") // so that nobody is asked to set it
		}
		r.t.Variables = append(r.t.Variables, v)
	}
}

// sensitive marks the variables that sensitive-variables names.
func (r *reader) sensitive() {
	variables := make(map[string]*Variable, len(r.t.Variables))
	names := make([]string, 0, len(r.t.Variables))
	for _, v := range r.t.Variables {
		variables[v.Name] = v
		names = append(names, v.Name)
	}
	for _, n := range r.t.Sensitive {
		if v := variables[n.Text]; v != nil {
			v.Sensitive = true
			continue
		}
		r.report(diag.WarnIn(n.Range, "Undeclared variable", "The template declares no variable %q.%s", n.Text, diag.Suggest(n.Text, "variables", names)))
	}
}

func (r *reader) builder(n *jsondoc.Node) {
	if !r.is(n, jsondoc.Object, "A builder") {
		return
	}
	b := &Builder{Node: n, Config: &jsondoc.Node{Kind: jsondoc.Object, Range: n.Range}}
	var ok bool
	if b.Type, b.TypeRange, ok = r.componentType(n, "builder"); !ok {
		return
	}
	b.Name = b.Type
	for _, m := range n.Members {
		switch {
		case m.Name == "type":
		case m.Name != "name":
			b.Config.Members = append(b.Config.Members, m)
		case r.is(m.Value, jsondoc.String, "The name of a builder") && m.Value.Text != "":
			b.NameNode, b.Name = m.Value, m.Value.Text
		}
	}
	if first := r.builders[b.Name]; first != nil {
		at := b.TypeRange
		if b.NameNode != nil {
			at = b.NameNode.Range
		}
		r.report(diag.In(at, "Declared twice", "There is already a builder named %q, on line %d. Give this one a \"name\" of its own.",
			b.Name, first.Node.Range.Start.Line))
		return
	}
	r.builders[b.Name] = b
	r.t.Builders = append(r.t.Builders, b)
}

// componentType reads the type of a builder or step.
func (r *reader) componentType(n *jsondoc.Node, what string) (string, hcl.Range, bool) {
	typ := n.Get("type")
	switch {
	case typ == nil:
		r.report(diag.In(head(n.Range), "Missing type", "A %s needs the key \"type\".", what))
	case !r.is(typ, jsondoc.String, "The type of a "+what):
	case typ.Text == "":
		r.report(diag.In(typ.Range, "Missing type", "The type of a %s cannot be empty.", what))
	default:
		return typ.Text, typ.Range, true
	}
	return "", hcl.Range{}, false
}
