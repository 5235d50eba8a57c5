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

	"ingot/internal/component"
	"ingot/internal/engine"
	"ingot/internal/history"
	"ingot/internal/outcome"
	"ingot/internal/plan"
	"ingot/internal/plugin/host"
)

func (a *app) postProcessCommand() *cobra.Command {
	var f buildFlags
	c := &cobra.Command{
		Use:   "post-process [flags] RUN [TEMPLATE]",
		Short: "Run the post-processors again on what a run has made",
		Long: `Runs the post-processors of the template, as it is now, on the artifacts that the
builders of an earlier run have made. Nothing is built. It also works after a run
whose post-processors failed. RUN is an id that 'ingot runs list' shows, its first
characters, or 'last'; TEMPLATE is that of the run unless it is given.

Variables are not remembered: give -var and -var-file as for the build. What a
post-processor replaces is removed when all have succeeded, as in a build.`,
		Example: `  ingot post-process last
  ingot post-process -only=docker-push 019f2c31
  ingot post-process -var 'version=1.2' last image.pkr.hcl`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return oneRun()(cmd, args)
		},
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			template := ""
			if len(args) == 2 {
				template = args[1]
			}
			return a.postProcess(cmd.Context(), f, args[0], template)
		},
	}
	f.register(c)
	fl := c.Flags()
	fl.Lookup("only").Usage = "only the builds, or the post-processors with those before them in their chains, that match these comma-separated `globs`"
	fl.BoolVar(&f.force, "force", false, "replace existing output and artifacts")
	fl.IntVar(&f.parallel, "parallel-builds", 0, "process at most `N` artifacts at a time; 0 is no limit")
	fl.BoolVar(&f.failFast, "fail-fast", false, "stop all when one has failed")
	fl.BoolVar(&f.detailed, "detailed-exitcode", false, "exit with a code that tells why it failed, as for build")
	fl.BoolVar(&f.noWatchdog, "no-watchdog", false, "start no second process that releases what is held when this one is killed")
	f.addOutput(c)
	return c
}

func (a *app) postProcess(ctx context.Context, f buildFlags, name, template string) (err error) {
	was, err := a.finishedRun(name)
	if err != nil {
		return err
	}
	if template == "" {
		if template, err = was.templatePath(); err != nil {
			return err
		}
	}
	f.onError, f.postProcess = string(engine.Cleanup), was.id
	screen, err := a.openRecorded(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	steps := climb(ctx, screen.notice, screen.exit)
	defer steps.stop()

	all := f.templateFlags
	all.core = host.Core{Debug: f.debug, Force: f.force}
	all.only = nil // it chooses among what the run has made
	p, _, err := a.plan(steps.work, all, template, planFor{build: true}, screen)
	if err != nil {
		return err
	}
	was.mentionVariables(f, screen)
	finished, err := was.choose(steps.work, p, f.only, a.reapers().Probe, screen.warn)
	if err != nil {
		return err
	}
	return a.execute(ctx, execution{
		flags: f, dirs: was.dirs, screen: screen, steps: steps, template: template, plan: p, onError: engine.Cleanup, finished: finished,
	})
}

// finishedRun is a run that has ended, with what it has made.
type finishedRun struct {
	history.Summary
	id       string
	dirs     dirs
	outcomes []*outcome.Outcome
}

func (a *app) finishedRun(name string) (*finishedRun, error) {
	d, err := findDirs(a.getenv)
	if err != nil {
		return nil, err
	}
	store := historyStore(d)
	id, err := store.Find(name)
	if err != nil {
		return nil, err
	}
	sum, err := store.Summary(id, isAlive(d))
	if err != nil {
		return nil, err
	}
	if sum.Result == history.Running {
		return nil, fmt.Errorf("run %s is still going on: wait until it has ended", id)
	}
	made, err := outcome.Read(store.OutcomesPath(id))
	if err != nil {
		return nil, err
	}
	if len(made) == 0 {
		return nil, fmt.Errorf("run %s, which %s, has made no artifact; `ingot runs show %s` says what happened", id, resultText(sum.Result), id)
	}
	return &finishedRun{Summary: sum, id: id, dirs: d, outcomes: made}, nil
}

// templatePath is the template of the run.
func (r *finishedRun) templatePath() (string, error) {
	if r.Template == "-" {
		return "", fmt.Errorf("the template of run %s was read from standard input: give it behind the run", r.id)
	}
	path := r.Template
	if cwd, err := os.Getwd(); err == nil && cwd != r.Dir && !filepath.IsAbs(path) {
		path = filepath.Join(r.Dir, path)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the template of run %s cannot be read: %w; give another one behind the run", r.id, err)
	}
	return path, nil
}

// mentionVariables names the variables that the run was given and this command is
// not.
func (r *finishedRun) mentionVariables(f buildFlags, screen *screen) {
	given := map[string]bool{}
	for _, word := range f.words() {
		given[word] = true
	}
	var missing []string
	for _, word := range r.Flags {
		if (strings.HasPrefix(word, "-var=") || strings.HasPrefix(word, "-var-file=")) && !given[word] {
			missing = append(missing, word)
		}
	}
	if len(missing) > 0 {
		screen.warn(fmt.Sprintf("Run %s was given %s, which this command was not: variables are not remembered.", r.id, strings.Join(missing, " ")))
	}
}

// choose leaves in the plan what is to run, and returns the artifacts for it.
func (r *finishedRun) choose(ctx context.Context, p *plan.Plan, only []string, probe outcome.Prober, warn func(string)) (map[string]*outcome.Made, error) {
	made := map[string]*outcome.Outcome{}
	var names []string
	for _, o := range r.outcomes {
		made[o.Build] = o
		names = append(names, o.Build)
	}
	gone, diags := plan.SelectFinished(p, names, only)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	for _, name := range gone {
		warn(fmt.Sprintf("Run %s has made an artifact of %s, which the template does not have.", r.id, name))
	}
	out := map[string]*outcome.Made{}
	for i, b := range p.Builds {
		o := made[b.Addr.String()]
		missing, err := outcome.Missing(ctx, o.Artifact, o.Dir, o.Marks, probe)
		if err != nil {
			return nil, fmt.Errorf("the artifact of %s: %w", b.Addr, err)
		}
		if missing != "" {
			return nil, fmt.Errorf("what the builder of %s made is not there any more: %s%s", b.Addr, missing, replacedBy(o))
		}
		if p.Builds[i], err = r.bind(ctx, b, made); err != nil {
			return nil, err
		}
		m := o.Made
		m.Artifact = inWorkingDir(m.Artifact, m.Dir)
		out[o.Build] = &m
	}
	return out, nil
}

// replacedBy says what became of an artifact that a post-processor has replaced.
func replacedBy(o *outcome.Outcome) string {
	if o.Ended == nil || o.Ended.Failure != "" || len(o.Ended.Artifacts) == 0 {
		return ""
	}
	var now []string
	for _, a := range o.Ended.Artifacts {
		if a.ID == o.Artifact.ID && a.Summary == o.Artifact.Summary {
			return "" // it was not replaced
		}
		now = append(now, a.Summary)
	}
	return fmt.Sprintf(". The run has ended with: %s. When a post-processor replaces what it works on, keep_input_artifact = true keeps it", strings.Join(now, "; "))
}

// bind plans a build that uses artifacts of others with those that the run has
// ended with.
func (r *finishedRun) bind(ctx context.Context, b *plan.Build, outcomes map[string]*outcome.Outcome) (*plan.Build, error) {
	if b.Bind == nil {
		return b, nil
	}
	made := plan.Made{}
	for _, need := range b.Needs {
		o := outcomes[need.String()]
		if o == nil || o.Ended == nil || o.Ended.Failure != "" {
			return nil, fmt.Errorf("%s uses the artifact of %s, which run %s has not", b.Addr, need, r.id)
		}
		made[need] = o.Ended.Artifacts
	}
	bound, diags := b.Bind(ctx, made)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	bound.Needs, bound.Bind, bound.Chains = nil, nil, sameChains(bound.Chains, b.Chains)
	return bound, nil
}

// sameChains are the chains, and of each the part, that were chosen in other.
func sameChains(chains, other []plan.Chain) []plan.Chain {
	chosen := map[string]bool{}
	for _, chain := range other {
		for _, step := range chain {
			chosen[step.Addr.String()] = true
		}
	}
	var out []plan.Chain
	for _, chain := range chains {
		n := 0
		for n < len(chain) && chosen[chain[n].Addr.String()] {
			n++
		}
		if n > 0 {
			out = append(out, chain[:n])
		}
	}
	return out
}

// inWorkingDir is an artifact whose paths are right although its run was started
// elsewhere.
func inWorkingDir(a *component.Artifact, dir string) *component.Artifact {
	if cwd, err := os.Getwd(); err == nil && cwd == dir {
		return a
	}
	moved := *a
	moved.Files = slices.Clone(a.Files)
	for i, f := range moved.Files {
		if !filepath.IsAbs(f.Path) {
			moved.Files[i].Path = filepath.Join(dir, f.Path)
		}
	}
	return &moved
}
