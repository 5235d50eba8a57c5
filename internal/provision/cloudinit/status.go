package cloudinit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// status is what `cloud-init status` says.
type status struct {
	// Status is one word, or two: "done", "error", "disabled", "running",
	// "not run" or, later, "not started".
	Status string `json:"status"`
	// Extended is more exact where cloud-init is new enough, such as
	// "degraded done".
	Extended string `json:"extended_status"`
	Detail   string `json:"detail"`
	// Source is the kind of the source of its data, such as "nocloud".
	Source string   `json:"datasource"`
	Errors []string `json:"errors"`
	// Recoverable are messages by the level of the log.
	Recoverable map[string][]string `json:"recoverable_errors"`
}

func (s status) done() bool       { return s.Status == "done" }
func (s status) disabled() bool   { return s.Status == "disabled" }
func (s status) failed() bool     { return s.Status == "error" || len(s.Errors) > 0 }
func (s status) unfinished() bool { return !s.failed() && slices.Contains(unfinished, s.Status) }

func (s status) degraded() bool {
	return strings.HasPrefix(s.Extended, "degraded") || s.Status == "degraded" || len(s.Recoverable) > 0
}

// unfinished are the statuses that another one follows.
var unfinished = []string{"running", "not run", "not started"}

// because is the reason for the status, in a form to append.
func (s status) because() string {
	if s.Detail == "" {
		return ""
	}
	return " (" + oneLine(s.Detail) + ")"
}

// from names the source of the machine's data, in a form to append.
func (s status) from() string {
	if s.Source == "" {
		return ""
	}
	return " with the data source " + s.Source
}

// problems lists all that went wrong in one line.
func (s status) problems() string {
	var out []string
	for _, e := range s.Errors {
		out = append(out, oneLine(e))
	}
	levels := make([]string, 0, len(s.Recoverable))
	for level := range s.Recoverable {
		levels = append(levels, level)
	}
	sort.Strings(levels)
	for _, level := range levels {
		for _, e := range s.Recoverable[level] {
			out = append(out, level+": "+oneLine(e))
		}
	}
	if len(out) == 0 {
		return fmt.Sprintf("status %q%s", s.Status, s.because())
	}
	return strings.Join(out, "; ")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// parseJSON finds a status in the output of `cloud-init status --format json`.
// Other lines may stand before it: where a terminal is forced on commands,
// what is written to standard error is in between.
func parseJSON(out []byte) (status, bool) {
	for rest := out; len(rest) > 0; {
		if rest[0] == '{' {
			var s status
			if json.NewDecoder(bytes.NewReader(rest)).Decode(&s) == nil && s.Status != "" {
				return s, true
			}
		}
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	return status{}, false
}

// parseLong reads the output of `cloud-init status --long`: dots for the time
// of the wait, then lines with a name and a value each.
func parseLong(out []byte) (status, bool) {
	var s status
	text := strings.ReplaceAll(string(out), "\r", "")
	head, detail, _ := strings.Cut(text, "\ndetail:")
	for _, line := range strings.Split(head, "\n") {
		if value, ok := strings.CutPrefix(strings.TrimLeft(line, "."), "status:"); ok {
			s.Status = strings.TrimSpace(value)
		}
	}
	s.Detail = strings.TrimSpace(detail)
	if s.Status == "error" && s.Detail != "" {
		s.Errors = []string{s.Detail}
	}
	return s, s.Status != ""
}
