package crash

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ingot/internal/testkit/live"
	"ingot/internal/watchdog"
)

// watchdogLimit is how long the watchdog may take. A test that passes does not
// wait for it.
const watchdogLimit = time.Minute

// TestWatchdog kills builds that have a watchdog: the build alone, and its whole
// group of processes, as a CI system does; then nothing is left although nobody
// reaps. When the watchdog is killed too, reap does its work.
func TestWatchdog(t *testing.T) {
	if testing.Short() {
		t.Skip("each crash is a build of its own")
	}
	env := live.Require(t)
	live.RequireRoot(t)
	program := buildProgram(t)
	for _, s := range subjects(env) {
		if s.warm {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			c := newCampaign(t, env, program, s)
			full := c.completeRun()
			for n := 1; c.watched(fmt.Sprintf("journal.after:%d", n)); n += 4 {
			}
			for percent := range 5 {
				after := full * time.Duration(15+20*percent) / 100
				t.Run(fmt.Sprintf("group after %s", after.Round(time.Millisecond)), func(t *testing.T) {
					w := c.newWorld(t)
					w.runWatched("", func(p *os.Process) {
						time.Sleep(after)
						kill(t, -p.Pid)
					})
					w.awaitNothingLeft()
				})
				t.Run(fmt.Sprintf("watchdog too after %s", after.Round(time.Millisecond)), func(t *testing.T) {
					w := c.newWorld(t)
					w.runWatched("", func(p *os.Process) {
						time.Sleep(after)
						// The watchdog first, so that it has no time to do anything.
						for _, dog := range w.watchdogs() {
							kill(t, dog)
						}
						kill(t, p.Pid)
					})
					w.openAndKept()
					w.reap()
					w.checkNothingLeft()
					w.reapAgain()
				})
			}
			c.foreign.check(t)
		})
	}
}

// watched runs a build that kills itself at the failpoint; false when it does not
// get there.
func (c *campaign) watched(failpoint string) (killed bool) {
	c.t.Run(failpoint, func(t *testing.T) {
		w := c.newWorld(t)
		end := w.runWatched(failpoint, nil)
		if killed = end.killed; !killed && end.err != nil {
			t.Fatalf("the build was not killed, and failed: %v\n%s", end.err, end.output)
		}
		w.awaitNothingLeft()
		if killed {
			w.reapAgain()
		}
	})
	return killed && !c.t.Failed()
}

// runWatched runs a build with a watchdog in a group of its own.
func (w *world) runWatched(failpoint string, during func(*os.Process)) ending {
	w.t.Helper()
	w.ownGroup = true
	defer func() { w.ownGroup = false }()
	return w.run(failpoint, during, w.watchedArgs()...)
}

// awaitNothingLeft waits for the watchdog. A result may stay: the run may have
// given it to the user, and the journal that would tell is gone. That nothing else
// stays is TestCrash's to prove.
func (w *world) awaitNothingLeft() {
	w.t.Helper()
	w.unread = true
	for end := time.Now().Add(watchdogLimit); ; time.Sleep(50 * time.Millisecond) {
		busy := ""
		for _, tr := range w.traces() {
			if tr.kind != "image" {
				busy = tr.kind + " " + tr.what
			}
		}
		if busy == "" {
			break
		}
		if time.Now().After(end) {
			w.t.Errorf("the watchdog has left: %s", busy)
			break
		}
	}
	w.complete = true // about the image
	w.checkNothingLeft()
}

// watchdogs are the process ids of the watchdogs of this world.
func (w *world) watchdogs() []int {
	w.t.Helper()
	var out []int
	for _, p := range processesMarked(w.mark) {
		number, line, _ := strings.Cut(p, " ")
		if !strings.Contains(line, watchdog.Arg) {
			continue
		}
		pid, err := strconv.Atoi(number)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}

// kill kills a process, or a group of them when the number is negative, that this
// test has started.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}
