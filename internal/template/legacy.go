package template

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/legacy"
	"ingot/internal/legacy/jsondoc"
)

// Legacy is what is particular to a template that is written as legacy JSON.
// Its strings are texts with actions ("{{...}}") and no HCL templates; a
// variable is a text; steps mean a builder by its name alone.
type Legacy struct {
	// Document is the template's JSON, which must not be changed.
	Document *jsondoc.Node
	// Sensitive are the names in sensitive-variables, which may also be
	// those of variables that the template does not declare.
	Sensitive map[string]bool

	file *legacyFile
}

// legacyFile is what the expressions of a file have in common.
type legacyFile struct {
	src []byte
	// noDir is set for standard input, which is in no folder.
	noDir bool
}

// loadLegacy reads a legacy JSON template into the model.
func (t *Template) loadLegacy(f file, core string) diag.List {
	src, err := f.read()
	if err != nil {
		return unreadable("Cannot read the template", f.name, err)
	}
	t.Sources[f.name] = src
	root, diags := jsondoc.Parse(src, f.name)
	if root == nil {
		if other := otherKind(f.name, src); other != nil {
			return other
		}
		return diags
	}
	read, more := legacy.Read(root)
	if bad := checkMinVersion(read.MinVersion, core); bad != nil {
		return bad
	}
	t.Legacy = &Legacy{Document: root, Sensitive: map[string]bool{}, file: &legacyFile{src: src, noDir: f.name == stdinName}}
	for _, n := range read.Sensitive {
		t.Legacy.Sensitive[n.Text] = true
	}
	if dir, err := filepath.Abs(t.Resolve(t.Dir)); err == nil {
		t.Dir = dir // template_dir is absolute
	}
	t.fromLegacy(read)
	return append(diags, more...)
}

// otherKind is what is wrong with a text that cannot be read as JSON and does
// not look like it: it is something else. It is nil when that is not so.
func otherKind(name string, src []byte) diag.List {
	text := bytes.TrimSpace(bytes.TrimPrefix(src, []byte("\ufeff")))
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return nil
	}
	const summary = "Unknown kind of template"
	stem, isHCL := strings.CutSuffix(name, ".hcl")
	switch {
	case name == stdinName:
		return diag.Errorf(summary, "Standard input is taken for a legacy JSON template, but it is not JSON. If it is HCL2, say -config-type=hcl2.")
	case isHCL:
		return diag.Errorf(summary, "%s does not end with .pkr.hcl. Rename it to %s.pkr.hcl, or say -config-type=hcl2.", name, stem)
	}
	return diag.Errorf(summary, "%s is taken for a legacy JSON template because its name does not end with .pkr.hcl or .pkr.json, but it is not JSON. "+
		"If it is HCL2, rename it or say -config-type=hcl2.", name)
}

func checkMinVersion(n *jsondoc.Node, core string) diag.List {
	have, err := version.NewVersion(core)
	if n == nil || err != nil {
		return nil
	}
	want, err := version.NewVersion(n.Text)
	if err != nil {
		return diag.In(n.Range, "Invalid version", "%q is not a version such as \"1.9.0\".", n.Text)
	}
	if have.LessThan(want) {
		return diag.In(n.Range, "Unsupported version",
			"The template asks for Packer %s or newer. This program does what Packer %s does. Change min_packer_version if the template works with that.", want, have)
	}
	return nil
}

// fromLegacy makes the model: a source for each builder, and one build that
// uses them all.
func (t *Template) fromLegacy(l *legacy.Template) {
	file := t.Legacy.file
	for _, v := range l.Variables {
		out := &Variable{Name: v.Name, Sensitive: v.Sensitive, Range: v.NameRange}
		if v.Default != nil {
			out.Default = &legacyExpr{node: v.Default, file: file}
		}
		t.Variables = append(t.Variables, out)
	}
	if len(l.Builders) == 0 {
		return
	}
	b := &Build{Range: l.Builders[0].Node.Range, Content: &BuildContent{}}
	if l.Description != "" {
		n := l.Root.Get("description")
		b.Description = &hcl.Attribute{Name: "description", Expr: &legacyExpr{node: n, file: file, literal: true}, Range: n.Range, NameRange: n.Range}
	}
	for _, builder := range l.Builders {
		src, use := legacySource(builder, file)
		t.SourceBlocks = append(t.SourceBlocks, src)
		b.Content.Uses = append(b.Content.Uses, use)
	}
	for _, s := range l.Provisioners {
		b.Content.Provisioners = append(b.Content.Provisioners, legacyStep(s, file))
	}
	if l.ErrorCleanup != nil {
		b.Content.ErrorCleanup = legacyStep(l.ErrorCleanup, file)
	}
	for _, chain := range l.Chains {
		var steps []*Step
		for _, s := range chain {
			steps = append(steps, legacyStep(s, file))
		}
		b.Content.Chains = append(b.Content.Chains, steps)
	}
	t.Builds = []*Build{b}
}

func legacySource(b *legacy.Builder, file *legacyFile) (*Source, *SourceUse) {
	src := &Source{
		Addr: addr.Source{Type: b.Type, Name: b.Name}, Body: &legacyBody{node: b.Config, file: file},
		Range: b.TypeRange, TypeRange: b.TypeRange,
	}
	use := &SourceUse{Source: src, Ref: b.Name, RefRange: b.TypeRange, Range: b.TypeRange}
	if n := b.NameNode; n != nil {
		use.Name = &hcl.Attribute{Name: "name", Expr: &legacyExpr{node: n, file: file}, Range: n.Range, NameRange: n.Range}
		use.Range = n.Range
	}
	return src, use
}

func legacyStep(s *legacy.Step, file *legacyFile) *Step {
	out := &Step{
		Kind: s.Kind, Type: s.Type, TypeRange: s.TypeRange, Range: s.TypeRange,
		Meta: hcl.Attributes{}, Body: &legacyBody{node: s.Config, file: file},
	}
	for _, m := range s.Meta {
		if m.Value.Is(jsondoc.Array) && len(m.Value.Elements) == 0 {
			continue // an empty list restricts nothing
		}
		e := &legacyExpr{node: m.Value, file: file}
		switch m.Name {
		case "only", "except":
			e.literal = true // they mean names as they are written
		case "pause_before", "timeout":
			e.node = nanoseconds(m.Value)
		}
		out.Meta[m.Name] = &hcl.Attribute{Name: m.Name, Expr: e, Range: m.Value.Range, NameRange: m.NameRange}
	}
	return out
}

// nanoseconds writes a number, which counts nanoseconds, as a duration.
func nanoseconds(n *jsondoc.Node) *jsondoc.Node {
	if !n.Is(jsondoc.Number) {
		return n
	}
	f, err := strconv.ParseFloat(n.Text, 64)
	if err != nil {
		return n // its value will be refused
	}
	return &jsondoc.Node{Kind: jsondoc.String, Text: strconv.FormatFloat(f, 'f', 0, 64) + "ns", Range: n.Range}
}

// Text is a text of a legacy template that does not stand in its file, as an
// expression. At is what findings point at.
func (l *Legacy) Text(text string, at hcl.Range) hcl.Expression {
	return &legacyExpr{node: &jsondoc.Node{Kind: jsondoc.String, Text: text, Range: at}, file: l.file}
}

// readLegacyVarFile reads a JSON object of strings.
func (t *Template) readLegacyVarFile(path string) ([]Assignment, diag.List) {
	f := t.onDisk(path)
	src, err := f.read()
	if err != nil {
		return nil, unreadable("Cannot read the var file", path, err)
	}
	t.Sources[path] = src
	root, diags := jsondoc.Parse(src, path)
	if root == nil {
		if strings.HasSuffix(path, ".hcl") {
			diags[0].Detail += " The var files of a legacy JSON template are JSON objects of strings."
		}
		return nil, diags
	}
	if !root.Is(jsondoc.Object) {
		return nil, append(diags, diag.In(root.Range, "Invalid var file", "The var file of a legacy JSON template has to be an object of strings, not %s.", root.Kind)...)
	}
	var out []Assignment
	for _, m := range root.Members {
		if !m.Value.Is(jsondoc.String) {
			diags = append(diags, diag.In(m.Value.Range, "Wrong type", "The value of the variable %q has to be a string, not %s: write it in quotes.", m.Name, m.Value.Kind)...)
			continue
		}
		e := &legacyExpr{node: m.Value, file: &legacyFile{src: src, noDir: t.Legacy.file.noDir}}
		out = append(out, Assignment{Name: m.Name, NameRange: m.NameRange, Expr: e, Range: m.Value.Range})
	}
	return out, diags
}
