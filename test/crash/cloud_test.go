package crash

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/comm/none"
	"ingot/internal/component"
	"ingot/internal/engine"
	"ingot/internal/journal"
	"ingot/internal/journal/disk"
	"ingot/internal/plan"
	"ingot/internal/provision/sleep"
	"ingot/internal/ratelimit"
	"ingot/internal/reap"
	"ingot/internal/template"
	"ingot/internal/testkit/fakecloud"
	"ingot/internal/ui"
)

const cloudTemplate = `
source "fakecloud" "crash" {
  endpoint = "http://cloud.test"
}
build {
  sources = ["fakecloud.crash"]
  provisioner "sleep" {
    duration = "2s"
  }
}
`

var errDark = errors.New("this computer is gone")

// simulation is one run of a build against the fake cloud on a computer that can be
// lost: the real engine, journal, builder, reaper and rate limiter, with the time of
// testing/synctest.
type simulation struct {
	t     *testing.T
	dir   string
	cloud *fakecloud.Server
	disk  *disk.Forgetful
	// foreign are ids of what belongs to somebody else.
	foreign []string

	mu sync.Mutex // guards what follows
	// steps counts what was done to the disk and the cloud; the computer is lost
	// before step number cut, 0 for never.
	steps, cut int
	events     []component.Stamped
	artifacts  []string
}

func newSimulation(t *testing.T, faults ...fakecloud.Fault) *simulation {
	s := &simulation{t: t, dir: t.TempDir(), cloud: fakecloud.NewPrivateServer(faults...)}
	s.disk = disk.NewForgetful(s.step)
	for _, collection := range []string{fakecloud.KeyPairs, fakecloud.Disks, fakecloud.Instances, fakecloud.Images} {
		s.foreign = append(s.foreign,
			s.cloud.Add(collection, fakecloud.Thing{Labels: map[string]string{"owner": "somebody else"}}),
			// Of another run of ours, which is alive somewhere else.
			s.cloud.Add(collection, fakecloud.Thing{Token: "foreign-" + collection, Labels: map[string]string{component.LabelToken: "foreign-" + collection}}))
	}
	return s
}

func (s *simulation) step() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.steps++; s.cut > 0 && s.steps >= s.cut {
		return errDark
	}
	return nil
}

// Now implements component.Clock.
func (*simulation) Now() time.Time { return time.Now() }

// Sleep implements component.Clock: a computer that is lost waits for nothing.
func (s *simulation) Sleep(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	dark := s.cut > 0 && s.steps >= s.cut
	s.mu.Unlock()
	if dark {
		return errDark
	}
	return component.SystemClock{}.Sleep(ctx, d)
}

// wire is what stands between the computer and the cloud: what was sent before the
// computer was lost arrives, and an answer that comes after it is read by nobody.
type wire struct {
	s    *simulation
	next http.RoundTripper
}

func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := w.s.step(); err != nil {
		return nil, err
	}
	res, err := w.next.RoundTrip(req)
	if lost := w.s.step(); lost != nil {
		if err == nil {
			res.Body.Close()
		}
		return nil, lost
	}
	return res, err
}

func (s *simulation) deps() fakecloud.Deps {
	return fakecloud.Deps{
		Clock: s, Dial: s.cloud.Dial,
		Around: func(next http.RoundTripper) http.RoundTripper { return wire{s, next} },
	}
}

func (s *simulation) reapers() journal.Reapers {
	return journal.NewReapers(reap.Files{}, fakecloud.NewReaper(s.deps()))
}

func (s *simulation) runs() string { return filepath.Join(s.dir, "state", "runs") }

// parts are the components that the template uses.
type parts struct{ deps fakecloud.Deps }

func (parts) Manifest() component.Manifest {
	return component.Manifest{Builders: []string{fakecloud.Name}, Provisioners: []string{"sleep"}}
}
func (p parts) Builder(name string) component.Builder {
	if name != fakecloud.Name {
		return nil
	}
	return fakecloud.New(p.deps)
}
func (parts) Provisioner(name string) component.Provisioner {
	if name != "sleep" {
		return nil
	}
	return sleep.New()
}
func (parts) PostProcessor(string) component.PostProcessor { return nil }
func (parts) DataSource(string) component.DataSource       { return nil }
func (parts) Close() error                                 { return nil }

// build runs the build to its end, or to that of the computer.
func (s *simulation) build() error {
	s.t.Helper()
	tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(cloudTemplate), CoreVersion: "1.16.0"})
	p, more := plan.Make(s.t.Context(), tmpl, plan.Inputs{Provider: parts{s.deps()}, CoreVersion: "1.16.0", WorkDir: s.dir})
	if err := append(diags, more...).Err(); err != nil {
		s.t.Fatal(err)
	}
	store := journal.FileStore{Dir: s.runs(), Disk: s.disk}
	log, err := store.Create(s.t.Context(), journal.RunInfo{ID: "run", Started: time.Now()})
	if err != nil {
		return err
	}
	defer log.Close()
	res, err := engine.Run(s.t.Context(), p, engine.Options{
		RunID: "run", Handle: s.handle, Ledger: journal.NewLedger(log, s.reapers(), s),
		Dialers: map[string]component.Dialer{"none": none.NewDialer()}, Prompt: ui.NoPrompter{},
		Clock: s, Limits: ratelimit.New(s), OnError: engine.Cleanup,
		TempDir: s.dir, CacheDir: s.dir, Sensitive: func(string) {}, Release: context.Background(), Lifetime: time.Hour,
	})
	if err != nil {
		return err
	}
	for _, a := range res.Builds[0].Artifacts {
		s.artifacts = append(s.artifacts, a.ID)
	}
	st, err := log.State()
	if err == nil && len(st.Open) == 0 {
		err = store.Remove(s.t.Context(), log)
	}
	return errors.Join(res.Builds[0].Err, err)
}

func (s *simulation) handle(e component.Stamped) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// retried are the classes of the retries.
func (s *simulation) retried() []string {
	var out []string
	for _, e := range s.events {
		if r, ok := e.Event.(component.Retrying); ok {
			out = append(out, r.Class)
		}
	}
	return out
}

// restart is what somebody does who has switched the computer on again: nothing is
// broken any more.
func (s *simulation) restart(torn bool) {
	s.t.Helper()
	if err := s.disk.Cut(torn); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps, s.cut = 0, 0
	s.disk = disk.NewForgetful(s.step)
}

func (s *simulation) reap() error {
	_, err := journal.Recover(s.t.Context(), journal.FileStore{Dir: s.runs(), Disk: s.disk}, s.reapers(), journal.RecoverOptions{
		Now: time.Now(),
		Damaged: func(_ journal.RunInfo, what string) {
			s.t.Errorf("the journal is damaged: %s", what)
		},
	})
	return err
}

// keptImage says whether the journal on the disk gives an image to the user.
func (s *simulation) keptImage() string {
	return keptOf(s.t, filepath.Join(s.runs(), "run", "journal.jsonl"), fakecloud.Name+".image")
}

// check says what is wrong with the world: there is to be what was there before, and
// the images that were given to the user.
func (s *simulation) check(kept ...string) (wrong []string) {
	want := append(slices.Clone(s.foreign), kept...)
	for _, t := range s.cloud.Things() {
		if !slices.Contains(want, t.ID) {
			wrong = append(wrong, "left: "+t.ID)
		}
		want = slices.DeleteFunc(want, func(id string) bool { return id == t.ID })
	}
	for _, id := range want {
		wrong = append(wrong, "lost: "+id)
	}
	left, err := journal.FileStore{Dir: s.runs()}.List(s.t.Context())
	if err != nil || len(left) > 0 {
		wrong = append(wrong, fmt.Sprintf("journals: %d, %v", len(left), err))
	}
	if dirs, err := filepath.Glob(filepath.Join(s.dir, "ingot-*")); err != nil || len(dirs) > 0 {
		wrong = append(wrong, fmt.Sprint("folders: ", dirs))
	}
	return wrong
}

// length is how many steps a build has, and which calls it makes.
func length(t *testing.T) (steps int, calls []string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t)
		defer s.cloud.Close()
		if err := s.build(); err != nil {
			t.Fatalf("a build that nothing happens to: %v", err)
		}
		if wrong := s.check(s.artifacts...); len(wrong) > 0 || len(s.artifacts) != 1 {
			t.Fatalf("a build that nothing happens to: %v, artifacts %v", wrong, s.artifacts)
		}
		steps, calls = s.steps, s.cloud.Calls()
	})
	return steps, calls
}

// TestCloudLosesComputer takes the computer away before every step of a build: before
// each thing that is done to the disk for the journal, before each request, and before
// each answer. What was not synced is lost, wholly or by half. Then it is reaped.
func TestCloudLosesComputer(t *testing.T) {
	steps, calls := length(t)
	t.Logf("%d steps, %d calls", steps, len(calls))
	for _, torn := range []bool{false, true} {
		c := cell{"fake cloud", lostPower, atStep}
		if torn {
			c.lost = lostPowerTorn
		}
		for cut := 1; cut <= steps; cut++ {
			loseAt(t, c, cut, torn)
		}
	}
}

// loseAt is one such loss, with faults of the cloud before it.
func loseAt(t *testing.T, c cell, cut int, torn bool, faults ...fakecloud.Fault) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, faults...)
		defer s.cloud.Close()
		s.cut = cut
		if err := s.build(); err == nil && len(faults) == 0 {
			t.Errorf("step %d: the computer was not lost", cut)
		}
		s.restart(torn)
		kept := s.keptImage()
		for _, a := range s.artifacts {
			// What the user was told of was in the journal before, or that
			// had been removed.
			if kept == "" {
				kept = a
			}
		}
		before := len(s.cloud.Things()) - len(s.foreign)
		if err := s.reap(); err != nil {
			t.Errorf("step %d, %v: reap: %v", cut, faults, err)
		}
		var wrong []string
		if kept == "" {
			wrong = s.check()
		} else {
			wrong = s.check(kept)
		}
		if len(wrong) > 0 {
			t.Errorf("lost at step %d, torn %v, %v: %v", cut, torn, faults, wrong)
		}
		tally.note(c, before, len(wrong) == 0)
	})
}

// TestCloudReapLosesComputer: the reap after a crash is lost at each of its steps, and
// done again.
func TestCloudReapLosesComputer(t *testing.T) {
	steps, _ := length(t)
	c := cell{"fake cloud", lostInReap, atStep}
	for cut, through := 1, false; !through; cut++ {
		synctest.Test(t, func(t *testing.T) {
			s := newSimulation(t)
			defer s.cloud.Close()
			s.cut = steps / 2
			if err := s.build(); err == nil {
				t.Fatal("the computer was not lost")
			}
			s.restart(false)
			before := len(s.cloud.Things()) - len(s.foreign)
			if before < 3 {
				t.Fatalf("only %d things are there to be reaped", before)
			}
			s.cut = cut
			through = s.reap() == nil
			s.restart(true)
			if err := s.reap(); err != nil {
				t.Errorf("step %d: second reap: %v", cut, err)
			}
			wrong := s.check()
			if len(wrong) > 0 {
				t.Errorf("reap lost at step %d: %v", cut, wrong)
			}
			tally.note(c, before, len(wrong) == 0)
		})
	}
}

// TestCloudMishaps: each mishap happens to each call of a build, once and each time.
// What can be tried again is, with the reason; whatever becomes of the build, nothing
// is left, and nothing is made twice.
func TestCloudMishaps(t *testing.T) {
	_, calls := length(t)
	for _, mishap := range fakecloud.Mishaps() {
		c := cell{"fake cloud", string(mishap), atCall}
		for turn := 1; turn <= len(calls); turn++ {
			if mishap == fakecloud.NoCapacity && !isCreate(calls[turn-1]) {
				continue // where nothing is made there is room enough
			}
			mishapTo(t, c, fakecloud.Fault{Mishap: mishap, Turn: turn, For: 300 * time.Millisecond})
		}
		for _, call := range slices.Compact(slices.Sorted(slices.Values(calls))) {
			if !strings.HasPrefix(call, http.MethodDelete) && (mishap != fakecloud.NoCapacity || isCreate(call)) {
				mishapTo(t, c, fakecloud.Fault{Mishap: mishap, Call: call, For: 300 * time.Millisecond})
			}
		}
	}
}

func mishapTo(t *testing.T, c cell, f fakecloud.Fault) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, f)
		defer s.cloud.Close()
		err := s.build()
		// Only for an instance there is somewhere else to go.
		fatal := f.Mishap == fakecloud.NoCapacity && f.Turn > 0 && s.cloud.Calls()[f.Turn-1] != "POST instances"
		if f.Turn > 0 && err != nil && !fatal {
			t.Errorf("%+v: one mishap has ended the build: %v", f, err)
		}
		if s.cloud.Happened() == 0 {
			t.Errorf("%+v did not happen", f)
		}
		if most := 400; len(s.cloud.Calls()) > most {
			t.Errorf("%+v: %d calls were made", f, len(s.cloud.Calls()))
		}
		want := map[fakecloud.Mishap]string{
			fakecloud.RequestLost: "transient", fakecloud.ReplyLost: "transient", fakecloud.ErrorAfter: "transient",
			fakecloud.Throttle: "throttled", fakecloud.Unavailable: "transient",
		}[f.Mishap]
		// A reaper has nobody to tell.
		if told := s.retried(); want != "" && f.Turn > 0 && len(told) == 0 && !isRelease(s.cloud.Calls(), f.Turn) || slices.ContainsFunc(told, func(class string) bool {
			return want != "" && class != want
		}) {
			t.Errorf("%+v: retries were told as %v, want %s", f, told, want)
		}
		if err != nil {
			s.restart(false)
			if err := s.reap(); err != nil {
				// What cannot be removed while it goes on is removed after it.
				t.Logf("%+v: reap: %v", f, err)
			}
		}
		for _, collection := range []string{fakecloud.KeyPairs, fakecloud.Disks, fakecloud.Images} {
			if n := s.cloud.Made(collection) - 2; n > 1 {
				t.Errorf("%+v: %d %s were made", f, n, collection)
			}
		}
		wrong := s.check(s.artifacts...)
		if len(wrong) > 0 {
			t.Errorf("%+v: %v (the build: %v)", f, wrong, err)
		}
		tally.note(c, 0, len(wrong) == 0)
	})
}

// isCreate reports whether a call makes something.
func isCreate(call string) bool {
	return strings.HasPrefix(call, http.MethodPost) && !strings.HasSuffix(call, "stop")
}

// isRelease reports whether a call is made while things are removed.
func isRelease(calls []string, turn int) bool {
	return turn <= len(calls) && strings.HasPrefix(calls[turn-1], http.MethodDelete)
}

// TestCloudLosesComputerAfterMishap combines both: a mishap to a call that makes
// something, and the loss of the computer at every step.
func TestCloudLosesComputerAfterMishap(t *testing.T) {
	steps, _ := length(t)
	part := newPart(t, mishapParts)
	for _, mishap := range fakecloud.Mishaps() {
		for n, collection := range []string{fakecloud.KeyPairs, fakecloud.Disks, fakecloud.Instances, fakecloud.Images} {
			c := cell{"fake cloud", lostAfter + string(mishap), atStep}
			f := fakecloud.Fault{Mishap: mishap, Call: "POST " + collection, Turn: 1, For: 300 * time.Millisecond}
			for cut := 1; cut <= steps; cut++ {
				if part.has(cut + n) {
					loseAt(t, c, cut, cut%2 == 0, f)
				}
			}
		}
	}
}
