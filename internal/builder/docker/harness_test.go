package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/distribution/reference"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/dockerengine"

	"ingot/internal/ratelimit"
	"ingot/internal/testkit/live"
)

// ledger is a Recorder that keeps its leases in memory and releases them
// through the reaper, as the engine does.
type ledger struct {
	t      testing.TB
	reaper component.Reaper
	// lose drops the IDs that create returns, as a crash would.
	lose bool

	mu     sync.Mutex
	leases []*lease // guarded by mu
}

type lease struct {
	of  *ledger
	res component.Resource
	// kept and gone are guarded by of.mu.
	kept, gone bool
}

func (l *ledger) Acquire(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error) {
	if want.Token == "" {
		want.Token = "ingot-test-" + strings.ToLower(rand.Text())
	}
	want.ID = ""
	le := &lease{of: l, res: want}
	l.mu.Lock()
	l.leases = append(l.leases, le)
	l.mu.Unlock()
	id, err := create(ctx, want)
	if !l.lose {
		le.res.ID = id
	}
	if err != nil {
		return nil, errors.Join(err, le.Release(context.WithoutCancel(ctx)))
	}
	return le, nil
}

func (le *lease) Resource() component.Resource { return le.res }

func (le *lease) Release(ctx context.Context) error {
	le.of.mu.Lock()
	done := le.kept || le.gone
	le.of.mu.Unlock()
	if done || le.res.Kind == component.FileKind {
		return nil
	}
	err := le.of.reaper.Reap(ctx, le.res)
	le.of.mu.Lock()
	le.gone = err == nil
	le.of.mu.Unlock()
	return err
}

func (le *lease) Keep(context.Context) error {
	le.of.mu.Lock()
	defer le.of.mu.Unlock()
	le.kept = true
	return nil
}

// release releases what was not kept, newest first.
func (l *ledger) release() {
	l.mu.Lock()
	all := append([]*lease(nil), l.leases...)
	l.mu.Unlock()
	for i := len(all) - 1; i >= 0; i-- {
		if err := all[i].Release(context.Background()); err != nil {
			l.t.Errorf("release %+v: %v", all[i].res, err)
		}
	}
}

// events collects what is emitted.
type events struct {
	mu  sync.Mutex
	all []component.Event // guarded by mu
}

func (e *events) Emit(ev component.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) snapshot() []component.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]component.Event(nil), e.all...)
}

// rig is an engine with a run on it.
type rig struct {
	t      testing.TB
	live   live.Env
	env    dockerengine.Env
	run    component.Run
	ledger *ledger
	events *events
	engine *dockerengine.Engine
}

func newRig(t testing.TB) *rig {
	t.Helper()
	l := live.Require(t)
	return newRigAt(t, l, l.DockerHost)
}

func newRigAt(t testing.TB, l live.Env, host string) *rig {
	t.Helper()
	home := t.TempDir()
	env := func(name string) string {
		return map[string]string{"DOCKER_HOST": host, "DOCKER_CONFIG": home}[name]
	}
	engine, err := dockerengine.Open(env, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, live: l, env: env, engine: engine, events: &events{}}
	g.ledger = &ledger{t: t, reaper: reaper{env: env}}
	g.run = component.Run{
		ID: "run", Build: addr.Build{Source: addr.Source{Type: "docker", Name: "test"}},
		Journal: g.ledger, Events: g.events, WorkDir: t.TempDir(), Clock: component.SystemClock{},
		Limits: ratelimit.New(component.SystemClock{}), Sensitive: func(string) {},
	}
	t.Cleanup(g.ledger.release)
	return g
}

func (g *rig) plan(values map[string]cty.Value) *job {
	g.t.Helper()
	b := builder{env: g.env}
	j, diags := b.Plan(g.t.Context(), b.Schema().Object(values))
	if diags.HasErrors() {
		g.t.Fatalf("plan: %v", diags.Err())
	}
	return j.(*job)
}

// tiny is a configuration that starts the tiny image.
func (g *rig) tiny(more map[string]cty.Value) map[string]cty.Value {
	out := map[string]cty.Value{"image": cty.StringVal(g.live.TinyImage), "pull": cty.False, "discard": cty.True}
	for k, v := range more {
		if k == "commit" || k == "export_path" {
			delete(out, "discard")
		}
		out[k] = v
	}
	return out
}

// boot runs a job up to a communicator.
func (g *rig) boot(values map[string]cty.Value) (*job, component.Machine, component.Communicator) {
	g.t.Helper()
	j := g.plan(values)
	m := g.start(j)
	c, err := m.(component.SelfDialer).Dial(g.t.Context(), g.run)
	if err != nil {
		g.t.Fatalf("dial: %v", err)
	}
	return j, m, c
}

func (g *rig) start(j *job) component.Machine {
	g.t.Helper()
	if err := j.Prepare(g.t.Context(), g.run); err != nil {
		g.t.Fatalf("prepare: %v", err)
	}
	m, err := j.Boot(g.t.Context(), g.run)
	if err != nil {
		g.t.Fatalf("boot: %v", err)
	}
	return m
}

// sh runs a command and returns its output; it must succeed.
func (g *rig) sh(c component.Communicator, line string) string {
	g.t.Helper()
	var out, errs bytes.Buffer
	exit, err := c.Run(g.t.Context(), component.Command{Line: line, Stdout: &out, Stderr: &errs})
	if err != nil || exit.Code != 0 {
		g.t.Fatalf("%s: %v, %v\n%s%s", line, exit, err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String())
}

func mustNamed(t testing.TB, name string) reference.Named {
	t.Helper()
	n, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
