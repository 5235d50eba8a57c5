package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/journal"
	"ingot/internal/journal/journaltest"
)

func TestFileStore(t *testing.T) {
	journaltest.Store(t, func(t *testing.T) journal.Store { return journal.FileStore{Dir: filepath.Join(t.TempDir(), "runs")} })
}

func TestMemStore(t *testing.T) {
	journaltest.Store(t, func(*testing.T) journal.Store { return &journal.MemStore{} })
}

// probe records failures of a check instead of failing the test.
type probe struct{ failed bool }

func (p *probe) Helper()               {}
func (p *probe) Errorf(string, ...any) { p.failed = true }
func (p *probe) Fatalf(string, ...any) { p.failed = true; runtime.Goexit() }

func fails(c journaltest.Check, s journal.Store) bool {
	p := &probe{}
	done := make(chan struct{})
	go func() { defer close(done); c.Run(p, s) }()
	<-done
	return p.failed
}

// Defective stores, each with one injected defect.
type noAlive struct{ journal.Store }

func (s noAlive) List(ctx context.Context) ([]journal.State, error) {
	states, err := s.Store.List(ctx)
	for i := range states {
		states[i].Alive = false
	}
	return states, err
}

type alwaysAlive struct{ journal.Store }

func (s alwaysAlive) List(ctx context.Context) ([]journal.State, error) {
	states, err := s.Store.List(ctx)
	for i := range states {
		states[i].Alive = true
	}
	return states, err
}

type reversed struct{ journal.Store }

func (s reversed) List(ctx context.Context) ([]journal.State, error) {
	states, err := s.Store.List(ctx)
	for i := range states {
		o := states[i].Open
		for a, b := 0, len(o)-1; a < b; a, b = a+1, b-1 {
			o[a], o[b] = o[b], o[a]
		}
	}
	for a, b := 0, len(states)-1; a < b; a, b = a+1, b-1 {
		states[a], states[b] = states[b], states[a]
	}
	return states, err
}

type adoptsAll struct{ journal.Store }

func (s adoptsAll) Adopt(ctx context.Context, id string) (journal.Log, error) {
	l, err := s.Store.Adopt(ctx, id)
	if err != nil {
		other := &journal.MemStore{}
		return other.Create(ctx, journal.RunInfo{ID: "x"})
	}
	return l, nil
}

type createsTwice struct{ journal.Store }

func (s createsTwice) Create(ctx context.Context, in journal.RunInfo) (journal.Log, error) {
	l, err := s.Store.Create(ctx, in)
	if err != nil {
		return (&journal.MemStore{}).Create(ctx, in)
	}
	return l, nil
}

type neverRemoves struct{ journal.Store }

func (s neverRemoves) Remove(context.Context, journal.Log) error { return nil }

// edits wraps every log's Append.
type edits struct {
	journal.Store
	append func(l journal.Log, r journal.Record) error
}

func (s edits) wrap(l journal.Log, err error) (journal.Log, error) {
	if err != nil {
		return nil, err
	}
	return editedLog{l, s.append}, nil
}
func (s edits) Create(ctx context.Context, in journal.RunInfo) (journal.Log, error) {
	return s.wrap(s.Store.Create(ctx, in))
}
func (s edits) Adopt(ctx context.Context, id string) (journal.Log, error) {
	return s.wrap(s.Store.Adopt(ctx, id))
}

type editedLog struct {
	journal.Log
	append func(l journal.Log, r journal.Record) error
}

func (l editedLog) Append(r journal.Record) error { return l.append(l.Log, r) }

// TestSuiteFindsDefects shows that every check fails against a store with a
// fitting defect, so that none of them is vacuous.
func TestSuiteFindsDefects(t *testing.T) {
	dropping := func(drop journal.Type) func() journal.Store {
		return func() journal.Store {
			return edits{&journal.MemStore{}, func(l journal.Log, r journal.Record) error {
				if r.Type == drop {
					return nil
				}
				return l.Append(r)
			}}
		}
	}
	mem := func(wrap func(journal.Store) journal.Store) func() journal.Store {
		return func() journal.Store { return wrap(&journal.MemStore{}) }
	}
	defects := map[string]func() journal.Store{
		"a new run is listed as alive with what was said of it": mem(func(s journal.Store) journal.Store { return noAlive{s} }),
		"closing the log ends the run's life":                   mem(func(s journal.Store) journal.Store { return alwaysAlive{s} }),
		"a living run cannot be adopted":                        mem(func(s journal.Store) journal.Store { return adoptsAll{s} }),
		"a dead run can be adopted by one only":                 mem(func(s journal.Store) journal.Store { return adoptsAll{s} }),
		"what does not exist is not found":                      mem(func(s journal.Store) journal.Store { return adoptsAll{s} }),
		"a run id is used once":                                 mem(func(s journal.Store) journal.Store { return createsTwice{s} }),
		"an intent alone is open, without an id":                dropping(journal.Intent),
		"made adds the id; released and kept close the lease":   dropping(journal.Kept),
		"what became known while it was made is kept":           dropping(journal.Made),
		"open leases are listed oldest first":                   mem(func(s journal.Store) journal.Store { return reversed{s} }),
		"an adopted log goes on where the old one ended":        dropping(journal.Released),
		"a closed log takes no records": func() journal.Store {
			return edits{&journal.MemStore{}, func(journal.Log, journal.Record) error { return nil }}
		},
		"a removed run is gone":                 mem(func(s journal.Store) journal.Store { return neverRemoves{s} }),
		"runs are listed oldest first":          mem(func(s journal.Store) journal.Store { return reversed{s} }),
		"records of many goroutines all arrive": dropping(journal.Intent),
	}
	for _, c := range journaltest.Checks {
		defect := defects[c.Name]
		if defect == nil {
			t.Errorf("no defect for check %q", c.Name)
			continue
		}
		if !fails(c, defect()) {
			t.Errorf("check %q passes against a store with the defect", c.Name)
		}
		if fails(c, &journal.MemStore{}) {
			t.Errorf("check %q fails against a good store", c.Name)
		}
	}
}

// Ensure that a journal cut at every possible byte is read up to the last
// whole record, and can be adopted and continued.
func TestTornJournal(t *testing.T) {
	dir := t.TempDir()
	s := journal.FileStore{Dir: dir}
	l, err := s.Create(context.Background(), journal.RunInfo{ID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= 3; n++ {
		must(t, l.Append(journal.Record{Type: journal.Intent, Lease: n, Resource: &component.Resource{Kind: "k", Token: fmt.Sprint(n)}}))
	}
	must(t, l.Close())
	path := filepath.Join(dir, "r", "journal.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut <= len(whole); cut++ {
		must(t, os.WriteFile(path, whole[:cut], 0o600))
		want := -1 // the run record comes first
		for _, b := range whole[:cut] {
			if b == '\n' {
				want++
			}
		}
		l, err := s.Adopt(context.Background(), "r")
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		must(t, l.Append(journal.Record{Type: journal.Intent, Lease: 9, Resource: &component.Resource{Kind: "k", Token: "9"}}))
		st, err := l.State()
		if err != nil || st.Damage != "" || len(st.Open) != max(want, 0)+1 {
			t.Fatalf("cut at %d: %d open, damage %q, %v; want %d open", cut, len(st.Open), st.Damage, err, max(want, 0)+1)
		}
		must(t, l.Close())
	}
}

// Ensure that a flipped bit costs only the record it is in, and is reported.
func TestFlippedBit(t *testing.T) {
	dir := t.TempDir()
	s := journal.FileStore{Dir: dir}
	l, err := s.Create(context.Background(), journal.RunInfo{ID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= 3; n++ {
		must(t, l.Append(journal.Record{Type: journal.Intent, Lease: n, Resource: &component.Resource{Kind: "k", Token: fmt.Sprint(n)}}))
	}
	must(t, l.Close())
	path := filepath.Join(dir, "r", "journal.jsonl")
	whole, _ := os.ReadFile(path)
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 4
		must(t, os.WriteFile(path, bad, 0o600))
		states, err := s.List(context.Background())
		if err != nil || len(states) != 1 {
			t.Fatalf("byte %d: %v", i, err)
		}
		if states[0].Damage == "" && i < len(whole)-1 {
			t.Errorf("byte %d: a flipped bit went unnoticed", i)
		}
		if len(states[0].Open) < 1 {
			t.Errorf("byte %d: %d open", i, len(states[0].Open))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a reaper with a ledger of its own of what exists.
type world struct {
	things map[string]string // token -> id
	fail   map[string]error
	order  []string
}

func (*world) Kinds() []string { return []string{"thing"} }
func (w *world) Reap(_ context.Context, r component.Resource) error {
	if err := w.fail[r.Token]; err != nil {
		return err
	}
	if _, ok := w.things[r.Token]; ok {
		w.order = append(w.order, r.Token)
	}
	delete(w.things, r.Token)
	return nil
}

func (w *world) make(token string) func(context.Context, component.Resource) (string, error) {
	return func(_ context.Context, r component.Resource) (string, error) {
		w.things[r.Token] = "id-" + r.Token
		return w.things[r.Token], nil
	}
}

func newLedger(t *testing.T, w *world, s journal.Store) (*journal.Ledger, *journal.Book, journal.Log) {
	t.Helper()
	l, err := s.Create(context.Background(), journal.RunInfo{ID: "r", Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	ledger := journal.NewLedger(l, journal.NewReapers(w), component.SystemClock{})
	return ledger, ledger.Book("b", component.SinkFunc(func(component.Event) {})), l
}

func TestLeasesAreReleasedNewestFirst(t *testing.T) {
	w := &world{things: map[string]string{}}
	_, book, log := newLedger(t, w, &journal.MemStore{})
	for _, tok := range []string{"a", "b", "c"} {
		if _, err := book.Acquire(context.Background(), component.Resource{Kind: "thing", Token: tok}, w.make(tok)); err != nil {
			t.Fatal(err)
		}
	}
	must(t, book.ReleaseAll(context.Background()))
	if got := fmt.Sprint(w.order); got != "[c b a]" {
		t.Errorf("order %s", got)
	}
	if st, _ := log.State(); len(st.Open) != 0 || len(book.Open()) != 0 {
		t.Errorf("still open: %+v", st.Open)
	}
}

func TestAcquireRemovesWhatAFailedCreateMade(t *testing.T) {
	w := &world{things: map[string]string{}}
	_, book, log := newLedger(t, w, &journal.MemStore{})
	lost := errors.New("reply lost")
	_, err := book.Acquire(context.Background(), component.Resource{Kind: "thing"}, func(_ context.Context, r component.Resource) (string, error) {
		if r.Token == "" {
			t.Error("create got no token")
		}
		w.things[r.Token] = "made"
		return "", lost
	})
	if !errors.Is(err, lost) || len(w.things) != 0 {
		t.Errorf("error %v, left %v", err, w.things)
	}
	if st, _ := log.State(); len(st.Open) != 0 {
		t.Errorf("still open: %+v", st.Open)
	}
}

func TestKeptIsNotReleased(t *testing.T) {
	w := &world{things: map[string]string{}}
	_, book, _ := newLedger(t, w, &journal.MemStore{})
	lease, err := book.Acquire(context.Background(), component.Resource{Kind: "thing", Token: "a"}, w.make("a"))
	must(t, err)
	must(t, lease.Keep(context.Background()))
	must(t, lease.Release(context.Background()))
	must(t, book.ReleaseAll(context.Background()))
	if len(w.things) != 1 {
		t.Error("a kept thing was removed")
	}
}

// Ensure that the book can be looked at while a lease of it is being released.
func TestOpenWhileReleasing(t *testing.T) {
	w := &world{things: map[string]string{}}
	l, err := (&journal.MemStore{}).Create(context.Background(), journal.RunInfo{ID: "r"})
	must(t, err)
	var (
		book   *journal.Book
		looked = make(chan int, 1)
	)
	book = journal.NewLedger(l, journal.NewReapers(w), component.SystemClock{}).Book("b", component.SinkFunc(func(e component.Event) {
		if _, ok := e.(component.ResourceReleased); ok {
			go func() { looked <- len(book.Open()) }()
			time.Sleep(10 * time.Millisecond) // it most likely has the book by then
		}
	}))
	lease, err := book.Acquire(context.Background(), component.Resource{Kind: "thing", Token: "a"}, w.make("a"))
	must(t, err)
	must(t, lease.Release(context.Background()))
	if n := <-looked; n != 0 {
		t.Errorf("%d leases were open", n)
	}
}

func TestUnknownKindIsRefusedBeforeItIsMade(t *testing.T) {
	w := &world{things: map[string]string{}}
	_, book, _ := newLedger(t, w, &journal.MemStore{})
	if _, err := book.Acquire(context.Background(), component.Resource{Kind: "other"}, w.make("x")); err == nil || len(w.things) != 0 {
		t.Errorf("error %v, made %v", err, w.things)
	}
}

// Ensure that Recover, after a crash at every record, removes all that was
// made and only that, keeps what was kept, and touches no living run.
func TestRecoverAfterCrashAtEveryRecord(t *testing.T) {
	for crash := 0; crash < 9; crash++ {
		w := &world{things: map[string]string{"foreign": "x"}}
		store := &journal.MemStore{}
		limited := &limitedStore{Store: store, left: crash + 1}
		_, book, log := newLedger(t, w, limited)
		kept := false
		died := make(chan struct{})
		go func() {
			defer close(died)
			for _, tok := range []string{"a", "keep", "b"} {
				lease, err := book.Acquire(context.Background(), component.Resource{Kind: "thing", Token: tok}, w.make(tok))
				if err == nil && tok == "keep" {
					kept = lease.Keep(context.Background()) == nil
				}
			}
		}()
		<-died
		must(t, log.Close()) // the process is gone
		alive, err := store.Create(context.Background(), journal.RunInfo{ID: "alive"})
		must(t, err)
		w.things["of-the-living"] = "y"
		must(t, alive.Append(journal.Record{Type: journal.Intent, Lease: 1, Resource: &component.Resource{Kind: "thing", Token: "of-the-living"}}))

		_, err = journal.Recover(context.Background(), store, journal.NewReapers(w), journal.RecoverOptions{Now: time.Now()})
		must(t, err)
		want := map[string]bool{"foreign": true, "of-the-living": true}
		if kept {
			want["keep"] = true
		}
		for tok := range w.things {
			if !want[tok] {
				t.Errorf("crash at %d: %s was left behind", crash, tok)
			}
		}
		if len(w.things) != len(want) {
			t.Errorf("crash at %d: there is %v, want %v", crash, w.things, want)
		}
		if states, _ := store.List(context.Background()); len(states) != 1 {
			t.Errorf("crash at %d: %d journals, want the living one", crash, len(states))
		}
	}
}

// limitedStore's logs take a number of records and then fail, as if the
// process had died there.
type limitedStore struct {
	journal.Store
	left int
}

func (s *limitedStore) Create(ctx context.Context, in journal.RunInfo) (journal.Log, error) {
	l, err := s.Store.Create(ctx, in)
	s.left--
	return &limitedLog{l, s}, err
}

type limitedLog struct {
	journal.Log
	s *limitedStore
}

func (l *limitedLog) Append(r journal.Record) error {
	if l.s.left <= 0 {
		runtime.Goexit() // what a kill looks like to the caller: no return
	}
	l.s.left--
	return l.Log.Append(r)
}

func TestRecoverKeepsWhatCouldNotBeRemoved(t *testing.T) {
	w := &world{things: map[string]string{}, fail: map[string]error{"b": errors.New("not now")}}
	store := &journal.MemStore{}
	_, book, log := newLedger(t, w, store)
	for _, tok := range []string{"a", "b"} {
		_, err := book.Acquire(context.Background(), component.Resource{Kind: "thing", Token: tok}, w.make(tok))
		must(t, err)
	}
	must(t, log.Close())
	o := journal.RecoverOptions{Now: time.Now()}
	total, err := journal.Recover(context.Background(), store, journal.NewReapers(w), o)
	if err == nil || total.Removed != 1 || total.Failed != 1 {
		t.Errorf("first: %+v, %v", total, err)
	}
	w.fail = nil
	total, err = journal.Recover(context.Background(), store, journal.NewReapers(w), o)
	if err != nil || total.Removed != 1 || len(w.things) != 0 {
		t.Errorf("second: %+v, %v, left %v", total, err, w.things)
	}
}

func FuzzReplay(f *testing.F) {
	f.Add([]byte("00000000 {}\n"))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(dir, "r"), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "r", "journal.jsonl"), data, 0o600))
		states, err := journal.FileStore{Dir: dir}.List(context.Background())
		if err != nil || len(states) != 1 {
			t.Fatalf("list: %v, %d", err, len(states))
		}
		l, err := journal.FileStore{Dir: dir}.Adopt(context.Background(), "r")
		must(t, err)
		defer l.Close()
		must(t, l.Append(journal.Record{Type: journal.Intent, Lease: 1 << 60, Resource: &component.Resource{Kind: "k", Token: "t"}}))
		st, err := l.State()
		must(t, err)
		if len(st.Open) == 0 || st.Open[len(st.Open)-1].Resource.Token != "t" {
			t.Errorf("a record behind foreign bytes was lost: %+v", st)
		}
	})
}
