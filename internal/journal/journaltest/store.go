// Package journaltest is the contract suite of journal.Store.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/journal"
)

// TB is the part of testing.TB that the checks use, so that a test of the
// suite itself can watch a check fail.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Check is one promise of the contract.
type Check struct {
	Name string
	Run  func(t TB, s journal.Store)
}

// Store runs all checks, each against a new store.
func Store(t *testing.T, open func(t *testing.T) journal.Store) {
	for _, c := range Checks {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open(t)) })
	}
}

var ctx = context.Background()

func info(id string) journal.RunInfo {
	return journal.RunInfo{ID: id, PID: 42, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Template: "t.pkr.hcl"}
}

func create(t TB, s journal.Store, id string) journal.Log {
	t.Helper()
	l, err := s.Create(ctx, info(id))
	if err != nil {
		t.Fatalf("create %s: %v", id, err)
	}
	return l
}

func add(t TB, l journal.Log, records ...journal.Record) {
	t.Helper()
	for _, r := range records {
		if err := l.Append(r); err != nil {
			t.Fatalf("append %s: %v", r.Type, err)
		}
	}
}

func intent(n uint64) journal.Record {
	return journal.Record{Type: journal.Intent, Lease: n, Build: "null.a", Resource: &component.Resource{
		Kind: "k", Token: fmt.Sprintf("tok-%d", n), Attrs: map[string]string{"host": "h\n\"ü"},
	}}
}

func made(n uint64) journal.Record {
	return journal.Record{Type: journal.Made, Lease: n, ID: fmt.Sprintf("id-%d", n)}
}

// Checks are the promises of journal.Store.
var Checks = []Check{
	{"a new run is listed as alive with what was said of it", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		defer l.Close()
		st := only(t, s)
		if !st.Alive || st.Run.ID != "r1" || st.Run.Template != "t.pkr.hcl" || st.Run.PID != 42 || st.Run.Format != journal.Format {
			t.Errorf("state is %+v", st)
		}
	}},
	{"closing the log ends the run's life", func(t TB, s journal.Store) {
		create(t, s, "r1").Close()
		if only(t, s).Alive {
			t.Errorf("the run is still alive after Close")
		}
	}},
	{"a living run cannot be adopted", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		defer l.Close()
		if got, err := s.Adopt(ctx, "r1"); !errors.Is(err, journal.ErrAlive) {
			if err == nil {
				got.Close()
			}
			t.Errorf("adopt: %v, want ErrAlive", err)
		}
	}},
	{"a dead run can be adopted by one only", func(t TB, s journal.Store) {
		create(t, s, "r1").Close()
		l, err := s.Adopt(ctx, "r1")
		if err != nil {
			t.Fatalf("adopt: %v", err)
		}
		defer l.Close()
		if _, err := s.Adopt(ctx, "r1"); !errors.Is(err, journal.ErrAlive) {
			t.Errorf("second adopt: %v, want ErrAlive", err)
		}
	}},
	{"what does not exist is not found", func(t TB, s journal.Store) {
		for _, id := range []string{"nope", "", "../x", "."} {
			if _, err := s.Adopt(ctx, id); !errors.Is(err, journal.ErrNotFound) {
				t.Errorf("adopt %q: %v, want ErrNotFound", id, err)
			}
		}
	}},
	{"a run id is used once", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		defer l.Close()
		if _, err := s.Create(ctx, info("r1")); err == nil {
			t.Errorf("a second run of the same id was created")
		}
	}},
	{"an intent alone is open, without an id", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		defer l.Close()
		add(t, l, intent(1))
		st := only(t, s)
		if len(st.Open) != 1 || st.Open[0].Resource.ID != "" || st.Open[0].Resource.Token != "tok-1" || st.Open[0].Build != "null.a" ||
			st.Open[0].Resource.Attrs["host"] != "h\n\"ü" {
			t.Errorf("open: %+v", st.Open)
		}
	}},
	{"made adds the id; released and kept close the lease", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		defer l.Close()
		add(t, l, intent(1), made(1), intent(2), made(2), intent(3), made(3),
			journal.Record{Type: journal.Released, Lease: 1}, journal.Record{Type: journal.Kept, Lease: 3})
		st, err := l.State()
		if err != nil || len(st.Open) != 1 || st.Open[0].Resource.ID != "id-2" {
			t.Errorf("open: %+v, %v", st.Open, err)
		}
	}},
	{"what became known while it was made is kept", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		defer l.Close()
		r := made(1)
		r.Attrs = map[string]string{"host": "h", "started": "now"}
		add(t, l, intent(1), r)
		if st := only(t, s); len(st.Open) != 1 || st.Open[0].Resource.Attrs["started"] != "now" {
			t.Errorf("open: %+v", st.Open)
		}
	}},
	{"open leases are listed oldest first", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		defer l.Close()
		add(t, l, intent(1), intent(2), intent(3))
		for i, o := range only(t, s).Open {
			if o.Lease != uint64(i+1) {
				t.Errorf("position %d holds lease %d", i, o.Lease)
			}
		}
	}},
	{"an adopted log goes on where the old one ended", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		add(t, l, intent(1), made(1), intent(2), made(2))
		l.Close()
		l, err := s.Adopt(ctx, "r1")
		if err != nil {
			t.Fatalf("adopt: %v", err)
		}
		defer l.Close()
		add(t, l, journal.Record{Type: journal.Released, Lease: 1})
		if st := only(t, s); len(st.Open) != 1 || st.Open[0].Lease != 2 {
			t.Errorf("open: %+v", st.Open)
		}
	}},
	{"a closed log takes no records", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		l.Close()
		if err := l.Append(intent(1)); err == nil {
			t.Errorf("append after Close succeeded")
		}
		if err := l.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	}},
	{"a removed run is gone", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		if err := s.Remove(ctx, l); err != nil {
			t.Fatalf("remove: %v", err)
		}
		l.Close()
		if states, err := s.List(ctx); err != nil || len(states) != 0 {
			t.Errorf("list: %+v, %v", states, err)
		}
	}},
	{"runs are listed oldest first", func(t TB, s journal.Store) {
		for i, id := range []string{"b", "a", "c"} {
			in := info(id)
			in.Started = in.Started.Add(time.Duration(i) * time.Hour)
			l, err := s.Create(ctx, in)
			if err != nil {
				t.Fatalf("create: %v", err)
			}
			defer l.Close()
		}
		states, err := s.List(ctx)
		if err != nil || len(states) != 3 || states[0].Run.ID != "b" || states[2].Run.ID != "c" {
			t.Errorf("list: %+v, %v", states, err)
		}
	}},
	{"records of many goroutines all arrive", func(t TB, s journal.Store) {
		l := create(t, s, "r1")
		defer l.Close()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 25 {
					if err := l.Append(intent(uint64(i*25 + j + 1))); err != nil {
						t.Errorf("append: %v", err)
					}
				}
			})
		}
		wg.Wait()
		if st := only(t, s); len(st.Open) != 200 || st.Damage != "" {
			t.Errorf("%d open, damage %q", len(st.Open), st.Damage)
		}
	}},
}

func only(t TB, s journal.Store) journal.State {
	t.Helper()
	states, err := s.List(ctx)
	if err != nil || len(states) != 1 {
		t.Fatalf("list: %d runs, %v; want one", len(states), err)
	}
	return states[0]
}
