package history

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"time"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/procid"
	"ingot/internal/ui"
)

// Result is what became of a run, or of a part of one.
type Result string

// The results.
const (
	// Running: it goes on.
	Running Result = "running"
	// Succeeded: it did what it was to do.
	Succeeded Result = "succeeded"
	// Failed: it, or a part of it, did not.
	Failed Result = "failed"
	// Interrupted: a signal stopped it, and it has released what it held.
	Interrupted Result = "interrupted"
	// Killed: its process has vanished before the end.
	Killed Result = "killed"
)

// Options choose how much of what was printed a Run keeps of each step.
type Options struct {
	// Head and Tail are how many lines are kept from the beginning and from the
	// end.
	Head, Tail int
}

// Run is what the events of a run add up to. All offsets are measured from its
// start.
type Run struct {
	Header
	Result Result
	// Took is the time to the end, or to the last event.
	Took time.Duration
	// Ended says that the run has told its end. Interrupted is what stopped it.
	Ended       bool
	Interrupted string
	// Failed is how many builds failed, as the run has told.
	Failed   int
	Findings []Finding
	Builds   []*Build
	// Resources are those of the run itself, and Log what was said about no
	// build.
	Resources []*Resource
	Log       Log
	// Damaged counts the lines that could not be read.
	Damaged int
}

// Span is a stretch of time. Of what has not ended, End is that of the last event.
type Span struct {
	Begin, End time.Duration
	Ended      bool
}

// Took is how long it was.
func (s Span) Took() time.Duration { return max(s.End-s.Begin, 0) }

// Build is one build of a run.
type Build struct {
	ID string
	Span
	// Started is false of a build that waited for others to the end.
	Started   bool
	Err       error
	Phases    []*Phase
	Retries   []Retry
	Resources []*Resource
	// Artifacts are those at the end; an element is nil where a builder made
	// nothing by design. Before the end they are those that were made.
	Artifacts []*component.Artifact
	// Earlier is the run that has made them when this one has not.
	Earlier string
	Log     Log
}

// Phase is one phase of a build. A build that was made again has each more than
// once.
type Phase struct {
	Name string
	// Test is the name of the test that it is; empty for other phases.
	Test string
	Span
	Err   error
	Steps []*Step
	Waits []*Wait
	Log   Log
}

// Step is one provisioner or post-processor.
type Step struct {
	addr.Step
	Span
	Err error
	// Tolerated: it failed, and the build went on.
	Tolerated bool
	// Skipped: it did not run, because of Reason.
	Skipped  bool
	Reason   string
	Attempts int
	Retries  []Retry
	Waits    []*Wait
	Log      Log
}

// Retry is a failure after which something was tried again.
type Retry struct {
	What, Class string
	// Attempt is how many attempts were made, At when the last one failed.
	Attempt int
	At      time.Duration
	Delay   time.Duration
	Err     error
}

// Wait is a wait for something, with its stages when they are known.
type Wait struct {
	For string
	Span
	// Detail is what was seen last.
	Detail   string
	Attempts int
	Stages   []component.WaitStage
	Err      error
}

// Fate is what became of a resource.
type Fate string

// The fates.
const (
	Held     Fate = "held"
	Released Fate = "released"
	Kept     Fate = "kept"
	// Stuck: it could not be removed.
	Stuck Fate = "not removed"
)

// Resource is something that could outlive the run.
type Resource struct {
	component.Resource
	Span
	Fate Fate
	Err  error
}

// IsEndedProgram reports whether it is a process on this machine that has ended:
// there is one for each local script, and nothing left of it.
func (r *Resource) IsEndedProgram() bool {
	return r.Kind == procid.Kind && (r.Fate == Kept || r.Fate == Released)
}

// Label is the name of the phase, and of the test that it is.
func (p *Phase) Label() string {
	if p.Test != "" {
		return fmt.Sprintf("%s %q", p.Name, p.Test)
	}
	return p.Name
}

// FirstFailure is where a build failed first, "" when that is not known, and what
// was printed there.
func (b *Build) FirstFailure() (where string, log *Log) {
	for _, p := range b.Phases {
		for _, s := range p.Steps {
			if s.Err != nil && !s.Tolerated {
				return s.Step.String(), &s.Log
			}
		}
		if p.Err != nil {
			return p.Label(), &p.Log
		}
	}
	return "", nil
}

// Result is what became of a build of a run.
func (b *Build) Result(r *Run) Result { return spanResult(r, b.Span, b.Err) }

// Result is what became of a phase.
func (p *Phase) Result(r *Run) Result { return spanResult(r, p.Span, p.Err) }

// Result is what became of a step.
func (s *Step) Result(r *Run) Result { return spanResult(r, s.Span, s.Err) }

func spanResult(r *Run, s Span, err error) Result {
	switch {
	case err != nil && r.Interrupted != "":
		return Interrupted
	case err != nil:
		return Failed
	case s.Ended:
		return Succeeded
	case r.Result == Running:
		return Running
	}
	return Killed
}

// Read makes a Run of all that in has. alive says whether its process is still
// there.
func Read(in io.Reader, o Options, alive bool) (*Run, error) {
	lines, err := NewReader(in)
	if err != nil {
		return nil, err
	}
	b := newBuilder(lines.Header(), o)
	for {
		e, err := lines.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		b.add(e)
	}
	b.run.Damaged = lines.Damaged
	return b.finish(alive), nil
}

// builder adds up events.
type builder struct {
	o    Options
	run  *Run
	at   time.Duration // of the last event
	of   map[addr.Build]*current
	list []*current
}

// current is what is going on in a build; the zero address is the run itself.
type current struct {
	build     *Build
	phase     *Phase
	step      *Step
	steps     map[addr.Step]*Step
	resources map[string]*Resource
}

func newBuilder(h Header, o Options) *builder {
	return &builder{o: o, run: &Run{Header: h}, of: map[addr.Build]*current{}}
}

func (b *builder) current(id addr.Build) *current {
	c := b.of[id]
	if c == nil {
		c = &current{steps: map[addr.Step]*Step{}, resources: map[string]*Resource{}}
		if !id.IsZero() {
			c.build = &Build{ID: id.String()}
			b.run.Builds = append(b.run.Builds, c.build)
		}
		b.of[id] = c
		b.list = append(b.list, c)
	}
	return c
}

func (b *builder) add(e Entry) {
	if e.Finding != nil {
		b.run.Findings = append(b.run.Findings, *e.Finding)
		return
	}
	b.at = max(b.at, e.Since)
	switch ev := e.Event.(type) {
	case component.RunStarted:
		for _, id := range ev.Builds {
			b.current(id)
		}
		return
	case component.RunEnded:
		b.run.Ended, b.run.Took = true, ev.Duration
		b.run.Failed, b.run.Interrupted = ev.Failed, ev.Interrupted
		return
	}
	c := b.current(e.Build)
	switch ev := e.Event.(type) {
	case component.ResourceHeld:
		b.resource(c, ev.Resource, Held, nil)
	case component.ResourceReleased:
		fate := Released
		if ev.Err != nil {
			fate = Stuck
		}
		b.resource(c, ev.Resource, fate, ev.Err)
	case component.ResourceKept:
		b.resource(c, ev.Resource, Kept, nil)
	default:
		if c.build != nil && c.frame(e.Stamped) {
			return
		}
		b.said(c, e.Stamped)
	}
}

// frame takes the events that begin and end something.
func (c *current) frame(s component.Stamped) bool {
	switch e := s.Event.(type) {
	case component.BuildStarted:
		c.build.Started, c.build.Begin, c.build.End = true, s.Since, s.Since
	case component.BuildEnded:
		c.build.Ended, c.build.End, c.build.Err, c.build.Artifacts = true, s.Since, e.Err, e.Artifacts
		c.build.Earlier = e.Earlier
		if !c.build.Started {
			c.build.Begin = s.Since
		}
		c.phase, c.step = nil, nil
	case component.PhaseStarted:
		c.phase = &Phase{Name: string(e.Phase), Test: e.Test, Span: Span{Begin: s.Since, End: s.Since}}
		c.build.Phases = append(c.build.Phases, c.phase)
		clear(c.steps)
		c.step = nil
	case component.PhaseEnded:
		if c.phase != nil && c.phase.Name == string(e.Phase) {
			c.phase.Ended, c.phase.End, c.phase.Err = true, s.Since, e.Err
		}
		c.step, c.phase = nil, nil
	case component.StepStarted:
		c.step = &Step{Step: s.Step, Span: Span{Begin: s.Since, End: s.Since}}
		c.steps[s.Step] = c.step
		p := c.inPhase(s.Since)
		p.Steps = append(p.Steps, c.step)
	case component.StepSkipped:
		p := c.inPhase(s.Since)
		p.Steps = append(p.Steps, &Step{Step: s.Step, Span: Span{Begin: s.Since, End: s.Since, Ended: true}, Skipped: true, Reason: e.Reason})
	case component.StepEnded:
		if st := c.steps[s.Step]; st != nil {
			st.Ended, st.End, st.Err = true, s.Since, e.Err
			st.Attempts, st.Tolerated = e.Attempts, e.Tolerated
		}
		c.step = nil
	case component.ArtifactMade:
		c.build.Artifacts = append(c.build.Artifacts, e.Artifact)
	default:
		return false
	}
	return true
}

// inPhase is the phase that is going on, or one without a name: the
// error-cleanup-provisioner runs outside of the others.
func (c *current) inPhase(at time.Duration) *Phase {
	if c.phase == nil {
		c.phase = &Phase{Span: Span{Begin: at, End: at}}
		c.build.Phases = append(c.build.Phases, c.phase)
	}
	return c.phase
}

// place is what something that was said belongs to.
type place struct {
	log     *Log
	retries *[]Retry
	waits   *[]*Wait
}

func (b *builder) placeOf(c *current, s component.Stamped) place {
	switch {
	case c.build == nil:
		return place{log: &b.run.Log}
	case !s.Step.IsZero() && c.steps[s.Step] != nil:
		st := c.steps[s.Step]
		return place{&st.Log, &st.Retries, &st.Waits}
	case c.phase != nil:
		return place{&c.phase.Log, &c.build.Retries, &c.phase.Waits}
	}
	return place{log: &c.build.Log, retries: &c.build.Retries}
}

func (b *builder) said(c *current, s component.Stamped) {
	p := b.placeOf(c, s)
	switch e := s.Event.(type) {
	case component.Output:
		kind := Stdout
		if e.Stream == component.Stderr {
			kind = Stderr
		}
		b.line(p, s, kind, e.Line)
	case component.Message:
		b.line(p, s, Said, e.Text)
	case component.Problem:
		b.line(p, s, Trouble, e.Text)
	case component.Warning:
		text := "Warning: " + e.Summary
		if e.Detail != "" {
			text += "\n" + e.Detail
		}
		b.line(p, s, Caution, text)
	case component.Progress:
		if e.Finished {
			b.line(p, s, Said, cmp.Or(e.Label, e.ID)+": "+ui.FormatBytes(max(e.Done, 0)))
		}
	case component.Retrying:
		if p.retries != nil {
			*p.retries = append(*p.retries, Retry{e.What, e.Class, e.Attempt, s.Since, e.Delay, e.Err})
		}
	case component.Waiting:
		if p.waits != nil {
			w := waitFor(p.waits, e.For, s.Since-e.Elapsed)
			w.End, w.Detail = s.Since, e.Detail
		}
	case component.WaitEnded:
		if p.waits != nil {
			// The stages were waited for one by one until now.
			begin := max(s.Since-e.Elapsed, 0)
			*p.waits = append(withoutStages(*p.waits, begin), &Wait{
				For: e.For, Span: Span{begin, s.Since, true}, Attempts: e.Attempts, Stages: e.Stages, Err: e.Err,
			})
		}
	}
}

func waitFor(waits *[]*Wait, what string, begin time.Duration) *Wait {
	for _, w := range *waits {
		if w.For == what && !w.Ended {
			return w
		}
	}
	w := &Wait{For: what, Span: Span{Begin: max(begin, 0)}}
	*waits = append(*waits, w)
	return w
}

// closeWaits gives an end to the waits of which none was told: what is waited for
// is waited for until it is something else, or the end of all.
func closeWaits(waits []*Wait, end time.Duration) {
	for i, w := range waits {
		if w.Ended {
			continue
		}
		w.End = end
		if i+1 < len(waits) {
			w.End = waits[i+1].Begin
		}
		w.End = max(w.End, w.Begin)
	}
}

// withoutStages leaves out the open waits that began no earlier than begin: a
// tenth of a second is for the clock's grain.
func withoutStages(waits []*Wait, begin time.Duration) []*Wait {
	var out []*Wait
	for _, w := range waits {
		if w.Ended || w.Begin < begin-100*time.Millisecond {
			out = append(out, w)
		}
	}
	return out
}

func (b *builder) line(p place, s component.Stamped, kind LineKind, text string) {
	p.log.add(b.o, Line{At: s.Since, Kind: kind, Text: text})
}

func (b *builder) resource(c *current, r component.Resource, fate Fate, err error) {
	known := c.resources[r.Token]
	if known == nil {
		known = &Resource{Span: Span{Begin: b.at}}
		c.resources[r.Token] = known
		if c.build != nil {
			c.build.Resources = append(c.build.Resources, known)
		} else {
			b.run.Resources = append(b.run.Resources, known)
		}
	}
	known.Resource, known.Fate, known.Err = r, fate, err
	known.End, known.Ended = b.at, fate == Released || fate == Kept
}

// finish closes what is open at the last event, and says what became of all.
func (b *builder) finish(alive bool) *Run {
	r := b.run
	if !r.Ended {
		r.Took = b.at
	}
	switch {
	case !r.Ended && alive:
		r.Result = Running
	case !r.Ended:
		r.Result = Killed
	case r.Interrupted != "":
		r.Result = Interrupted
	case r.Failed > 0 || r.Incomplete:
		r.Result = Failed
	default:
		r.Result = Succeeded
	}
	open := func(s *Span) {
		if !s.Ended {
			s.End = max(b.at, s.Begin)
		}
	}
	for _, c := range b.list {
		for _, res := range c.resources {
			open(&res.Span)
		}
		if c.build == nil {
			continue
		}
		if c.build.Started {
			open(&c.build.Span)
		}
		for _, p := range c.build.Phases {
			// A phase without a name lasts as long as its steps.
			if p.Name == "" && len(p.Steps) > 0 && p.Steps[len(p.Steps)-1].Ended {
				p.Ended, p.End = true, p.Steps[len(p.Steps)-1].End
			}
			open(&p.Span)
			closeWaits(p.Waits, p.End)
			for _, s := range p.Steps {
				open(&s.Span)
				closeWaits(s.Waits, s.End)
			}
		}
	}
	return r
}

// StepsDone is how many of the provisioners of a build were done in the end, from the
// first one on.
func (b *Build) StepsDone() int {
	n := 0
	for _, p := range b.Phases {
		if p.Name != string(component.PhaseProvision) {
			continue
		}
		n = 0 // a build that was made again has begun from the first one
		for _, s := range p.Steps {
			if s.Kind != addr.Provisioner || !s.Ended || s.Err != nil && !s.Tolerated {
				break
			}
			n = s.Index + 1
		}
	}
	return n
}
