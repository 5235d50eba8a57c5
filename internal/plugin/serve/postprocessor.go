package serve

import (
	"context"
	"errors"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/ui"
)

// postProcessor serves one of our post-processors.
type postProcessor struct{ *served[component.Transform] }

// Configure implements packerwire.PostProcessorServer.
func (p *postProcessor) Configure(ctx context.Context, configs []any) error {
	_, _, err := p.configure(ctx, configs)
	return err
}

// PostProcess implements packerwire.PostProcessorServer. The stream of the incoming
// artifact stays open, since the outgoing one may be the same.
func (p *postProcessor) PostProcess(ctx context.Context, stream uint32) (packerwire.Processed, error) {
	s, err := p.configured()
	if err != nil {
		return packerwire.Processed{}, err
	}
	ctx, cancel := p.guarded(ctx)
	defer cancel()
	host, err := p.dial(ctx, stream)
	if err != nil {
		return packerwire.Processed{}, err
	}
	lasting := false
	defer func() {
		if !lasting {
			host.Close()
		}
	}()
	remote := packerwire.Artifact{Caller: host.Caller}
	in, err := receiveArtifact(ctx, remote)
	if err != nil {
		return packerwire.Processed{}, err
	}
	secrets := ui.NewRedactor()
	work := &transformed{in: in}
	b := &plan.Build{
		Addr: s.address(p.name), Job: noMachine{machine: unreachable{}, artifact: in}, Template: p.vars(s, moment{final: true, facts: in.Data}),
		Chains: []plan.Chain{{{
			Addr: addr.Step{Kind: addr.PostProcessor, Type: p.name},
			Bind: func(ctx context.Context, facts map[string]cty.Value) (component.Transform, diag.List) {
				t, diags := p.plan(ctx, s, moment{final: true, facts: facts}, secrets.Add)
				work.note(findings(diags))
				work.Transform = t
				return work, diags
			},
		}}},
	}
	res, err := p.execute(ctx, host.UI, s, b, secrets)
	if err := errors.Join(err, work.of(res.Err)); err != nil {
		return packerwire.Processed{}, err
	}
	if work.out == nil {
		return packerwire.Processed{}, nil
	}
	served := &artifact{a: work.out, facts: in.Data, reap: p.reap}
	if work.out == in {
		lasting = true
		served.remote = &remote
	}
	return packerwire.Processed{
		Stream: p.offer(served), Keep: work.use != component.Consumes, ForceOverride: work.use == component.Requires,
	}, nil
}

// transformed notes what a transform did. To the engine the input is always kept: the
// host decides what becomes of it.
type transformed struct {
	component.Transform
	outcome
	in  *component.Artifact
	out *component.Artifact
	use component.InputUse
}

// Process implements component.Transform.
func (t *transformed) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	out, use, err := t.Transform.Process(ctx, r, t.in)
	t.note(err)
	t.out, t.use = out, use
	return out, component.Requires, err
}

// unreachable is the machine of a build that has none any more.
type unreachable struct{}

// Facts implements component.Machine.
func (unreachable) Facts() map[string]cty.Value { return nil }

// Endpoint implements component.Machine.
func (unreachable) Endpoint(context.Context) (component.Endpoint, error) {
	return component.Endpoint{Transport: "none", Connection: &component.Connection{Communicator: "none"}}, nil
}
