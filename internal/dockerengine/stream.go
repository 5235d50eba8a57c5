package dockerengine

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/jsonstream"

	"ingot/internal/component"
)

// Follow reads the messages of a pull, push or import to their end and turns
// them into Progress events, one transfer per layer. It returns the aux values
// and the lines without a layer, such as "Digest: sha256:...". The error is
// what the engine reported, or why the stream ended early.
func Follow(sink component.Sink, messages iter.Seq2[jsonstream.Message, error]) (Outcome, error) {
	f := follower{sink: sink, layers: map[string]*component.Progress{}}
	for m, err := range messages {
		if err != nil {
			return f.out, err
		}
		if m.Error != nil {
			return f.out, errors.New(m.Error.Message)
		}
		f.take(m)
	}
	f.finish()
	return f.out, nil
}

// Outcome is what a stream of messages said besides progress.
type Outcome struct {
	Lines []string
	Aux   []json.RawMessage
}

// Digest returns the manifest digest that a pull or push reported, or "".
func (o Outcome) Digest() string {
	for _, line := range o.Lines {
		for part := range strings.FieldsSeq(line) {
			if strings.HasPrefix(part, "sha256:") {
				return part
			}
		}
	}
	return ""
}

type follower struct {
	sink   component.Sink
	layers map[string]*component.Progress
	order  []string
	out    Outcome
}

func (f *follower) take(m jsonstream.Message) {
	if m.Aux != nil {
		f.out.Aux = append(f.out.Aux, *m.Aux)
	}
	if m.Status == "" {
		return
	}
	if m.ID == "" || !hasLayer(m) {
		f.out.Lines = append(f.out.Lines, m.Status)
		return
	}
	p, ok := f.layers[m.ID]
	if !ok {
		p = &component.Progress{ID: m.ID, Total: -1}
		f.layers[m.ID] = p
		f.order = append(f.order, m.ID)
	}
	p.Label = m.Status + " " + m.ID
	if m.Progress != nil && m.Progress.Total > 0 {
		p.Done, p.Total = m.Progress.Current, m.Progress.Total
	}
	// Pushing 'Layer already exists' or pulling 'Already exists' moves nothing.
	done := strings.HasSuffix(m.Status, "complete") && m.Status == "Pull complete" ||
		m.Status == "Pushed" || strings.HasSuffix(strings.ToLower(m.Status), "already exists") ||
		strings.HasPrefix(m.Status, "Mounted from")
	if done && !p.Finished {
		p.Finished = true
		if p.Total > 0 {
			p.Done = p.Total
		}
		f.sink.Emit(*p)
		return
	}
	if !p.Finished {
		f.sink.Emit(*p)
	}
}

// hasLayer tells a layer's message from "Pulling from library/x", whose ID is
// the tag.
func hasLayer(m jsonstream.Message) bool {
	return !strings.HasPrefix(m.Status, "Pulling from ") && !strings.HasPrefix(m.Status, "Digest: ")
}

func (f *follower) finish() {
	for _, id := range f.order {
		if p := f.layers[id]; !p.Finished {
			p.Finished = true
			f.sink.Emit(*p)
		}
	}
}

// ImportedID reads the answer to an import: the last line is the image's ID.
func ImportedID(sink component.Sink, answer io.Reader) (string, error) {
	out, err := Follow(sink, messages(answer))
	if err != nil {
		return "", err
	}
	for _, line := range slices.Backward(out.Lines) {
		if strings.HasPrefix(line, "sha256:") {
			return line, nil
		}
	}
	return "", errors.New("the engine did not tell the image's ID")
}

// messages decodes a stream of JSON values.
func messages(from io.Reader) iter.Seq2[jsonstream.Message, error] {
	return func(yield func(jsonstream.Message, error) bool) {
		for dec := json.NewDecoder(from); ; {
			var m jsonstream.Message
			err := dec.Decode(&m)
			if err == io.EOF || !yield(m, err) || err != nil {
				return
			}
		}
	}
}
