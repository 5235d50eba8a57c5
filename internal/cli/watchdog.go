package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/component"
	"ingot/internal/failpoint"
	"ingot/internal/journal"
	"ingot/internal/plugin/host"
	"ingot/internal/procid"
	"ingot/internal/retry"
	"ingot/internal/watchdog"
)

// lockLimit is how long the lock on the journal of a run that has vanished may
// stay taken: until the kernel has taken the process apart, which may have to
// write gigabytes first.
const lockLimit = 2 * time.Minute

// watchRun starts the process that removes what the run leaves when this process
// vanishes; nil when there is to be none. Without it a build works all the same,
// so that a failure is only told.
func (a *app) watchRun(d dirs, run string, no bool, warn func(string)) *watchdog.Watchdog {
	if no {
		return nil
	}
	program, err := os.Executable()
	if err == nil {
		var w *watchdog.Watchdog
		// Whoever ends the processes that hold its token must not end what
		// cleans up after one of them; and a crash that a test asks for is
		// that of the run.
		w, err = watchdog.Start(program, []string{d.State, run}, a.environ, []string{procid.TokenVariable, failpoint.Variable, failpoint.CountVariable})
		if err == nil {
			return w
		}
	}
	warn(fmt.Sprintf("No watchdog for this run (%v): when ingot is killed, 'ingot reap' has to remove what is left.", err))
	return nil
}

// watchdogMain is the program as watchdog: args are the state folder and the run.
func watchdogMain(args []string, streams Streams) int {
	if len(args) != 2 {
		fmt.Fprintln(streams.Err, "Error: this is for ingot itself; `ingot -help` lists the commands")
		return exitUsage
	}
	if !watchdog.Watch(streams.In) {
		return exitOK
	}
	d := dirs{State: args[0]}
	a := &app{streams: streams, getenv: os.Getenv, environ: os.Environ(), start: time.Now(), plugins: host.NewLive()}
	report, err := a.releaseVanished(d, args[1])
	if err == nil {
		return exitOK
	}
	// Nobody sees our output. The next build says that there is something left,
	// and here is why.
	path := filepath.Join(d.State, "reports", args[1], "watchdog.txt")
	report += fmt.Sprintf("Error: %v\nRun 'ingot reap' to try again.\n", err)
	if os.MkdirAll(filepath.Dir(path), 0o700) == nil {
		_ = os.WriteFile(path, []byte(report), 0o600)
	}
	return exitFailure
}

// releaseVanished removes what a run has left whose process is gone, and says
// what that was.
func (a *app) releaseVanished(d dirs, run string) (report string, err error) {
	line := func(format string, args ...any) { report += fmt.Sprintf(format+"\n", args...) }
	recoverRun := func() error {
		_, err := journal.Recover(context.Background(), journal.FileStore{Dir: runsDir(d)}, a.reapers(), journal.RecoverOptions{
			Runs: []string{run}, Now: time.Now(),
			Report: func(_ journal.RunInfo, r component.Resource, err error) {
				if err != nil {
					line("%s %s: %v", r.Kind, firstOf(r.ID, r.Token), err)
					return
				}
				line("%s %s: removed", r.Kind, firstOf(r.ID, r.Token))
			},
			Damaged: func(_ journal.RunInfo, damage string) { line("The journal is damaged: %s", damage) },
		})
		return err
	}
	// The limit is for the lock; removing things takes as long as it takes.
	waiting, cancel := context.WithTimeout(context.Background(), lockLimit)
	defer cancel()
	err = retry.Do(waiting, component.SystemClock{}, retry.Policy{
		First: 20 * time.Millisecond, Max: time.Second,
		Retryable: func(err error) bool { return errors.Is(err, journal.ErrAlive) },
	}, func(context.Context) error { return recoverRun() })
	if errors.Is(err, journal.ErrNotFound) {
		// It had not come to its first record, or had removed its last, or
		// somebody was faster.
		err = journal.FileStore{Dir: runsDir(d)}.Sweep(context.Background())
	}
	return report, err
}
