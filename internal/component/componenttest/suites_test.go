package componenttest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// double implements all the contracts, with at most one defect. It copies text
// to a file.
type double struct {
	defect string
	calls  *int
}

func newDouble(defect string) double { return double{defect, new(int)} }

func (d double) has(defect string) bool { return d.defect == defect }

func (d double) Schema() component.Schema {
	text := component.String("text", "The text.")
	text.Required = true
	s := component.Schema{
		Description: "Is a double.",
		Attributes:  []component.Attribute{text, component.String("path", "Where to write it.")},
	}
	switch {
	case d.has("the schema changes"):
		*d.calls++
		s.Description += strconv.Itoa(*d.calls)
	case d.has("an attribute is not described"):
		s.Attributes[1].Description = ""
	}
	return s
}

func (d double) Result() cty.Type {
	if d.has("the result is dynamic") {
		return cty.DynamicPseudoType
	}
	return cty.Object(map[string]cty.Type{"text": cty.String})
}

func (d double) Read(ctx context.Context, cfg cty.Value) (cty.Value, diag.List) {
	none := cty.UnknownVal(d.Result())
	if !cfg.IsWhollyKnown() {
		if d.has("unknown is an error") {
			return none, diag.At("text", "Unknown", "It is unknown.")
		}
		return none, nil
	}
	if err := context.Cause(ctx); err != nil && !d.has("the context is ignored") {
		return none, diag.Errorf("Stopped", "%s.", err)
	}
	if cfg.GetAttr("text").AsString() == "" && !d.has("anything is accepted") {
		return none, diag.At("text", "Empty", "It is empty.")
	}
	if d.has("the value has another type") {
		return cty.StringVal("x"), nil
	}
	return cty.ObjectVal(map[string]cty.Value{"text": cfg.GetAttr("text")}), nil
}

// work is a step, a transform and a job.
type work struct {
	double
	text, path string
}

func (d double) plan(cfg cty.Value) (*work, diag.List) {
	*d.calls++
	w := &work{double: d}
	if d.has("sensitive values panic") {
		if cfg.IsKnown() && cfg.GetAttr("text").IsMarked() {
			return nil, diag.Errorf("Marked", "It is marked.")
		}
	}
	if !cfg.IsKnown() {
		return w, nil
	}
	if d.has("planning writes") {
		if err := os.WriteFile("left", nil, 0o600); err != nil {
			return nil, diag.Errorf("Write", "%s.", err)
		}
	}
	if v, _ := cfg.GetAttr("text").Unmark(); v.IsKnown() && !v.IsNull() {
		w.text = v.AsString()
	}
	if v, _ := cfg.GetAttr("path").Unmark(); v.IsKnown() && !v.IsNull() {
		w.path = v.AsString()
	}
	known := component.Known(cfg, "text")
	switch {
	case !known && d.has("unknown is an error"):
		return nil, diag.At("text", "Unknown", "It is unknown.")
	case w.text == "" && known && d.has("errors come with a result"):
		return w, diag.At("text", "Empty", "It is empty.")
	case w.text == "" && known && d.has("a finding names nothing"):
		return nil, diag.At("txt", "Empty", "It is empty.")
	case w.text == "" && known && !d.has("anything is accepted"):
		return nil, diag.At("text", "Empty", "It is empty.")
	case w.text != "" && d.has("nothing is accepted"):
		return nil, diag.At("text", "Full", "It is full.")
	case d.has("findings differ"):
		return w, diag.Warnf("Call", "This is call %d.", *d.calls)
	}
	return w, nil
}

type doubleProvisioner struct{ double }

func (d doubleProvisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	w, diags := d.plan(cfg)
	if w == nil {
		return nil, diags
	}
	return w, diags
}

type doublePostProcessor struct{ double }

func (d doublePostProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	w, diags := d.plan(cfg)
	if w == nil {
		return nil, diags
	}
	return w, diags
}

type doubleBuilder struct{ double }

func (d doubleBuilder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	w, diags := d.plan(cfg)
	if w == nil {
		return nil, diags
	}
	return w, diags
}

// write makes the file as a resource.
func (w *work) write(ctx context.Context, r component.Run, path string) (component.Lease, error) {
	if w.has("the context is ignored") {
		ctx = context.WithoutCancel(ctx)
	}
	return r.Journal.Acquire(ctx, component.Resource{Kind: component.FileKind, Attrs: map[string]string{"path": path}},
		func(context.Context, component.Resource) (string, error) {
			return path, os.WriteFile(path, []byte(w.text), 0o600)
		})
}

func (w *work) Apply(ctx context.Context, t component.Target) error {
	*w.calls++
	if w.has("a step works once") {
		if w.path == "used" {
			return errors.New("used up")
		}
		w.path = "used"
	}
	lease, err := w.write(ctx, t.Run, filepath.Join(t.WorkDir, "file"))
	if err != nil || w.has("a lease stays open") {
		return err
	}
	return lease.Release(ctx)
}

func (w *work) Inputs() component.Inputs {
	*w.calls++
	switch {
	case w.has("the inputs change"):
		return component.Inputs{Files: []string{strconv.Itoa(*w.calls)}}
	case w.has("the inputs contradict each other"):
		return component.Inputs{Neutral: true, Volatile: "of a defect"}
	}
	return component.Inputs{Files: []string{"input"}}
}

func (w *work) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	switch {
	case w.has("the input's file is deleted"):
		if err := os.Remove(in.Files[0].Path); err != nil {
			return nil, component.Consumes, err
		}
	case w.has("the input is changed"):
		in.Files[0].Size++
	case w.has("a failure leaves a file"):
		if err := os.WriteFile("half", nil, 0o600); err != nil {
			return nil, component.Consumes, err
		}
	case w.has("the use is not said"):
		return nil, 0, nil
	case w.has("the input is handed on to be consumed"):
		return in, component.Consumes, nil
	}
	path, err := filepath.Abs("out")
	if err != nil {
		return nil, component.Consumes, err
	}
	lease, err := w.write(ctx, r, path)
	if err != nil {
		return nil, component.Consumes, err
	}
	if !w.has("a lease stays open") {
		if err := lease.Keep(ctx); err != nil {
			return nil, component.Consumes, err
		}
	}
	return w.artifact(path, in.Resources), component.Requires, nil
}

func (w *work) artifact(path string, inputs []component.Resource) *component.Artifact {
	a := &component.Artifact{
		Producer:  "double",
		Summary:   "A file",
		Files:     []component.File{{Path: path, Size: int64(len(w.text))}},
		Resources: []component.Resource{{Kind: component.FileKind, ID: path}},
	}
	switch {
	case w.has("the size is wrong"):
		a.Files[0].Size++
	case w.has("the input's resources are taken"):
		a.Resources = append(a.Resources, inputs...)
	case w.has("the artifact owns nothing"):
		a.Resources = nil
	}
	return a
}

type doubleMachine struct {
	*work
	lease component.Lease
}

func (w *work) FactNames() []string {
	if w.has("a fact is not announced") {
		return nil
	}
	return []string{"ID"}
}

func (w *work) Prepare(context.Context, component.Run) error { return nil }

func (w *work) Boot(ctx context.Context, r component.Run) (component.Machine, error) {
	path := filepath.Join(r.CacheDir, "image")
	lease, err := w.write(ctx, r, path)
	if err != nil {
		return nil, err
	}
	if w.has("what is unfinished is kept") {
		if err := lease.Keep(ctx); err != nil {
			return nil, err
		}
	}
	return doubleMachine{w, lease}, nil
}

func (m doubleMachine) Facts() map[string]cty.Value {
	if m.has("a fact is unknown") {
		return map[string]cty.Value{"ID": cty.UnknownVal(cty.String)}
	}
	return map[string]cty.Value{"ID": cty.StringVal("1")}
}

func (m doubleMachine) Endpoint(context.Context) (component.Endpoint, error) {
	*m.calls++
	if m.has("the endpoint can be asked for once") && *m.calls > 3 {
		return component.Endpoint{}, errors.New("asked already")
	}
	return component.Endpoint{Transport: "none", Connection: new(component.Connection)}, nil
}

func (w *work) Capture(ctx context.Context, r component.Run, m component.Machine) (*component.Artifact, error) {
	if w.has("capture fails") {
		return nil, errors.New("no")
	}
	lease := m.(doubleMachine).lease
	if !w.has("the artifact is not kept") {
		if err := lease.Keep(ctx); err != nil {
			return nil, err
		}
	}
	return w.artifact(lease.Resource().ID, nil), nil
}

var (
	validDouble   = Configs{"text": {"text": cty.StringVal("hello")}}
	invalidDouble = Configs{"empty": {"text": cty.StringVal("")}}
)

func provisionerOf(d double) []promise {
	return provisionerPromises(ProvisionerConfig{
		New:   func() component.Provisioner { return doubleProvisioner{d} },
		Valid: validDouble, Invalid: invalidDouble,
		Target: func(_ testing.TB, r component.Run) component.Target { return component.Target{Run: r} },
	})
}

func postProcessorOf(d double) []promise {
	return postProcessorPromises(PostProcessorConfig{
		New:   func() component.PostProcessor { return doublePostProcessor{d} },
		Valid: validDouble, Invalid: invalidDouble,
		Input: func(t testing.TB, dir string) *component.Artifact {
			path := filepath.Join(dir, "in")
			if err := os.WriteFile(path, []byte("in"), 0o600); err != nil {
				t.Fatal(err)
			}
			return &component.Artifact{
				Files:     []component.File{{Path: path, Size: 2}},
				Resources: []component.Resource{{Kind: component.FileKind, ID: path}},
			}
		},
	})
}

func dataSourceOf(d double) []promise {
	return dataSourcePromises(DataSourceConfig{
		New: func() component.DataSource { return d }, Valid: validDouble, Invalid: invalidDouble,
	})
}

func builderOf(t testing.TB) func(d double) []promise {
	return func(d double) []promise {
		return builderPromises(t, BuilderConfig{
			New:   func() component.Builder { return doubleBuilder{d} },
			Valid: func(testing.TB) Configs { return validDouble }, Invalid: invalidDouble,
		})
	}
}

// planDefects are the defects that the promises about planning find.
func planDefects() map[string]string {
	return map[string]string{
		"the schema changes":            "schema never changes",
		"an attribute is not described": "schema describes every attribute",
		"nothing is accepted":           "plans valid configurations",
		"anything is accepted":          "refuses invalid configurations",
		"errors come with a result":     "refuses invalid configurations",
		"a finding names nothing":       "findings name attributes",
		"unknown is an error":           "plans with unknown values",
		"sensitive values panic":        "plans with sensitive values",
		"findings differ":               "planning twice gives the same",
		"planning writes":               "planning has no side effect",
	}
}

// TestSuitesFindDefects proves of each promise that a double with one defect
// breaks it, and that a double without any keeps them all.
func TestSuitesFindDefects(t *testing.T) {
	for _, suite := range []struct {
		name string
		of   func(double) []promise
		plan bool
		// defects and the promise that each of them breaks.
		defects map[string]string
	}{
		{"provisioner", provisionerOf, true, map[string]string{
			"a step works once":                "a step can be applied, and applied again",
			"a lease stays open":               "a step releases what it acquires",
			"the context is ignored":           "a cancelled step fails with the cause",
			"the inputs change":                "the inputs of a step are the same each time",
			"the inputs contradict each other": "the inputs of a step are the same each time",
		}},
		{"post-processor", postProcessorOf, true, map[string]string{
			"the input's file is deleted":           "the input stays as it is",
			"the input is changed":                  "the input stays as it is",
			"the use is not said":                   "says what becomes of the input",
			"the input is handed on to be consumed": "says what becomes of the input",
			"the size is wrong":                     "describes what it has made",
			"the input's resources are taken":       "describes what it has made",
			"a lease stays open":                    "gives up what it acquires",
			"the context is ignored":                "a cancelled transform fails and leaves nothing",
			"a failure leaves a file":               "a cancelled transform fails and leaves nothing",
		}},
		{"data source", dataSourceOf, false, map[string]string{
			"the schema changes":            "schema never changes",
			"an attribute is not described": "schema describes every attribute",
			"the result is dynamic":         "the result is an object",
			"the value has another type":    "a value has the type of the result",
			"anything is accepted":          "refuses invalid configurations",
			"unknown is an error":           "unknown values are no mistake",
			"the context is ignored":        "a cancelled read fails",
		}},
		{"builder", builderOf(t), true, map[string]string{
			"capture fails":                      "builds from the first phase to the artifact",
			"the size is wrong":                  "builds from the first phase to the artifact",
			"a fact is unknown":                  "facts are known and announced",
			"a fact is not announced":            "facts are known and announced",
			"the endpoint can be asked for once": "the machine can be reached, asked again and again",
			"the artifact is not kept":           "the artifact consists of what was kept",
			"the artifact owns nothing":          "the artifact consists of what was kept",
			"what is unfinished is kept":         "a build that is given up leaves nothing",
		}},
	} {
		t.Run(suite.name, func(t *testing.T) {
			keep(t, suite.of(newDouble("")))
			if suite.plan {
				for defect, name := range planDefects() {
					suite.defects[defect] = name
				}
			}
			proved := map[string]bool{}
			for defect, name := range suite.defects {
				proved[name] = true
				t.Run(defect, func(t *testing.T) {
					promises := suite.of(newDouble(defect))
					i := slices.IndexFunc(promises, func(p promise) bool { return p.name == name })
					if i < 0 {
						t.Fatalf("there is no promise %q", name)
					}
					if promises[i].check(t) == nil {
						t.Errorf("%q does not find it", name)
					}
				})
			}
			for _, p := range suite.of(newDouble("")) {
				if !proved[p.name] {
					t.Errorf("no defect proves that %q can fail", p.name)
				}
			}
		})
	}
}
