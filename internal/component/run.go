package component

import (
	"context"
	"time"

	"ingot/internal/addr"
	"ingot/internal/gotmpl"
	"ingot/internal/ratelimit"
	"ingot/internal/retry"
)

// Run is what a component may use of the run that it is part of.
type Run struct {
	// ID is the run's unique id, exported to scripts as PACKER_RUN_UUID.
	ID string
	// Build is the build that the call belongs to.
	Build addr.Build
	// Journal acquires what outlives the process.
	Journal Recorder
	// RunJournal is for what is still needed when the build has ended, such as a
	// process that its artifact lives in. It is released at the end of the run.
	RunJournal Recorder
	// Events receives what happens; it is already bound to the build and
	// step.
	Events Sink
	// Prompt asks the user.
	Prompt Prompter
	// WorkDir is a private directory for the build on the local machine.
	// It is removed at the end.
	WorkDir string
	// CacheDir is where downloads may stay for later runs.
	CacheDir string
	// ReportDir is where files that explain a failure go, such as a
	// screenshot. They stay after the run. It need not exist yet.
	ReportDir string
	Clock     Clock
	// Limits paces the calls to services; it is shared by all builds of the run.
	Limits *ratelimit.Limits
	// Expires is when what the run has made is not needed any more, should it
	// still be there: the label of resources for those who clean up without the
	// run's journal. Zero is never.
	Expires time.Time
	// Force is -force: existing output may be replaced.
	Force bool
	// Debug is -debug.
	Debug bool
	// Template renders "{{...}}" in attributes that are rendered late.
	Template gotmpl.Vars
	// Sensitive marks a value as secret from now on: no sink prints it.
	Sensitive func(value string)
	// AtEnd registers what of this process, such as a server, is to be stopped
	// when the build is done with its machine, whatever has become of it; the
	// last one registered is stopped first. stop returns when it has stopped,
	// and promptly. What can outlive the process is acquired from Journal.
	AtEnd func(stop func())
}

// TellRetries returns what tells of each failure of what that is tried again, for the
// Notify of a retry.Policy.
func (r Run) TellRetries(what string) func(err error, attempt int, delay time.Duration) {
	return func(err error, attempt int, delay time.Duration) {
		r.Emit(Retrying{What: what, Class: retry.ClassOf(err).String(), Attempt: attempt, Delay: delay, Err: err})
	}
}

// Emit is short for r.Events.Emit.
func (r Run) Emit(e Event) { r.Events.Emit(e) }

// Say emits a line of text for the user.
func (r Run) Say(text string) { r.Events.Emit(Message{Text: text}) }

// Clock is the time. Tests pass their own.
type Clock interface {
	Now() time.Time
	// Sleep waits for d; when ctx ends first it returns the cause.
	Sleep(ctx context.Context, d time.Duration) error
}

// SystemClock is the real time.
type SystemClock struct{}

// Now returns the current time.
func (SystemClock) Now() time.Time { return time.Now() }

// Sleep waits for d or for the end of ctx, whose cause it then returns.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Prompter asks the person at the terminal.
type Prompter interface {
	// Interactive reports whether there is a person to ask.
	Interactive() bool
	// Ask prints a question and returns the line that was typed. Without
	// a terminal it fails at once.
	Ask(ctx context.Context, question string) (string, error)
}
