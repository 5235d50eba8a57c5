package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/retry"
)

// longestLine is how long a line may be that is read. The events of a run are
// shorter, unless an artifact has tens of thousands of files.
const longestLine = 16 << 20

// Entry is one line of a file.
type Entry struct {
	component.Stamped
	// Finding is set, and Event is not, when the line is about the template.
	Finding *Finding
}

// Finding is something about the template that was found before the run.
type Finding struct {
	Severity, Summary, Detail string
	File                      string
	Line                      int
}

// wire is any line of the event stream. Fields of the same name have the same
// type in all of them.
type wire struct {
	Type  string    `json:"type"`
	Time  time.Time `json:"time"`
	MS    int64     `json:"ms"`
	Build string    `json:"build"`
	Step  string    `json:"step"`

	Error      *string `json:"error"`
	ErrorClass string  `json:"error_class"`

	RunID       string              `json:"run_id"`
	Builds      []string            `json:"builds"`
	DurationMS  int64               `json:"duration_ms"`
	ElapsedMS   int64               `json:"elapsed_ms"`
	DelayMS     int64               `json:"delay_ms"`
	Failed      int                 `json:"failed"`
	Interrupted string              `json:"interrupted"`
	Artifacts   []*wireArtifact     `json:"artifacts"`
	EarlierRun  string              `json:"earlier_run"`
	Artifact    *wireArtifact       `json:"artifact"`
	Phase       string              `json:"phase"`
	Test        string              `json:"test"`
	StepName    string              `json:"step_name"`
	Attempts    int                 `json:"attempts"`
	Attempt     int                 `json:"attempt"`
	Tolerated   bool                `json:"tolerated"`
	Text        string              `json:"text"`
	Summary     string              `json:"summary"`
	Detail      string              `json:"detail"`
	Stream      string              `json:"stream"`
	Line        json.RawMessage     `json:"line"` // a text in output, a number in diagnostic
	File        string              `json:"file"`
	Severity    string              `json:"severity"`
	ID          string              `json:"id"`
	Label       string              `json:"label"`
	DoneBytes   int64               `json:"done_bytes"`
	TotalBytes  int64               `json:"total_bytes"`
	Finished    bool                `json:"finished"`
	For         string              `json:"for"`
	Stages      []wireStage         `json:"stages"`
	What        string              `json:"what"`
	Reason      string              `json:"reason"`
	Hit         bool                `json:"hit"`
	Why         string              `json:"why"`
	Class       string              `json:"class"`
	Resource    *component.Resource `json:"resource"`
}

type (
	wireArtifact struct {
		Producer  string               `json:"producer"`
		ID        string               `json:"id"`
		Summary   string               `json:"summary"`
		Files     []component.File     `json:"files"`
		Images    []component.Image    `json:"images"`
		Data      json.RawMessage      `json:"data"`
		Resources []component.Resource `json:"resources"`
	}
	wireStage struct {
		Name   string `json:"name"`
		State  string `json:"state"`
		TookMS int64  `json:"took_ms"`
	}
)

// errUnknown is a line of a type that this version does not know.
var errUnknown = errors.New("unknown type of event")

// decoder turns lines back into events.
type decoder struct {
	builds map[string]addr.Build
	// names are those of the steps, which only their first event has.
	names map[component.Origin]string
}

func newDecoder() *decoder {
	return &decoder{builds: map[string]addr.Build{}, names: map[component.Origin]string{}}
}

func (d *decoder) decode(line []byte) (Entry, error) {
	var w wire
	if err := json.Unmarshal(line, &w); err != nil {
		return Entry{}, err
	}
	e := Entry{Stamped: component.Stamped{At: w.Time, Since: millis(w.MS)}}
	if w.Type == "diagnostic" {
		f := &Finding{Severity: w.Severity, Summary: w.Summary, Detail: w.Detail, File: w.File}
		_ = json.Unmarshal(w.Line, &f.Line) // a place without a line is none
		e.Finding = f
		return e, nil
	}
	var err error
	if e.Origin, err = d.origin(&w); err != nil {
		return Entry{}, err
	}
	e.Event, err = d.event(&w)
	return e, err
}

func (d *decoder) origin(w *wire) (component.Origin, error) {
	o := component.Origin{Build: d.build(w.Build)}
	if w.Step == "" {
		return o, nil
	}
	var err error
	if o.Step, err = addr.ParseStep(w.Step); err != nil {
		return o, err
	}
	if w.StepName != "" {
		d.names[o] = w.StepName
	}
	o.Step.Name = d.names[o]
	return o, nil
}

// build is an address that prints as the text. What its parts are cannot be told
// from that, and nobody needs it here.
func (d *decoder) build(text string) addr.Build {
	if text == "" {
		return addr.Build{}
	}
	b, ok := d.builds[text]
	if !ok {
		b = addr.Build{Source: addr.Source{Type: text}, TypeOnly: true}
		d.builds[text] = b
	}
	return b
}

func (d *decoder) event(w *wire) (component.Event, error) {
	switch w.Type {
	case "run_started":
		e := component.RunStarted{RunID: w.RunID}
		for _, b := range w.Builds {
			e.Builds = append(e.Builds, d.build(b))
		}
		return e, nil
	case "run_ended":
		return component.RunEnded{Duration: millis(w.DurationMS), Failed: max(w.Failed, 0), Interrupted: w.Interrupted}, nil
	case "build_started":
		return component.BuildStarted{}, nil
	case "build_ended":
		e := component.BuildEnded{Duration: millis(w.DurationMS), Err: w.err(), Earlier: w.EarlierRun}
		for _, a := range w.Artifacts {
			e.Artifacts = append(e.Artifacts, a.artifact())
		}
		return e, nil
	case "phase_started":
		return component.PhaseStarted{Phase: component.Phase(w.Phase), Test: w.Test}, nil
	case "phase_ended":
		return component.PhaseEnded{Phase: component.Phase(w.Phase), Test: w.Test, Duration: millis(w.DurationMS), Err: w.err()}, nil
	case "step_started":
		return component.StepStarted{}, nil
	case "step_skipped":
		return component.StepSkipped{Reason: w.Reason}, nil
	case "cache_checked":
		return component.CacheChecked{Hit: w.Hit, Why: w.Why}, nil
	case "step_ended":
		return component.StepEnded{Duration: millis(w.DurationMS), Err: w.err(), Attempts: w.Attempts, Tolerated: w.Tolerated}, nil
	}
	if e := w.said(); e != nil {
		return e, nil
	}
	if e := w.made(); e != nil {
		return e, nil
	}
	return nil, errUnknown
}

// said is an event about something that was said; nil for others.
func (w *wire) said() component.Event {
	switch w.Type {
	case "message":
		return component.Message{Text: w.Text}
	case "problem":
		return component.Problem{Text: w.Text}
	case "trace":
		return component.Trace{Text: w.Text}
	case "warning":
		return component.Warning{Summary: w.Summary, Detail: w.Detail}
	case "output":
		e := component.Output{Stream: component.Stdout}
		if w.Stream == "stderr" {
			e.Stream = component.Stderr
		}
		_ = json.Unmarshal(w.Line, &e.Line) // what is no text has nothing to show
		return e
	case "progress":
		return component.Progress{ID: w.ID, Label: w.Label, Done: w.DoneBytes, Total: w.TotalBytes, Finished: w.Finished}
	case "waiting":
		return component.Waiting{For: w.For, Detail: w.Detail, Elapsed: millis(w.ElapsedMS)}
	case "wait_ended":
		e := component.WaitEnded{For: w.For, Elapsed: millis(w.ElapsedMS), Attempts: w.Attempts, Err: w.err()}
		for _, s := range w.Stages {
			e.Stages = append(e.Stages, component.WaitStage{Name: s.Name, State: component.StageState(s.State), Took: millis(s.TookMS)})
		}
		return e
	case "retrying":
		return component.Retrying{What: w.What, Class: w.Class, Attempt: w.Attempt, Delay: millis(w.DelayMS), Err: w.err()}
	}
	return nil
}

// made is an event about a resource or an artifact; nil for others.
func (w *wire) made() component.Event {
	var r component.Resource
	if w.Resource != nil {
		r = *w.Resource
	}
	switch w.Type {
	case "resource_held":
		return component.ResourceHeld{Resource: r}
	case "resource_released":
		return component.ResourceReleased{Resource: r, Err: w.err()}
	case "resource_kept":
		return component.ResourceKept{Resource: r}
	case "artifact_made":
		return component.ArtifactMade{Artifact: w.Artifact.artifact()}
	}
	return nil
}

func (a *wireArtifact) artifact() *component.Artifact {
	if a == nil {
		return nil
	}
	return &component.Artifact{
		Producer: a.Producer, ID: a.ID, Summary: a.Summary, Files: a.Files, Images: a.Images, Resources: a.Resources, Data: dataOf(a.Data),
	}
}

// dataOf reads the data of an artifact. What was a list, a set or a map is a tuple or
// an object; what is no object is nothing.
func dataOf(text json.RawMessage) map[string]cty.Value {
	if len(text) == 0 {
		return nil
	}
	t, err := ctyjson.ImpliedType(text)
	if err != nil || !t.IsObjectType() {
		return nil
	}
	v, err := ctyjson.Unmarshal(text, t)
	if err != nil || v.IsNull() {
		return nil
	}
	return v.AsValueMap()
}

// told is an error of which only the text and the class are left.
type told struct {
	text  string
	class retry.Class
}

func (t told) Error() string           { return t.text }
func (t told) RetryClass() retry.Class { return t.class }

func (w *wire) err() error {
	if w.Error == nil {
		return nil
	}
	t := told{text: *w.Error}
	for c := retry.Transient; c <= retry.Fatal; c++ {
		if c.String() == w.ErrorClass {
			t.class = c
		}
	}
	return t
}

// longest is a bound for times that are read, far above any that is real.
const longest = 100 * 365 * 24 * time.Hour

func millis(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(longest/time.Millisecond))) * time.Millisecond
}

// Reader reads the lines of one file, in order.
type Reader struct {
	in     *bufio.Reader
	decode *decoder
	// torn is the beginning of a line whose end is not there yet.
	torn []byte
	// passOver: the line is too long, and its rest does not count.
	passOver bool
	header   Header
	// Damaged counts the lines that could not be read.
	Damaged int
}

// NewReader reads the first line. The error says what the file is instead, or
// that of reading it.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(in, 64<<10), decode: newDecoder()}
	line, err := r.line()
	if errors.Is(err, io.EOF) {
		return nil, errNoHistory
	}
	if err != nil {
		return nil, err
	}
	if r.header, err = parseHeader(line); err != nil {
		return nil, err
	}
	return r, nil
}

// Header is the first line.
func (r *Reader) Header() Header { return r.header }

// Next returns the next event, and io.EOF when there is none yet. It may be
// called again then: of a run that goes on there may be more. What cannot be
// read is passed over.
func (r *Reader) Next() (Entry, error) {
	for {
		line, err := r.line()
		if err != nil {
			return Entry{}, err
		}
		e, err := r.decode.decode(line)
		if err == nil {
			return e, nil
		}
		if !errors.Is(err, errUnknown) {
			r.Damaged++
		}
	}
}

// line returns the next whole line without its end.
func (r *Reader) line() ([]byte, error) {
	for {
		part, err := r.in.ReadSlice('\n')
		switch {
		case r.passOver:
		case len(r.torn)+len(part) > longestLine:
			r.torn, r.passOver = nil, true
			r.Damaged++
		default:
			r.torn = append(r.torn, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if r.passOver {
			r.passOver = false
			continue
		}
		line := r.torn[:len(r.torn)-1]
		r.torn = r.torn[:0]
		return line, nil
	}
}
