package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/engine"
	"ingot/internal/journal"
	"ingot/internal/outcome"
	"ingot/internal/plan"
)

// stage is a world for engine tests: components that do what the test says,
// and a record of what happened, in order.
type stage struct {
	mu     sync.Mutex
	log    []string
	things map[string]bool
	store  *journal.MemStore
	events []component.Stamped
}

func newStage() *stage { return &stage{things: map[string]bool{}, store: &journal.MemStore{}} }

func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

func (s *stage) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, " ")
}

func (s *stage) exists() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, n := range []string{"machine", "image", "mid", "end"} {
		if s.things[n] {
			names = append(names, n)
		}
	}
	return strings.Join(names, " ")
}

func (*stage) Kinds() []string { return []string{"thing", component.DirKind} }
func (s *stage) Reap(ctx context.Context, r component.Resource) error {
	if r.Kind == "thing" {
		s.note("reap(%s)", r.ID)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.things, r.ID)
	}
	return nil
}

// acquire makes a thing of that name.
func (s *stage) acquire(ctx context.Context, r component.Run, name string) (component.Lease, error) {
	return r.Journal.Acquire(ctx, component.Resource{Kind: "thing"}, func(context.Context, component.Resource) (string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.things[name] = true
		return name, nil
	})
}

type job struct {
	s       *stage
	boot    func(ctx context.Context) error
	capture func(ctx context.Context) error
	tidy    bool
	servers bool
	// machine is what Boot returns when it is not nil.
	machine component.Machine
}

func (j *job) Prepare(_ context.Context, r component.Run) error {
	j.s.note("prepare")
	if j.servers {
		r.AtEnd(func() { j.s.note("stop-first") })
		r.AtEnd(func() { j.s.note("stop-second") })
	}
	return nil
}
func (j *job) Boot(ctx context.Context, r component.Run) (component.Machine, error) {
	j.s.note("boot")
	if _, err := j.s.acquire(ctx, r, "machine"); err != nil {
		return nil, err
	}
	if j.boot != nil {
		if err := j.boot(ctx); err != nil {
			return nil, err
		}
	}
	if j.tidy {
		return tidy{s: j.s}, nil
	}
	if j.machine != nil {
		return j.machine, nil
	}
	return machine{}, nil
}
func (j *job) Capture(ctx context.Context, r component.Run, _ component.Machine) (*component.Artifact, error) {
	j.s.note("capture")
	if j.capture != nil {
		if err := j.capture(ctx); err != nil {
			return nil, err
		}
	}
	return j.s.artifact(ctx, r, "image")
}

func (s *stage) artifact(ctx context.Context, r component.Run, name string) (*component.Artifact, error) {
	lease, err := s.acquire(ctx, r, name)
	if err != nil {
		return nil, err
	}
	return &component.Artifact{ID: name, Summary: name, Resources: []component.Resource{lease.Resource()}}, lease.Keep(ctx)
}

type machine struct{}

func (machine) Facts() map[string]cty.Value {
	return map[string]cty.Value{"ID": cty.StringVal("m-1")}
}
func (machine) Endpoint(context.Context) (component.Endpoint, error) {
	return component.Endpoint{}, errors.New("not asked")
}
func (machine) Dial(context.Context, component.Run) (component.Communicator, error) {
	return deaf{}, nil
}

// tidy is a machine whose communicator has something to do at the end.
type tidy struct {
	machine
	s *stage
}

func (m tidy) Dial(context.Context, component.Run) (component.Communicator, error) {
	return finisher{s: m.s}, nil
}

type finisher struct {
	deaf
	s *stage
}

func (f finisher) Finish(context.Context) error {
	f.s.note("finish")
	return errors.New("not allowed")
}

// deaf is a communicator that no test uses.
type deaf struct{ component.Communicator }

func (deaf) Caps() component.Caps { return component.Caps{Transport: "test"} }
func (deaf) Close() error         { return nil }

type step func(ctx context.Context, t component.Target) error

func (f step) Apply(ctx context.Context, t component.Target) error { return f(ctx, t) }

func (s *stage) step(name string, f step) *plan.Step {
	return &plan.Step{
		Addr: addr.Step{Kind: addr.Provisioner, Type: name},
		Bind: func(context.Context, map[string]cty.Value) (component.Step, diag.List) {
			return step(func(ctx context.Context, t component.Target) error {
				s.note("%s", name)
				if f == nil {
					return nil
				}
				return f(ctx, t)
			}), nil
		},
	}
}

type transform func(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error)

func (f transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	return f(ctx, r, in)
}

func post(keep *bool, f transform) *plan.PostStep {
	return &plan.PostStep{
		Addr: addr.Step{Kind: addr.PostProcessor, Type: "pp"}, KeepInput: keep,
		Bind: func(context.Context, map[string]cty.Value) (component.Transform, diag.List) { return f, nil },
	}
}

func (s *stage) makes(name string, use component.InputUse) transform {
	return func(ctx context.Context, r component.Run, _ *component.Artifact) (*component.Artifact, component.InputUse, error) {
		a, err := s.artifact(ctx, r, name)
		return a, use, err
	}
}

func breaks(context.Context, component.Run, *component.Artifact) (*component.Artifact, component.InputUse, error) {
	return nil, component.Consumes, errors.New("post-processor broke")
}

type answers []string

func (a *answers) Interactive() bool { return a != nil && len(*a) > 0 }
func (a *answers) Ask(context.Context, string) (string, error) {
	if a == nil || len(*a) == 0 {
		return "", errors.New("nobody is there")
	}
	first := (*a)[0]
	*a = (*a)[1:]
	return first, nil
}

func (s *stage) run(t *testing.T, ctx context.Context, change func(*engine.Options), builds ...*plan.Build) engine.Result {
	t.Helper()
	log, err := s.store.Create(context.Background(), journal.RunInfo{ID: "run"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	o := engine.Options{
		RunID: "run", OnError: engine.Cleanup, Clock: component.SystemClock{}, TempDir: t.TempDir(),
		Ledger:    journal.NewLedger(log, journal.NewReapers(s), component.SystemClock{}),
		Prompt:    (*answers)(nil),
		Sensitive: func(string) {},
		Release:   context.Background(),
		Handle: func(e component.Stamped) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}
	if change != nil {
		change(&o)
	}
	res, err := engine.Run(ctx, &plan.Plan{Builds: builds}, o)
	if err != nil && o.Release.Err() == nil {
		t.Fatal(err)
	}
	return res
}

func (s *stage) build(steps ...*plan.Step) *plan.Build {
	return &plan.Build{Addr: addr.Build{Source: addr.Source{Type: "test", Name: "a"}}, Job: &job{s: s}, Provisioners: steps}
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

var errStep = errors.New("step broke")

func failing(context.Context, component.Target) error { return errStep }

func TestPhasesRunInOrderAndTheMachineIsReleased(t *testing.T) {
	s := newStage()
	res := s.run(t, context.Background(), nil, s.build(s.step("one", nil), s.step("two", nil)))
	if got, want := s.said(), "prepare boot one two capture reap(machine)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if res.Failed() != 0 || len(res.Builds[0].Artifacts) != 1 || s.exists() != "image" {
		t.Errorf("result %+v, exists %s", res, s.exists())
	}
}

// Ensure that a communicator tidies up after the last provisioner and only
// then, and that a failure of that fails nothing.
func TestCommunicatorFinishes(t *testing.T) {
	s := newStage()
	b := s.build(s.step("one", nil))
	b.Job.(*job).tidy = true
	res := s.run(t, context.Background(), nil, b)
	if got, want := s.said(), "prepare boot one finish capture reap(machine)"; got != want || res.Failed() != 0 {
		t.Errorf("got  %s\nwant %s; %v", got, want, res.Builds[0].Err)
	}
	s = newStage()
	b = s.build(s.step("bad", failing))
	b.Job.(*job).tidy = true
	s.run(t, context.Background(), nil, b)
	if strings.Contains(s.said(), "finish") {
		t.Errorf("said %s", s.said())
	}
}

// Ensure that what runs in this process for a machine stops, newest first, before
// the machine is released, whatever has become of the build.
func TestServersStopAtTheEnd(t *testing.T) {
	for _, fail := range []bool{false, true} {
		s := newStage()
		b := s.build(s.step("one", nil))
		j := b.Job.(*job)
		j.servers = true
		want := "prepare boot one capture stop-second stop-first reap(machine)"
		if fail {
			j.boot = func(context.Context) error { return errors.New("no machine") }
			want = "prepare boot stop-second stop-first reap(machine)"
		}
		s.run(t, context.Background(), nil, b)
		if s.said() != want {
			t.Errorf("got  %s\nwant %s", s.said(), want)
		}
	}
}

func TestOnError(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    engine.OnError
		answers answers
		want    string
		left    string
	}{
		{"cleanup", engine.Cleanup, nil, "prepare boot bad cleaner reap(machine)", ""},
		{"abort", engine.Abort, nil, "prepare boot bad", "machine"},
		{"run-cleanup-provisioner", engine.RunCleanupProvisioner, nil, "prepare boot bad cleaner", "machine"},
		{"ask, nobody there", engine.Ask, nil, "prepare boot bad cleaner reap(machine)", ""},
		{"ask, default", engine.Ask, answers{""}, "prepare boot bad cleaner reap(machine)", ""},
		{"ask, abort", engine.Ask, answers{"what", "a"}, "prepare boot bad", "machine"},
		{"ask, retry then clean", engine.Ask, answers{"r", "c"}, "prepare boot bad bad cleaner reap(machine)", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage()
			b := s.build(s.step("bad", failing), s.step("never", nil))
			b.ErrorCleanup = s.step("cleaner", nil)
			res := s.run(t, context.Background(), func(o *engine.Options) { o.OnError, o.Prompt = c.mode, &c.answers }, b)
			if s.said() != c.want || s.exists() != c.left {
				t.Errorf("said  %s\nwant  %s\nleft %q, want %q", s.said(), c.want, s.exists(), c.left)
			}
			if !errors.Is(res.Builds[0].Err, errStep) {
				t.Errorf("error: %v", res.Builds[0].Err)
			}
			states, _ := s.store.List(context.Background())
			if open := len(states[0].Open); (open > 0) != (c.left != "") {
				t.Errorf("%d leases open in the journal, left %q", open, c.left)
			}
		})
	}
}

// Ensure that an error-cleanup-provisioner is for failed provisioning, not for
// what fails later.
func TestW16CleanupProvisionerIsNotForLaterPhases(t *testing.T) {
	s := newStage()
	b := s.build(s.step("one", nil))
	b.Job.(*job).capture = func(context.Context) error { return errors.New("no space") }
	b.ErrorCleanup = s.step("cleaner", nil)
	s.run(t, context.Background(), nil, b)
	if got, want := s.said(), "prepare boot one capture reap(machine)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestW14CancelReleasesAndRunsCleanup(t *testing.T) {
	s := newStage()
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("interrupted by test")
	b := s.build(s.step("slow", func(ctx context.Context, _ component.Target) error {
		cancel(cause)
		<-ctx.Done()
		return context.Cause(ctx)
	}))
	b.ErrorCleanup = s.step("cleaner", func(ctx context.Context, _ component.Target) error { return ctx.Err() })
	res := s.run(t, ctx, nil, b, s.build(s.step("other", nil)))
	if !strings.Contains(s.said(), "slow cleaner reap(machine)") {
		t.Errorf("said %s", s.said())
	}
	if !errors.Is(res.Interrupted, cause) || !errors.Is(res.Builds[0].Err, cause) {
		t.Errorf("result %+v", res)
	}
}

// Ensure that the second interrupt ends the release and leaves the rest in
// the journal.
func TestAbandonedReleaseStaysInTheJournal(t *testing.T) {
	s := newStage()
	release, abandon := context.WithCancelCause(context.Background())
	abandon(errors.New("second interrupt"))
	res := s.run(t, context.Background(), func(o *engine.Options) { o.Release = release }, s.build(s.step("bad", failing)))
	states, _ := s.store.List(context.Background())
	if len(states[0].Open) == 0 || s.exists() != "machine" || res.Failed() != 1 {
		t.Errorf("open %+v, exists %s", states[0].Open, s.exists())
	}
}

func TestPanicInOneBuildReleasesAndSparesTheOthers(t *testing.T) {
	s := newStage()
	good := s.build(s.step("fine", nil))
	good.Addr.Source.Name = "b"
	res := s.run(t, context.Background(), func(o *engine.Options) { o.Parallel = 1 },
		s.build(s.step("bad", func(context.Context, component.Target) error { panic("boom") })), good)
	if res.Builds[0].Err == nil || !strings.Contains(res.Builds[0].Err.Error(), "boom") || res.Builds[1].Err != nil {
		t.Errorf("results %+v", res.Builds)
	}
	if s.exists() != "image" {
		t.Errorf("exists %s", s.exists())
	}
}

// Ensure that a build whose post-processor panics is remembered as one that has
// failed, with the artifact that there is.
func TestPanicInPostProcessorIsRemembered(t *testing.T) {
	s := newStage()
	b := s.build()
	b.Chains = []plan.Chain{{post(nil, func(context.Context, component.Run, *component.Artifact) (*component.Artifact, component.InputUse, error) {
		panic("boom")
	})}}
	path := filepath.Join(t.TempDir(), "outcomes")
	book := outcome.NewBook(path, func(text string) string { return text })
	defer book.Close()
	res := s.run(t, context.Background(), func(o *engine.Options) { o.Outcomes = book }, b)
	if len(res.Builds[0].Artifacts) != 1 || !strings.Contains(res.Builds[0].Err.Error(), "boom") {
		t.Errorf("result %+v", res.Builds[0])
	}
	made, err := outcome.Read(path)
	if err != nil || len(made) != 1 || made[0].Ended == nil {
		t.Fatalf("remembered %+v, %v", made, err)
	}
	if end := made[0].Ended; !strings.Contains(end.Failure, "boom") || len(end.Artifacts) != 1 {
		t.Errorf("remembered as %+v", end)
	}
}

func TestW1W5PauseTimeoutAndRetriesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		var starts []time.Duration
		begin := time.Now()
		st := s.step("slow", func(ctx context.Context, _ component.Target) error {
			starts = append(starts, time.Since(begin))
			<-ctx.Done()
			return context.Cause(ctx)
		})
		st.PauseBefore, st.Timeout, st.MaxRetries = 7*time.Second, 3*time.Second, 2
		res := s.run(t, context.Background(), nil, s.build(st))
		if len(starts) != 3 || starts[0] != 7*time.Second || starts[1] < 10*time.Second {
			t.Errorf("attempts at %v", starts)
		}
		err := res.Builds[0].Err
		if err == nil || !strings.Contains(err.Error(), "time-out of 3s") || !strings.Contains(err.Error(), "failed 3 times") {
			t.Errorf("error: %v", err)
		}
	})
}

func TestRetryReportsTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		n := 0
		st := s.step("flaky", func(context.Context, component.Target) error { n++; return fmt.Errorf("failure %d", n) })
		st.MaxRetries = 2
		err := s.run(t, context.Background(), nil, s.build(st)).Builds[0].Err
		if err == nil || !strings.Contains(err.Error(), "failure 3") {
			t.Errorf("error: %v", err)
		}
	})
}

func TestContinueOnErrorGoesOnButNotAfterCancel(t *testing.T) {
	s := newStage()
	st := s.step("bad", failing)
	st.ContinueOnError = true
	if res := s.run(t, context.Background(), nil, s.build(st, s.step("next", nil))); res.Failed() != 0 || !strings.Contains(s.said(), "bad next capture") {
		t.Errorf("said %s, %+v", s.said(), res.Builds[0].Err)
	}
	s = newStage()
	ctx, cancel := context.WithCancelCause(context.Background())
	st = s.step("cancelled", func(context.Context, component.Target) error { cancel(errors.New("stop")); return errStep })
	st.ContinueOnError = true
	if res := s.run(t, ctx, nil, s.build(st, s.step("next", nil))); res.Failed() != 1 || strings.Contains(s.said(), "next") {
		t.Errorf("said %s", s.said())
	}
}

// Ensure that no post-processor failure takes away an artifact, and that only
// what was replaced is destroyed.
func TestPostProcessorChains(t *testing.T) {
	for _, c := range []struct {
		name   string
		chains func(s *stage) []plan.Chain
		left   string
		fails  bool
	}{
		{"no chains", func(*stage) []plan.Chain { return nil }, "image", false},
		{"consumes", func(s *stage) []plan.Chain { return []plan.Chain{{post(nil, s.makes("end", component.Consumes))}} }, "end", false},
		{"consumes, user keeps", func(s *stage) []plan.Chain { return []plan.Chain{{post(yes(), s.makes("end", component.Consumes))}} }, "image end", false},
		{"keeps", func(s *stage) []plan.Chain { return []plan.Chain{{post(nil, s.makes("end", component.Keeps))}} }, "image end", false},
		{"keeps, user does not", func(s *stage) []plan.Chain { return []plan.Chain{{post(no(), s.makes("end", component.Keeps))}} }, "end", false},
		{"requires, user does not", func(s *stage) []plan.Chain { return []plan.Chain{{post(no(), s.makes("end", component.Requires))}} }, "image end", false},
		{"two in a chain", func(s *stage) []plan.Chain {
			return []plan.Chain{{post(nil, s.makes("mid", component.Consumes)), post(nil, s.makes("end", component.Consumes))}}
		}, "end", false},
		{"two in a chain, middle kept", func(s *stage) []plan.Chain {
			return []plan.Chain{{post(nil, s.makes("mid", component.Consumes)), post(yes(), s.makes("end", component.Consumes))}}
		}, "mid end", false},
		{"only one fails", func(s *stage) []plan.Chain { return []plan.Chain{{post(nil, breaks)}} }, "image", true},
		{"second fails", func(s *stage) []plan.Chain {
			return []plan.Chain{{post(nil, s.makes("mid", component.Consumes)), post(nil, breaks)}}
		}, "image mid", true},
		{"one of two chains fails", func(s *stage) []plan.Chain {
			return []plan.Chain{{post(nil, s.makes("end", component.Consumes))}, {post(no(), breaks)}}
		}, "image end", true},
		{"nil ends the chain", func(s *stage) []plan.Chain {
			return []plan.Chain{{post(nil, func(context.Context, component.Run, *component.Artifact) (*component.Artifact, component.InputUse, error) {
				return nil, component.Keeps, nil
			}), post(nil, s.makes("end", component.Consumes))}}
		}, "image", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage()
			b := s.build()
			b.Chains = c.chains(s)
			res := s.run(t, context.Background(), nil, b).Builds[0]
			if s.exists() != c.left || (res.Err != nil) != c.fails {
				t.Errorf("exists %q, want %q; error %v", s.exists(), c.left, res.Err)
			}
			var listed []string
			for _, a := range res.Artifacts {
				listed = append(listed, a.Summary)
			}
			if got := strings.Join(listed, " "); got != c.left {
				t.Errorf("listed %q, exists %q", got, c.left)
			}
		})
	}
}

// Ensure that consuming an artifact spares what its successor consists of.
func TestConsumedArtifactSharesAResource(t *testing.T) {
	s := newStage()
	b := s.build()
	b.Chains = []plan.Chain{{post(nil, func(_ context.Context, _ component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
		return &component.Artifact{Summary: "same", Resources: in.Resources}, component.Consumes, nil
	})}}
	s.run(t, context.Background(), nil, b)
	if s.exists() != "image" {
		t.Errorf("exists %q", s.exists())
	}
}

func TestCancelBetweenBuildAndPostProcessorKeepsTheArtifact(t *testing.T) {
	s := newStage()
	ctx, cancel := context.WithCancelCause(context.Background())
	b := s.build()
	b.Job.(*job).capture = func(context.Context) error { cancel(errors.New("stop")); return nil }
	b.Chains = []plan.Chain{{post(nil, s.makes("end", component.Consumes))}}
	// The capture ends with the artifact although the run is cancelled.
	b.Job.(*job).s = s
	res := s.run(t, ctx, nil, b).Builds[0]
	if len(res.Artifacts) == 0 && s.exists() != "" {
		t.Errorf("an artifact exists (%s) that nobody was told of", s.exists())
	}
}

func TestParallelBuildsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		var mu sync.Mutex
		now, most := 0, 0
		var builds []*plan.Build
		for i := range 9 {
			b := s.build(s.step("work", func(ctx context.Context, r component.Target) error {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				err := r.Clock.Sleep(ctx, time.Second)
				mu.Lock()
				now--
				mu.Unlock()
				return err
			}))
			b.Addr.Source.Name = fmt.Sprint(i)
			builds = append(builds, b)
		}
		s.run(t, context.Background(), func(o *engine.Options) { o.Parallel = 3 }, builds...)
		if most != 3 {
			t.Errorf("%d builds at a time, want 3", most)
		}
	})
}

func TestFactsReachStepsAndTransforms(t *testing.T) {
	s := newStage()
	b := s.build()
	seen := map[string]cty.Value{}
	st := s.step("x", nil)
	bind := st.Bind
	st.Bind = func(ctx context.Context, facts map[string]cty.Value) (component.Step, diag.List) {
		for k, v := range facts {
			seen[k] = v
		}
		return bind(ctx, facts)
	}
	b.Provisioners = []*plan.Step{st}
	s.run(t, context.Background(), nil, b)
	for name, want := range map[string]string{"ID": "m-1", "ConnType": "test", "PackerRunUUID": "run"} {
		if v, ok := seen[name]; !ok || v.AsString() != want {
			t.Errorf("build.%s is %#v, want %q", name, v, want)
		}
	}
}
