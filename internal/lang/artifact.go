package lang

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
)

// Artifacts are what build.BLOCK.artifact and build.BLOCK.artifacts can lead
// to: what other builds have ended with.
type Artifacts struct {
	// Blocks are the builds of each named build block, in their order.
	Blocks map[string][]addr.Build
	// Made are the artifacts of builds that have finished, as
	// ArtifactValue gives them. The artifact of another build is unknown.
	Made map[addr.Build]cty.Value
	// Used is told of every build whose artifact was referred to, with the
	// first place that did; nil when nobody wants to know.
	Used map[addr.Build]hcl.Range
}

var artifactType = cty.Object(map[string]cty.Type{
	"id": cty.String, "builder_id": cty.String, "files": cty.List(cty.String),
	"images": cty.List(imageType), "data": cty.DynamicPseudoType,
})

var imageType = cty.Object(map[string]cty.Type{
	"provider": cty.String, "region": cty.String, "id": cty.String, "parent": cty.String,
})

// ArtifactValue is an artifact as expressions see it: an object with id,
// builder_id, files (a list of paths), images (a list of objects with
// provider, region, id and parent) and data (an object). No artifact is null.
func ArtifactValue(a *component.Artifact) cty.Value {
	if a == nil {
		return cty.NullVal(artifactType)
	}
	files := make([]cty.Value, len(a.Files))
	for i, f := range a.Files {
		files[i] = cty.StringVal(f.Path)
	}
	images := make([]cty.Value, len(a.Images))
	for i, img := range a.Images {
		images[i] = cty.ObjectVal(map[string]cty.Value{
			"provider": cty.StringVal(img.Provider), "region": cty.StringVal(img.Region),
			"id": cty.StringVal(img.ID), "parent": cty.StringVal(img.Parent),
		})
	}
	return cty.ObjectVal(map[string]cty.Value{
		"id": cty.StringVal(a.ID), "builder_id": cty.StringVal(a.Producer),
		"files": listOf(files, cty.String), "images": listOf(images, imageType),
		"data": cty.ObjectVal(a.Data),
	})
}

func listOf(values []cty.Value, elem cty.Type) cty.Value {
	if len(values) == 0 {
		return cty.ListValEmpty(elem)
	}
	return cty.ListVal(values)
}

// unknownArtifact is the artifact of a build that has not run yet. Its
// attributes are there, so that a misspelled one is found.
func unknownArtifact() cty.Value {
	attrs := map[string]cty.Value{}
	for name, t := range artifactType.AttributeTypes() {
		attrs[name] = cty.UnknownVal(t)
	}
	return cty.ObjectVal(attrs)
}

// artifactKey names a build among those of its block.
func artifactKey(b addr.Build) string {
	return addr.Build{Source: b.Source, Ordinal: b.Ordinal}.String()
}

func (a *Artifacts) use(b addr.Build, at hcl.Range) cty.Value {
	if _, known := a.Used[b]; !known && a.Used != nil {
		a.Used[b] = at
	}
	if val, ok := a.Made[b]; ok {
		return val
	}
	return unknownArtifact()
}

// isArtifactRef reports whether a traversal that starts with build has the
// form of a reference to another build's artifact. No value of a build has
// attributes, so that it can mean nothing else.
func isArtifactRef(tr hcl.Traversal) bool {
	kind, ok := stepName(tr, 2)
	return ok && (kind == "artifact" || kind == "artifacts")
}

const artifactRefused = "The artifact of another build is known when that has finished. It can be used in the arguments of sources, provisioners and post-processors of a build, and nowhere else. Modules cannot use it."

// RefuseArtifacts finds the references to artifacts of other builds among those
// of something that decides what is to be run.
func RefuseArtifacts(refs []hcl.Traversal) diag.List {
	var diags diag.List
	for _, tr := range refs {
		if tr.RootName() == "build" && isArtifactRef(tr) {
			diags = append(diags, diag.In(tr.SourceRange(), "Artifact not known here", artifactRefused)...)
		}
	}
	return diags
}

// artifact makes build.BLOCK.artifact or build.BLOCK.artifacts available.
func (g *gatherer) artifact(tr hcl.Traversal) diag.List {
	a := g.view.Artifacts
	if a == nil {
		return diag.In(tr.SourceRange(), "Artifact not known here", artifactRefused)
	}
	block, _ := stepName(tr, 1)
	kind, _ := stepName(tr, 2)
	builds := a.Blocks[block]
	if len(builds) == 0 {
		return diag.In(tr.SourceRange(), "Unknown build", "No build block of the template is named %q.%s", block,
			diag.Suggest(block, "names of build blocks", keys(a.Blocks)))
	}
	if _, taken := g.roots["build"][block]; taken && g.artifacts[block] == nil {
		return g.ambiguous(tr, block)
	}
	if kind == "artifact" {
		return g.theArtifact(tr, block, builds)
	}
	return g.someArtifacts(tr, block, builds)
}

func (g *gatherer) ambiguous(tr hcl.Traversal, block string) diag.List {
	return diag.In(tr.SourceRange(), "Ambiguous name",
		"This expression uses build.%s both as a value of this build and for the artifact of the build block %q. Put one of them into an expression of its own.", block, block)
}

// theArtifact adds the artifact of a block that makes one build.
func (g *gatherer) theArtifact(tr hcl.Traversal, block string, builds []addr.Build) diag.List {
	if len(builds) > 1 {
		names := make([]string, len(builds))
		for i, b := range builds {
			names[i] = artifactKey(b)
		}
		return diag.In(tr.SourceRange(), "More than one artifact",
			"The build block %q makes %d builds. Say which one is meant, as in build.%s.artifacts[%q]. Its builds are %s.",
			block, len(builds), block, names[0], diag.Names(names))
	}
	val := g.view.Artifacts.use(builds[0], tr.SourceRange())
	g.putArtifacts(block, val, nil)
	return noArtifact(tr, builds[0], val)
}

// noArtifact refuses an attribute of the artifact of a build that made none.
func noArtifact(tr hcl.Traversal, b addr.Build, val cty.Value) diag.List {
	if !val.IsNull() {
		return nil
	}
	return diag.In(tr.SourceRange(), "No artifact", "The build %s has finished without an artifact, so that there is none to use.", b)
}

// someArtifacts adds one of the artifacts of a block when the expression says
// which, else all of them.
func (g *gatherer) someArtifacts(tr hcl.Traversal, block string, builds []addr.Build) diag.List {
	key, ok := stepName(tr, 3)
	if !ok {
		all := make(map[string]cty.Value, len(builds))
		for _, b := range builds {
			all[artifactKey(b)] = g.view.Artifacts.use(b, tr.SourceRange())
		}
		g.putArtifacts(block, cty.NilVal, all)
		return nil
	}
	var known []string
	for _, b := range builds {
		if artifactKey(b) == key {
			val := g.view.Artifacts.use(b, tr.SourceRange())
			g.putArtifacts(block, cty.NilVal, map[string]cty.Value{key: val})
			return noArtifact(tr, b, val)
		}
		known = append(known, artifactKey(b))
	}
	return diag.In(tr.SourceRange(), "Unknown build", "The build block %q makes no build %q.%s", block, key,
		diag.Suggest(key, "builds of this block", known))
}

// putArtifacts adds the artifact of a block, or some of its artifacts by key.
func (g *gatherer) putArtifacts(block string, one cty.Value, some map[string]cty.Value) {
	if g.artifacts == nil {
		g.artifacts = map[string]*blockArtifacts{}
	}
	b := g.artifacts[block]
	if b == nil {
		b = &blockArtifacts{some: map[string]cty.Value{}}
		g.artifacts[block] = b
	}
	if one != cty.NilVal {
		b.one = one
	}
	maps.Copy(b.some, some)
	attrs := map[string]cty.Value{"artifacts": cty.ObjectVal(b.some)}
	if b.one != cty.NilVal {
		attrs["artifact"] = b.one
	}
	g.put("build", block, cty.ObjectVal(attrs))
}

// blockArtifacts is what an expression uses of the artifacts of one block.
type blockArtifacts struct {
	one  cty.Value
	some map[string]cty.Value
}

// withKeys completes references to artifacts whose key is computed, such as
// build["base-${each.key}"].artifact, as far as the key is known. Others are
// left as they are: they lead to all that the key chooses from.
func (v *View) withKeys(ctx context.Context, expr hcl.Expression, refs []hcl.Traversal) []hcl.Traversal {
	node, native := expr.(hclsyntax.Expression)
	if v.Artifacts == nil || !native || !slices.ContainsFunc(refs, endsInKey) {
		return refs
	}
	k := keyed{ctx: ctx, view: v, done: map[*hclsyntax.IndexExpr]bool{}, replaced: map[hcl.Range]bool{}}
	_ = hclsyntax.VisitAll(node, k.visit) // finds nothing wrong
	refs = slices.DeleteFunc(slices.Clone(refs), func(tr hcl.Traversal) bool { return endsInKey(tr) && k.replaced[tr.SourceRange()] })
	return append(refs, k.found...)
}

// endsInKey reports whether a reference may go on with a key: build[...] and
// build.BLOCK.artifacts[...].
func endsInKey(tr hcl.Traversal) bool {
	kind, _ := stepName(tr, 2)
	return tr.RootName() == "build" && (len(tr) == 1 || len(tr) == 3 && kind == "artifacts")
}

// keyed looks for computed keys.
type keyed struct {
	ctx  context.Context
	view *View
	// done are those that were seen with what follows them.
	done     map[*hclsyntax.IndexExpr]bool
	replaced map[hcl.Range]bool
	found    []hcl.Traversal
}

func (k *keyed) visit(n hclsyntax.Node) hcl.Diagnostics {
	switch e := n.(type) {
	case *hclsyntax.RelativeTraversalExpr:
		if index, ok := e.Source.(*hclsyntax.IndexExpr); ok {
			k.index(index, e.Traversal)
		}
	case *hclsyntax.IndexExpr:
		k.index(e, nil)
	}
	return nil
}

func (k *keyed) index(e *hclsyntax.IndexExpr, rest hcl.Traversal) {
	of, ok := e.Collection.(*hclsyntax.ScopeTraversalExpr)
	if !ok || !endsInKey(of.Traversal) || k.done[e] {
		return
	}
	k.done[e] = true
	key, diags := k.view.Value(k.ctx, e.Key)
	if diags.HasErrors() || key.IsMarked() || !key.IsKnown() || key.IsNull() || key.Type() != cty.String {
		return
	}
	tr := append(slices.Clone(of.Traversal), hcl.TraverseIndex{Key: key, SrcRange: e.BracketRange})
	if tr = append(tr, rest...); isArtifactRef(tr) {
		k.found = append(k.found, tr)
		k.replaced[of.Traversal.SourceRange()] = true
	}
}

// Expand replaces the dynamic blocks of a component's body. Their collections
// may use artifacts of other builds. The scope has to be settled.
func (v *View) Expand(body hcl.Body, spec *Spec) (hcl.Body, diag.List) {
	g := gatherer{view: v, roots: map[string]map[string]cty.Value{}}
	var diags diag.List
	for _, tr := range expandVariables(dynblock.WalkExpandVariables(body), spec) {
		if tr.RootName() == "build" && isArtifactRef(tr) {
			diags = append(diags, g.artifact(tr)...)
		}
	}
	all := v.Context()
	if len(g.artifacts) > 0 {
		all = all.NewChild()
		g.put("build", "name", cty.StringVal(v.Build.Block))
		all.Variables = map[string]cty.Value{"build": cty.ObjectVal(g.roots["build"])}
	}
	return dynblock.Expand(body, all), diags
}

// expandVariables lists what the dynamic blocks of a body refer to, in the
// order of their places.
func expandVariables(n dynblock.WalkVariablesNode, spec *Spec) []hcl.Traversal {
	found, children := n.Visit(spec.body)
	for _, c := range children {
		for _, b := range spec.blocks {
			if b.Name == c.BlockTypeName {
				found = append(found, expandVariables(c.Node, b.spec)...)
			}
		}
	}
	sort.SliceStable(found, func(i, j int) bool {
		return found[i].SourceRange().Start.Byte < found[j].SourceRange().Start.Byte
	})
	return found
}

// artifactHelp is a sentence for who wrote the name of a build block where a
// value of the build was wanted.
func (v *View) artifactHelp(name string) string {
	if v.Artifacts == nil || len(v.Artifacts.Blocks[name]) == 0 {
		return ""
	}
	return fmt.Sprintf(" The artifact of the build block of that name is build.%s.artifact.", name)
}
