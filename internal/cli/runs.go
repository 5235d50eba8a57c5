package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/history"
	"ingot/internal/journal"
	"ingot/internal/ui"
)

func (a *app) runsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "runs COMMAND",
		Short: "Show how earlier builds went",
		Long: `Every 'ingot build' records what happens in it. 'list' shows the runs, 'show' the
phases, steps, resources and artifacts of one, 'logs' what it printed, 'report'
writes it all as a page for a browser, 'resume' goes on with one that failed. A RUN is the id that 'list' shows, its
first characters, or 'last'. The newest 50 runs of the last 30 days are kept.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("a command is missing: list, show, logs, report or resume"), cmd}
		},
	}
	c.AddCommand(a.runsListCommand(), a.runsShowCommand(), a.runsLogsCommand(), a.runsReportCommand(), a.runsResumeCommand())
	return c
}

func (a *app) runsListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [flags]",
		Short: "List the runs that are remembered",
		Long: `Lists the runs that are remembered, the newest first: id, when it began, how long
it took, result (running, succeeded, failed, interrupted, killed), whether 'ingot
build -resume' can go on with it, or which run has, template and builds.`,
		Example: `  ingot runs list
  ingot runs list -json | jq -r 'select(.result == "failed").id'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.runsList(asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per run")
	return c
}

// historyStore is where runs are remembered.
func historyStore(d dirs) history.Store {
	return history.Store{Dir: filepath.Join(d.State, "history")}
}

// isAlive tells whether the process of a run is still there.
func isAlive(d dirs) func(run string) bool { return journal.FileStore{Dir: runsDir(d)}.Alive }

// runLine is one line of `ingot runs list -json`; fields are only ever added.
type runLine struct {
	ID          string   `json:"id"`
	Started     string   `json:"started"`
	DurationMS  int64    `json:"duration_ms"`
	Result      string   `json:"result"`
	Interrupted string   `json:"interrupted,omitempty"`
	Template    string   `json:"template"`
	Dir         string   `json:"dir"`
	Version     string   `json:"version"`
	Builds      []string `json:"builds"`
	Failed      *int     `json:"failed,omitempty"`
	Path        string   `json:"path"`
	Resumable   bool     `json:"resumable"`
	Resumes     string   `json:"resumes,omitempty"`
}

func (a *app) runsList(asJSON bool) error {
	d, err := findDirs(a.getenv)
	if err != nil {
		return err
	}
	store := historyStore(d)
	ids, err := store.Runs()
	if err != nil {
		return err
	}
	var sums []history.Summary
	for _, id := range ids {
		sum, err := store.Summary(id, isAlive(d))
		if errors.Is(err, os.ErrNotExist) {
			continue // pruned at this moment
		}
		if err != nil {
			fmt.Fprintf(a.streams.Err, "Warning: %v\n", err)
			continue
		}
		sum.RunID = id
		sums = append(sums, sum)
	}
	if asJSON {
		return a.runsJSON(store, sums)
	}
	if len(sums) == 0 {
		fmt.Fprintf(a.streams.Out, "No run is remembered yet (in %s).\n", store.Dir)
		return nil
	}
	return a.runsTable(sums)
}

func (a *app) runsJSON(store history.Store, sums []history.Summary) error {
	for _, s := range sums {
		l := runLine{
			ID: s.RunID, Started: s.Started.UTC().Format(time.RFC3339Nano), DurationMS: s.Took.Milliseconds(), Result: string(s.Result),
			Interrupted: s.Interrupted, Template: s.Template, Dir: s.Dir, Version: s.Version,
			Builds: append([]string{}, s.Builds...), Path: store.Path(s.RunID), Resumable: s.CanResume(),
		}
		if s.Again != nil {
			l.Resumes = s.Again.Resumes
		}
		if s.Failed >= 0 {
			l.Failed = &s.Failed
		}
		if err := a.jsonLine(l); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) runsTable(sums []history.Summary) error {
	short := shortIDs(sums)
	w := tabwriter.NewWriter(a.streams.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSTARTED\tTOOK\tRESULT\tRESUME\tTEMPLATE\tBUILDS")
	next := map[string]string{} // the newest run that has taken one up
	for i, s := range slices.Backward(sums) {
		if s.Again != nil && s.Again.Resumes != "" {
			next[s.Again.Resumes] = short[i]
		}
	}
	for i, s := range sums {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", short[i], s.Started.Local().Format(time.DateTime), ui.ShortDuration(s.Took),
			s.Result, resumeText(s, next[s.RunID]), ui.Clean(s.Template), ui.Clean(buildsText(s)))
	}
	return w.Flush()
}

// resumeText says whether a run can be taken up, and by which one it was.
func resumeText(s history.Summary, by string) string {
	switch {
	case by != "":
		return "by " + by
	case s.CanResume():
		return "yes"
	}
	return "-"
}

// buildsText names a few builds, and says how many failed.
func buildsText(s history.Summary) string {
	text := strings.Join(s.Builds, ", ")
	if len(s.Builds) > 3 {
		text = fmt.Sprintf("%s and %d others", strings.Join(s.Builds[:2], ", "), len(s.Builds)-2)
	}
	if s.Failed > 0 && len(s.Builds) > 1 {
		text += fmt.Sprintf(" (%d failed)", s.Failed)
	}
	return text
}

// shortIDs are the ids as short as they can be told apart, but not shorter than
// a time of which nobody types more.
func shortIDs(sums []history.Summary) []string {
	const least = 13
	out := make([]string, len(sums))
	for i, s := range sums {
		n := least
		for j, other := range sums {
			for i != j && n < len(s.RunID) && strings.HasPrefix(other.RunID, s.RunID[:n]) {
				n++
			}
		}
		out[i] = s.RunID[:n]
	}
	return out
}

// openHistory finds the file of the run that name means.
func (a *app) openHistory(name string) (id string, f *os.File, d dirs, err error) {
	if d, err = findDirs(a.getenv); err != nil {
		return "", nil, d, err
	}
	store := historyStore(d)
	if id, err = store.Find(name); err != nil {
		return "", nil, d, err
	}
	if f, err = os.Open(store.Path(id)); err != nil {
		return "", nil, d, fmt.Errorf("history: %w", err)
	}
	return id, f, d, nil
}

// readRun reads the run that name means.
func (a *app) readRun(name string, o history.Options) (*history.Run, error) {
	id, f, d, err := a.openHistory(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Asked first: a run that ends meanwhile has then said so.
	alive := isAlive(d)(id)
	run, err := history.Read(f, o, alive)
	if err != nil {
		return nil, fmt.Errorf("history: %s: %w", f.Name(), err)
	}
	return run, nil
}

// oneRun is the argument check of commands that take a run and what stands
// behind it.
func oneRun(behind ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		want := append([]string{"RUN"}, behind...)
		switch {
		case len(args) == 0:
			return usageError{errors.New("the run is missing: give its id, the first characters of it, or 'last'; `ingot runs list` shows them"), cmd}
		case len(args) < len(want):
			return usageError{fmt.Errorf("%s is missing", want[len(args)]), cmd}
		case len(args) > len(want):
			return usageError{fmt.Errorf("too much was given: %s; want %s", strings.Join(args[len(want):], " "), strings.Join(want, " ")), cmd}
		}
		return nil
	}
}

// completeRuns offers the runs that are remembered.
func (a *app) completeRuns(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	d, err := findDirs(a.getenv)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ids, err := historyStore(d).Runs()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return append([]string{history.Last}, ids...), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
