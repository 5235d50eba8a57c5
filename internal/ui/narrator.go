package ui

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"ingot/internal/addr"
	"ingot/internal/component"
)

// tone is the colour of a note: 0 none, else the SGR colour number.
type tone uint8

const (
	noTone  tone = 0
	redTone tone = 31
	// warnTone is for what the user should see but that failed nothing.
	warnTone tone = 33
)

// buildTones are given to builds by their place in the plan, over and over.
var buildTones = [...]tone{32, 36, 35, 33, 34}

// note is one thing to print for people: text that may have several lines,
// each of which gets the prefix.
type note struct {
	build  addr.Build
	prefix string
	text   string
	tone   tone
	// fault says that the note is about something that went wrong in the
	// run itself: it goes to standard error.
	fault bool
	// result is set on the notes of the closing blocks.
	result *result
}

// result is what a note of the closing blocks is about.
type result struct {
	// err is the error of the build; failed, on the title above them, how
	// many there are.
	err    error
	failed int
	// artifact is number index (from 0) of count artifacts of the build,
	// which failed when kept is set.
	listed       bool
	artifact     *component.Artifact
	index, count int
	kept         bool
}

// narrator turns events into notes in the shape that Packer's users and
// their scripts know. It is not safe for concurrent use.
type narrator struct {
	// header asks for the "output will be in this color." lines.
	header bool
	// live leaves transfers and waits that are under way to a live view.
	live bool

	order []addr.Build
	told  map[addr.Build]*told
	last  addr.Build // with lastOf, saves a look-up per line of output
	lastP *told
}

// told is what the narrator remembers of a build.
type told struct {
	tone      tone
	prefix    string
	ppPrefix  map[string]string
	ended     bool
	err       error
	artifacts []*component.Artifact
	transfers map[string]*transfer
	waits     map[string]*wait
	waitLine  time.Duration
}

// transfer is what was last printed about a transfer.
type transfer struct {
	begun, line time.Duration
	quarter     int64
	spoke       bool
}

const (
	waitPatience = 2 * time.Second
	waitEvery    = 30 * time.Second
	// waitWorthTelling is how long a wait must have been for its stages to be
	// printed.
	waitWorthTelling = time.Second
	transferEvery    = 10 * time.Second
	// transferLeast keeps quick transfers from printing a line per quarter.
	transferLeast = time.Second
	// waitsKept bounds how many different reasons get a line at once.
	waitsKept = 16
)

func (n *narrator) of(b addr.Build) *told {
	if n.lastP != nil && n.last == b {
		return n.lastP
	}
	t, ok := n.told[b]
	if !ok {
		if n.told == nil {
			n.told = map[addr.Build]*told{}
		}
		t = &told{}
		if !b.IsZero() {
			t.prefix = "==> " + b.String() + ": "
			t.tone = buildTones[len(n.order)%len(buildTones)]
			n.order = append(n.order, b)
		}
		n.told[b] = t
	}
	n.last, n.lastP = b, t
	return t
}

// prefixOf is the arrow with the build's name, and for what a post-processor
// says its type in parentheses.
func (t *told) prefixOf(o *component.Origin) string {
	if o.Step.Kind != addr.PostProcessor || t.prefix == "" {
		return t.prefix
	}
	p, ok := t.ppPrefix[o.Step.Type]
	if !ok {
		p = "==> " + o.Build.String() + " (" + o.Step.Type + "): "
		if t.ppPrefix == nil {
			t.ppPrefix = map[string]string{}
		}
		t.ppPrefix[o.Step.Type] = p
	}
	return p
}

// narrate hands what is to be said about s to say.
func (n *narrator) narrate(s *component.Stamped, say func(note)) {
	if e, ok := s.Event.(component.RunStarted); ok {
		n.open(e, say)
		return
	}
	t := n.of(s.Build)
	line := note{build: s.Build, prefix: t.prefixOf(&s.Origin), tone: t.tone}
	fault := line
	fault.tone, fault.fault = redTone, true
	switch e := s.Event.(type) {
	case component.Output:
		line.text = LastOverprint(e.Line)
		if e.Stream == component.Stderr {
			line.tone = redTone
		}
		say(line)
	case component.Message:
		line.text = e.Text
		say(line)
	case component.Problem:
		fault.text = e.Text
		say(fault)
	case component.Warning:
		line.tone, line.text = warnTone, "Warning: "+e.Summary
		if e.Detail != "" {
			line.text += "\n" + e.Detail
		}
		say(line)
	case component.StepStarted:
		n.stepStarted(s, t, line, say)
	case component.StepEnded:
		if e.Err != nil && e.Tolerated {
			fault.text = fmt.Sprintf("%s %s failed, but the build goes on (continue_on_error): %s",
				s.Step.Kind, s.Step.Label(), e.Err)
			say(fault)
		}
	case component.StepSkipped:
		line.text = fmt.Sprintf("Skipping %s: %s", nthStep(s.Step), e.Reason)
		say(line)
	case component.CacheChecked:
		line.text = "Cache miss: " + nthStep(s.Step)
		if e.Hit {
			line.text = "Cache hit: " + nthStep(s.Step)
		}
		if e.Why != "" {
			line.text += ": " + e.Why
		}
		say(line)
	case component.PhaseStarted:
		t.waits = nil
		if e.Phase == component.PhaseTest {
			line.text = fmt.Sprintf("Test %q: starting the artifact", e.Test)
			say(line)
		}
	case component.PhaseEnded:
		if e.Phase == component.PhaseTest && e.Err == nil {
			line.text = fmt.Sprintf("Test %q passed after %s.", e.Test, SpellDuration(e.Duration))
			say(line)
		}
		if e.Phase == component.PhaseTest && e.Err != nil {
			fault.text = fmt.Sprintf("Test %q failed: %s", e.Test, e.Err)
			say(fault)
		}
	case component.Retrying:
		line.tone = warnTone
		line.text = fmt.Sprintf("%s failed (attempt %d), trying again in %s: %v",
			e.What, e.Attempt, SpellDuration(e.Delay), errText(e.Err))
		say(line)
	case component.Waiting:
		n.waiting(e, s.Since, t, line, say)
	case component.WaitEnded:
		if e.Err != nil {
			line = fault
		}
		waitEnded(e, line, say)
	case component.Progress:
		n.progress(e, s, t, line, say)
	case component.ResourceReleased:
		if e.Err != nil {
			fault.text = fmt.Sprintf("Could not remove %s: %s\nIt still exists. Run \"ingot reap\" to try again.",
				describe(e.Resource), e.Err)
			say(fault)
		}
	case component.BuildEnded:
		t.ended, t.err, t.artifacts = true, e.Err, e.Artifacts
		line.prefix, fault.prefix = "", ""
		if e.Err != nil {
			fault.text = fmt.Sprintf("Build '%s' errored after %s: %s", s.Build, SpellDuration(e.Duration), e.Err)
			say(fault)
			return
		}
		line.text = fmt.Sprintf("Build '%s' finished after %s.", s.Build, SpellDuration(e.Duration))
		if e.Earlier != "" {
			line.text = fmt.Sprintf("Build '%s' is done: run %s has made it.", s.Build, e.Earlier)
		}
		say(line)
	case component.RunEnded:
		n.close(e, say)
	}
}

// nthStep is "provisioner 2 (shell)", with the name instead of the type where it
// has one.
func nthStep(s addr.Step) string { return fmt.Sprintf("%s %d (%s)", s.Kind, s.Index+1, s.Label()) }

func (n *narrator) open(e component.RunStarted, say func(note)) {
	for _, b := range e.Builds {
		t := n.of(b)
		if n.header {
			say(note{build: b, text: b.String() + ": output will be in this color.", tone: t.tone})
		}
	}
	if n.header && len(e.Builds) > 0 {
		say(note{})
	}
}

func (n *narrator) stepStarted(s *component.Stamped, t *told, line note, say func(note)) {
	t.waits = nil
	switch s.Step.Kind {
	case addr.PostProcessor:
		line.prefix = t.prefix
		line.text = fmt.Sprintf("Running post-processor: %s (type %s)", s.Step.Label(), s.Step.Type)
	case addr.ErrorCleanup:
		line.text = "Running the error-cleanup-provisioner: " + s.Step.Label()
	default:
		return
	}
	say(line)
}

// wait is one thing that a build waits for.
type wait struct {
	// since is when it was first heard of.
	since time.Duration
	told  bool
}

// waiting prints a reason when it is new, and every half minute. A wait that
// has hardly begun is passed over: most are over before anybody could read it. So is
// the next stage of a long one, as long as nothing is known to be in its way.
func (n *narrator) waiting(e component.Waiting, now time.Duration, t *told, line note, say func(note)) {
	if n.live {
		return
	}
	w, known := t.waits[e.For]
	if !known && len(t.waits) < waitsKept {
		if t.waits == nil {
			t.waits = map[string]*wait{}
		}
		w = &wait{since: now}
		t.waits[e.For] = w
	}
	told := w == nil || w.told
	fresh := w != nil && e.Detail == "" && e.Elapsed > now-w.since && now-w.since < waitPatience
	if e.Elapsed < waitPatience || fresh || told && now-t.waitLine < waitEvery {
		return
	}
	if w != nil {
		w.told = true
	}
	t.waitLine = now
	line.text = "Waiting for " + waitText(e)
	if e.Elapsed >= time.Second {
		line.text += fmt.Sprintf(", %s so far", SpellDuration(e.Elapsed.Truncate(time.Second)))
	}
	say(line)
}

// waitEnded prints how long each stage of a wait took: in one line when all
// came true, and else as a table. Nobody asks that of a wait that was short.
func waitEnded(e component.WaitEnded, line note, say func(note)) {
	if e.Elapsed < waitWorthTelling {
		return
	}
	if e.Err == nil {
		times := make([]string, 0, len(e.Stages))
		for _, s := range e.Stages {
			times = append(times, s.Name+" "+ShortDuration(s.Took))
		}
		line.text = fmt.Sprintf("%s is ready after %s: %s", e.For, ShortDuration(e.Elapsed), strings.Join(times, ", "))
		say(line)
		return
	}
	width := 0
	for _, s := range e.Stages {
		width = max(width, len(s.Name))
	}
	text := []string{fmt.Sprintf("%s is not ready after %s and %d attempts:", e.For, ShortDuration(e.Elapsed), e.Attempts)}
	for _, s := range e.Stages {
		text = append(text, fmt.Sprintf("  %-*s  %s", width, s.Name, stageText(s)))
	}
	line.text = strings.Join(text, "\n")
	say(line)
}

// stageText is what a row of the table says of a stage.
func stageText(s component.WaitStage) string {
	took, state := ShortDuration(s.Took), "ok"
	switch s.State {
	case component.StageFailed:
		state = "failed"
	case component.StagePending:
		state = "not reached"
	}
	if s.State == component.StagePending && s.Took == 0 {
		took = "-"
	}
	return fmt.Sprintf("%8s  %s", took, state)
}

func waitText(e component.Waiting) string {
	if e.Detail == "" {
		return e.For
	}
	return e.For + " (" + e.Detail + ")"
}

// progress prints the label when a transfer begins, then a line for each
// quarter or each ten seconds, none more often than once a second.
func (n *narrator) progress(e component.Progress, s *component.Stamped, t *told, line note, say func(note)) {
	if i := strings.Index(line.prefix, "==>"); i == 0 {
		line.prefix = "   " + line.prefix[3:]
	}
	label := e.Label
	if label == "" {
		label = e.ID
	}
	key := s.Step.String() + "\x00" + e.ID
	x, ok := t.transfers[key]
	if !ok {
		x = &transfer{begun: s.Since, line: s.Since}
		if t.transfers == nil {
			t.transfers = map[string]*transfer{}
		}
		t.transfers[key] = x
		if !n.live {
			line.text = label
			say(line)
		}
	}
	if e.Finished {
		delete(t.transfers, key)
		if x.spoke || s.Since-x.begun >= transferLeast {
			line.text = fmt.Sprintf("%s: %s in %s", label, FormatBytes(e.Done), SpellDuration(s.Since-x.begun))
			say(line)
		}
		return
	}
	if n.live {
		return
	}
	quarter := int64(0)
	if e.Total > 0 {
		quarter = min(e.Done, e.Total) / max(e.Total/4, 1)
	}
	since := s.Since - x.line
	if since >= transferEvery || (quarter > x.quarter && since >= transferLeast) {
		x.line, x.quarter, x.spoke = s.Since, quarter, true
		line.text = label + ": " + doneText(e)
		say(line)
	}
}

func doneText(e component.Progress) string {
	if e.Total <= 0 {
		return FormatBytes(e.Done)
	}
	return fmt.Sprintf("%d%% (%s of %s)", percent(e.Done, e.Total), FormatBytes(e.Done), FormatBytes(e.Total))
}

func percent(done, total int64) int64 {
	return int64(float64(min(max(done, 0), total)) / float64(total) * 100)
}

// close prints the blocks at the end of a run, builds in plan order.
func (n *narrator) close(e component.RunEnded, say func(note)) {
	say(note{text: "\n==> Wait completed after " + SpellDuration(e.Duration)})
	if e.Interrupted != "" {
		say(note{text: "Cleanly cancelled builds after being interrupted."})
		n.list("\n==> Artifacts that exist all the same:", say, func(t *told) bool { return t.ended })
		return
	}
	var failed []addr.Build
	for _, b := range n.order {
		if n.told[b].err != nil {
			failed = append(failed, b)
		}
	}
	if len(failed) > 0 {
		say(note{text: "\n==> Some builds didn't complete successfully and had errors:", tone: redTone, fault: true,
			result: &result{failed: len(failed)}})
	}
	for _, b := range failed {
		err := n.told[b].err
		say(note{build: b, text: fmt.Sprintf("--> %s: %s", b, err), tone: redTone, fault: true, result: &result{err: err}})
	}
	good := n.list("\n==> Builds finished. The artifacts of successful builds are:", say,
		func(t *told) bool { return t.ended && t.err == nil })
	kept := n.list("\n==> Artifacts of failed builds that were made and kept:", say,
		func(t *told) bool { return t.ended && t.err != nil })
	if !good && !kept {
		say(note{text: "\n==> Builds finished but no artifacts were created."})
	}
}

// list prints the artifacts of the builds that want chooses, below the title;
// nothing when there are none.
func (n *narrator) list(title string, say func(note), want func(*told) bool) bool {
	any := false
	for _, b := range n.order {
		t := n.told[b]
		if !want(t) {
			continue
		}
		for i, a := range t.artifacts {
			if !any {
				any = true
				say(note{text: title})
			}
			text := "<nothing>"
			if a != nil {
				text = a.Summary
			}
			say(note{build: b, text: fmt.Sprintf("--> %s: %s", b, text), tone: t.tone, result: &result{
				listed: true, artifact: a, index: i, count: len(t.artifacts), kept: t.err != nil,
			}})
		}
	}
	return any
}

func describe(r component.Resource) string {
	id := r.ID
	if id == "" {
		id = r.Token
	}
	return strings.TrimSpace(r.Kind + " " + id)
}

func errText(err error) string {
	if err == nil {
		return "unknown error"
	}
	return err.Error()
}

// LastOverprint returns what a terminal would show of a line with carriage
// returns: what follows the last of them.
func LastOverprint(line string) string {
	if strings.IndexByte(line, '\r') < 0 {
		return line
	}
	line = strings.TrimRight(line, " \t\r")
	return line[strings.LastIndexByte(line, '\r')+1:]
}

// eachLine calls f for every line of the note, prefix apart. White space at
// the end of the whole text is dropped, as Packer does.
func (n *note) eachLine(f func(prefix, line string)) {
	text := n.text
	if last := len(text) - 1; last >= 0 && (text[last] <= ' ' || text[last] >= 0x80) {
		text = strings.TrimRightFunc(text, unicode.IsSpace)
	}
	for {
		i := strings.IndexByte(text, '\n')
		if i < 0 {
			break
		}
		f(n.prefix, strings.TrimSuffix(text[:i], "\r"))
		text = text[i+1:]
	}
	if text == "" {
		f(strings.TrimRight(n.prefix, " "), "")
		return
	}
	f(n.prefix, text)
}
