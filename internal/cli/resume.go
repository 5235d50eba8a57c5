package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/engine"
	"ingot/internal/history"
	"ingot/internal/outcome"
	"ingot/internal/plan"
	"ingot/internal/stepcache"
)

func (a *app) runsResumeCommand() *cobra.Command {
	var f buildFlags
	c := &cobra.Command{
		Use:   "resume [flags] RUN",
		Short: "Go on with a run that failed or was killed",
		Long: `The same as 'ingot build -resume=RUN': makes the builds that a run did not finish,
of the template as it now is, each from the newest machine that was saved and that
the template still leads to. The flags are those of 'ingot build'.`,
		Example: `  ingot runs resume last
  ingot runs resume -var 'password=...' 019f2c31`,
		Args:              oneRun(),
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.resume = args[0]
			return a.buildOrResume(cmd, &f, nil)
		},
	}
	f.add(c)
	return c
}

// buildOrResume builds a template, or takes up a run. f is what the flags of the command
// are bound to.
func (a *app) buildOrResume(cmd *cobra.Command, f *buildFlags, args []string) error {
	f.retrySet = cmd.Flags().Changed("retry")
	if f.resume == "" {
		return a.build(cmd.Context(), *f, args[0])
	}
	template, err := a.takeUp(cmd, f, args)
	if err != nil {
		return err
	}
	return a.build(cmd.Context(), *f, template)
}

// takeUp finds the run that -resume names, gives the flags what it was given, and
// goes to its folder. It returns the template.
func (a *app) takeUp(cmd *cobra.Command, f *buildFlags, args []string) (string, error) {
	if f.cache.no {
		return "", errors.New("-no-cache cannot be used with -resume, which goes on from what is saved and saves what comes")
	}
	run, err := a.readRun(f.resume, history.Options{})
	if err != nil {
		return "", err
	}
	if err := refuseResume(run); err != nil {
		return "", err
	}
	if err := sameTemplate(run, args); err != nil {
		return "", err
	}
	// What is given now starts from the folder that the user is in.
	for _, path := range slices.Concat(pointers(f.varFiles), pointers(f.cache.from), []*string{&f.report, &f.junit}) {
		if err := makeAbsolute(path); err != nil {
			return "", err
		}
	}
	if err := f.takeFrom(cmd, run.Again); err != nil {
		return "", err
	}
	if err := f.wantSecrets(run, a.getenv); err != nil {
		return "", err
	}
	if err := os.Chdir(run.Dir); err != nil {
		return "", fmt.Errorf("the folder in which run %s was started: %w", run.RunID, err)
	}
	f.earlier, f.cache.use = run, true
	f.began = run.Again.Clock
	return run.Template, nil
}

// refuseResume says why a run cannot be taken up.
func refuseResume(run *history.Run) error {
	switch again := run.Again; {
	case run.Result == history.Running:
		return fmt.Errorf("run %s is still going on; `ingot runs logs -f %s` shows what it does", run.RunID, run.RunID)
	case run.Result == history.Succeeded:
		return fmt.Errorf("run %s has succeeded: there is nothing to resume", run.RunID)
	case again == nil:
		return fmt.Errorf("run %s cannot be resumed: an older version of Ingot recorded it, without what that takes", run.RunID)
	case again.Obstacle != "":
		return fmt.Errorf("run %s cannot be resumed: %s", run.RunID, again.Obstacle)
	}
	return nil
}

// sameTemplate: a template that is named has to be that of the run.
func sameTemplate(run *history.Run, args []string) error {
	if len(args) == 0 {
		return nil
	}
	given, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	built := run.Template
	if !filepath.IsAbs(built) {
		built = filepath.Join(run.Dir, built)
	}
	if given != filepath.Clean(built) {
		return fmt.Errorf("run %s is not of this template: it built %s, not %s", run.RunID, filepath.Clean(built), given)
	}
	return nil
}

func pointers(list []string) []*string {
	out := make([]*string, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

func makeAbsolute(path *string) error {
	if *path == "" {
		return nil
	}
	abs, err := filepath.Abs(*path)
	*path = abs
	return err
}

// takeFrom adds the flags of an earlier run to those that are given now. Of a flag
// that has one value, what is given now counts; -only and -except count together.
func (f *buildFlags) takeFrom(cmd *cobra.Command, again *history.Again) error {
	flags := cmd.Flags()
	chosen := flags.Changed("only") || flags.Changed("except")
	given := map[string]bool{"only": chosen, "except": chosen}
	var vars, files []string
	for _, word := range again.Flags {
		name, value, has := strings.Cut(strings.TrimPrefix(word, "-"), "=")
		if !has {
			value = "true"
		}
		if _, known := given[name]; !known {
			given[name] = flags.Changed(name)
		}
		switch {
		case name == "var":
			vars = append(vars, value)
		case name == "var-file":
			files = append(files, value)
		case given[name]:
		case flags.Lookup(name) == nil:
			return fmt.Errorf("the run was started with -%s, which is not known any more", name)
		default:
			if err := flags.Set(name, value); err != nil {
				return fmt.Errorf("a flag of the run: %w", err)
			}
		}
	}
	f.vars, f.varFiles = append(vars, f.vars...), append(files, f.varFiles...)
	f.retrySet = flags.Changed("retry")
	return nil
}

// wantSecrets says which values have to be given again. They may also come from a
// file that is given now.
func (f *buildFlags) wantSecrets(run *history.Run, getenv func(string) string) error {
	has := func(name string) bool {
		return getenv(envPrefix+name) != "" || slices.ContainsFunc(f.vars, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	}
	var missing []string
	for _, name := range run.Again.Secret {
		if !has(name) {
			missing = append(missing, name)
		}
	}
	for _, name := range run.Again.Environ {
		if name = strings.TrimPrefix(name, envPrefix); !has(name) && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 || len(f.varFiles) > len(recordedFiles(run)) {
		return nil
	}
	return fmt.Errorf("run %s was given values that are not recorded, since they are sensitive or came from the environment: %s. Give them again, with -var, -var-file or %sNAME",
		run.RunID, strings.Join(missing, ", "), envPrefix)
}

// recordedFiles are the var files that a run was given.
func recordedFiles(run *history.Run) (out []string) {
	for _, word := range run.Again.Flags {
		if strings.HasPrefix(word, "-var-file=") {
			out = append(out, word)
		}
	}
	return out
}

// envPrefix is what the settings in the environment begin with that give values to
// variables.
const envPrefix = "PKR_VAR_"

// again is what it takes to take the run up that begins now.
func (s *screen) again(f buildFlags, template string, cached bool, inputs map[string][]history.Input) *history.Again {
	out := &history.Again{Clock: firstTime(f.began, s.app.start), Cached: cached, Inputs: inputs}
	if f.earlier != nil {
		out.Resumes = f.earlier.RunID
	}
	switch {
	case f.postProcess != "":
		out.Obstacle = "nothing was built in it; `ingot post-process " + f.postProcess + "` does the same again"
	case template == "-":
		out.Obstacle = "its template came from standard input"
	}
	for _, v := range f.vars {
		name, _, _ := strings.Cut(v, "=")
		if s.secretVars[name] || s.secrets.Redact(v) != v {
			out.Secret = append(out.Secret, name)
			continue
		}
		out.Flags = append(out.Flags, "-var="+v)
	}
	out.Flags = append(out.Flags, f.lasting()...)
	for _, setting := range s.app.environ {
		if name, value, _ := strings.Cut(setting, "="); strings.HasPrefix(name, envPrefix) && value != "" {
			out.Environ = append(out.Environ, name)
		}
	}
	return out
}

// inputsOf are digests of what the builds depend on. What cannot be read is found
// out by the build itself; its build is not taken for done then.
func inputsOf(ctx context.Context, p *plan.Plan, secret stepcache.Secret) map[string][]history.Input {
	out := map[string][]history.Input{}
	for _, b := range p.Builds {
		parts, err := engine.Inputs(ctx, b, secret)
		if err != nil {
			continue
		}
		list := make([]history.Input, len(parts))
		for i, part := range parts {
			list[i] = history.Input(part)
		}
		out[b.Addr.String()] = list
	}
	return out
}

// past is what there is of a run that is taken up.
type past struct {
	*screen
	ctx      context.Context
	run      *history.Run
	builds   map[string]*history.Build
	outcomes map[string]*outcome.Outcome
	// inputs are those of the builds as they are now.
	inputs map[string][]history.Input
	plan   map[addr.Build]*plan.Build
	looked map[addr.Build]bool

	earlier  *engine.Earlier
	finished map[string]*outcome.Made
}

// pick works out what of an earlier run is done: builds that are not made again, and
// artifacts of which only the post-processors failed. It says which builds of what
// was made have to be made again, and why.
func (s *screen) pick(ctx context.Context, d dirs, run *history.Run, p *plan.Plan, inputs map[string][]history.Input) (*past, error) {
	made, err := outcome.Read(historyStore(d).OutcomesPath(run.RunID))
	if err != nil {
		return nil, err
	}
	b := &past{
		screen: s, ctx: ctx, run: run, inputs: inputs, builds: map[string]*history.Build{}, outcomes: map[string]*outcome.Outcome{},
		plan: map[addr.Build]*plan.Build{}, looked: map[addr.Build]bool{}, finished: map[string]*outcome.Made{},
		earlier: &engine.Earlier{Run: run.RunID, Cached: run.Again.Cached, Done: map[addr.Build]engine.Finished{}, Steps: map[addr.Build]int{}},
	}
	for _, old := range run.Builds {
		b.builds[old.ID] = old
	}
	for _, o := range made {
		b.outcomes[o.Build] = o
	}
	for _, build := range p.Builds {
		b.plan[build.Addr] = build
	}
	for _, build := range p.Builds {
		b.look(build)
	}
	return b, nil
}

// look decides what becomes of a build, after those that it needs.
func (b *past) look(build *plan.Build) {
	name := build.Addr.String()
	old := b.builds[name]
	if b.looked[build.Addr] {
		return
	}
	b.looked[build.Addr] = true
	var anew []string
	for _, need := range build.Needs {
		b.look(b.plan[need])
		if _, done := b.earlier.Done[need]; !done {
			anew = append(anew, need.String())
		}
	}
	if old == nil || !old.Started && old.Earlier == "" {
		return
	}
	o := b.outcomes[name]
	done := old.Ended && old.Err == nil
	if !done && o == nil {
		b.earlier.Steps[build.Addr] = old.StepsDone()
		return
	}
	why := ""
	switch {
	case len(anew) > 0:
		why = "it uses the artifact of " + strings.Join(anew, " and of ") + ", which is made again"
	default:
		before, now := b.run.Again.Inputs[name], b.inputs[name]
		why = comparison(before, now, !done)
		if done && why != "" && o != nil && comparison(before, now, true) == "" {
			done, why = false, "" // only post-processors are others
		}
	}
	if why == "" {
		why = b.missing(old, o, done)
	}
	switch {
	case why != "":
		b.notice(fmt.Sprintf("Run %s has made %s, but it is made again: %s.", b.run.RunID, name, why))
		b.earlier.Steps[build.Addr] = old.StepsDone()
	case done:
		f := engine.Finished{Run: firstOf(old.Earlier, b.run.RunID), Artifacts: old.Artifacts}
		if o != nil && o.Ended != nil {
			f.Artifacts = o.Ended.Artifacts
		}
		b.earlier.Done[build.Addr] = f
	default:
		b.finished[name] = &o.Made
	}
}

// missing says what of the artifacts of a build is not there any more, or cannot be
// told; "" when all is there.
func (b *past) missing(old *history.Build, o *outcome.Outcome, done bool) string {
	list, marks, dir := old.Artifacts, outcome.Marks(nil), b.run.Dir
	if o != nil {
		list, marks, dir = []*component.Artifact{o.Artifact}, o.Marks, o.Dir
		if done && o.Ended != nil {
			list, marks = o.Ended.Artifacts, o.Ended.Marks
		}
	}
	for _, a := range list {
		if a == nil {
			continue
		}
		if masked(a) {
			return "its artifact has a secret in its name, which is not recorded"
		}
		wrong, err := outcome.Missing(b.ctx, a, dir, marks, b.app.reapers().Probe)
		if err != nil {
			wrong = err.Error()
		}
		if wrong != "" {
			return wrong
		}
	}
	return ""
}

// comparison says what is different in the inputs of a build, "" when nothing is.
// Those of the post-processors can be left out.
func comparison(before, now []history.Input, withoutPost bool) string {
	if len(before) == 0 || len(now) == 0 {
		return "what it depends on could not be read"
	}
	parts := func(list []history.Input) []stepcache.Part {
		var out []stepcache.Part
		for _, in := range list {
			if !withoutPost || !strings.Contains(in.Name, " of "+addr.PostProcessor.String()+" ") {
				out = append(out, stepcache.Part(in))
			}
		}
		return out
	}
	changed := stepcache.Changes(parts(before), parts(now))
	const most = 3
	if n := len(changed); n > most {
		changed = append(changed[:most:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(changed, ", ")
}

// masked reports whether a secret was left out of what leads to an artifact.
func masked(a *component.Artifact) bool {
	texts := []string{a.ID}
	for _, f := range a.Files {
		texts = append(texts, f.Path)
	}
	for _, i := range a.Images {
		texts = append(texts, i.ID, i.Region)
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, "<sensitive>") })
}

// sayHowToGoOn tells who reads the output how to go on with a run that failed.
func (s *screen) sayHowToGoOn(res engine.Result) {
	if s.json != nil || s.machine != nil || s.recordedIn.run == "" || s.recordedIn.remove != nil {
		return
	}
	if res.Failed() == 0 && res.Interrupted == nil {
		return
	}
	if why := s.obstacle; why != "" {
		s.notice("\nThis run cannot be resumed: " + why + ".")
		return
	}
	text := "\nTo go on: ingot build -resume=" + s.recordedIn.run
	s.notice(text + "\n" + strings.Join(goesOn(res.Builds), "\n"))
}

// goesOn says from where the builds that failed can be taken up, in a line for all of
// which the same is to be said. Those that were not begun are not among them.
func goesOn(builds []engine.BuildResult) []string {
	var order []engine.Saved
	names := map[engine.Saved][]string{}
	for _, b := range builds {
		where := b.Saved
		if b.Err == nil || where == (engine.Saved{}) {
			continue
		}
		if where.Steps == 0 || where.Made {
			where.Of = 0
		}
		if names[where] == nil {
			order = append(order, where)
		}
		names[where] = append(names[where], b.Addr.String())
	}
	var lines []string
	for _, where := range order {
		who := names[where]
		const most = 3
		verb := map[bool][2]string{true: {"starts", "goes"}, false: {"start", "go"}}[len(who) == 1]
		if n := len(who); n > most {
			who = append(who[:most:most], fmt.Sprintf("%d more", n-most))
		}
		line := "  " + strings.Join(who, ", ")
		switch {
		case where.Made:
			line += fmt.Sprintf(" %s on with the post-processors", verb[1])
		case where.Steps > 0:
			line += fmt.Sprintf(" %s on after provisioner %d of %d", verb[1], where.Steps, where.Of)
		case where.Why != "":
			line += fmt.Sprintf(" %s from the beginning: %s", verb[0], where.Why)
		default:
			line += fmt.Sprintf(" %s from the beginning", verb[0])
		}
		lines = append(lines, line)
	}
	return lines
}

// mentionKilled says once that the last build of a template was killed.
func (a *app) mentionKilled(d dirs, s *screen, template string) {
	store := historyStore(d)
	ids, err := store.Runs()
	if err != nil || len(ids) == 0 {
		return // there is no history, or beginning this run's meets the same problem
	}
	sum, err := store.Summary(ids[0], isAlive(d))
	dir, dirErr := os.Getwd()
	if err != nil || dirErr != nil || sum.Result != history.Killed || !sum.CanResume() || sum.Template != template || sum.Dir != dir {
		return
	}
	s.notice(fmt.Sprintf("The last build of this template was killed. To go on with it: ingot build -resume=%s", ids[0]))
}
