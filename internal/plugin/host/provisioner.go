package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
	"ingot/internal/retry"
)

// provisioner is a provisioner of a plugin.
type provisioner struct{ part }

var (
	_ component.Provisioner = (*provisioner)(nil)
	_ component.Loader      = (*provisioner)(nil)
)

// Plan lets the plugin check a configuration. While a build runs it is not asked: it
// looks at the configuration again before it provisions.
func (p *provisioner) Plan(ctx context.Context, cfg cty.Value) (component.Step, diag.List) {
	s := settings{cfg, component.PlanningOf(ctx)}
	step := &step{p.part, s}
	if p.host.building() {
		return step, nil
	}
	found := p.host.check(ctx, p.use, s, p.Schema(), func(ctx context.Context, proc *process.Process, list []any) error {
		return packerwire.Provisioner{Caller: proc.Caller()}.Prepare(ctx, list)
	}, nil)
	if found.HasErrors() {
		return nil, found
	}
	return step, found
}

// step is a provisioner with its configuration.
type step struct {
	part
	settings settings
}

var _ component.InputReader = (*step)(nil)

// Inputs implements component.InputReader.
func (s *step) Inputs() component.Inputs {
	in := s.host.inputs()
	in.Volatile = "it is part of the plugin " + s.host.plugin.Name + ", and plugins do not say what their results depend on"
	return in
}

// Apply provisions in a process of its own, so that what an earlier attempt has left in
// the plugin does no harm: one that was cancelled stays so.
func (s *step) Apply(ctx context.Context, t component.Target) error {
	h := s.host
	h.begin(ctx)
	p, err := h.start(ctx, s.use, t.Journal, t.ID, logTo(t.Run, h.plugin.Name))
	if err != nil {
		return err
	}
	err = s.provision(ctx, t, p)
	return errors.Join(err, h.end(ctx, p))
}

func (s *step) provision(ctx context.Context, t component.Target, p *process.Process) error {
	h := s.host
	list, err := h.list(s.settings, s.use, t.Build, t.Force, t.Debug)
	if err != nil {
		return err
	}
	wire := packerwire.Provisioner{Caller: p.Caller()}
	if err := p.Explain(wire.Prepare(ctx, list)); err != nil {
		if packerwire.IsRemote(err) {
			err = retry.As(retry.User, err)
		}
		return err
	}
	conn := p.Conn()
	services := packerwire.Services{}
	closeBars := services.AddUI(newScreen(t.Run))
	wait := services.AddCommunicator(conn, t.Comm)
	id := conn.NextID()
	serving, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- services.ServeOn(serving, conn, id) }()
	// Commands that run end at once when the step does; the plugin is told as well, and
	// may clean up through the machine.
	err = p.Explain(wire.Provision(ctx, data(t.Facts), id, h.plugin.Grace, func() { t.Emit(h.waiting("cancel")) }))
	stop(errStepEnded)
	<-served // that the plugin has not opened the stream is no error
	wait()
	closeBars()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return err
}

var errStepEnded = errors.New("the step has ended")

// waiting is the event of a plugin that is given time to clean up.
func (h *Provider) waiting(what string) component.Event {
	return component.Waiting{For: "the plugin " + h.plugin.Name + " to " + what, Detail: fmt.Sprintf("it is ended after %s", h.plugin.Grace.Round(time.Second))}
}
