package history

import (
	"io"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/ui"
)

func model(t *testing.T, alive bool, events ...component.Stamped) *Run {
	t.Helper()
	run, err := Read(strings.NewReader(string(record(t, ui.NewRedactor(), Header{}, events...))), Options{Head: 2, Tail: 3}, alive)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestRunOfAllEvents(t *testing.T) {
	run := model(t, false, everyEvent()...)
	if run.Result != Interrupted || run.Took != 20*time.Millisecond || len(run.Builds) != 1 {
		t.Fatalf("%+v", run)
	}
	b := run.Builds[0]
	if b.ID != "docker.web" || b.Err == nil || b.Took() != 18*time.Millisecond || len(b.Artifacts) != 2 || b.Artifacts[1].Files[0].Path != "a.tar" {
		t.Errorf("%+v", b)
	}
	if len(b.Phases) != 2 || len(b.Phases[0].Waits) != 1 || len(b.Phases[0].Waits[0].Stages) != 1 || b.Phases[0].Waits[0].Begin != 3*time.Millisecond {
		t.Fatalf("%+v", b.Phases)
	}
	s := b.Phases[1].Steps[0]
	if s.Name != "install" || !s.Tolerated || s.Attempts != 2 || len(s.Retries) != 1 || s.Took() != 5*time.Millisecond {
		t.Errorf("%+v", s)
	}
	if s.Log.Count() != 6 || s.Log.Head()[0] != (Line{12 * time.Millisecond, Stderr, "ab"}) || s.Log.Missing() != 1 {
		t.Errorf("%+v", s.Log)
	}
	if r := b.Resources; len(r) != 1 || r[0].Fate != Stuck || r[0].Begin != 3*time.Millisecond || r[0].End != 20*time.Millisecond {
		t.Errorf("%+v", r)
	}
}

// Ensure that what a killed run had begun is shown up to its last event, and a
// torn last line does no harm.
func TestKilledRun(t *testing.T) {
	events := everyEvent()
	data := record(t, ui.NewRedactor(), Header{}, append(events[:12:12], stamp(500, component.Output{Line: "last"}, web, install))...)
	run, err := Read(strings.NewReader(string(data)+`{"type":"out`), Options{Tail: 1}, false)
	if err != nil || run.Damaged != 0 {
		t.Fatal(err, run.Damaged)
	}
	b := run.Builds[0]
	step := b.Phases[1].Steps[0]
	if run.Result != Killed || b.Result(run) != Killed || step.Result(run) != Killed || step.Ended || run.Took != 500*time.Millisecond {
		t.Errorf("%+v", run)
	}
	if b.End != run.Took || b.Phases[1].End != run.Took || step.End != run.Took || b.Phases[0].Result(run) != Failed {
		t.Errorf("%+v", b)
	}
	if b.Resources[0].Fate != Held || b.Resources[0].End != run.Took {
		t.Errorf("%+v", b.Resources[0])
	}
}

// Ensure that a build that was made again has its phases again, and that a
// cleanup outside of phases is not lost.
func TestRepeatedBuild(t *testing.T) {
	phase := func(at int) []component.Stamped {
		return []component.Stamped{
			stamp(at, component.PhaseStarted{Phase: component.PhaseBoot}, web),
			stamp(at+5, component.PhaseEnded{Phase: component.PhaseBoot}, web),
		}
	}
	cleanup := install
	cleanup.Kind++
	events := []component.Stamped{stamp(0, component.RunStarted{}), stamp(0, component.BuildStarted{}, web)}
	events = append(events, phase(1)...)
	events = append(events, stamp(7, component.StepStarted{}, web, cleanup), stamp(8, component.StepEnded{}, web, cleanup),
		stamp(9, component.Retrying{What: "the build", Attempt: 1}, web))
	events = append(events, phase(10)...)
	b := model(t, false, events...).Builds[0]
	if len(b.Phases) != 3 || len(b.Retries) != 1 || b.Phases[1].Name != "" || len(b.Phases[1].Steps) != 1 || b.Phases[1].End != 8*time.Millisecond {
		t.Errorf("%+v", b)
	}
}

func TestSkippedSteps(t *testing.T) {
	b := model(t, false,
		stamp(0, component.RunStarted{}), stamp(0, component.BuildStarted{}, web),
		stamp(1, component.PhaseStarted{Phase: component.PhaseProvision}, web),
		stamp(2, component.StepSkipped{Reason: "cached"}, web, install),
		stamp(3, component.PhaseEnded{Phase: component.PhaseProvision}, web)).Builds[0]
	if s := b.Phases[0].Steps; len(s) != 1 || !s[0].Skipped || !s[0].Ended || s[0].Took() != 0 {
		t.Errorf("%+v", s)
	}
}

func TestLogKeepsBothEnds(t *testing.T) {
	var l Log
	for _, text := range strings.Split("abcdefgh", "") {
		l.add(Options{Head: 2, Tail: 3}, Line{Text: text, Kind: Stdout})
	}
	text := ""
	for _, line := range append(l.Head(), l.Tail()...) {
		text += line.Text
	}
	if text != "abfgh" || l.Count() != 8 || l.Missing() != 3 {
		t.Errorf("%s, %d of %d missing", text, l.Missing(), l.Count())
	}
}

func TestWaitStagesReplaceWaits(t *testing.T) {
	b := model(t, false,
		stamp(0, component.RunStarted{}), stamp(0, component.BuildStarted{}, web),
		stamp(1, component.PhaseStarted{Phase: component.PhaseConnect}, web),
		stamp(3000, component.Waiting{For: "tcp 1", Elapsed: 2 * time.Second}, web),
		stamp(5000, component.Waiting{For: "banner", Elapsed: time.Second}, web),
		stamp(6000, component.WaitEnded{For: "SSH", Elapsed: 5 * time.Second}, web),
		stamp(9000, component.Waiting{For: "the rest", Elapsed: time.Second}, web),
		stamp(9500, component.PhaseEnded{Phase: component.PhaseConnect}, web),
	).Builds[0]
	w := b.Phases[0].Waits
	if len(w) != 2 || w[0].For != "SSH" || w[0].Begin != time.Second || !w[0].Ended || w[1].For != "the rest" || w[1].Begin != 8*time.Second || w[1].End != 9500*time.Millisecond {
		t.Errorf("%+v", w)
	}
}

func TestReaderSkipsWhatItCannotRead(t *testing.T) {
	const head = `{"type":"history","format":1}` + "\n"
	for text, damaged := range map[string]int{
		"":                                  0,
		"nonsense\n":                        1,
		`{"type":"from the future"}` + "\n": 0,
		`{"type":"step_started","step":"x"}` + "\n": 1,
		strings.Repeat("x", longestLine+10) + "\n":  1,
		`{"type":"message","ms":"x"}` + "\n":        1,
	} {
		r, err := NewReader(strings.NewReader(head + text + `{"type":"message","text":"end"}` + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Next()
		if m, ok := e.Event.(component.Message); err != nil || !ok || m.Text != "end" || r.Damaged != damaged {
			t.Errorf("%.40q: %+v, %v, %d damaged", text, e, err, r.Damaged)
		}
	}
	for _, text := range []string{"", "\n", "{}\n", `{"type":"history","format":2}` + "\n", head[:len(head)-1]} {
		if _, err := NewReader(strings.NewReader(text)); err == nil {
			t.Errorf("%q was taken for a history", text)
		}
	}
}

// Ensure that a reader at the end of a file that grows goes on where it stopped.
func TestReaderFollows(t *testing.T) {
	grow := &growing{text: `{"type":"history","format":1}` + "\n" + `{"type":"message","te`}
	r, err := NewReader(grow)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
	grow.text += `xt":"whole"}` + "\n"
	if e, err := r.Next(); err != nil || e.Event != (component.Message{Text: "whole"}) {
		t.Errorf("%+v, %v", e, err)
	}
}

type growing struct {
	text string
	at   int
}

func (g *growing) Read(p []byte) (int, error) {
	n := copy(p, g.text[g.at:])
	g.at += n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// FuzzRead: whatever a file holds, it is read without harm, and all times of what
// is made of it are in order.
func FuzzRead(f *testing.F) {
	const head = `{"type":"history","format":1}` + "\n"
	f.Add([]byte(head + `{"type":"run_started","builds":["a","b"]}` + "\n" + `{"type":"build_started","ms":-5,"build":"a"}` + "\n"))
	f.Add([]byte(head + `{"type":"build_ended","ms":9,"build":"a","artifacts":[null]}` + "\n" + `{"type":"phase_ended","build":"a","ms":1}` + "\n"))
	f.Add([]byte(head + `{"type":"step_started","ms":99999999999999999,"build":"c","step":"post-processor[0][1].x"}` + "\n" +
		`{"type":"wait_ended","build":"c","step":"post-processor[0][1].x","elapsed_ms":7,"stages":[{}]}` + "\n"))
	f.Add([]byte(head + `{"type":"resource_released","resource":{"token":"t"}}` + "\n" + `{"type":"output","line":7}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		run, err := Read(strings.NewReader(string(data)), Options{Head: 2, Tail: 2}, false)
		if err != nil {
			return
		}
		in := func(what string, s Span) {
			if s.Begin < 0 || s.End < s.Begin || s.End > longest {
				t.Errorf("%s lasts from %s to %s", what, s.Begin, s.End)
			}
		}
		for _, b := range run.Builds {
			in("build", b.Span)
			for _, p := range b.Phases {
				in("phase", p.Span)
				for _, s := range p.Steps {
					in("step", s.Span)
					if n := len(s.Log.Head()) + len(s.Log.Tail()) + s.Log.Missing(); n != s.Log.Count() {
						t.Errorf("%d lines of %d", n, s.Log.Count())
					}
				}
				for _, w := range p.Waits {
					in("wait", w.Span)
				}
			}
			for _, r := range b.Resources {
				in("resource", r.Span)
			}
		}
	})
}
