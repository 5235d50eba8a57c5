package ui

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// longPiece is from what length on a line of output may be a piece of a
// longer one (component.LineWriter cuts at 64 KiB), whose end may be the
// beginning of a secret.
const longPiece = 32 << 10

// Wrap returns a sink that masks every text of every event before next sees
// it, the texts of errors included. Errors keep their retry class and what
// errors.Is says of them, and lose their chain. Artifacts lose the values of their
// Data that have a secret in them.
//
// A secret that is spread over several Output events, since it has several
// lines or a line was cut, is found too.
func (r *Redactor) Wrap(next Sink) Sink {
	return &redactingSink{secrets: r, next: next}
}

type redactingSink struct {
	secrets *Redactor
	next    Sink

	mu      sync.Mutex
	streams map[streamKey]*streamState // guarded by mu
}

type streamKey struct {
	component.Origin
	stream component.Stream
}

// streamState is what is known of the output of one step on one stream.
type streamState struct {
	// held is the end of a cut line, which may begin a secret.
	held string
	last component.Stamped
	// at is, for each broken secret, how many of its lines came last.
	at []int
}

func (r *redactingSink) Handle(s component.Stamped) {
	c := r.secrets.current()
	if c == nil {
		r.next.Handle(s)
		return
	}
	if e, ok := s.Event.(component.Output); ok {
		r.output(c, s, e)
		return
	}
	r.release(c, &s)
	s.Event = c.event(s.Event)
	r.next.Handle(s)
}

func (r *redactingSink) output(c *compiled, s component.Stamped, e component.Output) {
	if len(e.Line) < longPiece && len(c.broken) == 0 && !r.holding() {
		if clean := c.redact(e.Line); clean != e.Line {
			e.Line = clean
			s.Event = e
		}
		r.next.Handle(s)
		return
	}
	e.Line = r.continued(c, &s, e)
	s.Event = e
	r.next.Handle(s)
}

func (r *redactingSink) holding() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.streams) > 0
}

// continued masks a line in the light of those before it.
func (r *redactingSink) continued(c *compiled, s *component.Stamped, e component.Output) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := streamKey{s.Origin, e.Stream}
	st := r.streams[key]
	if st == nil {
		st = &streamState{}
		if r.streams == nil {
			r.streams = map[streamKey]*streamState{}
		}
		r.streams[key] = st
	}
	line := st.held + e.Line
	st.held, st.last = "", *s
	if len(e.Line) >= longPiece {
		n := c.settled(line)
		line, st.held = line[:n], line[n:]
	}
	if body := strings.TrimSpace(line); len(c.broken) > 0 {
		if n := st.advance(c.broken, body); n > 0 {
			return mask + c.redact(body[n:])
		}
	}
	return c.redact(line)
}

// advance follows the broken secrets and returns how many bytes at the start
// of the line belong to one whose lines before it have just been printed.
func (st *streamState) advance(broken [][]string, line string) int {
	for len(st.at) < len(broken) {
		st.at = append(st.at, 0)
	}
	if line == "" {
		return 0
	}
	masked := 0
	for i, lines := range broken {
		n := st.at[i]
		switch {
		case n > 0 && line == lines[n], n > 0 && n == len(lines)-1 && strings.HasPrefix(line, lines[n]):
			masked = max(masked, len(lines[n]))
			st.at[i] = (n + 1) % len(lines)
		case strings.HasSuffix(line, lines[0]):
			st.at[i] = 1
		default:
			st.at[i] = 0
		}
	}
	return masked
}

// release hands on what was held back of the steps that end with the event.
func (r *redactingSink) release(c *compiled, s *component.Stamped) {
	var ended func(component.Origin) bool
	switch s.Event.(type) {
	case component.StepEnded:
		ended = func(o component.Origin) bool { return o == s.Origin }
	case component.BuildEnded:
		ended = func(o component.Origin) bool { return o.Build == s.Build }
	case component.RunEnded:
		ended = func(component.Origin) bool { return true }
	default:
		return
	}
	for _, st := range r.take(ended) {
		r.emit(c, st)
	}
}

func (r *redactingSink) take(ended func(component.Origin) bool) []*streamState {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*streamState
	for key, st := range r.streams {
		if ended(key.Origin) {
			out = append(out, st)
			delete(r.streams, key)
		}
	}
	return out
}

func (r *redactingSink) emit(c *compiled, st *streamState) {
	if st.held == "" {
		return
	}
	e, _ := st.last.Event.(component.Output)
	e.Line = c.redact(st.held)
	st.last.Event = e
	r.next.Handle(st.last)
}

// Close hands on what was held back and closes the next sink.
func (r *redactingSink) Close() error {
	c := r.secrets.current()
	for _, st := range r.take(func(component.Origin) bool { return true }) {
		r.emit(c, st)
	}
	return r.next.Close()
}

// Pause passes the request on.
func (r *redactingSink) Pause() func() {
	if p, ok := r.next.(Pauser); ok {
		return p.Pause()
	}
	return func() {}
}

// event returns a copy of e with all its texts masked.
func (c *compiled) event(e component.Event) component.Event {
	switch e := e.(type) {
	case component.RunStarted:
		e.RunID = c.redact(e.RunID)
		return e
	case component.RunEnded:
		e.Interrupted = c.redact(e.Interrupted)
		return e
	case component.BuildEnded:
		e.Err = c.error(e.Err)
		list := make([]*component.Artifact, len(e.Artifacts))
		for i, a := range e.Artifacts {
			list[i] = c.artifact(a)
		}
		e.Artifacts, e.Earlier = list, c.redact(e.Earlier)
		return e
	case component.PhaseStarted:
		e.Test = c.redact(e.Test)
		return e
	case component.PhaseEnded:
		e.Test, e.Err = c.redact(e.Test), c.error(e.Err)
		return e
	case component.StepEnded:
		e.Err = c.error(e.Err)
		return e
	case component.StepSkipped:
		e.Reason = c.redact(e.Reason)
		return e
	case component.CacheChecked:
		e.Why = c.text(e.Why)
		return e
	case component.Message:
		e.Text = c.text(e.Text)
		return e
	case component.Problem:
		e.Text = c.text(e.Text)
		return e
	case component.Trace:
		e.Text = c.text(e.Text)
		return e
	case component.Warning:
		e.Summary, e.Detail = c.redact(e.Summary), c.text(e.Detail)
		return e
	case component.Output:
		e.Line = c.redact(e.Line)
		return e
	case component.Progress:
		e.ID, e.Label = c.redact(e.ID), c.redact(e.Label)
		return e
	case component.Waiting:
		e.For, e.Detail = c.redact(e.For), c.redact(e.Detail)
		return e
	case component.WaitEnded:
		e.For, e.Err = c.redact(e.For), c.error(e.Err)
		e.Stages = slices.Clone(e.Stages)
		for i := range e.Stages {
			e.Stages[i].Name = c.redact(e.Stages[i].Name)
		}
		return e
	case component.Retrying:
		e.What, e.Class, e.Err = c.redact(e.What), c.redact(e.Class), c.error(e.Err)
		return e
	case component.ResourceHeld:
		e.Resource = c.resource(e.Resource)
		return e
	case component.ResourceReleased:
		e.Resource, e.Err = c.resource(e.Resource), c.error(e.Err)
		return e
	case component.ResourceKept:
		e.Resource = c.resource(e.Resource)
		return e
	case component.ArtifactMade:
		e.Artifact = c.artifact(e.Artifact)
		return e
	default:
		// RunStarted's builds, BuildStarted, PhaseStarted, StepStarted:
		// nothing but names from the template.
		return e
	}
}

// text masks a text that may have several lines; a short secret counts where
// it is a whole line.
func (c *compiled) text(s string) string {
	if len(c.whole) == 0 || !strings.Contains(s, "\n") {
		return c.redact(s)
	}
	lines := strings.Split(replace(s, c.find(s)), "\n")
	for i, l := range lines {
		if c.whole[strings.TrimSpace(l)] {
			lines[i] = mask
		}
	}
	return strings.Join(lines, "\n")
}

func (c *compiled) artifact(a *component.Artifact) *component.Artifact {
	if a == nil {
		return nil
	}
	out := &component.Artifact{
		Producer: c.redact(a.Producer), ID: c.redact(a.ID), Summary: c.text(a.Summary),
	}
	for name, v := range a.Data {
		if c.clean(name, v) {
			if out.Data == nil {
				out.Data = map[string]cty.Value{}
			}
			out.Data[name] = v
		}
	}
	for _, f := range a.Files {
		f.Path, f.Digest = c.redact(f.Path), c.redact(f.Digest)
		out.Files = append(out.Files, f)
	}
	for _, i := range a.Images {
		i.Provider, i.Region = c.redact(i.Provider), c.redact(i.Region)
		i.ID, i.Parent = c.redact(i.ID), c.redact(i.Parent)
		out.Images = append(out.Images, i)
	}
	for _, r := range a.Resources {
		out.Resources = append(out.Resources, c.resource(r))
	}
	return out
}

// clean reports whether a value has no secret in it, nor has its name. Half of a
// value is of no use to anybody.
func (c *compiled) clean(name string, v cty.Value) bool {
	clean := c.redact(name) == name
	whole := component.EachText(v, func(s string) { clean = clean && c.text(s) == s })
	return clean && whole
}

func (c *compiled) resource(r component.Resource) component.Resource {
	r.Kind, r.Token, r.ID = c.redact(r.Kind), c.redact(r.Token), c.redact(r.ID)
	if r.Attrs != nil {
		attrs := make(map[string]string, len(r.Attrs))
		for k, v := range r.Attrs {
			attrs[c.redact(k)] = c.redact(v)
		}
		r.Attrs = attrs
	}
	return r
}

func (c *compiled) error(err error) error {
	if err == nil {
		return nil
	}
	if done, ok := err.(*redactedError); ok {
		err = done.err
	}
	text := err.Error()
	return &redactedError{text: c.text(text), err: err}
}

// redactedError is an error without its secrets. It cannot be unwrapped: the
// errors inside it still have them.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string           { return e.text }
func (e *redactedError) Is(target error) bool    { return errors.Is(e.err, target) }
func (e *redactedError) RetryClass() retry.Class { return retry.ClassOf(e.err) }
