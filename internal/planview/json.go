package planview

import (
	"encoding/json"
	"io"
	"time"

	"ingot/internal/component"
	"ingot/internal/lang"
)

// FormatVersion is the version of the JSON form. Fields are only ever added;
// when one has to change its meaning the number before the dot grows.
const FormatVersion = "1.0"

// WriteJSON writes the plan as one JSON object. docs/plan-json.md describes it.
// The same plan always gives the same bytes.
func (v *View) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v.document())
}

type (
	jsonPlan struct {
		FormatVersion string      `json:"format_version"`
		Builds        []jsonBuild `json:"builds"`
		Summary       jsonSummary `json:"summary"`
	}
	jsonSummary struct {
		Builds         int            `json:"builds"`
		Provisioners   int            `json:"provisioners"`
		PostProcessors int            `json:"post_processors"`
		Creates        map[string]int `json:"creates"`
	}
	jsonBuild struct {
		Name         string         `json:"name"`
		Block        string         `json:"block,omitempty"`
		Description  string         `json:"description,omitempty"`
		Source       jsonSource     `json:"source"`
		Range        string         `json:"range,omitempty"`
		Use          string         `json:"use,omitempty"`
		Communicator string         `json:"communicator,omitempty"`
		Needs        []string       `json:"needs,omitempty"`
		Creates      []jsonCreation `json:"creates"`
		jsonBody
		Provisioners   []jsonStep   `json:"provisioners"`
		ErrorCleanup   *jsonStep    `json:"error_cleanup_provisioner,omitempty"`
		Tests          []jsonTest   `json:"tests,omitempty"`
		PostProcessors [][]jsonStep `json:"post_processors"`
	}
	jsonTest struct {
		Name   string     `json:"name"`
		Range  string     `json:"range,omitempty"`
		Checks []jsonStep `json:"checks"`
	}
	jsonSource struct {
		Type      string `json:"type"`
		Name      string `json:"name"`
		LocalName string `json:"local_name,omitempty"`
		Range     string `json:"range,omitempty"`
	}
	jsonStep struct {
		Address         string `json:"address"`
		Type            string `json:"type"`
		Name            string `json:"name,omitempty"`
		Range           string `json:"range,omitempty"`
		PauseBefore     string `json:"pause_before,omitempty"`
		Timeout         string `json:"timeout,omitempty"`
		MaxRetries      int    `json:"max_retries,omitempty"`
		ContinueOnError bool   `json:"continue_on_error,omitempty"`
		Cache           *bool  `json:"cache,omitempty"`
		CacheTTL        string `json:"cache_ttl,omitempty"`
		KeepInput       *bool  `json:"keep_input_artifact,omitempty"`
		// Unknown is by meta-argument what it waits for.
		Unknown map[string]string `json:"unknown,omitempty"`
		jsonBody
		Creates []jsonCreation `json:"creates,omitempty"`
	}
	jsonBody struct {
		Arguments map[string]jsonArgument `json:"arguments"`
		Blocks    []jsonBlock             `json:"blocks,omitempty"`
	}
	jsonArgument struct {
		Value     any  `json:"value"`
		Unknown   any  `json:"unknown,omitempty"`
		Sensitive any  `json:"sensitive,omitempty"`
		Default   bool `json:"default,omitempty"`
	}
	jsonBlock struct {
		Type    string `json:"type"`
		Range   string `json:"range,omitempty"`
		Unknown string `json:"unknown,omitempty"`
		jsonBody
	}
	jsonCreation struct {
		Kind      string `json:"kind"`
		Name      string `json:"name,omitempty"`
		Temporary bool   `json:"temporary,omitempty"`
	}
)

func (v *View) document() jsonPlan {
	sum := v.Summary()
	out := jsonPlan{FormatVersion: FormatVersion, Builds: []jsonBuild{}, Summary: jsonSummary{
		Builds: sum.Builds, Provisioners: sum.Provisioners, PostProcessors: sum.PostProcessors, Creates: map[string]int{},
	}}
	for _, c := range sum.Creates {
		out.Summary.Creates[c.Kind] += c.Count
	}
	for _, b := range v.Builds {
		out.Builds = append(out.Builds, b.document())
	}
	return out
}

func (b *Build) document() jsonBuild {
	out := jsonBuild{
		Name: b.Addr.String(), Block: b.Addr.Block, Description: b.Description,
		Source: jsonSource{Type: b.Source.Type, Name: b.Source.Name, Range: b.SourceRange.String()},
		Range:  b.Range.String(), Use: b.Use.String(),
		Communicator: b.Communicator, Creates: creations(b.Creates), jsonBody: b.Body.document(),
		Provisioners: []jsonStep{}, PostProcessors: [][]jsonStep{},
	}
	if b.Addr.Source.Name != b.Source.Name {
		out.Source.LocalName = b.Addr.Source.Name
	}
	for _, need := range b.Needs {
		out.Needs = append(out.Needs, need.String())
	}
	for _, s := range b.Provisioners {
		out.Provisioners = append(out.Provisioners, s.document())
	}
	if b.ErrorCleanup != nil {
		s := b.ErrorCleanup.document()
		out.ErrorCleanup = &s
	}
	for _, t := range b.Tests {
		test := jsonTest{Name: t.Name, Range: t.Range.String()}
		for _, s := range t.Checks {
			test.Checks = append(test.Checks, s.document())
		}
		out.Tests = append(out.Tests, test)
	}
	for _, chain := range b.Chains {
		steps := []jsonStep{}
		for _, s := range chain {
			steps = append(steps, s.document())
		}
		out.PostProcessors = append(out.PostProcessors, steps)
	}
	return out
}

func (s *Step) document() jsonStep {
	unknown := make(map[string]string, len(s.UnknownMeta))
	for _, name := range s.UnknownMeta {
		unknown[name] = wordOf(lang.ForData)
	}
	return jsonStep{
		Address: s.Addr.String(), Type: s.Addr.Type, Name: s.Addr.Name, Range: s.Range.String(),
		Cache: cacheFlag(s.NoCache), CacheTTL: duration(s.CacheTTL),
		PauseBefore: duration(s.PauseBefore), Timeout: duration(s.Timeout), MaxRetries: s.MaxRetries,
		ContinueOnError: s.ContinueOnError, KeepInput: s.KeepInput, Unknown: unknown,
		jsonBody: s.Body.document(), Creates: creations(s.Creates),
	}
}

// cacheFlag is false for a step whose result is never used again, else nothing.
func cacheFlag(off bool) *bool {
	if !off {
		return nil
	}
	cache := false
	return &cache
}

func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func (b Body) document() jsonBody {
	out := jsonBody{Arguments: make(map[string]jsonArgument, len(b.Arguments))}
	for _, a := range b.Arguments {
		out.Arguments[a.Name] = jsonArgument{
			Value: a.Value.JSON(), Default: a.Default,
			Unknown:   a.Value.marks(func(v Value) any { return waitWord(v.Wait) }),
			Sensitive: a.Value.marks(func(v Value) any { return trueOrNil(v.Sensitive) }),
		}
	}
	for _, block := range b.Blocks {
		out.Blocks = append(out.Blocks, jsonBlock{
			Type: block.Name, Range: block.Range.String(), Unknown: wordOf(block.Wait), jsonBody: block.Body.document(),
		})
	}
	return out
}

func wordOf(w lang.Wait) string {
	switch w {
	case lang.ForMachine:
		return "machine"
	case lang.ForBuild:
		return "build"
	case lang.ForData:
		return "data"
	}
	return ""
}

// waitWord is wordOf as a mark; nil for what is known.
func waitWord(w lang.Wait) any {
	if word := wordOf(w); word != "" {
		return word
	}
	return nil
}

func trueOrNil(is bool) any {
	if is {
		return true
	}
	return nil
}

// JSON is the value as encoding/json takes it; nil stands for what is not shown.
func (v Value) JSON() any {
	switch v.Shape {
	case Bool:
		return v.Text == "true"
	case Number:
		return json.Number(v.Text)
	case String:
		return v.Text
	case List:
		out := make([]any, len(v.Items))
		for i, item := range v.Items {
			out[i] = item.JSON()
		}
		return out
	case Object:
		out := make(map[string]any, len(v.Items))
		for i, item := range v.Items {
			out[v.Keys[i]] = item.JSON()
		}
		return out
	}
	return nil
}

// marks is a structure beside the value: the mark of a value that has one, for
// a list one element each, null where there is no mark, for an object only the
// names below which there are marks. It is nil when there is no mark at all.
func (v Value) marks(mark func(Value) any) any {
	if m := mark(v); m != nil {
		return m
	}
	found := false
	switch v.Shape {
	case List:
		out := make([]any, len(v.Items))
		for i, item := range v.Items {
			out[i] = item.marks(mark)
			found = found || out[i] != nil
		}
		if found {
			return out
		}
	case Object:
		out := map[string]any{}
		for i, item := range v.Items {
			if m := item.marks(mark); m != nil {
				out[v.Keys[i]] = m
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

func creations(l []component.Creation) []jsonCreation {
	out := []jsonCreation{}
	for _, c := range l {
		out = append(out, jsonCreation{c.Kind, c.Name, c.Temporary})
	}
	return out
}
