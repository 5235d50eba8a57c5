package history

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
)

// fill makes files of runs, the first the oldest, and returns their ids.
func fill(t *testing.T, s Store, n int) []string {
	t.Helper()
	var ids []string
	for range n {
		id := newRun(t)
		f, err := s.create(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Close(), os.WriteFile(s.OutcomesPath(id), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func nobody(string) bool { return false }

func TestPruneKeepsTheNewest(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "history")}
	if err := s.Prune(time.Now(), nobody); err != nil {
		t.Fatalf("without a folder: %v", err)
	}
	ids := fill(t, s, KeepRuns+3)
	foreign := filepath.Join(s.Dir, "notes.jsonl")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-KeepAge - time.Hour)
	for _, path := range []string{s.Path(ids[7]), s.Path(ids[8]), foreign} {
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	alive := func(id string) bool { return id == ids[1] || id == ids[8] }
	if err := s.Prune(time.Now(), alive); err != nil {
		t.Fatal(err)
	}
	left, err := s.Runs()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(ids)
	want = slices.DeleteFunc(want, func(id string) bool { return id == ids[0] || id == ids[2] || id == ids[7] })
	slices.Reverse(want)
	if !slices.Equal(left, want) {
		t.Errorf("%d are left, want %d", len(left), len(want))
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	for _, id := range ids {
		_, err := os.Stat(s.OutcomesPath(id))
		if kept := slices.Contains(want, id); (err == nil) != kept {
			t.Errorf("the file beside that of a run: %v, but the run is kept: %v", err, kept)
		}
	}
}

func TestFind(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	if _, err := s.Find(Last); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	ids := fill(t, s, 2)
	for name, want := range map[string]string{
		Last: ids[1], ids[0]: ids[0], ids[1][:len(ids[1])-1]: ids[1], strings.ToUpper(ids[0]): ids[0],
	} {
		if got, err := s.Find(name); err != nil || got != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := s.Find(ids[0][:4]); err == nil || !strings.Contains(err.Error(), "2 runs begin") {
		t.Error(err)
	}
	for _, name := range []string{"", "zz", "../" + ids[0]} {
		if _, err := s.Find(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSummary(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	for _, c := range []struct {
		name   string
		last   []component.Event
		alive  bool
		header Header
		want   Result
		failed int
	}{
		{"good", []component.Event{component.RunEnded{}}, false, Header{}, Succeeded, 0},
		{"failed", []component.Event{component.RunEnded{Failed: 2}}, false, Header{}, Failed, 2},
		{"not all could be planned", []component.Event{component.RunEnded{}}, false, Header{Incomplete: true}, Failed, 0},
		{"interrupted", []component.Event{component.RunEnded{Failed: 1, Interrupted: "Ctrl-C"}}, false, Header{}, Interrupted, 1},
		{"running", nil, true, Header{}, Running, -1},
		{"ended, not yet gone", []component.Event{component.RunEnded{}}, true, Header{}, Succeeded, 0},
		{"killed", nil, false, Header{}, Killed, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.header.RunID = newRun(t)
			var r Recorder
			if err := r.Begin(s, c.header, func(s string) string { return s }); err != nil {
				t.Fatal(err)
			}
			for _, e := range everyEvent()[:20] {
				r.Handle(e)
			}
			for range 2000 { // the end is far from the beginning
				r.Handle(stamp(20, component.Output{Stream: component.Stdout, Line: strings.Repeat("y", 80)}, web, install))
			}
			for _, e := range c.last {
				r.Handle(stamp(30, e))
			}
			if err := r.Finish(nil); err != nil {
				t.Fatal(err)
			}
			alive := func(string) bool { return c.alive }
			sum, err := s.Summary(c.header.RunID, alive)
			if err != nil || sum.Result != c.want || sum.Failed != c.failed || !slices.Equal(sum.Builds, []string{"docker.web"}) {
				t.Errorf("%+v, %v", sum, err)
			}
			if run := read(t, s, c.header.RunID, c.alive); run.Result != c.want {
				t.Errorf("the whole run: %s", run.Result)
			}
		})
	}
}
