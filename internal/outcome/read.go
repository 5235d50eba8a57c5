package outcome

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"ingot/internal/component"
)

// longestLine is how long a line may be that is read.
const longestLine = 16 << 20

// Read returns the outcomes in the file at path, by build, in the order in which
// the builds made something. There are none when there is no file.
func Read(path string) ([]*Outcome, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("outcomes: %w", err)
	}
	defer f.Close()
	out, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("outcomes: %s: %w", path, err)
	}
	return out, nil
}

// read passes over what it does not understand: a line that was cut, and lines of
// another version.
func read(in io.Reader) ([]*Outcome, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), longestLine)
	var out []*Outcome
	of := map[string]*Outcome{}
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil || l.Format != Format || l.Build == "" {
			continue
		}
		switch l.Type {
		case madeLine:
			if l.Artifact == nil {
				continue
			}
			o := &Outcome{Made: l.made()}
			if was := of[l.Build]; was != nil {
				*was = *o // it was made again
				continue
			}
			of[l.Build] = o
			out = append(out, o)
		case endedLine:
			if o := of[l.Build]; o != nil {
				o.Ended = l.ended()
			}
		}
	}
	return out, lines.Err()
}

func (l *line) made() Made {
	m := Made{Build: l.Build, Run: l.Run, At: l.At, Dir: l.Dir, Artifact: l.Artifact.artifact(), Facts: values(l.Facts), Marks: l.Marks}
	if in := l.Inputs; in != nil {
		m.Inputs = &Inputs{Digest: in.Digest, Parts: in.Parts, Open: in.Open, Good: millis(in.GoodMS)}
	}
	return m
}

func (l *line) ended() *Ended {
	e := &Ended{Build: l.Build, Failure: l.Failure, Marks: l.Marks}
	for _, a := range l.Artifacts {
		if a != nil {
			e.Artifacts = append(e.Artifacts, a.artifact())
		}
	}
	return e
}

func (a *artifactLine) artifact() *component.Artifact {
	if a == nil {
		return nil
	}
	return &component.Artifact{
		Producer: a.Producer, ID: a.ID, Summary: a.Summary, Files: a.Files, Images: a.Images,
		Data: values(a.Data), Resources: a.Resources,
	}
}

func values(in map[string]json.RawMessage) map[string]cty.Value {
	out := make(map[string]cty.Value, len(in))
	for name, data := range in {
		if v, err := ctyjson.Unmarshal(data, cty.DynamicPseudoType); err == nil {
			out[name] = v
		}
	}
	return out
}

// longest is a bound for times that are read.
const longest = 100 * 365 * 24 * time.Hour

func millis(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(longest/time.Millisecond))) * time.Millisecond
}
