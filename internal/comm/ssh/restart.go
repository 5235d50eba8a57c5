package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/readiness"
)

var _ component.RestartAware = (*comm)(nil)

// bootLine sets b to a name for the present start of the machine, with the
// shell's own means where the machine is a Linux: the kernel's boot id, and
// when process 1 was started, since containers share the kernel. Elsewhere it
// is what the kernel calls the same thing; b is empty where there is none.
const bootLine = `b=; { read -r b </proc/sys/kernel/random/boot_id; } 2>/dev/null || ` +
	`b=$(sysctl -n kern.boot_id 2>/dev/null || sysctl -n kern.bootsessionuuid 2>/dev/null || sysctl -n kern.boottime 2>/dev/null); ` +
	`[ -n "$b" ] && { read -r p </proc/1/stat; } 2>/dev/null && p=${p##*) } && set -- $p && b=$b/${20}; `

// downLine prints whether the machine is being shut down, as far as its init
// system tells. A restart that is planned for later counts.
const downLine = `case $(systemctl is-system-running 2>/dev/null) in ` +
	`stopping) echo ingot-down;; ` +
	`initializing|starting|running|degraded|maintenance) if [ -e /run/systemd/shutdown/scheduled ]; then echo ingot-down; else echo ingot-up; fi;; ` +
	`*) case $(rc-status -r 2>/dev/null || runlevel 2>/dev/null) in shutdown|reboot|*" 0"|*" 6") echo ingot-down;; esac;; esac`

// downLimit is how long downLine may take.
const downLimit = 10 * time.Second

// settleTime is how long a connection is watched on a machine that does not
// tell whether it is being shut down. Where it is, its processes are ended
// within this time.
const settleTime = 3 * time.Second

// ExpectRestart makes the next operation wait until the machine is there to
// stay. It implements component.RestartAware.
func (c *comm) ExpectRestart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		c.restart = &expectation{boot: c.link.boot}
	}
}

// expectation is a restart that may be under way.
type expectation struct {
	// boot is the machine's boot id from before.
	boot string
}

func (c *comm) expected() *expectation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restart
}

// settle waits until the expectation has come true or will not. It is called
// with dialing held.
func (c *comm) settle(ctx context.Context, e *expectation) error {
	w := readiness.New(c.a.r, waitPlan())
	limit := c.connection.Timeout()
	left := func() time.Duration { return limit - c.a.r.Clock.Now().Sub(w.Begin()) }
	lost := false
	for {
		l := c.current()
		if l == nil {
			return errClosed
		}
		if !l.alive() {
			lost = true
			if err := c.redial(ctx, w, budget{time: left()}); err != nil {
				if ctx.Err() == nil {
					w.Ended(err)
				}
				return err
			}
			continue
		}
		stays, err := c.stays(ctx, l, e, lost, left)
		if err != nil {
			return err
		}
		if stays {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restart = nil
	if lost {
		w.Ended(nil)
		c.a.r.Say(e.outcome(c.link.boot))
	}
	return nil
}

// outcome says what has become of the machine since the connection was lost.
func (e *expectation) outcome(boot string) string {
	switch {
	case e.boot == "" || boot == "":
		return "The connection was lost and is back. The machine does not tell whether it has restarted."
	case boot == e.boot:
		return "The connection was lost and is back. The machine has not restarted."
	}
	return "The machine has restarted."
}

// stays finds out whether a machine that answers will go on doing so. When it
// is going down, it waits until the connection is lost.
func (c *comm) stays(ctx context.Context, l *link, e *expectation, lost bool, left func() time.Duration) (bool, error) {
	if e.boot != "" && l.boot != "" && e.boot != l.boot {
		return true, nil
	}
	state := l.shutdown(ctx)
	if state == goingUp || state == goingUnknown && lost && e.boot == "" {
		return true, nil
	}
	limit := settleTime
	if state == goingDown {
		limit = left()
		c.a.r.Emit(component.Waiting{For: "end of the machine's shutdown"})
	}
	gone, err := l.watch(ctx, c.a.r.Clock, limit)
	if err == nil && !gone && state == goingDown {
		err = fmt.Errorf("the machine says that it is going down, but has not done so within %s (ssh_timeout)", c.connection.Timeout())
	}
	return err == nil && !gone, err
}

// direction is where a machine is going.
type direction uint8

const (
	goingUnknown direction = iota
	goingUp
	goingDown
)

// shutdown asks the machine whether it is going down.
func (l *link) shutdown(ctx context.Context) direction {
	ctx, cancel := context.WithTimeout(ctx, downLimit)
	defer cancel()
	out, err := l.output(ctx, downLine)
	switch {
	case err != nil:
		return goingUnknown
	case strings.Contains(out, "ingot-down"):
		return goingDown
	case strings.Contains(out, "ingot-up"):
		return goingUp
	}
	return goingUnknown
}

var errGone = errors.New("the connection is lost")

// watch waits for the connection to be lost, at most for limit.
func (l *link) watch(ctx context.Context, clock component.Clock, limit time.Duration) (gone bool, err error) {
	watched, stop := context.WithCancelCause(ctx)
	var task sync.WaitGroup
	defer task.Wait()
	defer stop(nil)
	task.Go(func() {
		select {
		case <-l.down:
			stop(errGone)
		case <-watched.Done():
		}
	})
	switch err := clock.Sleep(watched, limit); {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case errors.Is(err, errGone):
		return true, nil
	default:
		return false, err
	}
}
