package template

import (
	"bytes"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"ingot/internal/addr"
	"ingot/internal/diag"
)

var buildSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "name"}, {Name: "description"}, {Name: "sources"}, {Name: "for_each"}},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "source", LabelNames: []string{"reference"}},
		{Type: "provisioner", LabelNames: []string{"type"}},
		{Type: "error-cleanup-provisioner", LabelNames: []string{"type"}},
		{Type: "post-processor", LabelNames: []string{"type"}},
		{Type: "post-processors"},
		{Type: "hcp_packer_registry"},
		{Type: "from", LabelNames: []string{"name"}},
		{Type: "matrix"},
		{Type: "retry"},
		{Type: "provisioners", LabelNames: []string{"name"}},
		{Type: "test", LabelNames: []string{"name"}},
	},
}

var (
	chainSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "post-processor", LabelNames: []string{"type"}}}}

	testSchema = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "only"}, {Name: "except"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "provisioner", LabelNames: []string{"type"}}},
	}

	matrixSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "matrix"}}}

	dynamicSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "dynamic", LabelNames: []string{"type"}}}}

	registryBlocks = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "hcp_packer_registry"}}}

	useSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "name"}}}

	provisionerMeta = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "name"}, {Name: "only"}, {Name: "except"}, {Name: "override"},
		{Name: "pause_before"}, {Name: "timeout"}, {Name: "max_retries"}, {Name: "continue_on_error"},
		{Name: "cache"}, {Name: "cache_ttl"},
	}}
	retrySchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "max_retries"}, {Name: "delay"}, {Name: "max_delay"}, {Name: "on"}}}

	groupUseSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "only"}, {Name: "except"}}}

	postProcessorMeta = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "name"}, {Name: "only"}, {Name: "except"}, {Name: "keep_input_artifact"},
	}}
)

func (d *decoder) build(b *hcl.Block) diag.List {
	out := &Build{Range: b.DefRange, body: b.Body, Nested: d.hasNested(b), registryTold: d.registryTold}
	registries, _, _ := b.Body.PartialContent(registryBlocks) // what is wrong is found when they are read
	d.registryTold = d.registryTold || len(registries.Blocks) > 0
	head, _, hclDiags := b.Body.PartialContent(&hcl.BodySchema{Attributes: buildSchema.Attributes})
	diags := diag.FromHCL(hclDiags)
	out.Name, out.Description, out.Sources = head.Attributes["name"], head.Attributes["description"], head.Attributes["sources"]
	out.ForEach = head.Attributes["for_each"]
	diags = append(diags, out.readMatrix()...)
	asWritten := func(body hcl.Body) hcl.Body { return body }
	switch {
	case !HasDynamic(b.Body):
		content, more := out.Expand(asWritten)
		diags = append(diags, more...)
		out.Content = content
	case !isNative(b.Body):
		// The blocks are read again when they are expanded, and only then
		// are warnings of use.
		if dynamic, _, _ := b.Body.PartialContent(dynamicSchema); len(dynamic.Blocks) == 0 {
			_, more := out.Expand(asWritten)
			diags = append(diags, more.Errors()...)
		}
	}
	d.t.Builds = append(d.t.Builds, out)
	return diags
}

// readMatrix reads the matrix block. It decides how often the rest of the build
// block is expanded, so that it cannot be dynamic itself.
func (b *Build) readMatrix() diag.List {
	var diags diag.List
	dynamic, _, _ := b.body.PartialContent(dynamicSchema)
	for _, block := range dynamic.Blocks {
		if block.Labels[0] == "matrix" {
			diags = append(diags, diag.In(block.DefRange, "Dynamic matrix",
				"A matrix block cannot be dynamic. Write it out; its lists can be computed.")...)
		}
	}
	content, _, _ := b.body.PartialContent(matrixSchema)
	for _, block := range content.Blocks {
		if b.Matrix != nil {
			diags = append(diags, diag.In(block.DefRange, "More than one matrix",
				"A build block has at most one matrix; the first is at %s:%d.", b.Matrix.Range.Filename, b.Matrix.Range.Start.Line)...)
			continue
		}
		m, more := newMatrix(block)
		b.Matrix = m
		diags = append(diags, more...)
	}
	return diags
}

func newMatrix(b *hcl.Block) (*Matrix, diag.List) {
	attrs, hclDiags := b.Body.JustAttributes()
	diags := diag.FromHCL(hclDiags)
	m := &Matrix{Range: b.DefRange}
	for _, a := range inOrder(attrs) {
		switch a.Name {
		case "include":
			m.Include = a
		case "exclude":
			m.Exclude = a
		default:
			m.Axes = append(m.Axes, a)
		}
	}
	if len(m.Axes) == 0 && !diags.HasErrors() {
		diags = append(diags, diag.In(b.DefRange, "Matrix without lists", "A matrix needs a list of values, as in os = [\"debian\", \"fedora\"].")...)
	}
	return m, diags
}

// Expand reads the blocks of the build after wrap has replaced its body by
// one whose dynamic blocks are expanded.
func (b *Build) Expand(wrap func(hcl.Body) hcl.Body) (*BuildContent, diag.List) {
	content, diags := Content(wrap(b.body), buildSchema, "A build block")
	out := &BuildContent{}
	registries := 0
	for _, block := range content.Blocks {
		switch block.Type {
		case "source":
			use, more := sourceUse(block)
			diags = append(diags, more...)
			out.Uses = append(out.Uses, use)
		case "provisioner":
			step, more := newStep(addr.Provisioner, block)
			diags = append(diags, more...)
			out.Provisioners = append(out.Provisioners, step)
		case "provisioners":
			step, more := groupUse(block)
			diags = append(diags, more...)
			out.Provisioners = append(out.Provisioners, step)
		case "error-cleanup-provisioner":
			step, more := newStep(addr.ErrorCleanup, block)
			diags = append(diags, more...)
			if first := out.ErrorCleanup; first != nil {
				diags = append(diags, diag.In(block.DefRange, "More than one error-cleanup-provisioner",
					"A build block has at most one error-cleanup-provisioner; the first is at %s:%d.", first.Range.Filename, first.Range.Start.Line)...)
				continue
			}
			out.ErrorCleanup = step
		case "post-processor":
			step, more := newStep(addr.PostProcessor, block)
			diags = append(diags, more...)
			out.Chains = append(out.Chains, []*Step{step})
		case "post-processors":
			chain, more := newChain(block)
			diags = append(diags, more...)
			if len(chain) > 0 {
				out.Chains = append(out.Chains, chain)
			}
		case "test":
			test, more := newTest(block, out.Tests)
			diags = append(diags, more...)
			out.Tests = append(out.Tests, test)
		case "retry":
			if first := out.Retry; first != nil {
				diags = append(diags, diag.In(block.DefRange, "More than one retry",
					"A build block has at most one retry block; the first is at %s:%d.", first.Range.Filename, first.Range.Start.Line)...)
				continue
			}
			content, more := Content(block.Body, retrySchema, "A retry block")
			diags = append(diags, more...)
			out.Retry = &Retry{Arguments: content.Attributes, Range: block.DefRange}
		case "hcp_packer_registry":
			if registries++; registries > 1 {
				diags = append(diags, diag.In(block.DefRange, "More than one hcp_packer_registry", "A build block has at most one hcp_packer_registry block.")...)
				continue
			}
			diags = append(diags, registryNotServed(block, b.registryTold)...)
		case "from":
			diags = append(diags, diag.WarnIn(block.DefRange, "The block has no effect",
				"A from block is not used by anything. List the sources of the build in its argument sources.")...)
		}
	}
	out.count()
	return out, diags
}

// count numbers the uses and steps, so that they are found again.
func (c *BuildContent) count() {
	for i, u := range c.Uses {
		u.ordinal = i
	}
	for i, s := range c.steps() {
		s.ordinal = i
	}
}

func (c *BuildContent) steps() []*Step {
	out := slices.Clone(c.Provisioners)
	if c.ErrorCleanup != nil {
		out = append(out, c.ErrorCleanup)
	}
	out = append(out, slices.Concat(c.Chains...)...)
	for _, t := range c.Tests {
		out = append(out, t.Checks...)
	}
	return out
}

// UseBody is the body of a use of the build, expanded again with a wrap that
// knows the source. The blocks of the build must come out as they did when u
// was made.
func (b *Build) UseBody(u *SourceUse, wrap func(hcl.Body) hcl.Body) hcl.Body {
	content, _ := b.Expand(wrap) // its findings are known
	if u.ordinal >= len(content.Uses) {
		return u.Body
	}
	return content.Uses[u.ordinal].Body
}

// StepBody is UseBody for a step and a wrap that knows the build.
func (b *Build) StepBody(s *Step, wrap func(hcl.Body) hcl.Body) hcl.Body {
	content, _ := b.Expand(wrap) // its findings are known
	steps := content.steps()
	if s.ordinal >= len(steps) {
		return s.Body
	}
	return steps[s.ordinal].Body
}

// hasNested reports whether there may be dynamic blocks inside the blocks of a
// build. In JSON, where blocks and arguments look alike, the word decides.
func (d *decoder) hasNested(b *hcl.Block) bool {
	body, native := b.Body.(*hclsyntax.Body)
	if !native {
		text := d.t.Sources[b.DefRange.Filename]
		return bytes.Contains(text, []byte("dynamic")) || bytes.Contains(text, []byte(`\u`))
	}
	return dynamicBelow(body)
}

// dynamicBelow looks into the blocks of a build block, of a post-processors
// block or of a test, through the dynamic blocks that make them.
func dynamicBelow(body *hclsyntax.Body) bool {
	for _, b := range body.Blocks {
		kind, inner := b.Type, []*hclsyntax.Body{b.Body}
		if kind == "dynamic" && len(b.Labels) > 0 {
			kind, inner = b.Labels[0], nil
			for _, content := range b.Body.Blocks {
				inner = append(inner, content.Body)
			}
		}
		for _, c := range inner {
			deeper := kind == "post-processors" || kind == "test"
			if deeper && dynamicBelow(c) || HasDynamic(c) && !deeper {
				return true
			}
		}
	}
	return false
}

func sourceUse(b *hcl.Block) (*SourceUse, diag.List) {
	head, rest, hclDiags := b.Body.PartialContent(useSchema)
	return &SourceUse{
		Ref: b.Labels[0], RefRange: b.LabelRanges[0],
		Name: head.Attributes["name"], Body: rest, Range: b.DefRange,
	}, diag.FromHCL(hclDiags)
}

// groupUse is a provisioners block inside a build block.
func groupUse(b *hcl.Block) (*Step, diag.List) {
	content, diags := Content(b.Body, groupUseSchema, "The use of a group of provisioners")
	step := &Step{
		Kind: addr.Provisioner, Group: true, Type: b.Labels[0], TypeRange: b.LabelRanges[0],
		Meta: content.Attributes, Body: hcl.EmptyBody(), Range: b.DefRange,
	}
	return step, append(diags, onlyAndExcept(addr.Provisioner, step.Meta)...)
}

func newChain(b *hcl.Block) ([]*Step, diag.List) {
	content, diags := Content(b.Body, chainSchema, "A post-processors block")
	var chain []*Step
	for _, block := range content.Blocks {
		step, more := newStep(addr.PostProcessor, block)
		diags = append(diags, more...)
		chain = append(chain, step)
	}
	return chain, diags
}

// newTest reads a test block; others are those before it.
func newTest(b *hcl.Block, others []*Test) (*Test, diag.List) {
	content, diags := Content(b.Body, testSchema, "A test block")
	out := &Test{Name: b.Labels[0], NameRange: b.LabelRanges[0], Meta: content.Attributes, Range: b.DefRange}
	if out.Name == "" {
		diags = append(diags, diag.In(out.NameRange, "Test without a name", "Give the test a name that says what is tested: it is in the output and in the results.")...)
	}
	for _, t := range others {
		if t.Name == out.Name {
			diags = append(diags, diag.In(out.NameRange, "More than one test of this name",
				"The tests of a build are told apart by their names; there is another %q at %s:%d.", t.Name, t.Range.Filename, t.Range.Start.Line)...)
			break
		}
	}
	if only, except := out.Meta["only"], out.Meta["except"]; only != nil && except != nil {
		diags = append(diags, diag.In(except.Range, "Both only and except",
			"A test has either only (line %d) or except, not both. Remove one of them.", only.Range.Start.Line)...)
	}
	for _, block := range content.Blocks {
		step, more := newStep(addr.Check, block)
		diags = append(diags, more...)
		out.Checks = append(out.Checks, step)
	}
	if len(out.Checks) == 0 && !diags.HasErrors() {
		diags = append(diags, diag.In(b.DefRange, "Test without checks", "A test needs at least one provisioner: it succeeds when all of them do.")...)
	}
	return out, diags
}

func newStep(kind addr.StepKind, b *hcl.Block) (*Step, diag.List) {
	schema := provisionerMeta
	if kind == addr.PostProcessor {
		schema = postProcessorMeta
	}
	head, rest, hclDiags := b.Body.PartialContent(schema)
	diags := append(diag.FromHCL(hclDiags), onlyAndExcept(kind, head.Attributes)...)
	return &Step{
		Kind: kind, Type: b.Labels[0], TypeRange: b.LabelRanges[0],
		Meta: head.Attributes, Body: rest, Range: b.DefRange,
	}, diags
}

func onlyAndExcept(kind addr.StepKind, meta hcl.Attributes) diag.List {
	only, except := meta["only"], meta["except"]
	if only == nil || except == nil {
		return nil
	}
	return diag.In(except.Range, "Both only and except",
		"A %s has either only (line %d) or except, not both. Remove one of them.", blockOf(kind), only.Range.Start.Line)
}

// blockOf is what the block of a step is called.
func blockOf(kind addr.StepKind) string {
	if kind == addr.Check {
		return addr.Provisioner.String()
	}
	return kind.String()
}
