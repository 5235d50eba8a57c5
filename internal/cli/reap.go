package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/component"
	"ingot/internal/journal"
)

type reapFlags struct {
	dryRun       bool
	olderThan    time.Duration
	olderThanSet bool
	json         bool
	provider     string
}

func (a *app) reapCommand() *cobra.Command {
	var f reapFlags
	c := &cobra.Command{
		Use:   "reap [flags] [RUN...]",
		Short: "Remove what crashed runs left behind",
		Long: `Removes the containers, folders, keys and processes of runs whose process is
gone: killed, crashed, or ended with -on-error=abort. What a run has made is in
its journal from before it existed, so nothing is guessed; runs that are alive
are never touched. Without arguments it looks at all runs.

With -provider it asks a provider in place of the journals, which may be gone with
the machine that they were on: what runs have made there carries the run, the build
and the time until which it may be needed. What has expired is removed; with
-older-than what is older than that, and with RUN what belongs to that run. What
belongs to a run that is alive on this machine, and what nobody has labelled, is
never touched.`,
		Example: `  ingot reap -dry-run
  ingot reap
  ingot reap -older-than=12h
  ingot reap -provider=docker -dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.olderThanSet = cmd.Flags().Changed("older-than")
			return a.reap(cmd, f, args)
		},
	}
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "only list what would be removed")
	c.Flags().DurationVar(&f.olderThan, "older-than", 0, "leave runs alone that started less than this `duration` ago, such as 12h")
	c.Flags().StringVar(&f.provider, "provider", "", "ask this `provider`, such as docker, for what has expired")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON object per resource and a summary")
	return c
}

// reapLine is one line of `ingot reap -json`.
type reapLine struct {
	Type     string              `json:"type"`
	Run      string              `json:"run,omitempty"`
	Started  *time.Time          `json:"started,omitempty"`
	Resource *component.Resource `json:"resource,omitempty"`
	Removed  *bool               `json:"removed,omitempty"`
	Error    string              `json:"error,omitempty"`
	Build    string              `json:"build,omitempty"`
	Expires  *time.Time          `json:"expires,omitempty"`
	Reason   string              `json:"reason,omitempty"`
	Runs     *int                `json:"runs,omitempty"`
	Count    *int                `json:"count,omitempty"`
	Failed   *int                `json:"failed,omitempty"`
}

func (a *app) reap(cmd *cobra.Command, f reapFlags, runs []string) error {
	d, err := findDirs(a.getenv)
	if err != nil {
		return err
	}
	steps := climb(cmd.Context(), func(s string) { fmt.Fprintln(a.streams.Err, s) }, exitNow)
	defer steps.stop()
	out := reapPrinter{seen: new(seen), app: a, flags: f, runsDir: runsDir(d)}
	if f.provider != "" {
		return a.sweep(steps.work, f, runs, out)
	}
	total, err := journal.Recover(steps.work, journal.FileStore{Dir: runsDir(d)}, a.reapers(), journal.RecoverOptions{
		OlderThan: f.olderThan, Runs: runs, DryRun: f.dryRun, Now: time.Now(),
		Report: out.resource, Alive: out.alive, Damaged: out.damaged,
	})
	out.summary(total)
	switch {
	case errors.Is(err, journal.ErrAlive):
		return fmt.Errorf("%w: end it first (Ctrl-C releases what it holds)", err)
	case total.Failed > 0:
		return exitError{exitFailure} // each failure has been printed
	}
	return err
}

func runsDir(d dirs) string { return filepath.Join(d.State, "runs") }

// seen is what the summary has to know.
type seen struct {
	alive bool
	// left counts what a sweep has left alone.
	left int
}

type reapPrinter struct {
	seen    *seen
	app     *app
	flags   reapFlags
	runsDir string
}

func (p reapPrinter) line(l reapLine) {
	_ = p.app.jsonLine(l) // what is removed does not depend on who reads of it
}

func (p reapPrinter) resource(run journal.RunInfo, r component.Resource, err error) {
	if p.flags.json {
		removed := err == nil && !p.flags.dryRun
		l := reapLine{Type: "resource", Run: run.ID, Started: &run.Started, Resource: &r, Removed: &removed}
		if err != nil {
			l.Error = err.Error()
		}
		p.line(l)
		return
	}
	name := r.ID
	if name == "" {
		name = r.Token + " (may not exist)"
	}
	verb := "removed"
	if p.flags.dryRun {
		verb = "would remove"
	}
	if err != nil {
		fmt.Fprintf(p.app.streams.Err, "Error: %v\n", err)
		return
	}
	fmt.Fprintf(p.app.streams.Out, "%s  %-18s %s  (run %s, %s)\n", verb, r.Kind, name, run.ID, run.Started.Local().Format(time.DateTime))
}

func (p reapPrinter) alive(run journal.RunInfo) {
	p.seen.alive = true
	if p.flags.json {
		p.line(reapLine{Type: "alive", Run: run.ID, Started: &run.Started})
		return
	}
	fmt.Fprintf(p.app.streams.Out, "run %s is alive (process %d, since %s): left alone\n", run.ID, run.PID, run.Started.Local().Format(time.DateTime))
}

func (p reapPrinter) damaged(run journal.RunInfo, damage string) {
	fmt.Fprintf(p.app.streams.Err, "Warning: the journal %s cannot be read in full (%s). What it names is removed; the file stays for you to look at; delete its folder when you are done.\n",
		filepath.Join(p.runsDir, run.ID, "journal.jsonl"), damage)
}

func (p reapPrinter) summary(t journal.Recovered) {
	if p.flags.json {
		p.line(reapLine{Type: "summary", Runs: &t.Runs, Count: &t.Removed, Failed: &t.Failed})
		return
	}
	switch {
	case t.Runs == 0 && p.seen.alive:
		fmt.Fprintln(p.app.streams.Out, "No crashed run has left anything behind.")
	case t.Runs == 0:
		fmt.Fprintln(p.app.streams.Out, "Nothing was left behind.")
	case p.flags.dryRun:
		fmt.Fprintf(p.app.streams.Out, "%d left behind by %d crashed %s. Run 'ingot reap' to remove them.\n", t.Removed, t.Runs, plural(t.Runs, "run", "runs"))
	default:
		fmt.Fprintf(p.app.streams.Out, "%d removed, %d failed, from %d crashed %s.\n", t.Removed, t.Failed, t.Runs, plural(t.Runs, "run", "runs"))
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
