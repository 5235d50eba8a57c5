package junit

import (
	"bytes"
	"encoding/xml"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/history"
	"ingot/internal/ui"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// results records events as a run does, with "pa55word" as a secret, and returns
// what is written of them.
func results(t *testing.T, events ...component.Stamped) string {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	secrets := ui.NewRedactor()
	secrets.Add("pa55word")
	store := history.Store{Dir: t.TempDir()}
	var r history.Recorder
	sink := secrets.Wrap(&r)
	if err := r.Begin(store, history.Header{RunID: id.String(), Template: "t.pkr.hcl", Started: began}, secrets.Redact); err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		e.Since = time.Duration(i) * time.Second
		e.At = began.Add(e.Since)
		sink.Handle(e)
	}
	if err := errors.Join(sink.Close(), r.Finish(nil)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(store.Path(id.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	run, err := history.Read(f, Options(), false)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Write(&out, run); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(out.Bytes(), new(suites)); err != nil {
		t.Errorf("it is no XML: %v", err)
	}
	return out.String()
}

func TestWrite(t *testing.T) {
	build := addr.Build{Source: addr.Source{Type: "docker", Name: "web"}}
	in := func(e component.Event) component.Stamped {
		return component.Stamped{Origin: component.Origin{Build: build}, Event: e}
	}
	of := func(chain, index int, name string, e component.Event) component.Stamped {
		s := in(e)
		s.Step = addr.Step{Kind: addr.Check, Chain: chain, Index: index, Type: "shell", Name: name}
		return s
	}
	failure := errors.New("exit code 3: pa55word\nand more")
	got := results(t,
		component.Stamped{Event: component.RunStarted{Builds: []addr.Build{build}}},
		in(component.BuildStarted{}),
		in(component.PhaseStarted{Phase: component.PhaseProvision}),
		in(component.PhaseEnded{Phase: component.PhaseProvision}),
		in(component.PhaseStarted{Phase: component.PhaseTest, Test: `it "starts"`}),
		of(0, 0, "", component.StepStarted{}),
		of(0, 0, "", component.Output{Stream: component.Stdout, Line: "<b>\x1b[1mpa55word\x00\xff"}),
		of(0, 0, "", component.StepEnded{}),
		of(0, 1, "listens", component.StepStarted{}),
		of(0, 1, "", component.StepEnded{Err: failure}),
		of(0, 2, "", component.StepSkipped{Reason: "check 2 (listens) failed"}),
		in(component.PhaseEnded{Phase: component.PhaseTest, Test: `it "starts"`, Err: failure}),
		in(component.PhaseStarted{Phase: component.PhaseRelease}),
		in(component.PhaseEnded{Phase: component.PhaseRelease}),
		in(component.PhaseStarted{Phase: component.PhaseTest, Test: "unreachable"}),
		in(component.Message{Text: "no pa55word"}),
		in(component.PhaseEnded{Phase: component.PhaseTest, Test: "unreachable", Err: errors.New("no route")}),
		in(component.PhaseStarted{Phase: component.PhaseTest, Test: "cut short"}),
		of(2, 0, "", component.StepStarted{}),
	)
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="ingot t.pkr.hcl" tests="5" failures="1" errors="2" skipped="1" time="10.000">
  <testsuite name="docker.web: it &#34;starts&#34;" tests="3" failures="1" errors="0" skipped="1" time="7.000" timestamp="2026-01-02T03:04:09">
    <testcase name="1. shell" classname="docker.web.it &#34;starts&#34;" time="2.000">
      <system-out>&lt;b&gt;&lt;sensitive&gt;&#xA;</system-out>
    </testcase>
    <testcase name="2. listens" classname="docker.web.it &#34;starts&#34;" time="1.000">
      <failure message="exit code 3: &lt;sensitive&gt;">exit code 3: &lt;sensitive&gt;&#xA;and more</failure>
    </testcase>
    <testcase name="3. shell" classname="docker.web.it &#34;starts&#34;" time="0.000">
      <skipped message="check 2 (listens) failed"></skipped>
    </testcase>
  </testsuite>
  <testsuite name="docker.web: unreachable" tests="1" failures="0" errors="1" skipped="0" time="2.000" timestamp="2026-01-02T03:04:19">
    <testcase name="machine" classname="docker.web.unreachable" time="2.000">
      <error message="no route">no route</error>
      <system-out>no &lt;sensitive&gt;&#xA;</system-out>
    </testcase>
  </testsuite>
  <testsuite name="docker.web: cut short" tests="1" failures="0" errors="1" skipped="0" time="1.000" timestamp="2026-01-02T03:04:22">
    <testcase name="1. shell" classname="docker.web.cut short" time="0.000">
      <error message="the run ended before the check did"></error>
    </testcase>
  </testsuite>
</testsuites>
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWithoutTests(t *testing.T) {
	if got := results(t, component.Stamped{Event: component.RunStarted{}}); !strings.Contains(got, `<testsuites name="ingot t.pkr.hcl" tests="0" `) {
		t.Error(got)
	}
}
