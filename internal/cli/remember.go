package cli

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"ingot/internal/engine"
	"ingot/internal/history"
	"ingot/internal/outcome"
)

// remember begins the history of the run, and removes that of old ones. A run
// that cannot be remembered goes on all the same.
func (s *screen) remember(d dirs, f buildFlags, h history.Header) {
	store := historyStore(d)
	err := s.record.Begin(store, h, s.secrets.Redact)
	if err == nil {
		s.recordedIn = place{Store: store, run: h.RunID}
		s.obstacle = h.Obstacle(s.secrets.Redact)
		err = store.Prune(time.Now(), isAlive(d))
	}
	if err != nil {
		s.warn(fmt.Sprintf("This run will not be in the history (%v).", err))
	}
	if s.recordedIn.run == "" && (f.report != "" || f.junit != "" || s.traces.Endpoint != "") {
		if err := s.recordPassing(h); err != nil {
			s.warn(fmt.Sprintf("No report will be written, and no trace sent (%v).", err))
		}
	}
}

// outcomes is where what the builds make is remembered; nil when the run is not.
func (s *screen) outcomes() *outcome.Book {
	if s.recordedIn.run == "" || s.recordedIn.remove != nil {
		return nil
	}
	return outcome.NewBook(s.recordedIn.OutcomesPath(s.recordedIn.run), s.secrets.Redact)
}

// recordPassing records the run for its report alone.
func (s *screen) recordPassing(h history.Header) error {
	at, err := passing(s.app.getenv("TMPDIR"), h.RunID)
	if err != nil {
		return err
	}
	if err := s.record.Begin(at.Store, h, s.secrets.Redact); err != nil {
		return errors.Join(err, at.remove())
	}
	s.recordedIn = at
	return nil
}

func header(f buildFlags, run openRun, template string, incomplete bool, again *history.Again) history.Header {
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	return history.Header{
		RunID: run.id, Started: run.started.UTC(), Template: template, Dir: dir, Version: version,
		Flags: f.words(), Incomplete: incomplete, Again: again,
	}
}

// recorded ends the history of the run before its journal is given up: whoever
// finds a run without a process has its last event then. cause is why the run
// itself failed.
func (s *screen) recorded(cause error) {
	if err := s.record.Finish(cause); err != nil {
		s.warn(fmt.Sprintf("This run is not in the history, or not all of it (%v).", err))
	}
}

// words are the flags that decide what a build does, as one would type them. The
// values of variables may be secret, and are left out.
func (f buildFlags) words() []string {
	var out []string
	if f.postProcess != "" {
		out = append(out, "post-process "+f.postProcess)
	}
	out = append(out, f.lasting()...)
	for _, v := range f.vars {
		name, _, _ := strings.Cut(v, "=")
		out = append(out, "-var="+name)
	}
	out = append(out, setFlags([]boolFlag{{"debug", f.debug}, {"if-changed", f.ifChanged}, {"cache", f.cache.use && f.earlier == nil}, {"no-cache", f.cache.no}, {"cache-explain", f.cache.explain}})...)
	if f.onError != string(engine.Cleanup) {
		out = append(out, "-on-error="+f.onError)
	}
	if f.earlier != nil {
		out = append(out, "-resume="+f.earlier.RunID)
	}
	return out
}

// lasting are the flags that also count when the run is taken up again, apart from
// variables.
func (f buildFlags) lasting() []string {
	var out []string
	for _, x := range []struct {
		name   string
		values []string
	}{{"only", f.only}, {"except", f.except}, {"var-file", f.varFiles}, {"prefer-plugin", f.preferPlugins}, {"cache-from", f.cache.from}} {
		for _, v := range x.values {
			out = append(out, "-"+x.name+"="+v)
		}
	}
	out = append(out, setFlags([]boolFlag{{"force", f.force}, {"fail-fast", f.failFast}, {"cache-all", f.cache.all}, {"ignore-prerelease-plugins", f.skipPrerelease}})...)
	if f.configType != "" {
		out = append(out, "-config-type="+f.configType)
	}
	if f.parallel > 0 && !f.debug {
		out = append(out, "-parallel-builds="+strconv.Itoa(f.parallel))
	}
	if f.retrySet {
		out = append(out, "-retry="+strconv.Itoa(f.retry))
	}
	return out
}

type boolFlag struct {
	name string
	set  bool
}

func setFlags(list []boolFlag) (out []string) {
	for _, x := range list {
		if x.set {
			out = append(out, "-"+x.name)
		}
	}
	return out
}
