// Package history remembers how runs went: every event of a run, as the JSON
// lines of docs/events.md, in one file for each run. A Recorder writes such a
// file while the run goes on, a Store finds the files, and a Run is what the
// events of one add up to.
//
// Everything in a file went through the redactor. What is read back is treated as
// foreign: a file may be cut, damaged, or written by another version.
package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Format is the version of the files, in their first line. It grows when an older
// reader would misunderstand them.
const Format = 1

// Header is the first line of a file. The lines after it are the event stream.
type Header struct {
	Type   string `json:"type"`
	Format int    `json:"format"`
	RunID  string `json:"run_id"`
	// Started is when the run began.
	Started time.Time `json:"started"`
	// Template is the path as the user gave it, and Dir what it starts from.
	Template string `json:"template"`
	Dir      string `json:"dir"`
	// Version is that of the program.
	Version string `json:"version"`
	// Flags are those that decide what the run does. The values of variables are
	// not among them.
	Flags []string `json:"flags,omitempty"`
	// Incomplete says that some builds of the template could not be planned.
	Incomplete bool `json:"incomplete,omitempty"`
	// Again is nil of a run that an older version recorded.
	Again *Again `json:"again,omitempty"`
}

const headerType = "history"

// masked returns a copy whose texts went through redact.
func (h Header) masked(redact func(string) string) Header {
	template, dir := h.Template, h.Dir
	h.Template, h.Dir, h.Version = redact(h.Template), redact(h.Dir), redact(h.Version)
	if h.Again = h.Again.masked(redact); h.Again != nil && (h.Template != template || h.Dir != dir) {
		h.Again.Obstacle = "the path of its template has a secret in it, which is not recorded"
	}
	flags := make([]string, len(h.Flags))
	for i, f := range h.Flags {
		flags[i] = redact(f)
	}
	h.Flags = flags
	return h
}

func (h Header) line() ([]byte, error) {
	h.Type, h.Format = headerType, Format
	data, err := json.Marshal(h)
	return append(data, '\n'), err
}

// errNoHistory means that a file is something else.
var errNoHistory = errors.New("this is not the history of a run")

func parseHeader(line []byte) (Header, error) {
	var h Header
	if err := json.Unmarshal(line, &h); err != nil || h.Type != headerType {
		return Header{}, errNoHistory
	}
	if h.Format > Format {
		return Header{}, fmt.Errorf("it was recorded by a newer ingot (format %d, this one knows %d)", h.Format, Format)
	}
	return h, nil
}
