// Package readiness follows how a machine becomes ready to be used: which
// stage it has come to, how long each one took, and which one never came true.
// The communicators that wait for machines tell it what they see.
package readiness

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// Stage is one thing that has to come true before a machine can be used.
type Stage struct {
	// Name is short, for tables: "banner".
	Name string
	// What is what is waited for, as in "timed out waiting for the ...";
	// {target} stands for the machine's address.
	What string
	// Hint says what to check when it never came true.
	Hint string
	// Optional stages are left out of the table until they are entered,
	// because not every way to a machine has them.
	Optional bool
}

// Plan is the stages of one transport, in order. Stages are numbered from 0.
type Plan struct {
	// Transport is "ssh" or "winrm"; Label is how users write it.
	Transport, Label string
	// Setting is the attribute that limits the waiting.
	Setting string
	Stages  []Stage
}

// TimeoutError says that a machine could not be used in time.
type TimeoutError struct {
	// Transport is "ssh" or "winrm", Setting the attribute that limited
	// the waiting.
	Transport, Setting string
	// Stage is what never came true and Hint what to check.
	Stage, Hint string
	// Elapsed is how long it was waited for, and Attempts how often it was
	// tried.
	Elapsed  time.Duration
	Attempts int
	// Last is the last attempt's error; nil when there was none.
	Last error
}

// Error says all of it in one line.
func (e *TimeoutError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: timed out after %s waiting for the %s (%d attempts)", e.Transport, e.Elapsed.Round(time.Millisecond), e.Stage, e.Attempts)
	if e.Last != nil {
		fmt.Fprintf(&b, "; the last error was: %v", e.Last)
	}
	fmt.Fprintf(&b, "; %s; %s sets how long to wait", e.Hint, e.Setting)
	return b.String()
}

// Unwrap returns the last attempt's error.
func (e *TimeoutError) Unwrap() error { return e.Last }

// RetryClass is Transient: the machine may come up after all.
func (e *TimeoutError) RetryClass() retry.Class { return retry.Transient }

// repeatAfter is how often the same reason is told again.
const repeatAfter = 5 * time.Second

// Watch follows all attempts to reach one machine. It tells the user when
// something changes, by Waiting events, and how it ended, by one WaitEnded. It
// is safe for concurrent use.
type Watch struct {
	r     component.Run
	plan  Plan
	begin time.Time

	mu       sync.Mutex // guards what follows
	target   string
	attempts int
	now      int
	furthest int
	// came is when each stage was first waited for; zero for those that
	// were not, or that an attempt had already gone beyond.
	came   []time.Time
	said   string
	saidAt time.Time
}

// New begins to measure.
func New(r component.Run, p Plan) *Watch {
	return &Watch{r: r, plan: p, begin: r.Clock.Now(), furthest: -1, came: make([]time.Time, len(p.Stages))}
}

// Run is what New was given.
func (w *Watch) Run() component.Run { return w.r }

// Begin is when the waiting began.
func (w *Watch) Begin() time.Time { return w.begin }

// Attempt notes that another attempt begins.
func (w *Watch) Attempt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts++
}

// Aim says which address the attempts go to from now on.
func (w *Watch) Aim(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.target = target
}

// Enter notes that the attempt waits for a stage. The first time that any
// attempt has come so far, the user is told.
func (w *Watch) Enter(stage int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = stage
	if stage > w.furthest {
		w.furthest = stage
		w.came[stage] = w.r.Clock.Now()
		w.say("")
	}
}

// Failed notes why the attempt went no further.
func (w *Watch) Failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say(err.Error())
}

// say is called with mu held.
func (w *Watch) say(detail string) {
	name := w.what(w.now)
	now := w.r.Clock.Now()
	if text := name + "\x00" + detail; text != w.said || now.Sub(w.saidAt) >= repeatAfter {
		w.said, w.saidAt = text, now
		w.r.Emit(component.Waiting{For: name, Detail: detail, Elapsed: now.Sub(w.begin)})
	}
}

func (w *Watch) what(stage int) string {
	return strings.ReplaceAll(w.plan.Stages[stage].What, "{target}", w.target)
}

// Current is the stage that the attempt has come to.
func (w *Watch) Current() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Stopped is the error for waiting that ctx's end, with this cause, cut short.
func (w *Watch) Stopped(cause error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Errorf("%s: connect: waiting for the %s: %w", w.plan.Transport, w.what(w.now), cause)
}

// TimedOut is the error for giving up at a stage.
func (w *Watch) TimedOut(stage, attempts int, last error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = stage
	return &TimeoutError{
		Transport: w.plan.Transport, Setting: w.plan.Setting,
		Stage: w.what(stage), Hint: w.plan.Stages[stage].Hint,
		Elapsed: w.r.Clock.Now().Sub(w.begin), Attempts: attempts, Last: last,
	}
}

// Ended tells the user how far the machine came, stage by stage: err is nil
// when it can be used, and otherwise why it is given up at the current stage.
func (w *Watch) Ended(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.r.Clock.Now()
	w.r.Emit(component.WaitEnded{
		For: strings.TrimSpace(w.plan.Label + " at " + w.target), Elapsed: now.Sub(w.begin), Attempts: w.attempts,
		Stages: w.stages(now, err != nil), Err: err,
	})
}

// stages is called with mu held.
func (w *Watch) stages(now time.Time, failed bool) []component.WaitStage {
	var out []component.WaitStage
	end := now
	for i := len(w.plan.Stages) - 1; i >= 0; i-- {
		s := component.WaitStage{Name: w.plan.Stages[i].Name, State: component.StagePassed}
		switch {
		case failed && i == w.now:
			s.State = component.StageFailed
		case i > w.furthest || failed && i == w.furthest:
			s.State = component.StagePending
		}
		if w.came[i].IsZero() {
			if s.State == component.StagePassed || s.State == component.StagePending && w.plan.Stages[i].Optional {
				continue
			}
		} else {
			s.Took, end = end.Sub(w.came[i]), w.came[i]
		}
		out = append(out, s)
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}
