// Package engine runs a plan: it takes every build through its phases,
// several at a time, and makes sure that what a build acquired is released
// when it ends, however it ends. It knows no component and no terminal;
// dialers, clock, journal and the receiver of events arrive as arguments.
package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/journal"
	"ingot/internal/outcome"
	"ingot/internal/plan"
	"ingot/internal/ratelimit"
)

// OnError is what to do with a machine whose build failed.
type OnError string

// The values of -on-error.
const (
	Cleanup               OnError = "cleanup"
	Abort                 OnError = "abort"
	Ask                   OnError = "ask"
	RunCleanupProvisioner OnError = "run-cleanup-provisioner"
)

// ParseOnError reads a value of -on-error.
func ParseOnError(s string) (OnError, error) {
	switch o := OnError(s); o {
	case Cleanup, Abort, Ask, RunCleanupProvisioner:
		return o, nil
	}
	return "", fmt.Errorf("%q is not one of cleanup, abort, ask, run-cleanup-provisioner", s)
}

// releaseTimeout bounds the release of one build's resources. It is measured
// from the end of the work, cancelled or not.
const releaseTimeout = 5 * time.Minute

// Options are what Run needs beside the plan.
type Options struct {
	// RunID is exported to scripts as PACKER_RUN_UUID.
	RunID string
	// Handle receives every event of the run; it is called from several
	// goroutines.
	Handle func(component.Stamped)
	Ledger *journal.Ledger
	// Dialers by transport: "ssh", "none", ...
	Dialers map[string]component.Dialer
	Prompt  component.Prompter
	Clock   component.Clock
	Limits  *ratelimit.Limits
	// Parallel is how many builds run at a time; less than 1 means all.
	Parallel int
	// MaxRetries, when it is not nil, is how often each build is made again,
	// whatever its retry block says of that.
	MaxRetries *int
	// FailFast stops all builds when one has failed.
	FailFast bool
	// Lifetime is how long after its start what a run has made is needed at most;
	// 0 is for ever. See component.Run.Expires.
	Lifetime time.Duration
	OnError  OnError
	Force    bool
	Debug    bool
	// TempDir is where the run's private folder is made; "" is the system's.
	TempDir  string
	CacheDir string
	// ReportDir is where machines save what explains a failure.
	ReportDir string
	// Explain writes out what is wrong with a configuration that could be
	// evaluated only now, with the lines of the template. When nil, it is
	// only the error of the step.
	Explain func(diag.List) string
	// Cache is what -cache says; nil when machines are neither saved nor
	// started from what was.
	Cache *Cache
	// Outcomes remembers what the builds make; nil for nobody. Dir is the working
	// directory, which relative paths of artifacts start from, and Probe tells
	// what their resources are.
	Outcomes *outcome.Book
	Dir      string
	Probe    outcome.Prober
	// Finished are artifacts that the builds begin with, by the name of the build:
	// nothing is made then, and only the post-processors run.
	Finished map[string]*outcome.Made
	// Earlier is the run that is taken up again; nil when none is.
	Earlier *Earlier
	// IfChanged is what -if-changed says; nil when all builds are made.
	IfChanged *IfChanged
	// Sensitive marks a text as secret.
	Sensitive func(string)
	// Release ends when the user does not want to wait for the release of
	// resources any more. What is then left stays in the journal.
	Release context.Context
}

// Result is how a run ended.
type Result struct {
	// Builds in the order of the plan.
	Builds []BuildResult
	// Interrupted is the cause when the run was cancelled from outside.
	Interrupted error
	Duration    time.Duration
}

// BuildResult is how one build ended.
type BuildResult struct {
	Addr addr.Build
	// Artifacts are what exists now, also when Err is set: a failed
	// post-processor does not take away what was made before.
	Artifacts []*component.Artifact
	Err       error
	Duration  time.Duration
	// Saved says from where the build can be taken up, when it was begun and
	// has failed.
	Saved Saved
}

// Failed counts the builds that did not succeed.
func (r Result) Failed() int {
	n := 0
	for _, b := range r.Builds {
		if b.Err != nil {
			n++
		}
	}
	return n
}

// Run executes the plan. When ctx ends, running builds stop, release what they
// hold and are counted as failed. The error is about the run itself, not about
// a build.
func Run(ctx context.Context, p *plan.Plan, o Options) (Result, error) {
	r := &run{o: o, start: o.Clock.Now()}
	builds := make([]addr.Build, len(p.Builds))
	for i, b := range p.Builds {
		builds[i] = b.Addr
	}
	r.sink(component.Origin{}).Emit(component.RunStarted{RunID: o.RunID, Builds: builds})
	if err := r.makeWorkDir(ctx); err != nil {
		return Result{}, err
	}
	res := Result{Builds: newSchedule(r, p.Builds).runAll(ctx)}
	res.Interrupted = context.Cause(ctx)
	releaseErr := r.book.ReleaseAll(o.Release)
	res.Duration = o.Clock.Now().Sub(r.start)
	ended := component.RunEnded{Duration: res.Duration, Failed: res.Failed()}
	if res.Interrupted != nil {
		ended.Interrupted = res.Interrupted.Error()
	}
	r.sink(component.Origin{}).Emit(ended)
	return res, releaseErr
}

type run struct {
	o       Options
	start   time.Time
	book    *journal.Book
	workDir string
}

func (r *run) makeWorkDir(ctx context.Context) error {
	r.book = r.o.Ledger.Book("", r.sink(component.Origin{}))
	base := r.o.TempDir
	if base == "" {
		base = os.TempDir()
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return fmt.Errorf("working directory of the run: %w", err)
	}
	token := journal.NewToken()
	dir := filepath.Join(base, token)
	_, err = r.book.Acquire(ctx, component.Resource{
		Kind: component.DirKind, Token: token, Attrs: map[string]string{"path": dir},
	}, func(context.Context, component.Resource) (string, error) {
		return dir, os.Mkdir(dir, 0o700)
	})
	if err != nil {
		return fmt.Errorf("working directory of the run: %w", err)
	}
	r.workDir = dir
	return nil
}

// sink stamps events with their origin and time.
func (r *run) sink(from component.Origin) component.Sink {
	return component.SinkFunc(func(e component.Event) {
		now := r.o.Clock.Now()
		r.o.Handle(component.Stamped{Origin: from, At: now, Since: now.Sub(r.start), Event: e})
	})
}

// facts are the values that every build has, whatever its builder supplies.
func (r *run) facts() map[string]cty.Value {
	return map[string]cty.Value{"PackerRunUUID": cty.StringVal(r.o.RunID)}
}
