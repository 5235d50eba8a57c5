package windowsupdate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/winguest"
)

const (
	// maxFailures is how often an update may fail: some fail once, until the
	// machine has restarted or another one is there.
	maxFailures = 3
	// maxInstalled is how often an update may be installed with success and
	// be offered again: Windows takes back one that does not start.
	maxInstalled = 3
	// maxIdle is how many restarts in a row the machine may want without
	// anything having been installed.
	maxIdle = 3
	// maxLost is how often in a row the connection may be lost.
	maxLost = 5
	// searchAttempts is how often to search when the server cannot be
	// reached: the network of a machine comes up after the login.
	searchAttempts = 5
	searchPause    = 15 * time.Second
	failurePause   = 10 * time.Second
)

// campaign is all cycles and restarts together.
type campaign struct {
	step *step
	m    winguest.Machine

	records map[string]*record
	// restarts is how many there were; idle, lost and searches count what
	// has happened in a row.
	restarts, idle, lost, searches int
	installed                      int
}

// record is what has become of an update so far.
type record struct {
	installed, failed int
	last              error // the last failure
}

func (c *campaign) record(u update) *record {
	r := c.records[u.ID]
	if r == nil {
		r = new(record)
		c.records[u.ID] = r
	}
	return r
}

// loop is the error for an update that is offered again and again.
func (r *record) loop(u update) error {
	if r.installed < maxInstalled {
		return nil
	}
	return fmt.Errorf("restart loop: %s was installed %d times and is offered again, so Windows takes it back when it restarts; C:\\Windows\\Logs\\CBS\\CBS.log says why. To do without it, put %s in front of the filters",
		u.label(), r.installed, u.exclusion())
}

// run goes on until there is nothing left to install.
func (c *campaign) run(ctx context.Context) error {
	for {
		y := &cycle{c: c, left: map[string]int{}}
		err := y.run(ctx)
		if err != nil {
			if err := c.mend(ctx, err); err != nil {
				return err
			}
			continue
		}
		c.lost, c.searches = 0, 0
		c.installed += y.installed
		if err := c.hopeless(y); err != nil {
			return err
		}
		switch {
		case y.reboot:
			if err := c.restart(ctx, y); err != nil {
				return err
			}
		case len(y.chosen) == 0:
			c.m.Say(fmt.Sprintf("The machine is up to date: %s installed, %s.", count(c.installed, "update"), count(c.restarts, "restart")))
			return nil
		case y.installed == 0:
			if err := c.m.Clock.Sleep(ctx, failurePause); err != nil {
				return err
			}
		}
	}
}

// mend does what there is to do about the error of a cycle, or returns it.
func (c *campaign) mend(ctx context.Context, err error) error {
	var f *failure
	switch {
	case context.Cause(ctx) != nil:
		return err
	case errors.Is(err, component.ErrDisconnected):
		if c.lost++; c.lost > maxLost {
			return fmt.Errorf("the connection was lost %d times in a row: %w", c.lost, err)
		}
		if err := c.countRestart(nil); err != nil {
			return err
		}
		c.m.Say("The connection was lost, as when Windows restarts by itself. Waiting for the machine...")
		return c.m.Wait(c.step.RestartTimeout).Until(ctx, "answer of the machine", winguest.AnswerTimeout, c.m.Answers)
	case errors.As(err, &f) && f.during == "search" && f.code.passing():
		if c.searches++; c.searches >= searchAttempts {
			return fmt.Errorf("%d attempts: %w", c.searches, err)
		}
		c.m.Emit(component.Retrying{What: "search for updates", Class: "transient", Attempt: c.searches, Delay: searchPause, Err: err})
		return c.m.Clock.Sleep(ctx, searchPause)
	}
	return err
}

// hopeless returns the failure of an update that was tried often enough.
func (c *campaign) hopeless(y *cycle) error {
	var all []error
	for _, u := range y.chosen {
		if r := c.record(u); r.failed >= maxFailures {
			all = append(all, fmt.Errorf("%w. This was attempt %d; to do without it, put %s in front of the filters", r.last, r.failed, u.exclusion()))
		}
	}
	return errors.Join(all...)
}

// restart restarts the machine for what a cycle has installed.
func (c *campaign) restart(ctx context.Context, y *cycle) error {
	if y.tried > 0 {
		c.idle = 0
	} else if c.idle++; c.idle > maxIdle {
		return fmt.Errorf("restart loop: the machine has restarted %d times and still says that updates need a restart before anything else; C:\\Windows\\Logs\\CBS\\CBS.log says what is left to do", maxIdle)
	}
	if err := c.countRestart(y); err != nil {
		return err
	}
	if y.tried > 0 {
		c.m.Say(fmt.Sprintf("Installed %d of %s; a restart is needed.", y.installed, count(len(y.chosen), "update")))
	} else {
		c.m.Say("The machine has to restart before updates can be installed.")
	}
	_, err := c.m.Restart(ctx, winguest.RestartCommand, c.step.RestartTimeout)
	return err
}

// countRestart fails when there were enough restarts. y is the cycle that wants
// one.
func (c *campaign) countRestart(y *cycle) error {
	limit := *c.step.RebootLimit
	if c.restarts++; c.restarts <= limit {
		return nil
	}
	last := ""
	if y != nil && len(y.chosen) > 0 {
		names := make([]string, len(y.chosen))
		for i, u := range y.chosen {
			names[i] = u.label()
		}
		last = "; the last updates were: " + strings.Join(names, ", ")
	}
	return fmt.Errorf("the updates need more than %s (reboot_limit)%s", count(limit, "restart"), last)
}

// label is the title, with the number of the article about it.
func (u update) label() string {
	text := strings.Join(strings.Fields(u.Title), " ")
	if text == "" {
		text = "update " + u.ID
	}
	for _, kb := range u.KB {
		if !strings.Contains(text, kb) {
			text += " (KB" + strings.TrimPrefix(kb, "KB") + ")"
		}
	}
	return text
}

// exclusion is a filter that leaves the update out.
func (u update) exclusion() string {
	if len(u.KB) > 0 {
		return fmt.Sprintf(`"exclude:@($_.KBArticleIDs) -contains '%s'"`, strings.TrimPrefix(u.KB[0], "KB"))
	}
	return fmt.Sprintf(`"exclude:$_.Identity.UpdateID -eq '%s'"`, u.ID)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func percent(done, all int64) int64 {
	if all <= 0 {
		return 0
	}
	return min(100*done/all, 100)
}

// megabytes is a size as Windows shows it.
func megabytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d KB", (n+1023)>>10)
}
