package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"ingot/internal/component"
	"ingot/internal/engine"
	"ingot/internal/history"
	"ingot/internal/journal"
	"ingot/internal/otlp"
	"ingot/internal/outcome"
	"ingot/internal/plan"
	"ingot/internal/plugin/host"
	"ingot/internal/ratelimit"
	"ingot/internal/ui"
	"ingot/internal/watchdog"
)

type buildFlags struct {
	templateFlags
	colors     ui.ColorMode
	debug      bool
	force      bool
	json       bool
	timestamps bool
	parallel   int
	onError    string
	failFast   bool
	detailed   bool
	noWatchdog bool
	lifetime   time.Duration
	cache      cacheFlags
	retry      int
	retrySet   bool
	report     string
	junit      string
	ifChanged  bool
	// postProcess is the run whose artifacts are processed; empty for a build.
	postProcess string
	// resume is the run to be taken up, and earlier what is known of it.
	resume  string
	earlier *history.Run
}

// maxRetries is what -retry says; nil when it is not given.
func (f buildFlags) maxRetries() *int {
	if !f.retrySet {
		return nil
	}
	return &f.retry
}

func (a *app) buildCommand() *cobra.Command {
	var f buildFlags
	c := &cobra.Command{
		Use:   "build [flags] TEMPLATE | -resume=RUN [TEMPLATE]",
		Short: "Build the images that a template describes",
		Long: `Builds every image that the template describes, several at a time. TEMPLATE is
a folder with *.pkr.hcl files, one such file, or a legacy JSON template.

Ctrl-C stops the builds and releases what they hold; a second one stops waiting
for the release (a watchdog process does the rest); a third one ends at once. The
watchdog also releases what a build holds that is killed.

With -resume, goes on with a run that failed or was killed: with its flags and
variables, in its folder, of the template as it now is. Builds that it has finished
are not made again; the others go on from the newest machine that was saved (-cache)
and that the template still leads to. A flag that is given now counts, and -var adds.

The exit code is 0 when all builds have succeeded, else 1. With
-detailed-exitcode a failure is one of:
` + exitCodeTable(),
		Example: `  ingot build .
  ingot build -var 'version=1.2' -only='docker.*' image.pkr.hcl
  ingot build -on-error=ask -debug .
  ingot build -report=report.html .
  ingot build -cache -cache-explain .
  ingot build -resume=last
  ingot build -if-changed -force .
  ingot build -json . | jq -r 'select(.type=="artifact_made")'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.resume != "" && len(args) == 0 {
				return nil
			}
			return oneTemplate(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.buildOrResume(cmd, &f, args) },
	}
	f.add(c)
	c.Flags().StringVar(&f.resume, "resume", "", "go on with a `run` that failed or was killed: an id of 'ingot runs list', its first characters, or last")
	_ = c.RegisterFlagCompletionFunc("resume", a.completeRuns) // fails only for a flag that there is not
	return c
}

// add adds the flags that build and runs resume have in common.
func (f *buildFlags) add(c *cobra.Command) {
	f.register(c)
	fl := c.Flags()
	fl.BoolVar(&f.force, "force", false, "replace existing output and artifacts")
	fl.StringVar(&f.onError, "on-error", string(engine.Cleanup), "the `mode` after a failure: cleanup, abort (leave everything), ask, or run-cleanup-provisioner")
	fl.IntVar(&f.parallel, "parallel-builds", 0, "run at most `N` builds at a time; 0 is no limit")
	fl.IntVar(&f.retry, "retry", 0, "make a build up to `N` more times when it failed for a reason that may pass; the default is what its retry block says")
	fl.BoolVar(&f.failFast, "fail-fast", false, "stop all builds when one has failed")
	fl.BoolVar(&f.detailed, "detailed-exitcode", false, "exit with a code that tells why builds failed, see above")
	fl.DurationVar(&f.lifetime, "expires-after", journal.Lifetime, "label what is made at a provider as needed no longer than this `duration`, for 'ingot reap -provider'; more than the build takes")
	fl.BoolVar(&f.noWatchdog, "no-watchdog", false, "start no second process that releases what is held when this one is killed")
	fl.BoolVar(&f.ifChanged, "if-changed", false, "make only builds whose inputs have changed since the last such build here, or whose artifact is gone")
	f.cache.register(c)
	fl.BoolVar(&f.debug, "debug", false, "one build at a time, with a pause before each phase and provisioner")
	f.addOutput(c)
}

// addOutput adds the flags that say how a run is shown.
func (f *buildFlags) addOutput(c *cobra.Command) {
	fl := c.Flags()
	fl.Var(colorFlag{&f.colors}, "color", "coloured output; the default is to colour a terminal")
	fl.Lookup("color").NoOptDefVal = "true"
	fl.BoolVar(&f.timestamps, "timestamp-ui", false, "start each line of output with the time")
	fl.StringVar(&f.report, "report", "", "write what happened as an HTML `file`, also after a failure")
	fl.StringVar(&f.junit, "junit", "", "write the results of tests as a JUnit XML `file`")
	fl.BoolVar(&f.json, "json", false, "print events as JSON lines (docs/events.md)")
}

func (a *app) build(ctx context.Context, f buildFlags, path string) (err error) {
	onError, err := engine.ParseOnError(f.onError)
	if err != nil {
		return fmt.Errorf("-on-error: %w", err)
	}
	if f.lifetime <= 0 {
		return fmt.Errorf("-expires-after: the duration has to be more than nothing (%s)", f.lifetime)
	}
	if f.retry < 0 {
		return fmt.Errorf("-retry: the number of attempts cannot be negative (%d)", f.retry)
	}
	d, err := findDirs(a.getenv)
	if err != nil {
		return err
	}
	cache, err := a.stepCache(f.cache, d)
	if err != nil {
		return err
	}
	screen, err := a.openRecorded(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	if f.debug {
		f.parallel = 1
		screen.notice("Debug mode enabled. Builds will not be parallelized.")
	}
	steps := climb(ctx, screen.notice, screen.exit)
	defer steps.stop()

	f.core = host.Core{Debug: f.debug, Force: f.force, OnError: f.onError}
	p, bad, err := a.plan(steps.work, f.templateFlags, path, planFor{build: true}, screen)
	if err != nil {
		screen.reportRefused(f, path, err)
	}
	if f.detailed && errors.As(err, new(exitError)) {
		return exitError{exitUser} // the findings have been printed
	}
	if err != nil {
		return err
	}
	unless, err := a.ifChanged(f, d)
	if err != nil {
		return err
	}
	return a.execute(ctx, execution{ifChanged: unless, flags: f, dirs: d, screen: screen, steps: steps, template: path, plan: p, incomplete: bad, onError: onError, cache: cache})
}

// execution is a plan that is to be run.
type execution struct {
	flags    buildFlags
	dirs     dirs
	screen   *screen
	steps    ladder
	template string
	plan     *plan.Plan
	// incomplete says that some builds of the template could not be planned.
	incomplete bool
	onError    engine.OnError
	cache      *engine.Cache
	ifChanged  *engine.IfChanged
	// finished are the artifacts that are processed again.
	finished map[string]*outcome.Made
}

// execute runs a plan, and records what happens. The error says the exit code.
func (a *app) execute(ctx context.Context, e execution) error {
	f, d, screen, steps := e.flags, e.dirs, e.screen, e.steps
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	a.mentionLeftovers(d, screen)
	if f.earlier == nil {
		a.mentionKilled(d, screen, e.template)
	}
	secret, err := inputSecret(d)
	if err != nil {
		return err
	}
	inputs := inputsOf(steps.work, e.plan, secret)
	again := screen.again(f, e.template, e.cache != nil, inputs)
	var earlier *engine.Earlier
	if f.earlier != nil {
		was, err := screen.pick(steps.work, d, f.earlier, e.plan, inputs)
		if err != nil {
			return err
		}
		earlier, e.finished = was.earlier, was.finished
	}
	run, err := a.openRun(ctx, d, e.template, func(id string) *watchdog.Watchdog {
		return a.watchRun(d, id, f.noWatchdog, screen.warn)
	})
	if err != nil {
		return err
	}
	// Scripts and plugins know the run by this name.
	if err := os.Setenv("PACKER_RUN_UUID", run.id); err != nil {
		return errors.Join(err, run.close(ctx, false))
	}
	screen.readTraceSettings()
	screen.remember(d, f, header(f, *run, e.template, e.incomplete, again))
	outcomes := screen.outcomes()
	res, err := engine.Run(steps.work, e.plan, engine.Options{
		RunID: run.id, Handle: screen.sink.Handle, Ledger: run.ledger, Dialers: a.dialers(),
		Prompt: screen.prompt, Clock: component.SystemClock{}, Limits: ratelimit.New(component.SystemClock{}),
		Parallel: f.parallel, FailFast: f.failFast, Lifetime: f.lifetime, MaxRetries: f.maxRetries(), OnError: e.onError, Force: f.force, Debug: f.debug,
		TempDir: a.getenv("TMPDIR"), CacheDir: d.Cache, ReportDir: a.reportDir(d, run.id), Sensitive: screen.secrets.Add, Release: steps.release,
		Explain: screen.explain, Cache: e.cache,
		Outcomes: outcomes, Dir: dir, Probe: a.reapers().Probe, Finished: e.finished, IfChanged: e.ifChanged,
		Earlier: earlier,
	})
	if closeErr := outcomes.Close(); closeErr != nil {
		screen.warn(fmt.Sprintf("What this run made may not be remembered (%v).", closeErr))
	}
	if errors.As(err, new(errInterrupted)) {
		err = exitError{exitFailure} // the second interrupt has been answered
	}
	screen.recorded(err)
	screen.report(f.report)
	screen.testResults(f.junit)
	screen.trace(steps)
	screen.sayHowToGoOn(res)
	screen.forget()
	// Nobody waited for the release of what a second interrupt has left.
	err = errors.Join(err, run.close(ctx, steps.release.Err() != nil && e.onError == engine.Cleanup))
	if code := exitCodeOf(res, e.incomplete, f.detailed); err == nil && code != exitOK {
		err = exitError{code} // said already
	}
	return err
}

// run is a journal that is open for a run.
type openRun struct {
	id      string
	started time.Time
	store   journal.Store
	log     journal.Log
	ledger  *journal.Ledger
	// watchdog is nil when there is none.
	watchdog *watchdog.Watchdog
}

// openRun begins a run. watch is called before anything of it exists, since
// the process may be killed at any time from then on.
func (a *app) openRun(ctx context.Context, d dirs, template string, watch func(id string) *watchdog.Watchdog) (*openRun, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("run id: %w", err)
	}
	r := &openRun{id: id.String(), started: time.Now(), store: journal.FileStore{Dir: runsDir(d)}}
	info := journal.ThisProcess(r.id, a.start)
	info.Template, info.Version = template, version
	r.watchdog = watch(r.id)
	if r.log, err = r.store.Create(ctx, info); err != nil {
		return nil, errors.Join(err, r.dismiss())
	}
	r.ledger = journal.NewLedger(r.log, a.reapers(), component.SystemClock{})
	return r, nil
}

// close ends the journal; when nothing is left open it goes away. What is left of
// an abandoned run is the watchdog's, and else was left on purpose.
func (r *openRun) close(ctx context.Context, abandoned bool) error {
	st, err := r.log.State()
	if err == nil && len(st.Open) == 0 {
		err = r.store.Remove(ctx, r.log)
	}
	err = errors.Join(err, r.log.Close())
	if !abandoned {
		err = errors.Join(err, r.dismiss())
	}
	return err
}

func (r *openRun) dismiss() error {
	if r.watchdog == nil {
		return nil
	}
	return r.watchdog.Dismiss()
}

// mentionLeftovers says once that crashed runs have left something behind.
func (a *app) mentionLeftovers(d dirs, screen *screen) {
	states, err := journal.FileStore{Dir: runsDir(d)}.List(context.Background())
	if err != nil {
		return // the run's own journal will meet the same problem and say it
	}
	runs, things := 0, 0
	for _, st := range states {
		if !st.Alive && len(st.Open) > 0 {
			runs++
			things += len(st.Open)
		}
	}
	if things > 0 {
		screen.warn(fmt.Sprintf("%d earlier %s ended without releasing %d %s. 'ingot reap -dry-run' lists, 'ingot reap' removes.",
			runs, plural(runs, "run", "runs"), things, plural(things, "resource", "resources")))
	}
}

// screen is where a command's output goes.
type screen struct {
	app     *app
	json    *ui.JSON
	machine *ui.Machine
	sink    ui.Sink
	log     *ui.Log
	prompt  component.Prompter
	secrets *ui.Redactor
	colors  ui.ColorMode
	// record is the history of the run; nil for commands other than build.
	record *history.Recorder
	// secretVars are the variables that are sensitive.
	secretVars map[string]bool
	// obstacle says why the run cannot be taken up; "" when it can.
	obstacle string
	// recordedIn is where that is; without a run when it is nowhere.
	recordedIn place
	// traces says where a trace of the run goes.
	traces otlp.Settings
	// sources is the text of the template that is built, for showing lines.
	sources map[string][]byte
	closers []func() error
}

// openScreen opens the output. Others get the same events, without secrets.
func (a *app) openScreen(f buildFlags, others ...ui.Sink) (*screen, error) {
	s := &screen{app: a, secrets: ui.NewRedactor(), prompt: ui.NoPrompter{}, colors: f.colors}
	log, err := ui.OpenLog(a.getenv, a.streams.Err, s.secrets)
	if err != nil {
		return nil, err
	}
	s.log = log
	var main ui.Sink
	switch {
	case f.json:
		s.json = ui.NewJSON(a.streams.Out)
		main = s.json
	case a.machineReadable:
		s.machine = ui.NewMachine(a.streams.Out)
		main = s.machine
	default:
		human := ui.NewHuman(a.streams.Out, a.streams.Err, ui.HumanOptions{
			Color: f.colors, Timestamps: f.timestamps, NoLive: log.OnScreen(), Getenv: a.getenv,
		})
		main = human
		p := ui.NewPrompter(human)
		s.prompt = p
		s.closers = append(s.closers, p.Close)
	}
	s.sink = s.secrets.Wrap(ui.Fanout(append([]ui.Sink{main, log}, others...)...))
	s.closers = append(s.closers, s.sink.Close)
	return s, nil
}

// openRecorded opens the output of a run, which is recorded as well.
func (a *app) openRecorded(f buildFlags) (*screen, error) {
	record := &history.Recorder{}
	s, err := a.openScreen(f, record)
	if err == nil {
		s.record = record
	}
	return s, err
}

func (s *screen) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// exit ends the process. The terminal is put right first, but a reader that
// does not read must not keep a user who asked for the third time waiting.
func (s *screen) exit(code int) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = s.close() // the process ends with an error anyway
	}()
	select {
	case <-closed:
	case <-time.After(500 * time.Millisecond):
	}
	exitNow(code)
}

// pause takes the live view away while something else is printed.
func (s *screen) pause() (resume func()) {
	if p, ok := s.sink.(ui.Pauser); ok {
		return p.Pause()
	}
	return func() {}
}

// notice prints a line that belongs to no build.
func (s *screen) notice(text string) {
	s.sink.Handle(component.Stamped{At: time.Now(), Event: component.Message{Text: text}})
}

func (s *screen) warn(text string) {
	s.sink.Handle(component.Stamped{At: time.Now(), Event: component.Warning{Summary: text}})
}

// colorFlag is -color, which may be true, false or not given.
type colorFlag struct{ mode *ui.ColorMode }

func (f colorFlag) Type() string   { return "" }
func (f colorFlag) String() string { return "" }

func (f colorFlag) Set(text string) error {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("want true or false")
	}
	*f.mode = ui.ColorNever
	if on {
		*f.mode = ui.ColorAlways
	}
	return nil
}
