package crash

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/failpoint"
	"ingot/internal/testkit/live"
	"ingot/internal/watchdog"
)

// loss is a column of the matrix: what is lost, and who puts it right.
type loss struct {
	lost string
	// action is what happens to the program at the point.
	action string
	// watched builds have a watchdog.
	watched bool
	// kill ends processes while the program stands still at the point.
	kill func(w *world, p *os.Process)
	// survives: the build goes on, and ends well.
	survives bool
	// reaped: reap is what puts it right.
	reaped bool
	points []string
}

// matrix is what happens to each subject. Each is done each time that a point is
// reached.
func matrix() []loss {
	records := []string{failpoint.JournalAfter}
	return []loss{
		{
			lost: lostIngot, action: "kill", reaped: true,
			points: []string{
				failpoint.ProviderCreate, failpoint.ProviderCreated, failpoint.ProviderRelease, failpoint.ProviderReleased,
				failpoint.ProviderCall, failpoint.ProviderCalled,
			},
		},
		{lost: lostWatched, action: "kill", watched: true, points: records},
		{
			lost: lostWatchdog, action: "stop", watched: true, survives: true, points: records,
			kill: func(w *world, p *os.Process) {
				w.killWatchdogs()
				w.signal(p.Pid, syscall.SIGCONT)
			},
		},
		{
			lost: lostBoth, action: "stop", watched: true, reaped: true, points: records,
			kill: func(w *world, p *os.Process) {
				// The watchdog first, so that it has no time to do anything.
				w.killWatchdogs()
				w.signal(p.Pid, syscall.SIGKILL)
			},
		},
		{
			lost: lostGroup, action: "stop", watched: true, points: records,
			kill: func(w *world, p *os.Process) { w.signal(-p.Pid, syscall.SIGKILL) },
		},
		{lost: lostPower, action: "powercut", reaped: true, points: []string{failpoint.JournalDisk}},
		{lost: lostPowerTorn, action: "torn", reaped: true, points: []string{failpoint.JournalSync}},
	}
}

// at names the points of a column in the table.
func (l loss) at() string {
	switch l.points[0] {
	case failpoint.ProviderCreate:
		return atProvider
	case failpoint.JournalDisk:
		return atDisk
	case failpoint.JournalSync:
		return atSync
	}
	return atAfter
}

// TestMatrix does to each subject what the columns say, at every point. A sweep of all
// takes about an hour; each run does the part whose turn it is.
func TestMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("each crash is a build of its own")
	}
	env := live.Require(t)
	live.RequireRoot(t)
	program := buildProgram(t)
	for _, s := range subjects(env) {
		if s.parts == 0 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			live.RequirePrograms(t, s.programs...)
			c := newCampaign(t, env, program, s)
			part := newPart(t, s.parts)
			c.countPoints()
			nth := 0
			for _, l := range matrix() {
				for _, point := range l.points {
					nth = c.sweep(l, point, part, nth)
				}
			}
			c.foreign.checkEngine(t)
			for _, p := range processesRunning(program) {
				t.Errorf("still running: %s", p)
			}
		})
	}
}

// sweep loses something each time that a point is reached. nth counts the crashes of
// the subject, by which the part is chosen; those of the next point follow.
func (c *campaign) sweep(l loss, point string, p part, nth int) int {
	turns := make(chan int)
	var (
		wg   sync.WaitGroup
		lost atomic.Int64
	)
	// Emulated machines want a processor each, and are given one.
	workers := parallel
	if c.subject.parts == guestParts {
		workers = 1
	}
	for range workers {
		wg.Go(func() {
			for turn := range turns {
				if c.lose(l, point, turn) {
					lost.Add(1)
				}
			}
		})
	}
	chosen := int64(0)
	for turn := 1; turn <= c.counts[point]; turn++ {
		if nth++; p.has(nth) {
			chosen++
			turns <- turn
		}
	}
	close(turns)
	wg.Wait()
	// A run may take a turn less, when something was quicker; but not often.
	if chosen > 3 && lost.Load() < chosen*3/4 {
		c.t.Errorf("%s at %s: only %d of %d times was it reached", l.lost, point, lost.Load(), chosen)
	}
	return nth
}

// countPoints finds out how often a complete run gets to each point, and checks that it
// leaves nothing.
func (c *campaign) countPoints() {
	w := c.newWorld(c.t)
	w.countInto = w.path("points")
	if end := w.build(""); end.err != nil {
		c.t.Fatalf("complete run: %v\n%s", end.err, end.output)
	}
	w.checkNothingLeft()
	w.checkResults()
	text, err := os.ReadFile(w.countInto)
	if err != nil {
		c.t.Fatal(err)
	}
	c.counts = map[string]int{}
	for name := range strings.FieldsSeq(string(text)) {
		c.counts[name]++
	}
	for _, point := range []string{failpoint.JournalAfter, failpoint.JournalDisk, failpoint.ProviderCreate} {
		if n := c.counts[point]; n < 2 || n > mostTimes {
			c.t.Fatalf("a run gets to %s %d times", point, n)
		}
	}
}

// lose runs a build that loses something at a point, and looks at what is left.
func (c *campaign) lose(l loss, point string, turn int) (reached bool) {
	c.t.Run(fmt.Sprintf("%s/%s:%d", l.lost, point, turn), func(t *testing.T) {
		w := c.newWorld(t)
		args := w.buildArgs()
		if l.watched {
			args = w.watchedArgs()
			w.ownGroup = true
		}
		during := func(*os.Process) {}
		if l.kill != nil {
			during = func(p *os.Process) {
				if reached = awaitStop(t, p.Pid); reached {
					l.kill(w, p)
				}
			}
		}
		end := w.run(fmt.Sprintf("%s:%d=%s", point, turn, l.action), during, args...)
		w.ownGroup = false
		reached = reached || end.killed
		if reached && end.killed == l.survives || end.err != nil && !end.killed {
			t.Fatalf("killed: %v, want %v: %v\n%s", end.killed, !l.survives, end.err, end.output)
		}
		left := 0
		switch {
		case !end.killed:
			w.checkNothingLeft()
			w.checkResults()
		case l.reaped:
			if l.action == "powercut" || l.action == "torn" {
				endMarked(t, w.mark) // without power nothing runs
			}
			w.openAndKept()
			left = len(w.traces())
			w.reap()
			w.checkNothingLeft()
			w.reapAgain()
		default:
			w.awaitNothingLeft()
			w.reapAgain()
		}
		c.foreign.check(t)
		if reached {
			tally.note(cell{c.subject.name, l.lost, l.at()}, left, !t.Failed())
		}
	})
	return reached
}

// awaitStop waits until a process stands still, or has ended; it reports which.
func awaitStop(t *testing.T, pid int) bool {
	t.Helper()
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("wait for process %d: %v", pid, err)
		}
		const stopped = 5 // CLD_STOPPED
		return info.Code == stopped
	}
}

// watchdogLimit is how long the watchdog may take. A test that passes does not
// wait for it.
const watchdogLimit = time.Minute

// awaitNothingLeft waits for the watchdog. A result may stay: the run may have
// given it to the user, and the journal that would tell is gone. That nothing else
// stays is for the crashes after which reap is run to prove.
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

// killWatchdogs kills the watchdogs of this world.
func (w *world) killWatchdogs() {
	w.t.Helper()
	found := false
	for _, p := range processesMarked(w.mark) {
		number, line, _ := strings.Cut(p, " ")
		if !strings.Contains(line, watchdog.Arg) {
			continue
		}
		pid, err := strconv.Atoi(number)
		if err != nil {
			w.t.Fatal(err)
		}
		found = true
		w.signal(pid, syscall.SIGKILL)
	}
	if !found {
		w.t.Error("there is no watchdog to kill")
	}
}

// signal sends a signal to a process that this test has started, or to a group of them
// when the number is negative.
func (w *world) signal(pid int, s syscall.Signal) {
	w.t.Helper()
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		w.t.Error(err)
	}
}
