package template

import (
	"slices"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// TestLanguageIsComplete: what is decoded is described, with its labels, and
// the other way round.
func TestLanguageIsComplete(t *testing.T) {
	root := Block{Blocks: Language()}
	b := describedBlock(t, root, "build")
	described := []struct {
		block  Block
		schema *hcl.BodySchema
	}{
		{root, rootSchema},
		{describedBlock(t, root, "packer"), packerSchema},
		{describedBlock(t, root, "variable"), variableSchema},
		{describedBlock(t, describedBlock(t, root, "variable"), "validation"), validationSchema},
		{describedBlock(t, root, "local"), localSchema},
		{describedBlock(t, root, "source"), forEachSchema},
		{describedBlock(t, root, "data"), forEachSchema},
		{describedBlock(t, root, "provisioners"), groupSchema},
		{describedBlock(t, describedBlock(t, root, "provisioners"), "provisioner"), provisionerMeta},
		{describedBlock(t, root, "output"), outputSchema},
		{b, buildSchema},
		{describedBlock(t, b, "provisioners"), groupUseSchema},
		{describedBlock(t, b, "source"), useSchema},
		{describedBlock(t, b, "provisioner"), provisionerMeta},
		{describedBlock(t, b, "error-cleanup-provisioner"), provisionerMeta},
		{describedBlock(t, b, "post-processor"), postProcessorMeta},
		{describedBlock(t, b, "post-processors"), chainSchema},
		{describedBlock(t, describedBlock(t, b, "post-processors"), "post-processor"), postProcessorMeta},
	}
	for _, d := range described {
		var have, want []string
		for _, a := range d.block.Arguments {
			have = append(have, a.Name)
			if a.Description == "" || a.Type == "" {
				t.Errorf("argument %s of %q has no description or no type", a.Name, d.block.Type)
			}
		}
		for _, a := range d.schema.Attributes {
			want = append(want, a.Name)
		}
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("block %q: Language() has the arguments %q, decoded are %q", d.block.Type, have, want)
		}
		have, want = nil, nil
		for _, b := range d.block.Blocks {
			if b.Type != "dynamic" { // expanded before decoding
				have = append(have, b.Type)
			}
			for _, s := range d.schema.Blocks {
				if s.Type == b.Type && len(s.LabelNames) != len(b.Labels) {
					t.Errorf("block %q in %q has %d labels, described are %q", b.Type, d.block.Type, len(s.LabelNames), b.Labels)
				}
			}
			if b.Description == "" {
				t.Errorf("block %q in %q has no description", b.Type, d.block.Type)
			}
		}
		for _, b := range d.schema.Blocks {
			want = append(want, b.Type)
		}
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("block %q: Language() has the blocks %q, decoded are %q", d.block.Type, have, want)
		}
	}
}

func describedBlock(t *testing.T, in Block, typ string) Block {
	t.Helper()
	for _, b := range in.Blocks {
		if b.Type == typ {
			return b
		}
	}
	t.Fatalf("no block %q is described in %q", typ, in.Type)
	return Block{}
}
