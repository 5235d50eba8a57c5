package otlp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ingot/internal/history"
)

// The messages of OTLP in JSON, as far as they are needed. Times are decimal
// texts, ids hexadecimal.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   attributes   `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	attributes struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	span struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		Parent     string     `json:"parentSpanId,omitempty"`
		Name       string     `json:"name"`
		Kind       int        `json:"kind"`
		Start      string     `json:"startTimeUnixNano"`
		End        string     `json:"endTimeUnixNano"`
		Attributes []keyValue `json:"attributes,omitempty"`
		Events     []event    `json:"events,omitempty"`
		Status     status     `json:"status"`
	}
	event struct {
		Time       string     `json:"timeUnixNano"`
		Name       string     `json:"name"`
		Attributes []keyValue `json:"attributes,omitempty"`
	}
	status struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	// value is one of its fields; numbers are decimal texts.
	value struct {
		String *string `json:"stringValue,omitempty"`
		Int    string  `json:"intValue,omitempty"`
		Bool   *bool   `json:"boolValue,omitempty"`
	}
)

const (
	kindInternal = 1
	statusOK     = 1
	statusError  = 2
)

// Encode makes the request that sends a run.
func Encode(s Settings, run *history.Run) ([]byte, error) {
	t := tracer{run: run, trace: s.Parent.Trace}
	if t.trace == "" {
		t.trace = traceID(run.RunID)
	}
	t.all(s.Parent.Span)
	who := make([]keyValue, 0, len(s.Resource)+1)
	for _, a := range append(s.Resource[:len(s.Resource):len(s.Resource)], Attribute{"service.version", run.Version}) {
		who = append(who, text(a.Name, a.Value))
	}
	data, err := json.Marshal(request{[]resourceSpans{{attributes{who}, []scopeSpans{{scope{"ingot", run.Version}, t.spans}}}}})
	if err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	return data, nil
}

// traceID is the id of the run, which has as many bytes.
func traceID(run string) string {
	if id := strings.ToLower(strings.ReplaceAll(run, "-", "")); isID(id, 32) {
		return id
	}
	sum := sha256.Sum256([]byte(run))
	return hex.EncodeToString(sum[:16])
}

func text(key, v string) keyValue       { return keyValue{key, value{String: &v}} }
func number(key string, n int) keyValue { return keyValue{key, value{Int: strconv.Itoa(n)}} }
func truth(key string, b bool) keyValue { return keyValue{key, value{Bool: &b}} }

// tracer makes the spans of a run.
type tracer struct {
	run   *history.Run
	trace string
	spans []span
}

// add appends a span and returns its id. Ids follow from the run and the place in
// it, so that a run that is sent twice is the same trace.
func (t *tracer) add(parent, name string, at history.Span, err error, attrs ...keyValue) *span {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", t.run.RunID, len(t.spans)))
	s := span{
		TraceID: t.trace, SpanID: hex.EncodeToString(sum[:8]), Parent: parent, Name: name, Kind: kindInternal,
		Start: t.nano(at.Begin), End: t.nano(at.End), Attributes: attrs, Status: status{Code: statusOK},
	}
	switch {
	case err != nil:
		s.Status = status{statusError, err.Error()}
	case !at.Ended:
		s.Status = status{}
	}
	t.spans = append(t.spans, s)
	return &t.spans[len(t.spans)-1]
}

func (t *tracer) nano(since time.Duration) string {
	return strconv.FormatInt(t.run.Started.Add(since).UnixNano(), 10)
}

func (t *tracer) all(parent string) {
	r := t.run
	attrs := []keyValue{
		text("ingot.run.id", r.RunID), text("ingot.run.result", string(r.Result)), text("ingot.template", r.Template), text("ingot.dir", r.Dir),
	}
	root := t.add(parent, "ingot build", history.Span{End: r.Took, Ended: r.Ended}, nil, attrs...)
	switch {
	case r.Interrupted != "":
		root.Status = status{statusError, r.Interrupted}
	case r.Result == history.Failed:
		root.Status = status{statusError, fmt.Sprintf("%d of %d builds failed", r.Failed, len(r.Builds))}
	}
	id := root.SpanID
	for _, b := range r.Builds {
		t.build(id, b)
	}
}

func (t *tracer) build(parent string, b *history.Build) {
	if !b.Started && b.Err == nil {
		return
	}
	s := t.add(parent, "build "+b.ID, b.Span, b.Err, text("ingot.build", b.ID))
	s.Events = append(t.retries(b.Retries), t.resources(b.Resources)...)
	for _, a := range b.Artifacts {
		if a != nil {
			s.Events = append(s.Events, event{t.nano(b.End), "artifact", []keyValue{
				text("ingot.artifact.producer", a.Producer), text("ingot.artifact.id", a.ID), text("ingot.artifact.summary", a.Summary),
			}})
		}
	}
	id := s.SpanID
	for _, p := range b.Phases {
		t.phase(id, b, p)
	}
}

func (t *tracer) phase(parent string, b *history.Build, p *history.Phase) {
	name := p.Label()
	if name == "" {
		name = "clean-up"
	}
	id := t.add(parent, name, p.Span, p.Err, text("ingot.build", b.ID), text("ingot.phase", name)).SpanID
	t.waits(id, p.Waits)
	for _, st := range p.Steps {
		s := t.add(id, st.Step.Label(), st.Span, st.Err, text("ingot.build", b.ID), text("ingot.step", st.Step.String()),
			number("ingot.step.attempts", st.Attempts), truth("ingot.step.tolerated", st.Tolerated), truth("ingot.step.skipped", st.Skipped))
		s.Events = t.retries(st.Retries)
		t.waits(s.SpanID, st.Waits)
	}
}

func (t *tracer) waits(parent string, list []*history.Wait) {
	for _, w := range list {
		id := t.add(parent, "wait for "+w.For, w.Span, w.Err).SpanID
		at := w.Begin
		for _, stage := range w.Stages {
			if stage.Took > 0 {
				t.add(id, stage.Name, history.Span{Begin: at, End: at + stage.Took, Ended: true}, nil, text("ingot.stage.state", string(stage.State)))
			}
			at += stage.Took
		}
	}
}

func (t *tracer) retries(list []history.Retry) []event {
	var out []event
	for _, r := range list {
		attrs := []keyValue{
			text("ingot.retry.what", r.What), text("ingot.retry.class", r.Class), number("ingot.retry.attempt", r.Attempt),
		}
		if r.Err != nil {
			attrs = append(attrs, text("exception.message", r.Err.Error()))
		}
		out = append(out, event{t.nano(r.At), "retry", attrs})
	}
	return out
}

func (t *tracer) resources(list []*history.Resource) []event {
	var out []event
	for _, r := range list {
		if r.IsEndedProgram() {
			continue
		}
		attrs := []keyValue{text("ingot.resource.kind", r.Kind), text("ingot.resource.id", r.ID)}
		out = append(out, event{t.nano(r.Begin), "resource held", attrs})
		if r.Fate != history.Held {
			out = append(out, event{t.nano(r.End), "resource " + string(r.Fate), attrs})
		}
	}
	return out
}
