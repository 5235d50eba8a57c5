package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
)

// postProcessor is a post-processor of a plugin.
type postProcessor struct{ part }

var (
	_ component.PostProcessor = (*postProcessor)(nil)
	_ component.Loader        = (*postProcessor)(nil)
)

// Plan lets the plugin check a configuration, as that of a provisioner.
func (p *postProcessor) Plan(ctx context.Context, cfg cty.Value) (component.Transform, diag.List) {
	s := settings{cfg, component.PlanningOf(ctx)}
	out := &transform{p.part, s}
	if p.host.building() {
		return out, nil
	}
	found := p.host.check(ctx, p.use, s, p.Schema(), func(ctx context.Context, proc *process.Process, list []any) error {
		return packerwire.PostProcessor{Caller: proc.Caller()}.Configure(ctx, list)
	}, nil)
	if found.HasErrors() {
		return nil, found
	}
	return out, found
}

// transform is a post-processor with its configuration.
type transform struct {
	part
	settings settings
}

var _ component.InputReader = (*transform)(nil)

// Inputs implements component.InputReader.
func (x *transform) Inputs() component.Inputs { return x.host.inputs() }

// Process works in a process of its own, which stays when the new artifact lives in it.
func (x *transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	h := x.host
	h.begin(ctx)
	p, err := h.start(ctx, x.use, r.RunJournal, r.ID, logTo(r, h.plugin.Name))
	if err != nil {
		return nil, 0, err
	}
	out, use, err := x.process(ctx, r, p, in)
	if err != nil || out == nil || out == in {
		err = errors.Join(err, h.end(ctx, p))
	}
	if err != nil {
		return nil, 0, err
	}
	return out, use, nil
}

func (x *transform) process(ctx context.Context, r component.Run, p *process.Process, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	h := x.host
	list, err := h.list(x.settings, x.use, r.Build, r.Force, r.Debug)
	if err != nil {
		return nil, 0, err
	}
	wire := packerwire.PostProcessor{Caller: p.Caller()}
	if err := wire.Configure(ctx, list); err != nil {
		return nil, 0, p.Explain(err)
	}
	conn := p.Conn()
	services := packerwire.Services{}
	closeBars := services.AddUI(newScreen(r))
	services.AddArtifact(h.given(context.WithoutCancel(ctx), r, in))
	id := conn.NextID()
	// The plugin may hand on what it was given, which then is asked for here: it is
	// served until the process ends.
	go func() { _ = services.ServeOn(context.WithoutCancel(ctx), conn, id) }() // ends with the connection
	done, err := wire.PostProcess(ctx, id, h.plugin.Grace, func() { r.Emit(h.waiting("cancel")) })
	closeBars()
	if err != nil {
		err = p.Explain(err)
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		return nil, 0, err
	}
	use := inputUse(done)
	if done.Stream == 0 {
		return nil, use, nil
	}
	made, err := h.dialArtifact(ctx, p, done.Stream)
	if err != nil {
		return nil, 0, err
	}
	described, err := h.describe(ctx, made)
	if err == nil && same(described, in) {
		return in, component.Requires, nil
	}
	if err != nil {
		return nil, 0, p.Explain(err)
	}
	out, err := h.adopt(ctx, r, x.use, p, made)
	return out, use, err
}

// inputUse is what a plugin wants to become of its input.
func inputUse(p packerwire.Processed) component.InputUse {
	switch {
	case p.Keep && p.ForceOverride:
		return component.Requires
	case p.Keep:
		return component.Keeps
	}
	return component.Consumes
}
