package outcome

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"ingot/internal/component"
	"ingot/internal/stepcache"
)

// The types of line.
const (
	madeLine  = "made"
	endedLine = "ended"
)

// line is any line of a file.
type line struct {
	Type      string                     `json:"type"`
	Format    int                        `json:"format"`
	Build     string                     `json:"build"`
	Run       string                     `json:"run,omitempty"`
	At        time.Time                  `json:"at,omitzero"`
	Dir       string                     `json:"dir,omitempty"`
	Artifact  *artifactLine              `json:"artifact,omitempty"`
	Facts     map[string]json.RawMessage `json:"facts,omitempty"`
	Inputs    *inputsLine                `json:"inputs,omitempty"`
	Failure   string                     `json:"failure,omitempty"`
	Artifacts []*artifactLine            `json:"artifacts,omitempty"`
	Marks     Marks                      `json:"marks,omitempty"`
}

type artifactLine struct {
	Producer  string                     `json:"producer"`
	ID        string                     `json:"id,omitempty"`
	Summary   string                     `json:"summary"`
	Files     []component.File           `json:"files,omitempty"`
	Images    []component.Image          `json:"images,omitempty"`
	Data      map[string]json.RawMessage `json:"data,omitempty"`
	Resources []component.Resource       `json:"resources,omitempty"`
}

type inputsLine struct {
	Digest string           `json:"digest"`
	Parts  []stepcache.Part `json:"parts"`
	Open   []string         `json:"open,omitempty"`
	GoodMS int64            `json:"good_ms,omitempty"`
}

// Book is the file of one run. A nil Book remembers nothing.
type Book struct {
	path   string
	redact func(string) string

	mu   sync.Mutex
	file *os.File // guarded by mu; nil until something is written
}

// NewBook is the file at path, which is made with the first line. What redact
// would change is a secret.
func NewBook(path string, redact func(string) string) *Book { return &Book{path: path, redact: redact} }

// errSecret means that what identifies an artifact holds a secret.
var errSecret = errors.New("a secret is part of how the artifact is called")

// Made writes what a builder has made.
func (b *Book) Made(m Made) error {
	if b == nil {
		return nil
	}
	a, err := b.artifact(m.Artifact)
	if err != nil {
		return fmt.Errorf("remember what %s made: %w", m.Build, err)
	}
	l := line{Type: madeLine, Build: m.Build, Run: m.Run, At: m.At.UTC(), Dir: m.Dir, Artifact: a, Facts: b.values(m.Facts), Marks: m.Marks}
	if in := m.Inputs; in != nil {
		l.Inputs = &inputsLine{Digest: in.Digest, Parts: in.Parts, Open: in.Open, GoodMS: in.Good.Milliseconds()}
	}
	return b.write(l)
}

// Ended writes how a build ended.
func (b *Book) Ended(e Ended) error {
	if b == nil {
		return nil
	}
	l := line{Type: endedLine, Build: e.Build, Failure: b.redact(e.Failure), Marks: e.Marks}
	for _, a := range e.Artifacts {
		if a == nil {
			continue
		}
		out, err := b.artifact(a)
		if err != nil {
			return fmt.Errorf("remember what %s made: %w", e.Build, err)
		}
		l.Artifacts = append(l.Artifacts, out)
	}
	return b.write(l)
}

// write appends a line. A text with a secret in it is not written at all: what is
// read back could not be used.
func (b *Book) write(l line) error {
	l.Format = Format
	for _, text := range []string{l.Build, l.Dir} {
		if b.redact(text) != text {
			return fmt.Errorf("remember what %s made: %w", b.redact(l.Build), errSecret)
		}
	}
	if l.Inputs != nil {
		masked := *l.Inputs
		masked.Open = nil
		for _, text := range l.Inputs.Open {
			masked.Open = append(masked.Open, b.redact(text))
		}
		masked.Parts = nil
		for _, p := range l.Inputs.Parts {
			masked.Parts = append(masked.Parts, stepcache.Part{Name: b.redact(p.Name), Digest: p.Digest})
		}
		l.Inputs = &masked
	}
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("remember what %s made: %w", l.Build, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil {
		if b.file, err = os.OpenFile(b.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
			b.file = nil
			return fmt.Errorf("remember what %s made: %w", l.Build, err)
		}
	}
	if _, err := b.file.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("remember what %s made: %w", l.Build, err)
	}
	return nil
}

// Close closes the file.
func (b *Book) Close() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil {
		return nil
	}
	f := b.file
	b.file = nil
	return f.Close()
}

func (b *Book) artifact(a *component.Artifact) (*artifactLine, error) {
	if a == nil {
		return nil, nil
	}
	l := &artifactLine{
		Producer: a.Producer, ID: a.ID, Summary: b.redact(a.Summary), Files: a.Files, Images: a.Images,
		Resources: a.Resources, Data: b.values(a.Data),
	}
	names := []string{a.Producer, a.ID}
	for _, f := range a.Files {
		names = append(names, f.Path)
	}
	for _, i := range a.Images {
		names = append(names, i.ID, i.Region, i.Parent)
	}
	for _, r := range a.Resources {
		names = append(names, r.ID)
		names = slices.AppendSeq(names, maps.Values(r.Attrs))
	}
	if slices.ContainsFunc(names, func(text string) bool { return b.redact(text) != text }) {
		return nil, errSecret
	}
	return l, nil
}

// isSecretFact names the facts that are never written.
func isSecretFact(name string) bool {
	switch name {
	case "Password", "WinRMPassword", "SSHPrivateKey":
		return true
	}
	return false
}

// values are those that hold no secret.
func (b *Book) values(in map[string]cty.Value) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for name, v := range in {
		clean := !isSecretFact(name) && b.redact(name) == name
		if whole := component.EachText(v, func(text string) { clean = clean && b.redact(text) == text }); !clean || !whole {
			continue
		}
		if data, err := ctyjson.Marshal(v, cty.DynamicPseudoType); err == nil {
			out[name] = data
		}
	}
	return out
}
