package serve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/ui"
)

// builder serves one of our builders.
type builder struct{ *served[component.Job] }

// Prepare implements packerwire.BuilderServer.
func (b *builder) Prepare(ctx context.Context, configs []any) (packerwire.Prepared, error) {
	job, diags, err := b.configure(ctx, configs)
	out := packerwire.Prepared{Warnings: warnings(diags)}
	if err != nil {
		return out, err
	}
	if f, ok := job.(component.FactNames); ok {
		out.GeneratedVars = append(out.GeneratedVars, f.FactNames()...)
	}
	if d, ok := job.(component.DataNames); ok {
		out.GeneratedVars = append(out.GeneratedVars, d.DataNames()...)
	}
	slices.Sort(out.GeneratedVars)
	out.GeneratedVars = slices.Compact(out.GeneratedVars)
	return out, nil
}

// Run implements packerwire.BuilderServer: the phases are those of a build of ours,
// with one provisioner, which is all that the host does with the machine.
func (b *builder) Run(ctx context.Context, stream uint32) (uint32, error) {
	s, err := b.configured()
	if err != nil {
		return 0, err
	}
	ctx, cancel := b.guarded(ctx)
	defer cancel()
	host, err := b.dial(ctx, stream)
	if err != nil {
		return 0, err
	}
	defer host.Close()
	secrets := ui.NewRedactor()
	job, diags := b.plan(ctx, s, moment{final: true}, secrets.Add)
	if err := findings(diags); err != nil {
		return 0, err
	}
	hook := &hookStep{plugin: b.plugin, peer: host, name: packerwire.ProvisionHook}
	cleanup := &hookStep{plugin: b.plugin, peer: host, name: packerwire.CleanupHook}
	// While planning there was no machine, and no run.
	vars := b.vars(s, moment{})
	res, err := b.execute(ctx, host.UI, s, &plan.Build{
		Addr: s.address(b.name), Job: job, Source: addr.Source{Type: b.name, Name: s.text(buildNameKey)}, Template: vars,
		Provisioners: []*plan.Step{hook.step(addr.Provisioner)},
		ErrorCleanup: cleanup.step(addr.ErrorCleanup),
	}, secrets)
	if err := errors.Join(err, hook.outcome.of(res.Err)); err != nil {
		return 0, err
	}
	if len(res.Artifacts) == 0 {
		return 0, nil
	}
	return b.offer(&artifact{a: res.Artifacts[0], facts: hook.facts, reap: b.reap}), nil
}

// hookStep is what the host does with a machine, as a provisioner.
type hookStep struct {
	plugin *plugin
	peer   peer
	name   string
	outcome
	facts map[string]cty.Value
}

// hookGrace is how long the host may take to stop its provisioners when the build is
// cancelled.
const hookGrace = 5 * time.Minute

func (h *hookStep) step(kind addr.StepKind) *plan.Step {
	return &plan.Step{
		Addr: addr.Step{Kind: kind, Type: h.name},
		Bind: func(_ context.Context, facts map[string]cty.Value) (component.Step, diag.List) {
			h.facts = maps.Clone(facts)
			return h, nil
		},
	}
}

// Apply implements component.Step: it offers the machine and waits until the host has
// done with it.
func (h *hookStep) Apply(ctx context.Context, t component.Target) error {
	err := h.apply(ctx, t)
	h.note(err)
	return err
}

func (h *hookStep) apply(ctx context.Context, t component.Target) error {
	services := packerwire.Services{}
	endMachine := services.AddCommunicator(h.plugin.conn, t.Comm)
	defer endMachine()
	endUI := services.AddUI(hostUI{h.peer.UI})
	defer endUI()
	id := h.plugin.conn.NextID()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- services.ServeOn(serving, h.plugin.conn, id) }()
	defer func() {
		// A host that has nothing to do may not have opened the stream.
		stop()
		<-served
	}()
	err := packerwire.Hook{Caller: h.peer.Caller}.Run(ctx, h.name, hookData(h.facts), id, hookGrace)
	if err != nil && !packerwire.IsRemote(err) {
		return fmt.Errorf("let the host provision the machine: %w", err)
	}
	return err
}

// hostUI hands what the host's provisioners say back to the host, which shows it as
// that of this build.
type hostUI struct{ ui packerwire.UI }

// Say implements packerwire.UIServer.
func (h hostUI) Say(text string) { _ = h.ui.Say(context.Background(), text) } // it ends with the stream

// Error implements packerwire.UIServer.
func (h hostUI) Error(text string) { _ = h.ui.Error(context.Background(), text) } // as above

// Machine implements packerwire.UIServer.
func (h hostUI) Machine(category string, args []string) {
	_ = h.ui.Machine(context.Background(), category, args) // as above
}

// Ask implements packerwire.UIServer.
func (h hostUI) Ask(ctx context.Context, question string) (string, error) {
	return h.ui.Ask(ctx, question)
}

// Track implements packerwire.UIServer. A bar that the host does not open is done
// without.
func (h hostUI) Track(what string, total, done int64) packerwire.BarServer {
	remote, err := h.ui.Track(context.Background(), what, total, done)
	if err != nil {
		return noBar{}
	}
	return hostBar{remote}
}

type noBar struct{}

func (noBar) Add(int64) {}
func (noBar) Close()    {}

type hostBar struct{ remote *packerwire.Bar }

// Add implements packerwire.BarServer.
func (b hostBar) Add(n int64) { _ = b.remote.Add(context.Background(), n) } // as Say

// Close implements packerwire.BarServer.
func (b hostBar) Close() { _ = b.remote.Close(context.Background()) } // as Say
