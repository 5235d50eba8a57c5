package ui

import (
	"encoding/json"
	"time"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"ingot/internal/addr"
	"ingot/internal/component"
)

// typeOf is the event's name in the JSON stream and in the log.
func typeOf(e component.Event) string {
	switch e.(type) {
	case component.RunStarted:
		return "run_started"
	case component.RunEnded:
		return "run_ended"
	case component.BuildStarted:
		return "build_started"
	case component.BuildEnded:
		return "build_ended"
	case component.PhaseStarted:
		return "phase_started"
	case component.PhaseEnded:
		return "phase_ended"
	case component.StepStarted:
		return "step_started"
	case component.StepEnded:
		return "step_ended"
	case component.StepSkipped:
		return "step_skipped"
	case component.CacheChecked:
		return "cache_checked"
	case component.Message:
		return "message"
	case component.Problem:
		return "problem"
	case component.Trace:
		return "trace"
	case component.Warning:
		return "warning"
	case component.Output:
		return "output"
	case component.Progress:
		return "progress"
	case component.Waiting:
		return "waiting"
	case component.WaitEnded:
		return "wait_ended"
	case component.Retrying:
		return "retrying"
	case component.ResourceHeld:
		return "resource_held"
	case component.ResourceReleased:
		return "resource_released"
	case component.ResourceKept:
		return "resource_kept"
	case component.ArtifactMade:
		return "artifact_made"
	}
	return "unknown"
}

func streamName(s component.Stream) string {
	if s == component.Stderr {
		return "stderr"
	}
	return "stdout"
}

// fields takes the fields of one event, in the order in which they are
// documented. opt leaves out an empty text, err a nil error.
type fields interface {
	str(name, value string)
	opt(name, value string)
	int(name string, v int64)
	ms(name string, d time.Duration)
	bool(name string, v bool)
	err(err error)
	any(name string, v any)
}

// writeFields gives o what is special to the kind of event.
func writeFields(o fields, s *component.Stamped) {
	switch e := s.Event.(type) {
	case component.Output:
		o.str("stream", streamName(e.Stream))
		o.str("line", e.Line)
	case component.RunStarted:
		o.str("run_id", e.RunID)
		o.any("builds", buildNames(e.Builds))
	case component.RunEnded:
		o.ms("duration_ms", e.Duration)
		o.int("failed", int64(e.Failed))
		o.opt("interrupted", e.Interrupted)
	case component.BuildEnded:
		o.ms("duration_ms", e.Duration)
		o.err(e.Err)
		o.any("artifacts", jsonArtifacts(e.Artifacts))
		o.opt("earlier_run", e.Earlier)
	case component.PhaseStarted:
		o.str("phase", string(e.Phase))
		o.opt("test", e.Test)
	case component.PhaseEnded:
		o.str("phase", string(e.Phase))
		o.opt("test", e.Test)
		o.ms("duration_ms", e.Duration)
		o.err(e.Err)
	case component.StepStarted:
		o.str("step_kind", s.Step.Kind.String())
		o.str("step_type", s.Step.Type)
		o.opt("step_name", s.Step.Name)
	case component.StepEnded:
		o.ms("duration_ms", e.Duration)
		o.int("attempts", int64(e.Attempts))
		o.err(e.Err)
		o.bool("tolerated", e.Tolerated)
	case component.StepSkipped:
		o.str("step_kind", s.Step.Kind.String())
		o.str("step_type", s.Step.Type)
		o.opt("step_name", s.Step.Name)
		o.str("reason", e.Reason)
	case component.CacheChecked:
		o.str("step_kind", s.Step.Kind.String())
		o.str("step_type", s.Step.Type)
		o.opt("step_name", s.Step.Name)
		o.bool("hit", e.Hit)
		o.opt("why", e.Why)
	case component.Message:
		o.str("text", e.Text)
	case component.Problem:
		o.str("text", e.Text)
	case component.Trace:
		o.str("text", e.Text)
	case component.Warning:
		o.str("summary", e.Summary)
		o.opt("detail", e.Detail)
	case component.Progress:
		o.str("id", e.ID)
		o.str("label", e.Label)
		o.int("done_bytes", e.Done)
		o.int("total_bytes", e.Total)
		o.bool("finished", e.Finished)
	case component.Waiting:
		o.str("for", e.For)
		o.opt("detail", e.Detail)
		o.ms("elapsed_ms", e.Elapsed)
	case component.WaitEnded:
		o.str("for", e.For)
		o.ms("elapsed_ms", e.Elapsed)
		o.int("attempts", int64(e.Attempts))
		o.any("stages", jsonStages(e.Stages))
		o.err(e.Err)
	case component.Retrying:
		o.str("what", e.What)
		o.str("class", e.Class)
		o.int("attempt", int64(e.Attempt))
		o.ms("delay_ms", e.Delay)
		o.err(e.Err)
	case component.ResourceHeld:
		o.any("resource", e.Resource)
	case component.ResourceReleased:
		o.any("resource", e.Resource)
		o.err(e.Err)
	case component.ResourceKept:
		o.any("resource", e.Resource)
	case component.ArtifactMade:
		o.any("artifact", newJSONArtifact(e.Artifact))
	}
}

type (
	jsonArtifact struct {
		Producer  string               `json:"producer"`
		ID        string               `json:"id"`
		Summary   string               `json:"summary"`
		Files     []jsonFile           `json:"files,omitempty"`
		Images    []jsonImage          `json:"images,omitempty"`
		Data      json.RawMessage      `json:"data,omitempty"`
		Resources []component.Resource `json:"resources,omitempty"`
	}
	jsonFile struct {
		Path   string `json:"path"`
		Size   int64  `json:"size"`
		Digest string `json:"digest,omitempty"`
	}
	jsonStage struct {
		Name   string               `json:"name"`
		State  component.StageState `json:"state"`
		TookMS int64                `json:"took_ms"`
	}
	jsonImage struct {
		Provider string `json:"provider"`
		Region   string `json:"region,omitempty"`
		ID       string `json:"id"`
		Parent   string `json:"parent,omitempty"`
	}
)

func newJSONArtifact(a *component.Artifact) *jsonArtifact {
	if a == nil {
		return nil
	}
	j := &jsonArtifact{Producer: a.Producer, ID: a.ID, Summary: a.Summary, Resources: a.Resources, Data: jsonData(a.Data)}
	for _, f := range a.Files {
		j.Files = append(j.Files, jsonFile(f))
	}
	for _, i := range a.Images {
		j.Images = append(j.Images, jsonImage(i))
	}
	return j
}

// jsonData is what is known of an artifact beside the common names; nil when there
// is nothing.
func jsonData(data map[string]cty.Value) json.RawMessage {
	known := make(map[string]cty.Value, len(data))
	for name, v := range data {
		if v != cty.NilVal && v.IsWhollyKnown() && !v.ContainsMarked() {
			known[name] = v
		}
	}
	if len(known) == 0 {
		return nil
	}
	all := cty.ObjectVal(known)
	out, err := ctyjson.Marshal(all, all.Type())
	if err != nil {
		return nil // a value that only lives in this process
	}
	return out
}

func jsonArtifacts(list []*component.Artifact) []*jsonArtifact {
	out := make([]*jsonArtifact, 0, len(list))
	for _, a := range list {
		out = append(out, newJSONArtifact(a))
	}
	return out
}

func jsonStages(list []component.WaitStage) []jsonStage {
	out := make([]jsonStage, 0, len(list))
	for _, s := range list {
		out = append(out, jsonStage{s.Name, s.State, s.Took.Milliseconds()})
	}
	return out
}

func buildNames(builds []addr.Build) []string {
	out := make([]string, 0, len(builds))
	for _, b := range builds {
		out = append(out, b.String())
	}
	return out
}
