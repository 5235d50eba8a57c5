package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/history"
	"ingot/internal/ui"
)

// view is what the template shows. Texts are as they are; html/template escapes
// them where they stand.
type view struct {
	Style     template.CSS
	Title     string
	Result    history.Result
	Facts     []fact
	Findings  []finding
	Failures  []failure
	Notes     []line
	Builds    []build
	Ticks     []tick
	Resources []resource
	Damaged   int
}

type fact struct{ Name, Value string }

type finding struct{ Severity, Summary, Detail, Place string }

// failure is one build that failed, for the top of the page.
type failure struct {
	ID, Anchor, Error, Where string
	Last                     []line
}

type tick struct {
	Left float64
	Text string
}

// bar is a stretch of the timeline, in percent of its width.
type bar struct {
	Left, Width float64
	State       string
	Title       string
}

// row is one line of the timeline.
type row struct {
	Label, Took string
	Kind        string // build, phase, step, wait or resource
	Bars        []bar
	Marks       []bar
}

type build struct {
	ID, Anchor string
	Result     history.Result
	Took       string
	Error      string
	Started    bool
	Rows       []row
	Retries    []retry
	Phases     []phase
	Resources  []resource
	Programs   int
	Artifacts  []artifact
	Log        log
}

type phase struct {
	Name, Took string
	State      history.Result
	Error      string
	Steps      []step
	Waits      []wait
	Log        log
}

type step struct {
	Label, Name, Took string
	State             history.Result
	Error             string
	Tolerated         bool
	Skipped           bool
	Attempts          int
	Retries           []retry
	Waits             []wait
	Log               log
	Open              bool
}

type retry struct{ What, Class, Delay, At, Error string }

type wait struct {
	For, Detail, Took string
	Attempts          int
	Failed            bool
	Error             string
	Stages            []stage
}

type stage struct {
	Name, Took, State string
	Width             float64
}

type log struct {
	Count, Missing int
	Head, Tail     []line
}

type line struct {
	At, Text string
	Kind     history.LineKind
}

type resource struct {
	Kind, ID, From, To, Took, Error string
	Fate                            history.Fate
}

type artifact struct {
	Producer, ID, Summary string
	Files                 []file
	Images                []component.Image
}

type file struct{ Path, Size, Digest string }

// scale turns offsets into percent of the width.
type scale struct{ total time.Duration }

func (s scale) percent(d time.Duration) float64 {
	return round(min(max(100*float64(d)/float64(s.total), 0), 100))
}

// round to what can be seen on the largest screen.
func round(percent float64) float64 { return math.Round(percent*100) / 100 }

// leastWidth is how wide a bar has to be to be seen, in percent.
const leastWidth = 0.2

// bar is at least wide enough to be seen.
func (s scale) bar(sp history.Span, state, title string) bar {
	left := min(s.percent(sp.Begin), 100-leastWidth)
	width := round(max(s.percent(sp.End)-left, leastWidth))
	return bar{Left: left, Width: width, State: state, Title: title + ": " + ui.ShortDuration(sp.Took())}
}

// maker makes the view of a run.
type maker struct {
	run *history.Run
	scale
}

func newView(run *history.Run) *view {
	m := maker{run: run, scale: scale{max(lastMoment(run), time.Millisecond)}}
	v := &view{
		Style: template.CSS(style), Title: run.Template, Result: run.Result, Ticks: m.ticks(), Damaged: run.Damaged,
		Facts: facts(run),
	}
	for _, f := range run.Findings {
		place := ""
		if f.File != "" {
			place = fmt.Sprintf("%s line %d", f.File, f.Line)
		}
		v.Findings = append(v.Findings, finding{f.Severity, f.Summary, f.Detail, place})
	}
	v.Notes = append(lines(run.Log.Head()), lines(run.Log.Tail())...)
	for i, b := range run.Builds {
		anchor := fmt.Sprintf("build-%d", i)
		v.Builds = append(v.Builds, m.build(b, anchor))
		if b.Err != nil {
			v.Failures = append(v.Failures, m.failure(b, anchor))
		}
	}
	for _, r := range run.Resources {
		v.Resources = append(v.Resources, m.resource(r))
	}
	return v
}

// lastMoment is the end of the timeline.
func lastMoment(run *history.Run) time.Duration {
	last := run.Took
	for _, b := range run.Builds {
		last = max(last, b.End)
	}
	return last
}

func facts(run *history.Run) []fact {
	out := []fact{
		{"Started", run.Started.UTC().Format("2006-01-02 15:04:05 UTC")},
		{"Took", ui.SpellDuration(run.Took)},
		{"Folder", run.Dir},
		{"Version", "ingot " + run.Version},
	}
	if len(run.Flags) > 0 {
		out = append(out, fact{"Flags", strings.Join(run.Flags, " ")})
	}
	if run.Interrupted != "" {
		out = append(out, fact{"Stopped", run.Interrupted})
	}
	return append(out, fact{"Run", run.RunID})
}

// ticks are at most ten marks at round times.
func (m maker) ticks() []tick {
	const most = 10
	steps := []time.Duration{1, 2, 5, 10, 20, 50, 100, 200, 500}
	for i := range steps {
		steps[i] *= time.Millisecond
	}
	for _, s := range []time.Duration{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200} {
		steps = append(steps, s*time.Second)
	}
	every := steps[len(steps)-1]
	for _, s := range steps {
		if m.total/s <= most {
			every = s
			break
		}
	}
	for m.total/every > most {
		every *= 2
	}
	var out []tick
	for at := time.Duration(0); at <= m.total; at += every {
		t := tick{Left: m.percent(at)}
		if t.Left < 96 { // further right there is no room for it
			t.Text = offset(at)
		}
		out = append(out, t)
	}
	return out
}

// offset is a time since the run began.
func offset(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	return ui.ShortDuration(d)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func lines(list []history.Line) []line {
	var out []line
	for _, l := range list {
		out = append(out, line{offset(l.At), l.Text, l.Kind})
	}
	return out
}

func newLog(l *history.Log) log {
	return log{l.Count(), l.Missing(), lines(l.Head()), lines(l.Tail())}
}

func (m maker) failure(b *history.Build, anchor string) failure {
	const most = 12
	f := failure{ID: b.ID, Anchor: anchor, Error: errText(b.Err)}
	place, log := b.FirstFailure()
	f.Where = place
	if log == nil {
		return f
	}
	all := append(lines(log.Head()), lines(log.Tail())...)
	f.Last = all[max(len(all)-most, 0):]
	return f
}

func (m maker) build(b *history.Build, anchor string) build {
	out := build{
		ID: b.ID, Anchor: anchor, Result: b.Result(m.run), Took: ui.ShortDuration(b.Took()), Error: errText(b.Err), Started: b.Started,
		Rows: m.rows(b), Retries: m.retries(b.Retries), Log: newLog(&b.Log),
	}
	for _, p := range b.Phases {
		out.Phases = append(out.Phases, m.phase(p))
	}
	for _, r := range b.Resources {
		if r.IsEndedProgram() {
			out.Programs++
			continue
		}
		out.Resources = append(out.Resources, m.resource(r))
	}
	for _, a := range b.Artifacts {
		if a != nil {
			out.Artifacts = append(out.Artifacts, newArtifact(a))
		}
	}
	return out
}

func (m maker) phase(p *history.Phase) phase {
	out := phase{
		Name: p.Label(), Took: ui.ShortDuration(p.Took()), State: p.Result(m.run), Error: errText(p.Err),
		Waits: waits(p.Waits), Log: newLog(&p.Log),
	}
	if out.Name == "" {
		out.Name = "clean-up"
	}
	for _, s := range p.Steps {
		out.Steps = append(out.Steps, m.step(s))
	}
	return out
}

func (m maker) step(s *history.Step) step {
	out := step{
		Label: stepNumber(s.Step), Name: s.Name, Took: ui.ShortDuration(s.Took()), State: s.Result(m.run), Error: errText(s.Err),
		Tolerated: s.Tolerated, Skipped: s.Skipped, Attempts: s.Attempts, Retries: m.retries(s.Retries), Waits: waits(s.Waits), Log: newLog(&s.Log),
	}
	out.Open = out.State == history.Failed && !s.Tolerated
	return out
}

// stepNumber says which step it is, as people count.
func stepNumber(s addr.Step) string {
	switch s.Kind {
	case addr.Provisioner:
		return fmt.Sprintf("provisioner %d: %s", s.Index+1, s.Type)
	case addr.Check:
		return fmt.Sprintf("check %d: %s", s.Index+1, s.Type)
	case addr.PostProcessor:
		return fmt.Sprintf("post-processor %d.%d: %s", s.Chain+1, s.Index+1, s.Type)
	}
	return s.Kind.String() + ": " + s.Type
}

func (m maker) retries(list []history.Retry) []retry {
	var out []retry
	for _, r := range list {
		out = append(out, retry{
			What: fmt.Sprintf("attempt %d of %s", r.Attempt, r.What), Class: r.Class, Delay: ui.ShortDuration(r.Delay), At: offset(r.At), Error: errText(r.Err),
		})
	}
	return out
}

func waits(list []*history.Wait) []wait {
	var out []wait
	for _, w := range list {
		x := wait{For: w.For, Detail: w.Detail, Took: ui.ShortDuration(w.Took()), Attempts: w.Attempts, Failed: w.Err != nil, Error: errText(w.Err)}
		for _, s := range w.Stages {
			width := 0.0
			if w.Took() > 0 {
				width = scale{w.Took()}.percent(s.Took)
			}
			x.Stages = append(x.Stages, stage{s.Name, ui.ShortDuration(s.Took), string(s.State), width})
		}
		out = append(out, x)
	}
	return out
}

func (m maker) resource(r *history.Resource) resource {
	id := r.ID
	if id == "" {
		id = r.Token
	}
	return resource{
		Kind: r.Kind, ID: id, From: offset(r.Begin), To: offset(r.End), Took: ui.ShortDuration(r.Took()), Fate: r.Fate, Error: errText(r.Err),
	}
}

func newArtifact(a *component.Artifact) artifact {
	out := artifact{Producer: a.Producer, ID: a.ID, Summary: a.Summary, Images: a.Images}
	for _, f := range a.Files {
		out.Files = append(out.Files, file{f.Path, ui.FormatBytes(f.Size), f.Digest})
	}
	return out
}

// rows are the lines of the timeline of a build: the build, its phases with their
// steps and waits, and its resources.
func (m maker) rows(b *history.Build) []row {
	if !b.Started {
		return nil
	}
	whole := row{Label: b.ID, Kind: "build", Took: ui.ShortDuration(b.Took()), Bars: []bar{m.bar(b.Span, string(b.Result(m.run)), b.ID)}}
	whole.Marks = m.marks(b.Retries)
	out := []row{whole}
	for _, p := range b.Phases {
		out = append(out, m.phaseRows(p)...)
	}
	for _, r := range b.Resources {
		if r.IsEndedProgram() {
			continue
		}
		out = append(out, row{Label: r.Kind, Kind: "resource", Took: ui.ShortDuration(r.Took()), Bars: []bar{m.bar(r.Span, fateState(r.Fate), string(r.Fate))}})
	}
	return out
}

func fateState(f history.Fate) string {
	if f == history.Stuck {
		return string(history.Failed)
	}
	return "resource"
}

func (m maker) phaseRows(p *history.Phase) []row {
	var out []row
	// A phase in which nothing happened is passed over.
	idle := p.Ended && p.Err == nil && len(p.Steps)+len(p.Waits) == 0 && m.percent(p.Took()) < leastWidth
	if p.Name != "" && !idle {
		out = append(out, row{Label: p.Label(), Kind: "phase", Took: ui.ShortDuration(p.Took()), Bars: []bar{m.bar(p.Span, string(p.Result(m.run)), p.Label())}})
	}
	for _, w := range p.Waits {
		out = append(out, m.waitRow(w))
	}
	for _, s := range p.Steps {
		state := string(s.Result(m.run))
		if s.Tolerated {
			state = "tolerated"
		}
		r := row{Label: s.Step.Label(), Kind: "step", Took: ui.ShortDuration(s.Took()), Marks: m.marks(s.Retries)}
		for _, part := range attempts(s) {
			r.Bars = append(r.Bars, m.bar(part, state, stepNumber(s.Step)))
		}
		for i := range len(r.Bars) - 1 {
			r.Bars[i].State = string(history.Failed)
		}
		out = append(out, r)
		for _, w := range s.Waits {
			out = append(out, m.waitRow(w))
		}
	}
	return out
}

// attempts are the stretches in which a step was at work, without the pauses
// between its attempts.
func attempts(s *history.Step) []history.Span {
	var out []history.Span
	begin := s.Begin
	for _, r := range s.Retries {
		out = append(out, history.Span{Begin: begin, End: max(r.At, begin), Ended: true})
		begin = min(max(r.At+r.Delay, begin), s.End)
	}
	return append(out, history.Span{Begin: begin, End: s.End, Ended: s.Ended})
}

func (m maker) marks(list []history.Retry) []bar {
	var out []bar
	for _, r := range list {
		out = append(out, bar{Left: m.percent(r.At), Title: fmt.Sprintf("attempt %d failed (%s)", r.Attempt, r.Class)})
	}
	return out
}

// waitRow has a bar for each stage.
func (m maker) waitRow(w *history.Wait) row {
	out := row{Label: w.For, Kind: "wait", Took: ui.ShortDuration(w.Took())}
	at := w.Begin
	for _, s := range w.Stages {
		if s.Took > 0 {
			state := "wait"
			if s.State == component.StageFailed {
				state = string(history.Failed)
			}
			out.Bars = append(out.Bars, m.bar(history.Span{Begin: at, End: at + s.Took}, state, s.Name))
		}
		at += s.Took
	}
	if len(out.Bars) == 0 {
		out.Bars = []bar{m.bar(w.Span, "wait", w.For)}
	}
	return out
}
