package history

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/retry"
	"ingot/internal/ui"
)

var (
	web     = addr.Build{Source: addr.Source{Type: "docker.web"}, TypeOnly: true}
	install = addr.Step{Kind: addr.Provisioner, Type: "shell", Name: "install"}
	began   = time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)
)

func newRun(t *testing.T) string {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// record writes events through a redactor as a build does, and returns the file.
func record(t *testing.T, secrets *ui.Redactor, h Header, events ...component.Stamped) []byte {
	t.Helper()
	s := Store{Dir: filepath.Join(t.TempDir(), "history")}
	h.RunID = newRun(t)
	var r Recorder
	sink := secrets.Wrap(&r)
	for i, e := range events {
		if i == 1 { // what comes before is kept
			if err := r.Begin(s, h, secrets.Redact); err != nil {
				t.Fatal(err)
			}
		}
		sink.Handle(e)
	}
	if err := errors.Join(sink.Close(), r.Finish(nil)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.Path(h.RunID))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	data, err := os.ReadFile(s.Path(h.RunID))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func stamp(ms int, e component.Event, of ...any) component.Stamped {
	s := component.Stamped{At: began.Add(time.Duration(ms) * time.Millisecond), Since: time.Duration(ms) * time.Millisecond, Event: e}
	for _, o := range of {
		switch o := o.(type) {
		case addr.Build:
			s.Build = o
		case addr.Step:
			s.Step = o
		}
	}
	return s
}

// everyEvent has each kind of event at least once.
func everyEvent() []component.Stamped {
	other := install
	other.Index, other.Name = 1, "other"
	r := component.Resource{Kind: "docker.container", Token: "t1", ID: "c1", Attrs: map[string]string{"endpoint": "unix:///x"}}
	a := &component.Artifact{
		Producer: "packer.docker", ID: "sha256:1", Summary: "Imported", Files: []component.File{{Path: "a.tar", Size: 3, Digest: "sha256:2"}},
		Images: []component.Image{{Provider: "aws", Region: "eu", ID: "ami-1", Parent: "ami-0"}}, Resources: []component.Resource{r},
		Data: map[string]cty.Value{"Tags": cty.TupleVal([]cty.Value{cty.StringVal("t:1")}), "Latest": cty.True},
	}
	failure := told{text: "exit status 1", class: retry.Transient}
	return []component.Stamped{
		stamp(0, component.RunStarted{RunID: "x", Builds: []addr.Build{web}}),
		stamp(1, component.BuildStarted{}, web),
		stamp(2, component.PhaseStarted{Phase: component.PhaseConnect}, web),
		stamp(3, component.ResourceHeld{Resource: r}, web),
		stamp(4, component.Waiting{For: "tcp", Detail: "refused", Elapsed: time.Millisecond}, web),
		stamp(9, component.WaitEnded{For: "SSH", Elapsed: 6 * time.Millisecond, Attempts: 2, Stages: []component.WaitStage{{Name: "tcp", Took: 6 * time.Millisecond, State: component.StageFailed}}, Err: failure}, web),
		stamp(10, component.PhaseEnded{Phase: component.PhaseConnect, Duration: 8 * time.Millisecond, Err: failure}, web),
		stamp(10, component.PhaseStarted{Phase: component.PhaseProvision}, web),
		stamp(11, component.StepStarted{}, web, install),
		stamp(12, component.Output{Stream: component.Stderr, Line: "a\x1b[31mb"}, web, install),
		stamp(12, component.Output{Stream: component.Stdout, Line: ""}, web, install),
		stamp(13, component.Message{Text: "m"}, web, install),
		stamp(13, component.Problem{Text: "p"}, web, install),
		stamp(13, component.Trace{Text: "t"}, web, install),
		stamp(13, component.Warning{Summary: "w", Detail: "d"}, web, install),
		stamp(14, component.Progress{ID: "i", Label: "l", Done: 3, Total: -1, Finished: true}, web, install),
		stamp(15, component.Retrying{What: "it", Class: "transient", Attempt: 1, Delay: time.Second, Err: failure}, web, install),
		stamp(16, component.StepEnded{Duration: 5 * time.Millisecond, Err: failure, Attempts: 2, Tolerated: true}, web, install),
		stamp(16, component.CacheChecked{Hit: true}, web, other),
		stamp(16, component.CacheChecked{Why: "file a changed"}, web, other),
		stamp(16, component.StepSkipped{Reason: "cached"}, web, other),
		stamp(17, component.ArtifactMade{Artifact: a}, web),
		stamp(17, component.ResourceKept{Resource: r}, web),
		stamp(18, component.ResourceReleased{Resource: r, Err: failure}, web),
		stamp(19, component.BuildEnded{Duration: 18 * time.Millisecond, Err: failure, Artifacts: []*component.Artifact{nil, a}, Earlier: "019f"}, web),
		stamp(20, component.RunEnded{Duration: 20 * time.Millisecond, Failed: 1, Interrupted: "Ctrl-C"}),
	}
}

func TestEveryEventIsReadBack(t *testing.T) {
	want := everyEvent()
	data := record(t, ui.NewRedactor(), Header{Template: "x.pkr.hcl", Started: began}, want...)
	r, err := NewReader(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if h := r.Header(); h.Template != "x.pkr.hcl" || !h.Started.Equal(began) {
		t.Errorf("%+v", h)
	}
	for _, w := range want {
		got, err := r.Next()
		if err != nil {
			t.Fatalf("%v, want %+v", err, w)
		}
		if !got.At.Equal(w.At) {
			t.Errorf("at %s, want %s", got.At, w.At)
		}
		got.At = w.At
		if !reflect.DeepEqual(got.Stamped, w) {
			t.Errorf("\n got %+v\nwant %+v", got.Stamped, w)
		}
	}
	if e, err := r.Next(); !errors.Is(err, io.EOF) || r.Damaged > 0 {
		t.Errorf("%+v, %v, %d damaged", e, err, r.Damaged)
	}
}

// Ensure that no event, field of the header or finding takes a secret to the
// disk, however it is encoded or cut.
func TestW44SecretsInHistory(t *testing.T) {
	encodings := map[string]func(string) string{
		"raw": func(s string) string { return s }, "quoted": strconv.Quote, "query": url.QueryEscape,
		"hex":    func(s string) string { return hex.EncodeToString([]byte(s)) },
		"base64": func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	}
	alphabet := []rune("abcdXYZ0189 '\"\\$&<>+/=-é")
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		secret := "s3"
		for range 8 + r.IntN(20) {
			secret += string(alphabet[r.IntN(len(alphabet))])
		}
		secret += "t7"
		lines := secret + "\nsecond" + secret
		for name, encode := range encodings {
			red := ui.NewRedactor()
			red.Add(secret)
			red.Add(lines)
			text := "x " + encode(secret) + " y"
			err := errors.New(text)
			resource := component.Resource{Kind: "k", Token: text, ID: text, Attrs: map[string]string{"a": text}}
			artifact := &component.Artifact{Producer: "p", ID: text, Summary: text, Files: []component.File{{Path: text, Digest: text}}}
			events := []component.Stamped{stamp(0, component.Warning{Summary: text, Detail: text})}
			for _, e := range []component.Event{
				component.BuildStarted{}, component.PhaseStarted{Phase: component.PhaseProvision}, component.StepStarted{},
				component.Output{Stream: component.Stdout, Line: text}, component.Output{Stream: component.Stdout, Line: secret},
				component.Output{Stream: component.Stdout, Line: strings.Repeat("z", 60<<10) + text[:len(text)/2]},
				component.Output{Stream: component.Stdout, Line: text[len(text)/2:]},
				component.Message{Text: lines}, component.Problem{Text: text}, component.Trace{Text: text},
				component.Waiting{For: text, Detail: text}, component.WaitEnded{For: text, Err: err},
				component.Retrying{What: text, Class: "transient", Err: err}, component.ResourceHeld{Resource: resource},
				component.ArtifactMade{Artifact: artifact}, component.StepEnded{Err: err}, component.BuildEnded{Err: err, Artifacts: []*component.Artifact{artifact}},
				component.RunEnded{Interrupted: text},
			} {
				events = append(events, stamp(1, e, web, install))
			}
			data := string(record(t, red, Header{Template: text, Dir: text, Flags: []string{"-only=" + text}}, events...))
			for _, hidden := range []string{secret, encode(secret), "second" + secret} {
				quoted, _ := json.Marshal(hidden) // a string can be marshalled
				for _, form := range []string{hidden, strings.Trim(string(quoted), `"`)} {
					if i := strings.Index(data, form); i >= 0 {
						t.Fatalf("seed %d, %s: %q is on the disk: %q", seed, name, form, data[max(0, i-80):i+len(form)])
					}
				}
			}
			if n := strings.Count(data, "<sensitive>") + strings.Count(data, `\u003csensitive\u003e`); n < 20 {
				t.Errorf("seed %d, %s: only %d masks", seed, name, n)
			}
		}
	}
}

func TestFindingsAreRecorded(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	h := Header{RunID: newRun(t), Incomplete: true}
	var r Recorder
	r.Diagnostics(diag.Warnf("before", "some detail"))
	if err := r.Begin(s, h, strings.ToUpper); err != nil {
		t.Fatal(err)
	}
	r.Diagnostics(diag.Warnf("after", ""))
	if err := r.Finish(errors.New("no folder")); err != nil {
		t.Fatal(err)
	}
	run := read(t, s, h.RunID, false)
	if len(run.Findings) != 2 || run.Findings[0] != (Finding{Severity: "warning", Summary: "before", Detail: "some detail"}) || run.Findings[1].Summary != "after" {
		t.Errorf("%+v", run.Findings)
	}
	if lines := run.Log.Head(); run.Result != Failed || len(lines) != 1 || lines[0].Text != "no folder" {
		t.Errorf("%s %+v", run.Result, lines)
	}
}

func read(t *testing.T, s Store, id string, alive bool) *Run {
	t.Helper()
	f, err := os.Open(s.Path(id))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	run, err := Read(f, Options{Head: 2, Tail: 3}, alive)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// Ensure that a run that prints much has a small file which says so once, and
// still what became of the run.
func TestRecordIsBounded(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	id := newRun(t)
	var r Recorder
	if err := r.Begin(s, Header{RunID: id}, strings.ToUpper); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 1000)
	r.Handle(stamp(0, component.RunStarted{Builds: []addr.Build{web}}))
	for range 60 << 10 {
		r.Handle(stamp(1, component.Output{Stream: component.Stdout, Line: line}, web, install))
	}
	for range 20 << 10 {
		r.Handle(stamp(1, component.Message{Text: line}, web, install))
	}
	for i := range 20 << 10 {
		r.Handle(stamp(1, component.Progress{ID: "one", Label: fmt.Sprint("step ", i)}, web, install))
	}
	r.Handle(stamp(2, component.BuildEnded{}, web))
	r.Handle(stamp(2, component.RunEnded{}))
	if err := r.Finish(nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.Path(id))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(data) >> 20; n < 20 || n > 21 {
		t.Errorf("%d MB were written", n)
	}
	for text, want := range map[string]int{
		"More output than": 1, "has no more room": 1, `"run_ended"`: 1, `"build_ended"`: 1, `"progress"`: 0,
	} {
		if n := strings.Count(string(data), text); n != want {
			t.Errorf("%q is there %d times, want %d", text, n, want)
		}
	}
}

// Ensure that a transfer that tells of itself all the time is recorded once a
// second, and its end always.
func TestTransfersAreThinned(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	id := newRun(t)
	var r Recorder
	if err := r.Begin(s, Header{RunID: id}, strings.ToUpper); err != nil {
		t.Fatal(err)
	}
	for ms := range 3000 {
		r.Handle(stamp(ms, component.Progress{ID: "a"}, web))
		r.Handle(stamp(ms, component.Waiting{For: "tcp"}, web))
	}
	r.Handle(stamp(3000, component.Progress{ID: "a", Finished: true}, web))
	if err := r.Finish(nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.Path(id))
	if err != nil {
		t.Fatal(err)
	}
	if p, w := strings.Count(string(data), `"progress"`), strings.Count(string(data), `"waiting"`); p != 4 || w != 3 {
		t.Errorf("%d of a transfer, %d of a wait", p, w)
	}
}

// Ensure that without a run nothing is written, and that nothing is made twice.
func TestRecorderWithoutRun(t *testing.T) {
	var r Recorder
	r.Handle(stamp(0, component.Message{Text: "x"}))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s := Store{Dir: t.TempDir()}
	id := newRun(t)
	for n, want := range []bool{true, false} {
		var r Recorder
		if err := r.Begin(s, Header{RunID: id}, strings.ToUpper); (err == nil) != want {
			t.Errorf("time %d: %v", n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := new(Recorder).Begin(s, Header{RunID: "../x"}, strings.ToUpper); err == nil {
		t.Error("a path was taken for a run")
	}
}

// BenchmarkRelay is what recording costs a line of output, before and after the
// file is full.
func BenchmarkRelay(b *testing.B) {
	line := stamp(1, component.Output{Stream: component.Stdout, Line: strings.Repeat("x", 80)}, web, install)
	for _, full := range []bool{false, true} {
		b.Run(fmt.Sprintf("full=%v", full), func(b *testing.B) {
			var r Recorder
			if err := r.Begin(Store{Dir: b.TempDir()}, Header{RunID: uuid.NewString()}, strings.ToUpper); err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			if full {
				r.file.Load().taken.Store(outputRoom + 1)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !full {
					r.file.Load().taken.Store(0)
				}
				r.Handle(line)
			}
		})
	}
}
