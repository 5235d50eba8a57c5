package windowsupdate

import (
	"context"
	_ "embed" // for the script
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/winguest"
)

//go:embed update.ps1
var updateScript string

// request is what update.ps1 has to do.
type request struct {
	Marker   string   `json:"marker"`
	Criteria string   `json:"criteria"`
	Filters  []filter `json:"filters"`
	Limit    int      `json:"limit"`
}

// cycle is one run of the script: one search, and what follows from it.
type cycle struct {
	c      *campaign
	chosen []update
	// left counts the updates that are left out, by the reason.
	left map[string]int
	// loaded is how much of the downloads is done, in bytes; size is all.
	loaded, size int64
	// installed is how many updates were; tried how many it was tried with.
	installed, tried int
	// reboot: the machine has to restart before anything else.
	reboot bool
	ended  bool
	failed *failure
	// fatal ends the script and all the rest.
	fatal error

	watch *watch
}

// failure is what ends the script before its end.
type failure struct {
	during, text string
	code         hresult
}

func (f *failure) Error() string {
	what := map[string]string{"search": "the search for updates failed", "start": "Windows Update cannot be used"}[f.during]
	if what == "" {
		what = "the " + f.during + " failed"
	}
	return what + ": " + f.code.explain(f.text)
}

// run runs the script. Its errors are *failure, the connection's, and those of
// updates that there is no hope for.
func (y *cycle) run(ctx context.Context) error {
	s, m := y.c.step, y.c.m
	req := request{Marker: "ingot-" + winguest.Unguessable(), Criteria: s.SearchCriteria, Limit: s.UpdateLimit}
	for i, text := range s.Filters {
		f, err := parseFilter(text)
		if err != nil {
			return err
		}
		f.Number = i + 1
		req.Filters = append(req.Filters, f)
	}
	body, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("compose the request: %w", err)
	}
	path := "c:/Windows/Temp/ingot-update-" + winguest.Unguessable() + ".ps1"
	ctx, y.watch = newWatch(ctx, m, s.UpdateTimeout)
	defer y.watch.stop()
	rest := component.NewLineWriter(m.Events, component.Stdout)
	defer rest.Flush()
	news := &reader{marker: req.Marker, rest: rest, handle: y.handle}
	err = m.Do(ctx, winguest.Job{
		Label:          "windows-update",
		Files:          []winguest.File{{Path: path, Source: winguest.FromText("$encoded = '" + base64.StdEncoding.EncodeToString(body) + "'\n" + updateScript)}},
		Line:           `powershell -NoProfile -ExecutionPolicy Bypass -NonInteractive -File "` + path + `"`,
		As:             &winguest.Account{User: s.Username, Password: s.Password},
		ValidExitCodes: []int{0, 1},
		Stdout:         news,
		ComesBack:      true,
		Removal:        winguest.RemoveWithPowerShell,
	})
	news.flush()
	switch {
	case y.fatal != nil:
		return y.fatal
	case y.failed != nil && ctx.Err() == nil:
		return y.failed
	case err != nil:
		return err
	case !y.ended:
		return errors.New("the script on the machine did not come to its end; what it says is above")
	}
	return nil
}

// handle takes one message.
func (y *cycle) handle(m message, err error) {
	if err == nil && y.fatal == nil {
		err = y.take(m)
	}
	if err != nil && y.fatal == nil {
		y.fatal = err
		y.watch.cancel(err)
	}
}

func (y *cycle) take(m message) error {
	if m.Event != eventBusy {
		y.watch.progress(y.doing(m))
	}
	switch m.Event {
	case eventBusy:
		y.watch.doing("end of another installation")
	case eventSearching:
		y.c.m.Say("Looking for updates...")
	case eventWarning:
		y.c.m.Emit(component.Warning{Summary: "The search for updates had a problem", Detail: m.Result.explain(m.Message)})
	case eventFound:
		return y.found(m.update)
	case eventChosen:
		y.announce()
	case eventEnd:
		y.ended, y.reboot = true, m.Reboot
	case eventFailed:
		y.failed = &failure{m.During, m.Message, m.Result}
	default:
		if m.Index < 0 || m.Index >= len(y.chosen) {
			return fmt.Errorf("read the news of the machine: it speaks of update %d of %d", m.Index+1, len(y.chosen))
		}
		y.update(m, y.chosen[m.Index])
	}
	return nil
}

// doing says what comes after a message, for the one who waits.
func (y *cycle) doing(m message) string {
	switch m.Event {
	case eventSearching:
		return "search for updates"
	case eventDownloading, eventInstalling:
		if m.Index >= 0 && m.Index < len(y.chosen) {
			return map[string]string{eventDownloading: "download", eventInstalling: "installation"}[m.Event] + " of " + y.chosen[m.Index].label()
		}
	}
	return "next step of Windows Update"
}

// found notes an update. One that was installed often enough ends it all.
func (y *cycle) found(u update) error {
	if u.Left != "" {
		y.left[u.Left]++
		if u.Left == leftForInput {
			y.c.m.Emit(component.Warning{Summary: "An update is left out", Detail: u.label() + " asks questions when it is installed, and there is nobody to answer."})
		}
		return nil
	}
	if err := y.c.record(u).loop(u); err != nil {
		return err
	}
	y.chosen = append(y.chosen, u)
	y.size += u.Size
	return nil
}

// announce says what was found.
func (y *cycle) announce() {
	m := y.c.m
	without := ""
	if n := y.left[leftByFilters]; n > 0 {
		without += fmt.Sprintf(" The filters leave out %d.", n)
	}
	if n := y.left[leftByLimit]; n > 0 {
		without += fmt.Sprintf(" The limit (update_limit) leaves %d for later.", n)
	}
	if len(y.chosen) == 0 {
		m.Say("Found no updates to install." + without)
		return
	}
	m.Say(fmt.Sprintf("Found %s to install, at most %s.%s", count(len(y.chosen), "update"), megabytes(y.size), without))
	for i, u := range y.chosen {
		m.Say(fmt.Sprintf("  %d/%d %s (%s)", i+1, len(y.chosen), u.label(), megabytes(u.Size)))
	}
}

// update takes a message about one update.
func (y *cycle) update(m message, u update) {
	r, all := y.c.record(u), len(y.chosen)
	switch m.Event {
	case eventDownloading:
		y.c.m.Say(fmt.Sprintf("Downloading %d/%d (%d%%): %s", m.Index+1, all, percent(y.loaded, y.size), u.label()))
	case eventDownloaded:
		y.loaded += u.Size
		if !m.ok() {
			y.tried++
			y.problem(r, "download", u, m)
		}
	case eventInstalling:
		y.c.m.Say(fmt.Sprintf("Installing %d/%d (%d%%): %s", m.Index+1, all, percent(int64(m.Index), int64(all)), u.label()))
	case eventInstalled:
		y.tried++
		if m.ok() {
			y.installed++
			r.installed++
			return
		}
		y.problem(r, "installation", u, m)
	}
}

// problem notes a failure, and says so.
func (y *cycle) problem(r *record, what string, u update, m message) {
	r.failed++
	r.last = fmt.Errorf("the %s of %s failed: %s", what, u.label(), m.Result.explain(m.Message))
	y.c.m.Emit(component.Warning{Summary: "An update could not be installed", Detail: fmt.Sprintf("Attempt %d of %d: %s.", r.failed, maxFailures, r.last)})
}

// watch ends a script that does not get on, and tells from time to time what is
// waited for.
type watch struct {
	cancel context.CancelCauseFunc
	over   chan struct{}
	done   chan struct{}
	news   chan struct{}

	mu    sync.Mutex
	what  string    // guarded by mu
	since time.Time // guarded by mu
}

// reminder is how often it is told that something takes its time.
const reminder = 30 * time.Second

func newWatch(ctx context.Context, m winguest.Machine, limit time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel, over: make(chan struct{}), done: make(chan struct{}), news: make(chan struct{}, 1), what: "start of Windows Update", since: time.Now()}
	go w.look(m, limit)
	return ctx, w
}

func (w *watch) look(m winguest.Machine, limit time.Duration) {
	defer close(w.done)
	deadline, remind := time.NewTimer(limit), time.NewTicker(reminder)
	defer deadline.Stop()
	defer remind.Stop()
	for {
		select {
		case <-w.over:
			return
		case <-w.news:
			deadline.Reset(limit)
			remind.Reset(reminder)
		case <-remind.C:
			what, since := w.now()
			m.Emit(component.Waiting{For: what, Elapsed: time.Since(since)})
		case <-deadline.C:
			what, _ := w.now()
			w.cancel(fmt.Errorf("the %s has not ended within %s (update_timeout)", what, limit))
			return
		}
	}
}

func (w *watch) now() (string, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.what, w.since
}

// progress notes that something has happened, and what is done next.
func (w *watch) progress(next string) {
	w.mu.Lock()
	w.what, w.since = next, time.Now()
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default: // the last one has not been seen yet
	}
}

// doing changes what is done without taking it for progress.
func (w *watch) doing(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.what = what
}

func (w *watch) stop() {
	close(w.over)
	<-w.done
	w.cancel(nil)
}
