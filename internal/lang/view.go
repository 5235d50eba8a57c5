package lang

import (
	"context"
	"fmt"
	"maps"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
)

// View is what one evaluation can see: the scope, and inside a build also
// build.*, source.* and what template actions print.
type View struct {
	scope *Scope
	// Source is what source.* shows; zero outside a build.
	Source addr.Source
	// Build is what build.* shows; nil outside a build.
	Build *BuildData
	// Template is what "{{...}}" actions see.
	Template gotmpl.Vars
	// Artifacts are those of other builds, which build.BLOCK.artifact leads
	// to; nil where none can be used.
	Artifacts *Artifacts
	// Roots are further names: each in a block with for_each, matrix in one
	// with a matrix.
	Roots map[string]cty.Value
	// UsedFacts is set when an evaluation needed a value of the machine,
	// known or not.
	UsedFacts bool
}

// BuildData is what is known of a build.
type BuildData struct {
	// Block is the name of the build block: build.name.
	Block string
	// Names are the values that the machine will have. With AnyName it is
	// not known which, and every name is taken for one.
	Names   map[string]bool
	AnyName bool
	// Facts are the values it has; nil before there is a machine.
	Facts map[string]cty.Value
	// FactsRefused, when set, says why build.* cannot be used here at all,
	// except for build.name.
	FactsRefused string
}

// View returns a view of the scope alone.
func (s *Scope) View() *View { return &View{scope: s} }

// Value evaluates an expression. Sensitive parts of the value carry a mark.
// With errors in the list it is unknown.
func (v *View) Value(ctx context.Context, expr hcl.Expression) (cty.Value, diag.List) {
	refs := v.withKeys(ctx, expr, expr.Variables())
	if len(refs) == 0 {
		val, hclDiags := expr.Value(v.scope.functions)
		return valueOf(val, findings(hclDiags))
	}
	g := gatherer{view: v, roots: map[string]map[string]cty.Value{}, whole: map[string]cty.Value{}}
	var missing diag.List
	for _, tr := range refs {
		missing = append(missing, g.add(tr)...)
	}
	val, hclDiags := expr.Value(g.context())
	if len(missing) == 0 || !hclDiags.HasErrors() {
		// A reference to nothing is no mistake inside try() and can().
		return valueOf(val, findings(hclDiags))
	}
	return cty.DynamicVal, missing
}

func valueOf(val cty.Value, diags diag.List) (cty.Value, diag.List) {
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	return val, diags
}

// Context returns an evaluation context with everything in it, for the few
// places that cannot say beforehand what they need: dynamic blocks. The scope
// has to be settled.
func (v *View) Context() *hcl.EvalContext {
	s := v.scope
	s.full.Do(func() {
		data := make(map[string]cty.Value, len(s.data))
		for typ, names := range s.data {
			data[typ] = all(names)
		}
		s.fullVars = map[string]cty.Value{
			"var":   all(s.variables),
			"local": all(s.locals),
			"data":  cty.ObjectVal(data),
			"path":  s.path, "packer": s.packer,
			"module": all(s.modules),
		}
	})
	all := s.functions.NewChild()
	all.Variables = s.fullVars
	if len(v.Roots) > 0 {
		all = all.NewChild()
		all.Variables = v.Roots
	}
	if v.Build == nil {
		return all
	}
	own := all.NewChild()
	own.Variables = map[string]cty.Value{"build": v.buildObject()}
	if !v.Source.IsZero() {
		own.Variables["source"] = v.sourceObject()
	}
	return own
}

// buildObject is the whole of build.*.
func (v *View) buildObject() cty.Value {
	b := v.Build
	values := map[string]cty.Value{"name": cty.StringVal(b.Block)}
	if b.FactsRefused != "" {
		return cty.ObjectVal(values)
	}
	if b.AnyName {
		return cty.DynamicVal
	}
	for name := range b.Names {
		values[name] = b.fact(name)
	}
	maps.Copy(values, b.Facts)
	return cty.ObjectVal(values)
}

// all is an object of every promise in m.
func all(m map[string]*promise) cty.Value {
	out := make(map[string]cty.Value, len(m))
	for name, p := range m {
		out[name] = p.get()
	}
	return cty.ObjectVal(out)
}

func (v *View) sourceObject() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"type": cty.StringVal(v.Source.Type), "name": cty.StringVal(v.Source.Name)})
}

// gatherer collects the values that an expression refers to.
type gatherer struct {
	view *View
	// roots holds attributes by root name, data under "data.TYPE".
	roots map[string]map[string]cty.Value
	whole map[string]cty.Value
	// artifacts are those used of other builds, by the name of their block.
	artifacts map[string]*blockArtifacts
}

func (g *gatherer) put(root, name string, val cty.Value) {
	if g.roots[root] == nil {
		g.roots[root] = map[string]cty.Value{}
	}
	g.roots[root][name] = val
}

// context makes the evaluation context of what was collected.
func (g *gatherer) context() *hcl.EvalContext {
	ctx := g.view.scope.functions.NewChild()
	ctx.Variables = make(map[string]cty.Value, len(g.roots)+len(g.whole))
	data := map[string]cty.Value{}
	for root, names := range g.roots {
		if typ, ok := cutData(root); ok {
			data[typ] = cty.ObjectVal(names)
			continue
		}
		ctx.Variables[root] = cty.ObjectVal(names)
	}
	for root, val := range g.whole {
		if typ, ok := cutData(root); ok {
			data[typ] = val
			continue
		}
		ctx.Variables[root] = val
	}
	if len(data) > 0 {
		ctx.Variables["data"] = cty.ObjectVal(data)
	}
	return ctx
}

const dataRoot = "data."

func cutData(root string) (string, bool) {
	if len(root) > len(dataRoot) && root[:len(dataRoot)] == dataRoot {
		return root[len(dataRoot):], true
	}
	return "", false
}

// add makes what a traversal refers to available, or says why that cannot be.
func (g *gatherer) add(tr hcl.Traversal) diag.List {
	s := g.view.scope
	switch root := tr.RootName(); root {
	case "var":
		return g.named(tr, "variable", root, s.variables)
	case "local":
		return g.named(tr, "local", root, s.locals)
	case "data":
		return g.dataSource(tr)
	case "module":
		return g.named(tr, "module", root, s.modules)
	case "path":
		return g.fixed(tr, root, s.path)
	case "packer":
		return g.fixed(tr, root, s.packer)
	case "source":
		if g.view.Source.IsZero() {
			return diag.In(tr.SourceRange(), "Source values are not known here", "source.name and source.type can be used only inside the provisioners and post-processors of a build block.")
		}
		return g.fixed(tr, root, g.view.sourceObject())
	case "build":
		return g.build(tr)
	default:
		if obj, ok := g.view.Roots[root]; ok {
			return g.fixed(tr, root, obj)
		}
		return g.unknownRoot(tr)
	}
}

// named adds one variable or local, or all of them when the expression asks
// for the collection itself.
func (g *gatherer) named(tr hcl.Traversal, what, root string, m map[string]*promise) diag.List {
	name, ok := stepName(tr, 1)
	if !ok {
		g.whole[root] = all(m)
		return nil
	}
	p := m[name]
	if p == nil {
		if g.roots[root] == nil {
			g.roots[root] = map[string]cty.Value{}
		}
		return diag.In(tr.SourceRange(), "Undeclared "+what, "There is no %s %q.%s%s", what, name,
			diag.Suggest(name, what+"s", keys(m)), g.otherKind(root, name))
	}
	g.put(root, name, p.get())
	return nil
}

// otherKind helps who mixed up var and local.
func (g *gatherer) otherKind(root, name string) string {
	if root == "var" && g.view.scope.locals[name] != nil {
		return fmt.Sprintf(" There is a local of that name: write local.%s.", name)
	}
	if root == "local" && g.view.scope.variables[name] != nil {
		return fmt.Sprintf(" There is a variable of that name: write var.%s.", name)
	}
	return ""
}

func (g *gatherer) dataSource(tr hcl.Traversal) diag.List {
	s := g.view.scope
	typ, ok := stepName(tr, 1)
	if !ok {
		for typ, names := range s.data {
			g.whole[dataRoot+typ] = all(names)
		}
		return nil
	}
	names := s.data[typ]
	if names == nil {
		return diag.In(tr.SourceRange(), "Undeclared data source", "The template declares no data source of the type %q.%s", typ,
			diag.Suggest(typ, "data source types", keys(s.data)))
	}
	name, ok := stepName(tr, 2)
	if !ok {
		g.whole[dataRoot+typ] = all(names)
		return nil
	}
	p := names[name]
	if p == nil {
		return diag.In(tr.SourceRange(), "Undeclared data source", "There is no data source data.%s.%s.%s", typ, name,
			diag.Suggest(name, fmt.Sprintf("data sources of the type %q", typ), keys(names)))
	}
	g.put(dataRoot+typ, name, p.get())
	return nil
}

// fixed adds an object whose attributes are always the same.
func (g *gatherer) fixed(tr hcl.Traversal, root string, obj cty.Value) diag.List {
	g.whole[root] = obj
	name, ok := stepName(tr, 1)
	if !ok || obj.Type().HasAttribute(name) {
		return nil
	}
	if root == "packer" && (name == "versionFingerprint" || name == "iterationID") {
		return diag.In(tr.SourceRange(), "HCP Packer is not served", "packer.%s is the identity of a version in an HCP Packer registry, to which nothing is published.", name)
	}
	return diag.In(tr.SourceRange(), "Unknown attribute", "%s has no attribute %q.%s", root, name,
		diag.Suggest(name, "attributes", keys(obj.Type().AttributeTypes())))
}

// build adds one value of the build, or all of them.
func (g *gatherer) build(tr hcl.Traversal) diag.List {
	b := g.view.Build
	if isArtifactRef(tr) {
		return g.artifact(tr)
	}
	if b == nil {
		return diag.In(tr.SourceRange(), "Build values are not known here", "build.* can be used only inside build blocks.")
	}
	name, ok := stepName(tr, 1)
	switch {
	case g.artifacts[name] != nil:
		return g.ambiguous(tr, name)
	case ok && name == "name":
		g.put("build", name, cty.StringVal(b.Block))
		return nil
	case b.FactsRefused != "":
		return diag.In(tr.SourceRange(), "Build values are not known here", "%s", b.FactsRefused)
	case !ok:
		g.put("build", "name", cty.StringVal(b.Block))
		for n := range b.Names {
			g.put("build", n, b.fact(n))
		}
		for n, val := range b.Facts {
			g.put("build", n, val)
		}
		g.view.UsedFacts = true
		return nil
	}
	g.view.UsedFacts = true
	val, known := b.Facts[name]
	switch {
	case known:
		g.put("build", name, val)
	case b.Facts == nil && (b.Names[name] || b.AnyName):
		g.put("build", name, cty.UnknownVal(cty.String))
	case b.Facts == nil:
		help := g.view.artifactHelp(name)
		if help == "" {
			help = diag.Suggest(name, "values of this build", append(keys(b.Names), "name"))
		}
		return diag.In(tr.SourceRange(), "Unsupported build value", "There is no build.%s.%s", name, help)
	default:
		if text, ok := gotmpl.NotSupplied(name); ok && b.Names[name] {
			g.put("build", name, cty.StringVal(text))
			return nil
		}
		return diag.In(tr.SourceRange(), "Missing build value", "This build does not supply build.%s.%s", name,
			diag.Suggest(name, "values of this build", append(keys(b.Facts), "name")))
	}
	return nil
}

// fact is the value of a name when the whole of build was asked for.
func (b *BuildData) fact(name string) cty.Value {
	if b.Facts == nil {
		return cty.UnknownVal(cty.String)
	}
	if v, ok := b.Facts[name]; ok {
		return v
	}
	return cty.NullVal(cty.String)
}

func (g *gatherer) unknownRoot(tr hcl.Traversal) diag.List {
	s, name := g.view.scope, tr.RootName()
	help := ""
	switch {
	case s.variables[name] != nil:
		help = fmt.Sprintf(" Did you mean var.%s?", name)
	case s.locals[name] != nil:
		help = fmt.Sprintf(" Did you mean local.%s?", name)
	case name == "each":
		help = " each.key and each.value can be used in a block that has the argument for_each."
	case name == "matrix":
		help = " matrix.NAME can be used in a build block that has a matrix block."
	case len(tr) == 1:
		help = fmt.Sprintf(" If it is a text, write it in quotes: %q.", name)
	default:
		roots := []string{"var", "local", "data", "path", "packer"}
		if g.view.Build != nil {
			roots = append(roots, "build", "source")
		}
		roots = append(roots, keys(g.view.Roots)...)
		help = diag.Suggest(name, "names", roots)
	}
	return diag.In(tr.SourceRange(), "Unknown name", "There is nothing called %q that an expression can refer to.%s", name, help)
}

// stepName is the attribute name at position i of a traversal, also when it
// is written as an index.
func stepName(tr hcl.Traversal, i int) (string, bool) {
	if len(tr) <= i {
		return "", false
	}
	switch step := tr[i].(type) {
	case hcl.TraverseAttr:
		return step.Name, true
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String && step.Key.IsKnown() && !step.Key.IsNull() {
			return step.Key.AsString(), true
		}
	}
	return "", false
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// findings is diag.FromHCL for an expression outside of a variable's default.
func findings(in hcl.Diagnostics) diag.List {
	out := diag.FromHCL(in)
	for i, d := range in {
		call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallUnknownDiagExtra](d)
		if ok && call.CalledFunctionName() == "env" && call.CalledFunctionNamespace() == "" {
			out[i].Summary = "Function env outside of a default"
			out[i].Detail = "env() can be called only in the default of a variable. Declare one with it, and use that variable here:\n" +
				"  variable \"NAME\" { default = env(\"NAME\") }"
		}
	}
	return out
}
