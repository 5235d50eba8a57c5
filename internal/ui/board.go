package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"ingot/internal/addr"
	"ingot/internal/component"
)

// board knows what each build is doing now and how long everything took. It
// is what the live lines and the table of times are made from. It is not safe
// for concurrent use.
type board struct {
	builds []*buildState
	byAddr map[addr.Build]*buildState
}

type buildState struct {
	addr    addr.Build
	tone    tone
	begun   time.Time
	running bool
	ended   bool
	took    time.Duration
	err     error
	phases  []*phaseState

	waiting   *component.Waiting
	waitSeen  time.Time
	retrying  *component.Retrying
	retryAt   time.Time
	transfers []*transferState
}

type phaseState struct {
	phase component.Phase
	steps []*stepState
	stretch
}

type stepState struct {
	addr      addr.Step
	attempts  int
	tolerated bool
	stretch
}

// stretch is some work, ended or not.
type stretch struct {
	begun time.Time
	ended bool
	took  time.Duration
	err   error
}

type transferState struct {
	key         string
	label       string
	done, total int64
	// rate in bytes per second, smoothed; sampled is when it was measured
	// last, at which point from bytes were done.
	rate    float64
	sampled time.Time
	from    int64
	// finished ones stay until all are, so that the bar does not go back.
	finished bool
}

func (b *board) of(a addr.Build) *buildState {
	s, ok := b.byAddr[a]
	if !ok {
		if b.byAddr == nil {
			b.byAddr = map[addr.Build]*buildState{}
		}
		s = &buildState{addr: a, tone: buildTones[len(b.builds)%len(buildTones)]}
		b.byAddr[a] = s
		b.builds = append(b.builds, s)
	}
	return s
}

// handle takes note of the event.
func (b *board) handle(s *component.Stamped) {
	switch e := s.Event.(type) {
	case component.RunStarted:
		for _, a := range e.Builds {
			b.of(a)
		}
		return
	case component.RunEnded:
		for _, t := range b.builds {
			t.running = false
		}
		return
	}
	if s.Build.IsZero() {
		return
	}
	t := b.of(s.Build)
	switch e := s.Event.(type) {
	case component.BuildStarted:
		t.quiet()
		t.begun, t.running = s.At, true
	case component.BuildEnded:
		t.quiet()
		t.running, t.ended, t.took, t.err = false, true, e.Duration, e.Err
	case component.PhaseStarted:
		t.quiet()
		t.phases = append(t.phases, &phaseState{phase: e.Phase, stretch: stretch{begun: s.At}})
	case component.PhaseEnded:
		t.quiet()
		if p := t.phase(); p != nil && p.phase == e.Phase {
			p.end(e.Duration, e.Err)
		}
	case component.StepStarted:
		t.quiet()
		p := t.phase()
		if p == nil {
			p = &phaseState{}
			t.phases = append(t.phases, p)
		}
		p.steps = append(p.steps, &stepState{addr: s.Step, stretch: stretch{begun: s.At}})
	case component.StepEnded:
		t.quiet()
		if x := t.step(s.Step); x != nil {
			x.attempts, x.tolerated = e.Attempts, e.Tolerated
			x.end(e.Duration, e.Err)
		}
	case component.Waiting:
		t.waiting, t.waitSeen, t.retrying = &e, s.At, nil
	case component.WaitEnded:
		t.waiting = nil
	case component.Retrying:
		t.retrying, t.retryAt = &e, s.At
	case component.Output, component.Message:
		t.waiting, t.retrying = nil, nil
	case component.Progress:
		t.waiting, t.retrying = nil, nil
		t.progress(e, s)
	}
}

func (s *stretch) end(took time.Duration, err error) { s.ended, s.took, s.err = true, took, err }

// quiet forgets what was under way.
func (t *buildState) quiet() { t.waiting, t.retrying, t.transfers = nil, nil, nil }

// held reports whether the build has not begun because it waits for others.
func (t *buildState) held() bool { return t.waiting != nil && t.begun.IsZero() && !t.ended }

// phase returns the phase that began last, or nil.
func (t *buildState) phase() *phaseState {
	if len(t.phases) == 0 {
		return nil
	}
	return t.phases[len(t.phases)-1]
}

// step returns the last step of the address.
func (t *buildState) step(a addr.Step) *stepState {
	for i := len(t.phases) - 1; i >= 0; i-- {
		for j := len(t.phases[i].steps) - 1; j >= 0; j-- {
			if x := t.phases[i].steps[j]; x.addr == a {
				return x
			}
		}
	}
	return nil
}

func (t *buildState) progress(e component.Progress, s *component.Stamped) {
	key := s.Step.String() + "\x00" + e.ID
	var x *transferState
	open := 0
	for _, have := range t.transfers {
		if have.key == key {
			x = have
		} else if !have.finished {
			open++
		}
	}
	if e.Finished && open == 0 {
		t.transfers = nil
		return
	}
	if x == nil {
		x = &transferState{key: key, sampled: s.At, from: e.Done}
		t.transfers = append(t.transfers, x)
	}
	x.label, x.done, x.total = e.Label, e.Done, e.Total
	if x.label == "" {
		x.label = e.ID
	}
	if x.finished = e.Finished; x.finished {
		x.total, x.rate = x.done, 0
		return
	}
	if dt := s.At.Sub(x.sampled).Seconds(); dt >= 0.25 {
		now := float64(e.Done-x.from) / dt
		if x.rate == 0 {
			x.rate = now
		}
		x.rate += (now - x.rate) * min(1, 0.3*dt/0.25)
		x.sampled, x.from = s.At, e.Done
	}
}

// glyphs are what the live lines are drawn with.
type glyphs struct {
	spinner            []string
	full, empty        string
	ellipsis, separate string
}

var (
	unicodeGlyphs = glyphs{strings.Split("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", ""), "█", "░", "…", " › "}
	asciiGlyphs   = glyphs{strings.Split(`|/-\`, ""), "#", ".", "...", " > "}
)

// nameWidest is how many columns a build's name gets in a live line.
const nameWidest = 32

// lines draws one line per build that runs or waits for others, none wider than width, and at most
// most of them.
func (b *board) lines(now time.Time, width, most int, colour bool, g *glyphs) []string {
	var running []*buildState
	widest := 0
	for _, t := range b.builds {
		if t.running || t.held() {
			running = append(running, t)
			widest = max(widest, min(ansi.StringWidth(t.addr.String()), nameWidest))
		}
	}
	hidden := 0
	if len(running) > most {
		hidden = len(running) - most + 1
		running = running[:most-1]
	}
	var out []string
	for _, t := range running {
		name := ansi.Truncate(t.addr.String(), widest, g.ellipsis)
		name += strings.Repeat(" ", max(0, widest-ansi.StringWidth(name)))
		begun := t.begun
		if !t.running {
			begun = t.waitSeen.Add(-t.waiting.Elapsed)
		}
		tick := int(now.Sub(begun)/(100*time.Millisecond)) % len(g.spinner)
		text := fmt.Sprintf("%s %s %6s  %s", g.spinner[max(tick, 0)], name,
			ShortDuration(now.Sub(begun)), t.activity(now, width, g))
		text = ansi.Truncate(string(appendClean(nil, text, false)), width, g.ellipsis)
		if colour {
			text = fmt.Sprintf("\x1b[1;%dm%s\x1b[0m", t.tone, text)
		}
		out = append(out, text)
	}
	if hidden > 0 {
		out = append(out, ansi.Truncate(fmt.Sprintf("  and %d more builds", hidden), width, g.ellipsis))
	}
	return out
}

// activity says what the build is doing.
func (t *buildState) activity(now time.Time, width int, g *glyphs) string {
	var parts []string
	if p := t.phase(); p != nil {
		if p.phase != "" {
			parts = append(parts, string(p.phase))
		}
		for i := len(p.steps) - 1; i >= 0; i-- {
			if s := p.steps[i]; !s.ended {
				parts = append(parts, stepLabel(s.addr)+" "+ShortDuration(now.Sub(s.begun)))
				break
			}
		}
	}
	switch {
	case t.retrying != nil:
		left := max(0, t.retrying.Delay-now.Sub(t.retryAt))
		parts = append(parts, fmt.Sprintf("%s failed, trying again in %s", t.retrying.What, ShortDuration(left)))
	case t.waiting != nil:
		parts = append(parts, fmt.Sprintf("waiting for %s, %s", waitText(*t.waiting),
			ShortDuration(t.waiting.Elapsed+now.Sub(t.waitSeen))))
	case len(t.transfers) > 0:
		parts = append(parts, t.transferText(width, g))
	}
	if len(parts) == 0 {
		return "starting"
	}
	return strings.Join(parts, g.separate)
}

// transferText draws a bar for the transfers that are under way, as one.
func (t *buildState) transferText(width int, g *glyphs) string {
	sum := *t.transfers[0]
	for _, x := range t.transfers[1:] {
		sum.label = fmt.Sprintf("%d transfers", len(t.transfers))
		sum.done += x.done
		sum.rate += x.rate
		if sum.total > 0 && x.total > 0 {
			sum.total += x.total
		} else {
			sum.total = -1
		}
	}
	text := ansi.Truncate(sum.label, max(12, width/4), g.ellipsis) + " "
	if sum.total > 0 {
		columns := int64(max(8, min(24, width/5)))
		n := percent(sum.done, sum.total) * columns / 100
		text += strings.Repeat(g.full, int(n)) + strings.Repeat(g.empty, int(columns-n))
		text += fmt.Sprintf(" %d%% %s of %s", percent(sum.done, sum.total), FormatBytes(sum.done), FormatBytes(sum.total))
	} else {
		text += FormatBytes(sum.done)
	}
	if sum.rate > 0 {
		text += fmt.Sprintf(", %s/s", FormatBytes(int64(sum.rate)))
		if sum.total > sum.done {
			left := float64(sum.total-sum.done) / sum.rate * float64(time.Second)
			text += ", " + ShortDuration(time.Duration(min(left, float64(1000*time.Hour)))) + " left"
		}
	}
	return text
}

// stepLabel is the step's type with its name, if it has one.
func stepLabel(a addr.Step) string {
	label := a.Type
	if a.Name != "" {
		label += " " + fmt.Sprintf("%q", a.Name)
	}
	if a.Kind == addr.ErrorCleanup {
		label += " (error cleanup)"
	}
	return label
}

// table lists how long every phase and step took, one line each, with its
// tone.
func (b *board) table() (lines []string, tones []tone) {
	type entry struct {
		label, result, took string
		tone                tone
	}
	entries := []entry{{label: "Step times"}}
	add := func(indent int, label string, s *stretch, note string) {
		e := entry{label: strings.Repeat("  ", indent) + label, result: "unfinished"}
		if s.ended {
			e.result, e.took = s.result(), ShortDuration(s.took)
			if s.err != nil {
				e.tone = redTone
			}
		}
		if note != "" {
			e.took += "  " + note
		}
		entries = append(entries, e)
	}
	for _, t := range b.builds {
		if t.begun.IsZero() {
			continue
		}
		add(1, t.addr.String(), &stretch{ended: t.ended, took: t.took, err: t.err}, "")
		if e := &entries[len(entries)-1]; e.tone == noTone {
			e.tone = t.tone
		}
		for _, p := range t.phases {
			if p.phase != "" {
				add(2, string(p.phase), &p.stretch, "")
			}
			indent := 3
			if p.phase == "" {
				indent = 2
			}
			for _, s := range p.steps {
				add(indent, stepLabel(s.addr), &s.stretch, s.note())
			}
		}
	}
	labels, results := 0, 0
	for _, e := range entries {
		labels = max(labels, ansi.StringWidth(e.label))
		results = max(results, len(e.result))
	}
	for _, e := range entries {
		pad := strings.Repeat(" ", labels-ansi.StringWidth(e.label))
		took, note, _ := strings.Cut(e.took, "  ")
		line := fmt.Sprintf("%s%s  %-*s  %6s  %s", e.label, pad, results, e.result, took, note)
		lines = append(lines, strings.TrimRight(line, " "))
		tones = append(tones, e.tone)
	}
	return lines, tones
}

func (s *stretch) result() string {
	switch {
	case s.err == nil:
		return "ok"
	case errors.Is(s.err, context.Canceled):
		return "cancelled"
	}
	return "failed"
}

func (s *stepState) note() string {
	var notes []string
	if s.attempts > 1 {
		notes = append(notes, fmt.Sprintf("%d attempts", s.attempts))
	}
	if s.tolerated {
		notes = append(notes, "build went on")
	}
	return strings.Join(notes, ", ")
}
