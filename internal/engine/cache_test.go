package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/engine"
	"ingot/internal/journal"
	"ingot/internal/lang"
	"ingot/internal/plan"
	"ingot/internal/reap"
	"ingot/internal/stepcache"
)

// world has machines that are maps of files, and snapshots of them that outlive
// the builds, as images on an engine do.
type world struct {
	t     testing.TB
	dir   string
	store *stepcache.Store
	logs  *journal.MemStore

	mu        sync.Mutex
	layered   bool              // snapshots have what is new since the one before
	thrifty   bool              // machines are saved where it is worth it
	base      string            // what the machines are made of
	tick      int               // another in each run
	snapshots map[string]files  // by token
	ran       []string          // the steps that ran in the last build
	events    []component.Event // of the last build
}

type files map[string]string

func newWorld(t testing.TB) *world {
	w := &world{t: t, dir: memoryDir(t), base: "base", snapshots: map[string]files{}, logs: &journal.MemStore{}}
	w.store = &stepcache.Store{Dir: filepath.Join(w.dir, "cache"), Remove: w.reapers().Reap, Clock: component.SystemClock{}}
	return w
}

// memoryDir is a folder in memory where there is one: the store waits for a disk.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "ingot-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (w *world) reapers() journal.Reapers { return journal.NewReapers(w, reap.Files{}) }

func (*world) Kinds() []string { return []string{"snapshot"} }
func (w *world) Reap(_ context.Context, r component.Resource) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.snapshots, r.Token)
	return nil
}

// mapJob makes an artifact of the files of its machine.
type mapJob struct {
	w     *world
	files files // of the machine that was captured
}

func (j *mapJob) Prepare(context.Context, component.Run) error { return nil }
func (j *mapJob) Boot(context.Context, component.Run) (component.Machine, error) {
	return &mapMachine{w: j.w, files: files{"base": j.w.base}}, nil
}
func (j *mapJob) Capture(_ context.Context, _ component.Run, m component.Machine) (*component.Artifact, error) {
	j.files = m.(*mapMachine).files
	return nil, nil
}
func (j *mapJob) BaseState(context.Context, component.Run) (component.BaseState, error) {
	return component.BaseState{Inputs: map[string]string{"base image": j.w.base}, Later: []string{"output"}}, nil
}
func (j *mapJob) HasCheckpoint(_ context.Context, c component.Checkpoint) (bool, error) {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	_, ok := j.w.snapshots[c.Data["snapshot"]]
	return ok, nil
}
func (j *mapJob) Resume(_ context.Context, _ component.Run, c component.Checkpoint) (component.Machine, error) {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	m := &mapMachine{w: j.w, files: files{}}
	for at := &c; at != nil; at = at.Base {
		saved, ok := j.w.snapshots[at.Data["snapshot"]]
		if !ok {
			return nil, component.ErrCheckpointGone
		}
		for name, text := range saved {
			if _, newer := m.files[name]; !newer {
				m.files[name] = text
			}
		}
	}
	m.below = maps.Clone(m.files)
	return m, nil
}

type mapMachine struct {
	machine
	w     *world
	files files
	below files // what it was resumed from, or saved last
}

func (m *mapMachine) SaveCheckpoint(ctx context.Context, r component.Run, to component.CheckpointPlace) (component.SavedState, error) {
	lease, err := r.Journal.Acquire(ctx, component.Resource{Kind: "snapshot"}, func(_ context.Context, res component.Resource) (string, error) {
		m.w.mu.Lock()
		defer m.w.mu.Unlock()
		saved := maps.Clone(m.files)
		if m.w.layered {
			maps.DeleteFunc(saved, func(name, text string) bool { return m.below[name] == text })
		}
		m.w.snapshots[res.Token] = saved
		return res.Token, os.WriteFile(filepath.Join(to.Dir, "note"), []byte(res.Token), 0o600)
	})
	if err != nil {
		return component.SavedState{}, err
	}
	m.below = maps.Clone(m.files)
	return component.SavedState{Data: map[string]string{"snapshot": lease.Resource().Token}, Leases: []component.Lease{lease}, Size: 1000, OnBase: m.w.layered}, nil
}

func (m *mapMachine) Dial(context.Context, component.Run) (component.Communicator, error) {
	return mapComm{m: m}, nil
}

type mapComm struct {
	deaf
	m *mapMachine
}

// mapStep is a provisioner whose result depends on all that came before it, on
// its argument, on its files, and when it is volatile on the run.
type mapStep struct {
	w        *world
	name     string
	arg      string
	secret   string
	files    []string
	volatile bool
	neutral  bool
	silent   bool // it does not say what it reads
	noCache  bool
	ttl      time.Duration
	fails    bool // and goes on
}

// apply changes files as the step does. It is also the model of a cold build.
func (s *mapStep) apply(f files) error {
	if s.neutral {
		return nil
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f)) {
		fmt.Fprintf(h, "%q %q\n", name, f[name])
	}
	fmt.Fprintf(h, "%q %q\n", s.arg, s.secret)
	for _, path := range s.files {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %o\n", data, info.Mode())
	}
	if s.volatile || s.noCache || s.silent || s.fails {
		fmt.Fprintf(h, "%d\n", s.w.tick)
	}
	f[s.name] = hex.EncodeToString(h.Sum(nil))
	return nil
}

func (s *mapStep) Apply(_ context.Context, t component.Target) error {
	s.w.mu.Lock()
	s.w.ran = append(s.w.ran, s.name)
	s.w.mu.Unlock()
	if err := s.apply(t.Comm.(mapComm).m.files); err != nil || !s.fails {
		return err
	}
	return errors.New("not so bad")
}

// speaking is a mapStep that says what it reads.
type speaking struct{ *mapStep }

func (s speaking) Inputs() component.Inputs {
	in := component.Inputs{Files: s.files, Neutral: s.neutral}
	if s.volatile {
		in.Volatile = "it is volatile"
	}
	return in
}

func (s *mapStep) planned(i int) *plan.Step {
	config := &lang.Config{
		Value:   cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(s.name), "arg": cty.StringVal(s.arg), "secret": cty.StringVal(s.secret), "fails": cty.BoolVal(s.fails), "unset": cty.NullVal(cty.String)}),
		Secrets: []cty.Path{cty.GetAttrPath("secret")},
	}
	var action component.Step = speaking{s}
	if s.silent {
		action = s
	}
	return &plan.Step{
		Addr: addr.Step{Kind: addr.Provisioner, Index: i, Type: "map", Name: s.name}, Config: config, Planned: action,
		NoCache: s.noCache, CacheTTL: s.ttl, ContinueOnError: s.fails,
		Bind: func(context.Context, map[string]cty.Value) (component.Step, diag.List) { return action, nil },
	}
}

// build runs a cached build, or a cold one without a cache, and returns the files
// of the machine.
func (w *world) build(name string, cache *engine.Cache, steps []*mapStep) (files, error) {
	job := &mapJob{w: w}
	b := &plan.Build{
		Addr: addr.Build{Source: addr.Source{Type: "test", Name: name}}, Source: addr.Source{Type: "test", Name: name}, Job: job,
		Config: &lang.Config{Value: cty.ObjectVal(map[string]cty.Value{"output": cty.StringVal(fmt.Sprint(w.tick))})},
	}
	for i, s := range steps {
		b.Provisioners = append(b.Provisioners, s.planned(i))
	}
	log, err := w.logs.Create(context.Background(), journal.RunInfo{ID: journal.NewToken()})
	if err != nil {
		return nil, err
	}
	defer log.Close()
	w.mu.Lock()
	w.ran, w.events = nil, nil
	w.mu.Unlock()
	res, err := engine.Run(context.Background(), &plan.Plan{Builds: []*plan.Build{b}}, engine.Options{
		RunID: "run", OnError: engine.Cleanup, Clock: component.SystemClock{}, TempDir: w.dir, Prompt: (*answers)(nil),
		Ledger: journal.NewLedger(log, w.reapers(), component.SystemClock{}), Sensitive: func(string) {}, Release: context.Background(), Cache: cache,
		Handle: func(e component.Stamped) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e.Event)
		},
	})
	if err == nil {
		err = res.Builds[0].Err
	}
	return job.files, err
}

func (w *world) cache() *engine.Cache {
	return &engine.Cache{Store: w.store, Secret: stepcache.Secret("0123456789abcdef0123456789abcdef"), Explain: true, All: !w.thrifty}
}

// cold is what the steps make of a machine.
func (w *world) cold(steps []*mapStep) files {
	f := files{"base": w.base}
	for _, s := range steps {
		if err := s.apply(f); err != nil {
			w.t.Fatal(err)
		}
	}
	return f
}

func (w *world) write(name, text string, mode os.FileMode) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// same builds from the cache and compares with what the steps make.
func (w *world) same(steps ...*mapStep) {
	w.t.Helper()
	w.tick++
	got, err := w.build("a", w.cache(), steps)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(w.cold(steps), got); diff != "" {
		w.t.Fatalf("cached and cold differ: %s", diff)
	}
}

func (w *world) wantRan(want string) {
	w.t.Helper()
	if got := strings.Join(w.ran, " "); got != want {
		w.t.Errorf("ran %q, want %q", got, want)
	}
}

func (w *world) step(name string) *mapStep { return &mapStep{w: w, name: name, arg: name} }

// checks are the decisions of the last build, with whys in brackets.
func (w *world) checks() string {
	var out []string
	for _, e := range w.events {
		if c, ok := e.(component.CacheChecked); ok {
			word := "miss"
			if c.Hit {
				word = "hit"
			}
			if c.Why != "" {
				word += "(" + strings.ReplaceAll(c.Why, w.dir+"/", "") + ")"
			}
			out = append(out, word)
		}
	}
	return strings.Join(out, " ")
}

func TestCachedStepsAreSkipped(t *testing.T) {
	w := newWorld(t)
	one, two, three := w.step("one"), w.step("two"), w.step("three")
	two.files = []string{w.write("a.sh", "first", 0o644)}
	three.secret = "hunter2"
	w.same(one, two, three)
	w.wantRan("one two three")
	w.same(one, two, three)
	w.wantRan("")
	if got, want := w.checks(), "hit hit hit"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w.write("a.sh", "second", 0o644)
	w.same(one, two, three)
	w.wantRan("two three")
	if got, want := w.checks(), "hit miss(file a.sh changed) miss(it comes after provisioner 2 (two))"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w.write("a.sh", "first", 0o644)
	w.same(one, two, three)
	w.wantRan("")
	w.write("a.sh", "first", 0o755)
	w.same(one, two, three)
	w.wantRan("two three")
	three.secret = "hunter3"
	w.same(one, two, three)
	w.wantRan("three")
	if got, want := w.checks(), "hit hit miss(argument secret changed)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w.base = "another"
	w.same(one, two, three)
	w.wantRan("one two three")
	if got, want := w.checks(), "miss(base image changed) miss(it comes after provisioner 1 (one)) miss(it comes after provisioner 1 (one))"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What was saved must not tell a secret, however short it is.
func TestSecretsAreNotInTheStore(t *testing.T) {
	w := newWorld(t)
	one := w.step("one")
	one.secret = "hunter2"
	w.same(one)
	plain := sha256.Sum256([]byte(`"hunter2"`))
	other := sha256.Sum256([]byte("hunter2"))
	read := 0
	err := filepath.WalkDir(w.store.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		read++
		for _, s := range []string{"hunter2", hex.EncodeToString(plain[:]), hex.EncodeToString(other[:])} {
			if strings.Contains(string(data), s) {
				t.Errorf("%s has the secret or a digest of it alone", path)
			}
		}
		return err
	})
	if err != nil || read == 0 {
		t.Fatalf("%d files read, %v", read, err)
	}
}

func TestWhatCannotBeCached(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*mapStep)
		why    string
		ran    string
	}{
		"cache = false": {func(s *mapStep) { s.noCache = true }, "hit miss(cache = false) miss(it comes after provisioner 2 (two))", "two three"},
		"volatile":      {func(s *mapStep) { s.volatile = true }, "hit miss(it is volatile) miss(it comes after provisioner 2 (two))", "two three"},
		"silent":        {func(s *mapStep) { s.silent = true }, "hit miss(the provisioner map does not say what its result depends on) miss(it comes after provisioner 2 (two))", "two three"},
		"tolerated":     {func(s *mapStep) { s.fails = true }, "hit miss(no build has come this far) miss(it comes after provisioner 2 (two))", "two three"},
		"neutral":       {func(s *mapStep) { s.neutral = true }, "hit hit(it leaves nothing on the machine) hit", ""},
		"old":           {func(s *mapStep) { s.ttl = 1 }, "hit miss(the result of provisioner 2 (two) is older than its cache_ttl) miss(it comes after provisioner 2 (two))", "two three"},
		"young":         {func(s *mapStep) { s.ttl = time.Hour }, "hit hit hit", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			one, two, three := w.step("one"), w.step("two"), w.step("three")
			c.change(two)
			w.same(one, two, three)
			w.same(one, two, three)
			if got := w.checks(); got != c.why {
				t.Errorf("got  %s\nwant %s", got, c.why)
			}
			w.wantRan(c.ran)
		})
	}
}

// A checkpoint made from an old result is as old as that.
func TestCacheTTLCountsForWhatFollows(t *testing.T) {
	w := newWorld(t)
	one, two := w.step("one"), w.step("two")
	w.same(one)
	time.Sleep(2 * time.Millisecond)
	w.same(one, two)
	w.wantRan("two")
	one.ttl = time.Millisecond
	w.same(one, two)
	w.wantRan("one two")
}

func TestBuilderWithoutCheckpoints(t *testing.T) {
	s := newStage()
	w := newWorld(t)
	s.run(t, context.Background(), func(o *engine.Options) { o.Cache = w.cache() }, s.build(s.step("one", nil)))
	warned := 0
	for _, e := range s.events {
		if m, ok := e.Event.(component.Warning); ok && strings.Contains(m.Summary, "step cache") {
			warned++
		}
	}
	if warned != 1 {
		t.Errorf("%d warnings", warned)
	}
}

// What goes away behind the back of the store is a miss.
func TestCheckpointThatIsGone(t *testing.T) {
	w := newWorld(t)
	one, two := w.step("one"), w.step("two")
	w.same(one, two)
	clear(w.snapshots)
	w.same(one, two)
	w.wantRan("one two")
	w.same(one, two)
	w.wantRan("")
}

// Nothing that was saved outlives the store, and nothing is left in a journal.
func TestStoreShrinks(t *testing.T) {
	w := newWorld(t)
	w.store.Limit = 2500
	for i := range 5 {
		s := w.step("one")
		s.arg = fmt.Sprint(i)
		w.same(s)
	}
	if n := len(w.snapshots); n != 2 {
		t.Errorf("%d snapshots, want the 2 that there is room for", n)
	}
	entries, err := w.store.List()
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for _, e := range entries {
		if err := w.store.Drop(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(filepath.Join(w.store.Dir, "steps"))
	if err != nil || len(left) != 0 || len(w.snapshots) != 0 {
		t.Errorf("left %v and %d snapshots, %v", left, len(w.snapshots), err)
	}
}

// chance draws the changes between two builds.
type chance struct {
	*rand.Rand
	w     *world
	paths []string
}

func (c chance) step() *mapStep {
	s := &mapStep{w: c.w, name: fmt.Sprint("s", c.IntN(6)), arg: fmt.Sprint(c.IntN(3))}
	for range c.IntN(3) {
		s.files = append(s.files, c.paths[c.IntN(len(c.paths))])
	}
	c.flags(s)
	return s
}

func (c chance) flags(s *mapStep) {
	s.volatile, s.neutral, s.silent, s.noCache, s.fails, s.ttl = false, false, false, false, false, 0
	switch c.IntN(20) {
	case 0:
		s.volatile = true
	case 1:
		s.silent = true
	case 2:
		s.noCache = true
	case 3:
		s.fails = true
	case 4, 5:
		s.neutral = true
	case 6:
		s.ttl = time.Duration(1 + c.IntN(2_000_000))
	}
}

func (c chance) change(steps []*mapStep) []*mapStep {
	at := func() int { return c.IntN(len(steps)) }
	switch c.IntN(12) {
	case 0:
		steps = slices.Insert(steps, c.IntN(len(steps)+1), c.step())
	case 1:
		if len(steps) > 1 {
			i := at()
			steps = slices.Delete(steps, i, i+1)
		}
	case 2:
		i, j := at(), at()
		steps[i], steps[j] = steps[j], steps[i]
	case 3:
		steps[at()].arg = fmt.Sprint(c.IntN(3))
	case 4:
		steps[at()].secret = fmt.Sprint(c.IntN(3))
	case 5, 6:
		c.w.write(filepath.Base(c.paths[c.IntN(len(c.paths))]), fmt.Sprint(c.IntN(3)), []os.FileMode{0o644, 0o755}[c.IntN(2)])
	case 7:
		c.w.base = fmt.Sprint(c.IntN(2))
	case 8:
		c.flags(steps[at()])
	case 9: // somebody removes a snapshot
		for token := range c.w.snapshots {
			delete(c.w.snapshots, token)
			break
		}
	case 10: // or an entry
		entries, err := c.w.store.List()
		if err != nil {
			c.w.t.Fatal(err)
		}
		if len(entries) > 0 {
			if err := c.w.store.Drop(context.Background(), entries[c.IntN(len(entries))]); err != nil {
				c.w.t.Fatal(err)
			}
		}
	}
	return steps
}

// Whatever changes between two builds, what is made with the cache is what is made
// without.
func TestCachedIsCold(t *testing.T) {
	cases := 1000
	if testing.Short() {
		cases = 300
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	skipped, ran := 0, 0
	var w *world
	var c chance
	var steps []*mapStep
	for i := range cases {
		if i%100 == 0 {
			w = newWorld(t)
			c = chance{Rand: rand.New(rand.NewPCG(seed, uint64(i))), w: w}
			w.layered = c.IntN(2) == 0
			c.w.store.Limit = []int64{0, 5000, 20000}[c.IntN(3)]
			for n := range 3 {
				c.paths = append(c.paths, w.write(fmt.Sprint("f", n), "0", 0o644))
			}
			steps = nil
			for range 2 + c.IntN(6) {
				steps = append(steps, c.step())
			}
		}
		for range c.IntN(3) {
			steps = c.change(steps)
		}
		w.thrifty = c.IntN(3) == 0
		w.same(steps...)
		ran += len(w.ran)
		skipped += len(steps) - len(w.ran)
	}
	t.Logf("%d steps ran, %d were skipped", ran, skipped)
	if skipped < cases/2 {
		t.Errorf("only %d steps of %d builds were skipped: this proves little", skipped, cases)
	}
}

// Builds that share a store at the same time do not disturb each other.
func TestBuildsShareAStore(t *testing.T) {
	for _, layered := range []bool{false, true} {
		t.Run(fmt.Sprintf("layered %t", layered), func(t *testing.T) { shareAStore(t, layered) })
	}
}

func shareAStore(t *testing.T, layered bool) {
	w := newWorld(t)
	w.layered = layered
	w.store.Limit = 6000
	path := w.write("shared", "text", 0o644)
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := range 25 {
				steps := make([]*mapStep, 5)
				for k := range steps {
					steps[k] = &mapStep{w: w, name: fmt.Sprint("s", k), arg: fmt.Sprint((i / (k + 1)) % 3), files: []string{path}}
				}
				got, err := w.build("a", w.cache(), steps)
				if err != nil {
					t.Errorf("build %d of %d: %v", i, n, err)
					return
				}
				if diff := cmp.Diff(w.cold(steps), got); diff != "" {
					t.Errorf("cached and cold differ: %s", diff)
				}
			}
		})
	}
	wg.Wait()
	entries, err := w.store.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if wrong := w.store.Verify(e); wrong != "" {
			t.Errorf("%s: %s", e.Key(), wrong)
		}
	}
	if len(entries) != len(w.snapshots) {
		t.Errorf("%d entries, but %d snapshots", len(entries), len(w.snapshots))
	}
}

// A provisioner that somebody works on has a machine to start from, however short
// those before it take.
func TestWhatIsWorkedOnIsSavedBefore(t *testing.T) {
	w := newWorld(t)
	one, two, three := w.step("one"), w.step("two"), w.step("three")
	w.same(one, two, three)
	entries, err := w.store.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if len(e.Chain) == 3 { // after the second step
			if err := w.store.Drop(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.thrifty = true
	three.arg = "changed"
	w.same(one, two, three)
	w.wantRan("two three")
	three.arg = "changed again"
	w.same(one, two, three)
	w.wantRan("three")

	w = newWorld(t)
	w.thrifty = true
	broken := w.step("broken")
	broken.files = []string{filepath.Join(w.dir, "missing")}
	steps := []*mapStep{w.step("one"), w.step("two"), broken}
	for range 2 {
		if _, err := w.build("a", w.cache(), steps); err == nil {
			t.Fatal("a step without its file succeeded")
		}
	}
	w.write("missing", "found", 0o600)
	w.same(steps...)
	w.wantRan("broken")
	left, err := filepath.Glob(filepath.Join(w.store.Dir, "steps", ".want-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left %q, %v", left, err)
	}
}

// What others have saved is used, and left as it is.
func TestCacheOfOthers(t *testing.T) {
	for _, layered := range []bool{false, true} {
		w := newWorld(t)
		w.layered = layered
		one, two, three := w.step("one"), w.step("two"), w.step("three")
		w.same(one, two)
		others := w.store.Dir
		w.store = &stepcache.Store{Dir: filepath.Join(w.dir, "own"), From: []string{others, filepath.Join(w.dir, "nothing")}, Remove: w.store.Remove, Clock: w.store.Clock}
		w.same(one, two, three)
		w.wantRan("three")
		w.same(one, two, three)
		w.wantRan("")
		entries, err := w.store.List()
		if err != nil || len(entries) != 1 {
			t.Errorf("%d entries of its own, %v", len(entries), err)
		}
		// What cannot be used stays where it is.
		clear(w.snapshots)
		w.same(one, two)
		w.wantRan("one two")
		theirs, err := (&stepcache.Store{Dir: others, Clock: w.store.Clock}).List()
		if err != nil || len(theirs) != 2 {
			t.Errorf("others have %d entries left, %v", len(theirs), err)
		}
	}
}
