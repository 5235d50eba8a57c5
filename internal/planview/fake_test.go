package planview_test

import (
	"context"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/planview"
	"ingot/internal/template"
	"ingot/internal/ui"
)

// provider has one component of each kind, all with the same schema.
type provider struct{}

func (provider) Manifest() component.Manifest {
	return component.Manifest{Builders: []string{"fake"}, Provisioners: []string{"fake"}, PostProcessors: []string{"fake"}, DataSources: []string{"fake"}}
}

func (provider) Builder(string) component.Builder             { return fakeBuilder{} }
func (provider) Provisioner(string) component.Provisioner     { return fakeProvisioner{} }
func (provider) PostProcessor(string) component.PostProcessor { return fakePostProcessor{} }
func (provider) DataSource(string) component.DataSource       { return fakeData{} }
func (provider) Close() error                                 { return nil }

func schema() component.Schema {
	password := component.String("password", "")
	password.Sensitive = true
	size := component.Number("size", "")
	size.Default = cty.NumberIntVal(8)
	return component.Schema{
		Attributes: []component.Attribute{
			component.String("text", ""),
			size,
			component.Bool("flag", ""),
			component.Strings("list", ""),
			component.StringMap("map", ""),
			{Name: "set", Type: cty.Set(cty.String)},
			{Name: "object", Type: cty.Object(map[string]cty.Type{"a": cty.String, "b": cty.Number})},
			component.String("communicator", ""),
			component.String("makes", ""),
			password,
		},
		Blocks: []component.Block{
			{Name: "disk", Repeated: true, Schema: component.Schema{
				Attributes: []component.Attribute{component.Number("size", ""), component.String("key", "")},
				Blocks:     []component.Block{{Name: "label", Schema: component.Schema{Attributes: []component.Attribute{component.String("text", "")}}}},
			}},
			{Name: "net", Schema: component.Schema{Attributes: []component.Attribute{component.String("name", "")}}},
		},
	}
}

// made is what all these components say that they make.
type made struct{ cfg cty.Value }

func (m made) Creates() []component.Creation {
	out := []component.Creation{{Kind: "disk", Temporary: true}}
	if v := m.cfg.GetAttr("makes"); v.IsKnown() && !v.IsNull() {
		out = append(out, component.Creation{Kind: "image", Name: v.AsString()})
	}
	return out
}

type fakeBuilder struct{}

func (fakeBuilder) Schema() component.Schema { return schema() }
func (fakeBuilder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	return job{made: made{cfg}}, nil
}

type job struct {
	component.Job
	made
}

func (job) ConnectsBy() string { return "wire" }

type fakeProvisioner struct{}

func (fakeProvisioner) Schema() component.Schema { return schema() }
func (fakeProvisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	return struct {
		component.Step
		made
	}{nil, made{cfg}}, nil
}

type fakePostProcessor struct{}

func (fakePostProcessor) Schema() component.Schema { return schema() }
func (fakePostProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	return struct {
		component.Transform
		made
	}{nil, made{cfg}}, nil
}

type fakeData struct{}

func (fakeData) Schema() component.Schema { return component.Schema{} }
func (fakeData) Result() cty.Type {
	return cty.Object(map[string]cty.Type{"value": cty.String, "list": cty.List(cty.String)})
}

func (fakeData) Read(context.Context, cty.Value) (cty.Value, diag.List) {
	return cty.ObjectVal(map[string]cty.Value{"value": cty.StringVal("read"), "list": cty.ListVal([]cty.Value{cty.StringVal("one")})}), nil
}

// show plans a template and makes its view.
func show(t testing.TB, src string, o planview.Options) *planview.View {
	t.Helper()
	return showWith(t, src, o, func(*plan.Inputs) {})
}

func showWith(t testing.TB, src string, o planview.Options, change func(*plan.Inputs)) *planview.View {
	t.Helper()
	p, secrets := planned(t, src, change)
	o.Redact = secrets.Redact
	return planview.New(p, o)
}

// planned plans a template, which must have no mistake.
func planned(t testing.TB, src string, change func(*plan.Inputs)) (*plan.Plan, *ui.Redactor) {
	t.Helper()
	tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(src), CoreVersion: "1.16.0"})
	secrets := ui.NewRedactor()
	in := plan.Inputs{Provider: provider{}, CoreVersion: "1.16.0", Secrets: secrets.Add}
	change(&in)
	p, more := plan.Make(t.Context(), tmpl, in)
	if err := append(diags, more...).Err(); err != nil {
		t.Fatal(err)
	}
	return p, secrets
}
