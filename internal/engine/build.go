package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/journal"
	"ingot/internal/outcome"
	"ingot/internal/plan"
	"ingot/internal/retry"
)

// build is one build while it runs.
type build struct {
	*run
	plan *plan.Build
	rt   component.Run
	book *journal.Book

	facts  map[string]cty.Value
	endsMu sync.Mutex
	ends   []func() // what AtEnd was given; guarded by endsMu
	// leave is set when -on-error says that resources stay as they are.
	leave bool
	// cache is nil when the build is not cached, and notCached may then say why.
	cache     *cached
	notCached string
	// inputs are what the build depends on; nil when that is not to be known.
	inputs *outcome.Inputs
	// made says that later runs know of the artifact.
	made bool
}

// runBuild runs one build, number n of the plan, and again when its retry block
// says so. Made are the artifacts of the builds that it needs.
func (r *run) runBuild(ctx context.Context, p *plan.Build, made plan.Made, n int) (res BuildResult) {
	begin := r.o.Clock.Now()
	events := r.sink(component.Origin{Build: p.Addr})
	inputs, why, taken := r.ifChanged(ctx, p, made, events, begin)
	if taken != nil {
		return *taken
	}
	events.Emit(component.BuildStarted{})
	if why != "" {
		events.Emit(component.Message{Text: "Building: " + why})
	}
	defer func() {
		res.Duration = r.o.Clock.Now().Sub(begin)
		events.Emit(component.BuildEnded{Duration: res.Duration, Err: res.Err, Artifacts: res.Artifacts})
	}()
	again := r.retryOf(p)
	attempts := 0
	err := retry.Do(ctx, r.o.Clock, retry.Policy{
		Attempts: 1 + again.Max, First: again.Delay, Max: again.MaxDelay,
		Retryable: func(err error) bool {
			// What was made is not made twice.
			return ctx.Err() == nil && len(res.Artifacts) == 0 && !errors.As(err, new(finalError)) && again.After(err)
		},
		Notify: func(err error, attempt int, delay time.Duration) {
			events.Emit(component.Retrying{What: "the build", Class: retry.ClassOf(err).String(), Attempt: attempt, Delay: delay, Err: err})
		},
	}, func(ctx context.Context) error {
		attempts++
		res = r.attemptBuild(ctx, p, made, inputs, filepath.Join(r.workDir, fmt.Sprintf("%d-%d", n, attempts)))
		return res.Err
	})
	res.Addr, res.Err = p.Addr, err
	if err != nil && attempts > 1 {
		res.Err = fmt.Errorf("failed %d times, the last time with: %w", attempts, err)
	}
	return res
}

// retryOf is the retry block of a build, with what the command line says.
func (r *run) retryOf(p *plan.Build) plan.Retry {
	again := p.Retry
	if r.o.MaxRetries == nil {
		return again
	}
	if again.Max == 0 {
		again = plan.DefaultRetry()
	}
	again.Max = *r.o.MaxRetries
	return again
}

// finalError is a failure after which nothing is tried again, whatever its class:
// somebody has decided what becomes of the machine, or the program is wrong.
type finalError struct{ error }

func (f finalError) Unwrap() error { return f.error }

// attemptBuild makes a build once. dir is to be its private folder.
func (r *run) attemptBuild(ctx context.Context, p *plan.Build, made plan.Made, inputs *outcome.Inputs, dir string) (res BuildResult) {
	events := r.sink(component.Origin{Build: p.Addr})
	b := &build{run: r, plan: p, book: r.o.Ledger.Book(p.Addr.String(), events), facts: r.facts(), inputs: inputs}
	defer func() {
		if b.leave && res.Err != nil {
			res.Err = finalError{res.Err}
		}
		if res.Err != nil {
			res.Saved = b.saved()
		}
		// What the machine stood on was in use until it was released.
		if err := b.cache.close(); err != nil {
			res.Err = errors.Join(res.Err, err)
		}
	}()
	defer b.survive(&res)
	b.work(ctx, made, dir, events, &res)
	b.rememberEnd(res)
	return res
}

// survive makes a failure of a panic: one in one component must not leave another
// build's machines running.
func (b *build) survive(res *BuildResult) {
	if p := recover(); p != nil {
		res.Err = finalError{errors.Join(fmt.Errorf("internal error: %v\n%s", p, debug.Stack()), b.release())}
	}
}

// work makes the artifact, tests it and runs the post-processors. The result is that
// of a failure as well when one of them panics.
func (b *build) work(ctx context.Context, made plan.Made, dir string, events component.Sink, res *BuildResult) {
	defer b.survive(res)
	if err := os.Mkdir(dir, 0o700); err != nil {
		res.Err = fmt.Errorf("working directory of the build: %w", err)
		return
	}
	b.rt = b.makeRun(events, dir)
	if res.Err = b.bind(ctx, made); res.Err != nil {
		return
	}
	artifact, err := b.artifact(ctx)
	res.Artifacts, res.Err = compact(artifact), errors.Join(err, b.release())
	if res.Err != nil {
		return
	}
	if res.Err = b.test(ctx, artifact, dir); res.Err != nil {
		if b.made {
			b.rt.Say("The artifact is kept, and nothing was done with it: " + artifact.Summary +
				". To test it again, and then run the post-processors: ingot post-process " + b.o.RunID)
		}
		return
	}
	res.Artifacts, res.Err = b.postProcess(ctx, artifact)
	if res.Err != nil && b.made && slices.Contains(res.Artifacts, artifact) {
		b.rt.Say("What the builder made is kept. To run only the post-processors again: ingot post-process " + b.o.RunID)
	}
	if err := b.release(); err != nil {
		res.Err = errors.Join(res.Err, err)
	}
}

// artifact is what the builder makes, or what it has made in an earlier run.
func (b *build) artifact(ctx context.Context) (*component.Artifact, error) {
	made := outcome.Made{Build: b.plan.Addr.String(), Run: b.o.RunID, Dir: b.o.Dir}
	if from := b.o.Finished[made.Build]; from != nil {
		maps.Copy(b.facts, from.Facts)
		maps.Copy(b.facts, b.run.facts())
		b.rt.Say("Taking the artifact of run " + from.Run + ": " + from.Artifact.Summary)
		made = *from
		made.Inputs = nil // what is made of it now was not asked for
		b.remember(made)
		return made.Artifact, nil
	}
	artifact, err := b.make(ctx)
	if err != nil || artifact == nil {
		return artifact, err
	}
	made.At, made.Artifact, made.Facts = b.o.Clock.Now(), artifact, b.facts
	made.Marks = outcome.Mark(ctx, []*component.Artifact{artifact}, b.o.Dir, b.probe)
	made.Inputs = b.sameInputs(ctx)
	b.remember(made)
	return artifact, nil
}

// bind plans a build again that uses artifacts of others, now that they exist.
func (b *build) bind(ctx context.Context, made plan.Made) error {
	if b.plan.Bind == nil {
		return nil
	}
	bound, diags := b.plan.Bind(ctx, made)
	if err := b.refuse(b.rt, diags); err != nil {
		return err
	}
	b.plan = bound
	return nil
}

func (b *build) makeRun(events component.Sink, dir string) component.Run {
	o := b.o
	var expires time.Time
	if o.Lifetime > 0 {
		expires = b.start.Add(o.Lifetime)
	}
	return component.Run{
		ID: o.RunID, Build: b.plan.Addr, Journal: b.book, RunJournal: b.run.book, Events: events, Prompt: o.Prompt,
		WorkDir: dir, CacheDir: o.CacheDir, ReportDir: o.ReportDir, Clock: o.Clock, Limits: o.Limits, Expires: expires,
		Force: o.Force, Debug: o.Debug, Template: b.plan.Template, Sensitive: o.Sensitive,
		AtEnd: func(stop func()) {
			b.endsMu.Lock()
			defer b.endsMu.Unlock()
			b.ends = append(b.ends, stop)
		},
	}
}

// end stops what belongs to the machine in this process, newest first.
func (b *build) end() {
	for {
		b.endsMu.Lock()
		n := len(b.ends)
		if n == 0 {
			b.endsMu.Unlock()
			return
		}
		stop := b.ends[n-1]
		b.ends = b.ends[:n-1]
		b.endsMu.Unlock()
		stop()
	}
}

// inStep returns the Run bound to a step's events.
func (b *build) inStep(step addr.Step) component.Run {
	r := b.rt
	r.Events = b.sink(component.Origin{Build: b.plan.Addr, Step: step})
	return r
}

// phase runs fn as a phase: events around it, a pause before it with -debug.
func (b *build) phase(ctx context.Context, name component.Phase, fn func(context.Context) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := b.debugPause(ctx, string(name)); err != nil {
		return err
	}
	begin := b.o.Clock.Now()
	b.rt.Emit(component.PhaseStarted{Phase: name})
	err := fn(ctx)
	b.rt.Emit(component.PhaseEnded{Phase: name, Duration: b.o.Clock.Now().Sub(begin), Err: err})
	return err
}

// make runs the phases up to the artifact. On an error it has already done
// what -on-error asks for, except releasing.
func (b *build) make(ctx context.Context) (*component.Artifact, error) {
	var (
		job      = b.plan.Job
		machine  component.Machine
		comm     component.Communicator
		boot     = job.Boot
		artifact *component.Artifact
	)
	if pre, ok := job.(component.Preflighter); ok {
		if err := b.refuse(b.rt, pre.Preflight(ctx, b.rt)); err != nil {
			return nil, err
		}
	}
	defer b.end()
	defer func() {
		if comm != nil {
			comm.Close()
		}
	}()
	err := b.phase(ctx, component.PhasePrepare, func(ctx context.Context) (err error) {
		if err := job.Prepare(ctx, b.rt); err != nil {
			return err
		}
		if b.cache, err = b.openCache(ctx); err == nil && b.cache != nil {
			boot = func(ctx context.Context, _ component.Run) (component.Machine, error) { return b.cache.boot(ctx) }
		}
		return err
	})
	if err == nil {
		err = b.phase(ctx, component.PhaseBoot, func(ctx context.Context) (err error) {
			if machine, err = boot(ctx, b.rt); err != nil && machine != nil {
				b.diagnose(ctx, machine)
			}
			return err
		})
	}
	if err == nil {
		err = b.phase(ctx, component.PhaseConnect, func(ctx context.Context) (err error) {
			if comm, err = b.connect(ctx, machine); err != nil {
				b.diagnose(ctx, machine)
				return err
			}
			return b.cache.wake(ctx, machine, comm)
		})
	}
	if err == nil {
		err = b.phase(ctx, component.PhaseProvision, func(ctx context.Context) error {
			return b.provision(ctx, machine, comm)
		})
	}
	if err == nil {
		err = b.phase(ctx, component.PhaseCapture, func(ctx context.Context) (err error) {
			if s, ok := machine.(component.Stopper); ok {
				if err := s.Stop(ctx, b.rt, comm); err != nil {
					return err
				}
			}
			artifact, err = job.Capture(ctx, b.rt, machine)
			return err
		})
		if err == nil && artifact != nil {
			b.rt.Emit(component.ArtifactMade{Artifact: artifact})
		}
	}
	if err != nil {
		b.afterFailure(ctx, err)
	}
	return artifact, err
}

// afterFailure decides what becomes of the machine. A failed provisioner has
// its own part of this in provision, where the machine is still connected.
func (b *build) afterFailure(ctx context.Context, cause error) {
	if b.leave || len(b.book.Open()) == 0 {
		return
	}
	switch b.o.OnError {
	case Abort, RunCleanupProvisioner:
		b.leave = true
	case Ask:
		if errors.As(cause, new(finalError)) {
			return // the user has been asked
		}
		if b.ask(ctx, cause, []choice{choiceCleanup, choiceAbort}) == choiceAbort {
			b.leave = true
		}
	}
}

type choice int

const (
	choiceCleanup choice = iota
	choiceAbort
	choiceRetry
	choiceNext
	choiceShell
)

// letters are what is typed for the choices, and what that does.
var letters = map[choice][2]string{
	choiceCleanup: {"c", "clean up and exit"},
	choiceAbort:   {"a", "abort and leave everything as it is"},
	choiceRetry:   {"r", "retry the step"},
	choiceNext:    {"n", "go on with the next step"},
	choiceShell:   {"s", "open a shell on the machine"},
}

// ask offers choices of -on-error=ask. Without a terminal, and after an interrupt,
// the answer is to clean up. cause is nil when it is known already.
func (b *build) ask(ctx context.Context, cause error, offers []choice) choice {
	if ctx.Err() != nil {
		return choiceCleanup
	}
	if !b.o.Prompt.Interactive() {
		b.rt.Emit(component.Warning{Summary: "-on-error=ask: there is no terminal to ask at", Detail: "The machine is cleaned up."})
		return choiceCleanup
	}
	if cause != nil {
		b.rt.Emit(component.Problem{Text: cause.Error()})
	}
	texts := make([]string, len(offers))
	for i, c := range offers {
		texts[i] = fmt.Sprintf("[%s] %s", letters[c][0], letters[c][1])
	}
	question := fmt.Sprintf("%s failed. %s (default c): ", b.plan.Addr, strings.Join(texts, ", "))
	for {
		answer, err := b.o.Prompt.Ask(ctx, question)
		if err != nil {
			return choiceCleanup
		}
		answer = strings.ToLower(strings.TrimSpace(answer))
		if answer == "" {
			return choiceCleanup
		}
		for _, c := range offers {
			if answer == letters[c][0] {
				return c
			}
		}
	}
}

// release removes what the build still holds, on a context that an interrupt
// of the work does not end.
func (b *build) release() error {
	open := b.book.Open()
	if len(open) == 0 {
		return nil
	}
	if b.leave {
		for _, r := range open {
			b.rt.Emit(component.Warning{
				Summary: "Left as it is: " + r.Kind + " " + resourceName(r),
				Detail:  "-on-error=" + string(b.o.OnError) + " keeps it. `ingot reap` removes it when you are done.",
			})
		}
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(b.o.Release, releaseTimeout, errors.New("releasing took too long"))
	defer cancel()
	begin := b.o.Clock.Now()
	b.rt.Emit(component.PhaseStarted{Phase: component.PhaseRelease})
	err := b.book.ReleaseAll(ctx)
	b.rt.Emit(component.PhaseEnded{Phase: component.PhaseRelease, Duration: b.o.Clock.Now().Sub(begin), Err: err})
	if err != nil {
		return fmt.Errorf("release: %w (run `ingot reap` to try again)", err)
	}
	return nil
}

// refuse says what is wrong with a configuration and returns it as an error;
// nil when nothing is.
func (b *build) refuse(r component.Run, l diag.List) error {
	warn(r, l)
	if l = l.Errors(); len(l) == 0 {
		return nil
	}
	if b.o.Explain != nil {
		r.Emit(component.Problem{Text: b.o.Explain(l)})
	}
	return retry.As(retry.User, l.Err())
}

// warn emits the warnings among findings.
func warn(r component.Run, l diag.List) {
	for _, d := range l.Warnings() {
		r.Emit(component.Warning{Summary: d.Summary, Detail: d.Detail})
	}
}

func resourceName(r component.Resource) string {
	if r.ID != "" {
		return r.ID
	}
	return r.Token
}

// debugPause waits for Enter before what is named when -debug is on and
// somebody is there.
func (b *build) debugPause(ctx context.Context, before string) error {
	if !b.o.Debug || !b.o.Prompt.Interactive() {
		return nil
	}
	_, err := b.o.Prompt.Ask(ctx, fmt.Sprintf("%s: pausing before %s. Press Enter to continue. ", b.plan.Addr, before))
	return err
}

// connect reaches the machine and completes the facts.
func (b *build) connect(ctx context.Context, m component.Machine) (component.Communicator, error) {
	maps.Copy(b.facts, m.Facts())
	if self, ok := m.(component.SelfDialer); ok {
		comm, err := self.Dial(ctx, b.rt)
		if err != nil {
			return nil, err
		}
		b.noteTransport(comm, component.Endpoint{})
		return comm, nil
	}
	ep, err := b.firstEndpoint(ctx, m)
	if err != nil {
		return nil, err
	}
	dialer := b.o.Dialers[ep.Transport]
	if dialer == nil {
		return nil, fmt.Errorf("no communicator %q in this program", ep.Transport)
	}
	label := map[string]string{"ssh": "SSH", "winrm": "WinRM"}[ep.Transport]
	told := false
	tell := func(ep component.Endpoint) {
		if label != "" && ep.Host != "" && !told {
			told = true
			b.rt.Say(fmt.Sprintf("Using %s communicator to connect: %s", label, ep.Host))
		}
	}
	tell(ep)
	// Keep what the dialer saw last: that is the address it connected to.
	last := ep
	comm, err := dialer.Dial(ctx, b.rt, func(ctx context.Context) (component.Endpoint, error) {
		ep, err := m.Endpoint(ctx)
		if err == nil {
			last = ep
			tell(ep)
		}
		return ep, err
	})
	if err != nil {
		return nil, err
	}
	if label != "" {
		b.rt.Say("Connected to " + label + "!")
	}
	b.noteTransport(comm, last)
	return comm, nil
}

// firstEndpoint asks for the endpoint until its transport is known, which
// decides who waits from there on.
func (b *build) firstEndpoint(ctx context.Context, m component.Machine) (component.Endpoint, error) {
	begin := b.o.Clock.Now()
	for delay := 20 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		ep, err := m.Endpoint(ctx)
		switch {
		case err == nil || !isTransient(err):
			return ep, err
		case ep.Transport != "":
			return ep, nil
		}
		elapsed := b.o.Clock.Now().Sub(begin)
		if elapsed > endpointTimeout {
			return ep, fmt.Errorf("the machine got no address within %s: %w", endpointTimeout, err)
		}
		b.rt.Emit(component.Waiting{For: "address of the machine", Detail: err.Error(), Elapsed: elapsed})
		if err := b.o.Clock.Sleep(ctx, delay); err != nil {
			return ep, err
		}
	}
}

// endpointTimeout is how long a machine may take to know its own address.
const endpointTimeout = 10 * time.Minute

// noteTransport adds what the connection says to the facts, and hands secrets
// to the redactor.
func (b *build) noteTransport(comm component.Communicator, ep component.Endpoint) {
	set := func(name, value string) {
		if _, taken := b.facts[name]; !taken && value != "" {
			b.facts[name] = cty.StringVal(value)
		}
	}
	set("ConnType", comm.Caps().Transport)
	set("Host", ep.Host)
	if c := ep.Connection; c != nil {
		port, user, password := c.SSHPort, c.SSHUsername, c.SSHPassword
		if ep.Transport == "winrm" {
			port, user, password = c.WinRMPort, c.WinRMUser, c.WinRMPassword
			set("WinRMPassword", password)
		}
		if ep.Port != 0 {
			port = ep.Port
		}
		if _, taken := b.facts["Port"]; !taken && port != 0 {
			b.facts["Port"] = cty.NumberIntVal(int64(port))
		}
		set("User", user)
		set("Password", password)
		set("SSHPublicKey", string(c.SSHPublicKey))
		set("SSHPrivateKey", string(c.SSHPrivateKey))
		for _, secret := range []string{password, string(c.SSHPrivateKey)} {
			if secret != "" {
				b.o.Sensitive(secret)
			}
		}
	}
	b.rt.Template.Build = plan.FactTexts(b.facts)
}
