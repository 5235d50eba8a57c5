package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/history"
	"ingot/internal/ui"
)

// shownTail is how many of the last lines of what failed are shown.
const shownTail = 15

func (a *app) runsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show RUN",
		Short: "Show the phases, steps, resources and artifacts of a run",
		Long: `Shows one run: each build with its phases and steps and how long they took, waits
with their stages, what was tried again, resources with what became of them,
artifacts, and why it failed with the last lines that were printed before.`,
		Example: `  ingot runs show last
  ingot runs show 019f2c31`,
		Args:              oneRun(),
		ValidArgsFunction: a.completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			run, err := a.readRun(args[0], history.Options{Tail: shownTail})
			if err != nil {
				return err
			}
			var text strings.Builder
			(&runText{run: run, w: &text}).all()
			_, err = io.WriteString(a.streams.Out, text.String())
			return err
		},
	}
}

// runText writes a run for people.
type runText struct {
	run *history.Run
	w   *strings.Builder
}

// line prints one line; what a guest or a template has said in it cannot move
// the cursor.
func (t *runText) line(depth int, format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		t.w.WriteString(strings.Repeat("  ", depth) + strings.TrimRight(ui.Clean(strings.TrimSuffix(line, "\n")), " ") + "\n")
	}
}

// columns prints a name with what is known of it, in columns.
func (t *runText) columns(depth int, name string, s history.Span, state string) {
	const width = 46
	t.line(depth, "%-*s %8s  %s", width-2*depth, name, ui.ShortDuration(s.Took()), state)
}

func (t *runText) all() {
	r := t.run
	t.line(0, "Run %s %s after %s", r.RunID, resultText(r.Result), ui.SpellDuration(r.Took))
	t.line(1, "template  %s  (in %s)", r.Template, r.Dir)
	t.line(1, "started   %s, ingot %s", r.Started.Local().Format(time.DateTime), r.Version)
	if len(r.Flags) > 0 {
		t.line(1, "flags     %s", strings.Join(r.Flags, " "))
	}
	if r.Interrupted != "" {
		t.line(1, "stopped   %s", r.Interrupted)
	}
	if r.Again != nil && r.Again.Resumes != "" {
		t.line(1, "resumes   %s", r.Again.Resumes)
	}
	if r.CanResume() {
		t.line(1, "to go on  ingot build -resume=%s", r.RunID)
	}
	if r.Damaged > 0 {
		t.line(1, "damaged   %d %s of the record cannot be read", r.Damaged, plural(r.Damaged, "line", "lines"))
	}
	for _, f := range r.Findings {
		t.line(1, "%s", findingText(&f))
	}
	for _, l := range r.Log.Tail() {
		if l.Kind == history.Caution || l.Kind == history.Trouble {
			t.line(1, "%s", l.Text)
		}
	}
	for _, b := range r.Builds {
		t.w.WriteByte('\n')
		t.build(b)
	}
	t.left()
}

// resultText is the result in a sentence.
func resultText(r history.Result) string {
	switch r {
	case history.Running:
		return "is running,"
	case history.Killed:
		return "was killed"
	case history.Interrupted:
		return "was interrupted"
	}
	return string(r)
}

// stateText is a result in a column, where success needs no word.
func stateText(r history.Result) string {
	if r == history.Succeeded {
		return ""
	}
	return string(r)
}

func (t *runText) build(b *history.Build) {
	switch {
	case b.Earlier != "":
		t.line(0, "%s  done: run %s has made it", b.ID, b.Earlier)
		for _, a := range b.Artifacts {
			t.artifact(a)
		}
		return
	case !b.Started && b.Err != nil:
		t.line(0, "%s  not started: %v", b.ID, b.Err)
		return
	case !b.Started:
		t.line(0, "%s  not started", b.ID)
		return
	}
	t.line(0, "%s  %s after %s", b.ID, resultText(b.Result(t.run)), ui.SpellDuration(b.Took()))
	t.retries(1, b.Retries)
	for _, p := range b.Phases {
		t.phase(p)
	}
	t.resources(b.Resources)
	for _, a := range b.Artifacts {
		t.artifact(a)
	}
	if b.Err != nil {
		t.line(1, "error: %v", b.Err)
		t.lastLines(b)
	}
}

func (t *runText) phase(p *history.Phase) {
	if p.Name != "" {
		t.columns(1, p.Label(), p.Span, stateText(p.Result(t.run)))
	}
	for _, w := range p.Waits {
		t.wait(2, w)
	}
	for _, s := range p.Steps {
		state := stateText(s.Result(t.run))
		if s.Tolerated {
			state = "failed, tolerated"
		}
		if s.Skipped {
			state = "skipped"
		}
		if s.Attempts > 1 {
			state = strings.TrimSpace(fmt.Sprintf("%s  %d attempts", state, s.Attempts))
		}
		t.columns(2, stepText(s.Step), s.Span, state)
		t.retries(3, s.Retries)
		for _, w := range s.Waits {
			t.wait(3, w)
		}
		if s.Tolerated && s.Err != nil {
			t.line(3, "error: %v", s.Err)
		}
	}
}

// stepText is a step as people count: from 1.
func stepText(s addr.Step) string {
	text := s.Type
	if s.Name != "" {
		text += fmt.Sprintf(" %q", s.Name)
	}
	switch s.Kind {
	case addr.Provisioner:
		return fmt.Sprintf("%d. %s", s.Index+1, text)
	case addr.Check:
		return fmt.Sprintf("%d. %s", s.Index+1, text)
	case addr.PostProcessor:
		return fmt.Sprintf("%d.%d %s", s.Chain+1, s.Index+1, text)
	}
	return s.Kind.String() + " " + text
}

func (t *runText) retries(depth int, list []history.Retry) {
	for _, r := range list {
		why := "unknown"
		if r.Err != nil {
			why = r.Err.Error()
		}
		t.line(depth, "attempt %d of %s failed (%s), tried again after %s: %s", r.Attempt, r.What, r.Class, ui.ShortDuration(r.Delay), why)
	}
}

func (t *runText) wait(depth int, w *history.Wait) {
	const short = time.Second
	if w.Err == nil && w.Took() < short {
		return
	}
	text := "waited for " + w.For
	if w.Detail != "" {
		text += " (" + w.Detail + ")"
	}
	state := ""
	if w.Err != nil {
		state = "failed"
	}
	t.columns(depth, text, w.Span, state)
	for _, s := range w.Stages {
		word := string(s.State)
		if s.State == component.StagePassed {
			word = ""
		}
		t.columns(depth+1, s.Name, history.Span{End: s.Took}, word)
	}
}

// resources leaves out the programs that ran on this machine and have ended:
// there is one for each local script.
func (t *runText) resources(list []*history.Resource) {
	programs := 0
	for _, r := range list {
		if r.IsEndedProgram() {
			programs++
			continue
		}
		t.resource(r)
	}
	if programs > 0 {
		t.line(1, "%d %s on this machine %s run and ended", programs, plural(programs, "program", "programs"), plural(programs, "has", "have"))
	}
}

func (t *runText) resource(r *history.Resource) {
	id := firstOf(r.ID, r.Token)
	t.columns(1, "resource "+r.Kind, r.Span, fateText(r)+"  "+id)
	if r.Err != nil {
		t.line(2, "error: %v", r.Err)
	}
}

func fateText(r *history.Resource) string {
	if r.Fate == history.Held {
		return "still held at the end of this record"
	}
	return string(r.Fate)
}

func (t *runText) artifact(a *component.Artifact) {
	if a == nil {
		return
	}
	t.line(1, "artifact %s: %s", a.Producer, a.Summary)
	for _, f := range a.Files {
		t.line(2, "%s  %s  %s", f.Path, ui.FormatBytes(f.Size), f.Digest)
	}
	for _, i := range a.Images {
		t.line(2, "%s", strings.TrimSpace(i.Provider+" "+i.Region+" "+i.ID))
	}
}

// lastLines are what was printed last in the place where a build has failed.
func (t *runText) lastLines(b *history.Build) {
	_, log := b.FirstFailure()
	if log == nil || log.Count() == 0 {
		return
	}
	t.line(1, "last output:")
	for _, l := range log.Tail() {
		for line := range strings.Lines(l.Text) {
			t.line(2, "| %s", strings.TrimSuffix(line, "\n"))
		}
	}
}

// left says what a run that has not told its end may have left.
func (t *runText) left() {
	if t.run.Result != history.Killed {
		return
	}
	t.w.WriteByte('\n')
	t.line(0, "The process vanished before the end. Its watchdog releases what it held;\n'ingot reap -dry-run' lists what may be left.")
}
