package host

import (
	"context"
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
)

// builder is a builder of a plugin.
type builder struct{ part }

var (
	_ component.Builder = (*builder)(nil)
	_ component.Loader  = (*builder)(nil)
)

// Plan lets the plugin check a configuration and say which values its machine will have.
func (b *builder) Plan(ctx context.Context, cfg cty.Value) (component.Job, diag.List) {
	s := settings{cfg, component.PlanningOf(ctx)}
	j := &job{part: b.part, settings: s}
	found := b.host.check(ctx, b.use, s, b.Schema(), func(ctx context.Context, proc *process.Process, list []any) (err error) {
		j.prepared, err = packerwire.Builder{Caller: proc.Caller()}.Prepare(ctx, list)
		return err
	}, nil)
	found = append(found, warnings(j.prepared.Warnings)...)
	if found.HasErrors() {
		return nil, found
	}
	return j, found
}

// job is one image that a plugin is to make.
type job struct {
	part
	settings settings
	prepared packerwire.Prepared
	current  *running // of the attempt that is being made
}

var _ component.FactNames = (*job)(nil)

// FactNames are the values that the plugin has announced.
func (j *job) FactNames() []string { return j.prepared.GeneratedVars }

// Prepare starts a process for the build and gives it the configuration, now with the
// name of the build.
func (j *job) Prepare(ctx context.Context, r component.Run) error {
	h := j.host
	h.begin(ctx)
	p, err := h.start(ctx, j.use, r.RunJournal, r.ID, logTo(r, h.plugin.Name))
	if err != nil {
		return err
	}
	run := &running{host: h, use: j.use, run: r, proc: p, offered: make(chan struct{}), answer: make(chan error, 1), ended: make(chan struct{})}
	// The process has nothing to clean up before the build has begun.
	r.AtEnd(func() { run.abandon(context.WithoutCancel(ctx)) })
	list, err := h.list(j.settings, j.use, r.Build, r.Force, r.Debug)
	if err != nil {
		return err
	}
	if _, err := (packerwire.Builder{Caller: p.Caller()}).Prepare(ctx, list); err != nil {
		return p.Explain(err)
	}
	j.current = run
	return nil
}

// Boot begins the build. What the plugin makes is acquired with it: releasing that lets
// the plugin clean up.
func (j *job) Boot(ctx context.Context, r component.Run) (component.Machine, error) {
	run := j.current
	want := component.Resource{Kind: RunKind, Attrs: map[string]string{"plugin": j.host.plugin.Name, "component": process.Shown(j.use.name)}}
	lease, err := r.Journal.Acquire(ctx, want, func(_ context.Context, res component.Resource) (string, error) {
		run.token = res.Token
		j.host.plugin.Live.addRun(res.Token, run)
		run.begin(ctx)
		return res.Token, nil
	})
	if err != nil {
		return nil, err
	}
	run.lease = lease
	return machine{run}, nil
}

// Capture lets the builder go on, which makes the artifact.
func (j *job) Capture(ctx context.Context, r component.Run, m component.Machine) (*component.Artifact, error) {
	run := m.(machine).running
	run.reply(nil)
	select {
	case <-run.ended:
	case <-ctx.Done():
		// The builder has been told to cancel; releasing its run waits for it.
		return nil, context.Cause(ctx)
	}
	if run.err != nil {
		return nil, run.err
	}
	if cause := context.Cause(ctx); cause != nil && run.made.Caller == nil {
		return nil, cause // no artifact is how a cancelled builder ends well
	}
	if run.made.Caller == nil {
		return nil, run.lease.Release(context.WithoutCancel(ctx))
	}
	a, err := j.host.adopt(ctx, r, j.use, run.proc, run.made)
	if err != nil {
		return nil, err
	}
	run.keep()
	return a, run.lease.Release(context.WithoutCancel(ctx))
}

// machine is what a builder of a plugin is building on.
type machine struct{ *running }

var _ component.SelfDialer = machine{}

// Facts are what the plugin says of its machine when it can be provisioned. They are
// waited for.
func (m machine) Facts() map[string]cty.Value {
	select {
	case <-m.offered:
		return facts(m.data)
	case <-m.ended:
	case <-m.given.Done():
	}
	return nil
}

// Endpoint is not asked: the plugin is connected already.
func (m machine) Endpoint(context.Context) (component.Endpoint, error) {
	return component.Endpoint{}, fmt.Errorf("the plugin %s brings its own connection", m.host.plugin.Name)
}

// Dial waits until the plugin asks for its machine to be provisioned.
func (m machine) Dial(ctx context.Context, r component.Run) (component.Communicator, error) {
	select {
	case <-m.offered:
	default:
		select {
		case <-m.offered:
		case <-m.ended:
			return m.unoffered()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	for _, s := range secrets(m.data) {
		r.Sensitive(s)
	}
	return m.connect(ctx, r)
}
