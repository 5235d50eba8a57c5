//go:build unix

package serve_test

import (
	"context"
	"os"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/comm/local"
	"ingot/internal/component"
	"ingot/internal/diag"
)

// machineBuilder makes a machine that is this one, and an artifact of one file.
type machineBuilder struct{}

func (machineBuilder) Schema() component.Schema {
	a := component.String("file", "The file.")
	a.Required = true
	return component.Schema{Attributes: []component.Attribute{a}}
}

func (machineBuilder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	j := &machineJob{}
	if v := cfg.GetAttr("file"); v.IsKnown() {
		j.file = v.AsString()
	}
	return j, diag.Warnf("A warning", "It is for tests.")
}

type machineJob struct {
	file  string
	lease component.Lease
}

func (*machineJob) FactNames() []string                          { return []string{"ID", "Colour"} }
func (*machineJob) Prepare(context.Context, component.Run) error { return nil }

func (j *machineJob) Boot(ctx context.Context, r component.Run) (component.Machine, error) {
	var err error
	j.lease, err = r.Journal.Acquire(ctx, component.Resource{Kind: component.FileKind}, func(context.Context, component.Resource) (string, error) {
		return j.file, os.WriteFile(j.file, nil, 0o600)
	})
	r.Sensitive("hidden-word")
	r.Say("the machine is there, hidden-word")
	return localMachine{r}, err
}

func (j *machineJob) Capture(ctx context.Context, r component.Run, _ component.Machine) (*component.Artifact, error) {
	if err := j.lease.Keep(ctx); err != nil {
		return nil, err
	}
	return &component.Artifact{
		Producer: "test.machine", Summary: "a file", Files: []component.File{{Path: j.file}},
		Resources: []component.Resource{j.lease.Resource()},
	}, nil
}

type localMachine struct{ run component.Run }

func (localMachine) Facts() map[string]cty.Value {
	return map[string]cty.Value{"ID": cty.StringVal("machine-1"), "Colour": cty.StringVal("red"), "List": cty.ListValEmpty(cty.String)}
}

func (localMachine) Endpoint(context.Context) (component.Endpoint, error) {
	return component.Endpoint{}, nil
}

func (m localMachine) Dial(context.Context, component.Run) (component.Communicator, error) {
	return local.New(m.run.Journal), nil
}

// odd is a provisioner that the protocol cannot carry.
type odd struct{}

func (odd) Schema() component.Schema {
	return component.Schema{Attributes: []component.Attribute{{Name: "any", Type: cty.DynamicPseudoType, Description: "Anything."}}}
}

func (odd) Plan(context.Context, cty.Value) (component.Step, diag.List) { return nil, nil }

// same is a post-processor that returns what it was given.
type same struct{}

func (same) Schema() component.Schema { return component.Schema{} }

func (same) Plan(context.Context, cty.Value) (component.Transform, diag.List) { return same{}, nil }

func (same) Process(_ context.Context, _ component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	return in, component.Requires, nil
}
