package plan_test

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// provider is a component.Provider of doubles with a few schemas. They do
// nothing; what reached them is in their cfg field.
type provider struct{}

func (provider) Manifest() component.Manifest {
	return component.Manifest{
		Builders: []string{"fake", "null"}, Provisioners: []string{"shell"},
		PostProcessors: []string{"compress", "manifest"}, DataSources: []string{"lookup"},
	}
}

func (provider) Builder(name string) component.Builder {
	switch name {
	case "fake":
		return fakeBuilder{factNames: []string{"SourceImageName"}}
	case "null":
		return fakeBuilder{}
	}
	return nil
}

func (provider) Provisioner(name string) component.Provisioner {
	if name == "shell" {
		return fakeProvisioner{}
	}
	return nil
}

func (provider) PostProcessor(name string) component.PostProcessor {
	if name == "manifest" || name == "compress" {
		return fakePostProcessor{}
	}
	return nil
}

func (provider) DataSource(name string) component.DataSource {
	if name == "lookup" {
		return fakeData{}
	}
	return nil
}

func (provider) Close() error { return nil }

type fakeBuilder struct{ factNames []string }

func (fakeBuilder) Schema() component.Schema {
	secret := component.String("password", "")
	secret.Sensitive = true
	old := component.String("img", "")
	old.Deprecated = "Use image."
	keyFile := component.String("key_file", "")
	keyFile.Format = component.Path
	return component.Schema{
		Attributes: []component.Attribute{
			component.String("image", ""),
			component.Strings("tags", ""),
			component.StringMap("labels", ""),
			component.Number("size", ""),
			component.Bool("pull", ""),
			component.DurationAttr("timeout", "", ""),
			{Name: "mode", Type: cty.String, OneOf: []string{"fast", "slow"}, Default: cty.StringVal("fast")},
			{Name: "command", Type: cty.String, Late: true},
			{Name: "bytes", Type: cty.List(cty.Number)},
			secret, old, keyFile,
		},
		Blocks: []component.Block{
			{Name: "disk", Repeated: true, Schema: component.Schema{Attributes: []component.Attribute{
				{Name: "size", Type: cty.Number, Required: true, Description: "Size in GB."},
				component.String("label", ""),
			}}},
			{Name: "network", Schema: component.Schema{Attributes: []component.Attribute{component.String("name", "")}}},
		},
	}
}

func (b fakeBuilder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	if img := cfg.GetAttr("image"); img.IsKnown() && !img.IsNull() && img.AsString() == "refused" {
		return nil, diag.At("image", "Image refused", "The image %q is refused.", img.AsString())
	}
	if disks := cfg.GetAttr("disk"); disks.IsKnown() {
		i := 0
		for it := disks.ElementIterator(); it.Next(); i++ {
			_, d := it.Element()
			if size := d.GetAttr("size"); size.IsKnown() && !size.IsNull() && size.RawEquals(cty.NumberIntVal(0)) {
				l := diag.Errorf("Disk too small", "A disk needs a size.")
				l[0].Path = cty.GetAttrPath("disk").IndexInt(i).GetAttr("size")
				return nil, l
			}
		}
	}
	return &fakeJob{cfg: cfg, names: b.factNames}, nil
}

type fakeJob struct {
	component.Job
	cfg   cty.Value
	names []string
}

func (j *fakeJob) FactNames() []string { return j.names }

// Unbootable refuses an artifact in slow mode.
func (j *fakeJob) Unbootable() string {
	if mode := j.cfg.GetAttr("mode"); mode.IsKnown() && !mode.IsNull() && mode.AsString() == "slow" {
		return "it is too slow"
	}
	return ""
}

func (j *fakeJob) FromArtifact(*component.Artifact) (component.Job, error) { return j, nil }

type fakeProvisioner struct{}

func (fakeProvisioner) Schema() component.Schema {
	return component.Schema{Attributes: []component.Attribute{
		component.Strings("inline", ""),
		component.String("script", ""),
		component.Strings("environment_vars", ""),
		{Name: "execute_command", Type: cty.String, Late: true, Default: cty.StringVal("sh {{.Path}}")},
		{Name: "key_file", Type: cty.String, Format: component.Path},
	}, Blocks: []component.Block{
		{Name: "env", Repeated: true, Schema: component.Schema{Attributes: []component.Attribute{component.String("name", ""), component.Number("value", "")}}},
		{Name: "user", Schema: component.Schema{Attributes: []component.Attribute{component.String("name", "")}}},
	}}
}

func (fakeProvisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	if cfg.GetAttr("inline").IsNull() && cfg.GetAttr("script").IsNull() {
		return nil, diag.Errorf("Nothing to run", "Set inline or script.")
	}
	return &fakeStep{cfg: cfg}, nil
}

type fakeStep struct {
	component.Step
	cfg cty.Value
}

type fakePostProcessor struct{}

func (fakePostProcessor) Schema() component.Schema {
	return component.Schema{Attributes: []component.Attribute{
		{Name: "output", Type: cty.String, Required: true, Description: "The file to write. It is replaced."},
	}}
}

func (fakePostProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	return &fakeTransform{cfg: cfg}, nil
}

type fakeTransform struct {
	component.Transform
	cfg cty.Value
}

type fakeData struct{}

func (fakeData) Schema() component.Schema {
	return component.Schema{Attributes: []component.Attribute{
		{Name: "key", Type: cty.String, Required: true},
		component.String("fail", ""),
	}}
}

func (fakeData) Result() cty.Type { return cty.Object(map[string]cty.Type{"value": cty.String}) }

func (fakeData) Read(_ context.Context, cfg cty.Value) (cty.Value, diag.List) {
	if f := cfg.GetAttr("fail"); !f.IsNull() {
		return cty.UnknownVal(fakeData{}.Result()), diag.At("fail", "Cannot look up", "%s.", f.AsString())
	}
	return cty.ObjectVal(map[string]cty.Value{"value": cty.StringVal("value of " + cfg.GetAttr("key").AsString())}), nil
}
