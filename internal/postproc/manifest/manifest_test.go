package manifest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

// fixed is a clock that stands still.
type fixed struct{ component.SystemClock }

func (fixed) Now() time.Time { return time.Unix(1507245986, 0) }

func input(t testing.TB, dir string) *component.Artifact {
	t.Helper()
	path := filepath.Join(dir, "disk.img")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &component.Artifact{ID: "img-1", Files: []component.File{{Path: path, Size: 5}}}
}

func process(t testing.TB, r component.Run, in *component.Artifact, values map[string]cty.Value) error {
	t.Helper()
	tr, diags := New().Plan(t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	out, use, err := tr.Process(t.Context(), r, in)
	if err == nil && (out != in || use != component.Requires) {
		t.Errorf("got %v, %d: the input must be handed on", out, use)
	}
	return err
}

func TestContract(t *testing.T) {
	componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
		New: New,
		Valid: componenttest.Configs{
			"default": {},
			"all": {
				"output": cty.StringVal("sub/m.json"), "strip_path": cty.True, "strip_time": cty.True,
				"custom_data": cty.MapVal(map[string]cty.Value{"a": cty.StringVal("b")}),
			},
		},
		Input: input,
	})
}

// TestShape compares the file byte for byte with what other tools expect.
func TestShape(t *testing.T) {
	t.Chdir(t.TempDir())
	r, _, _ := componenttest.NewRun(t)
	r.Clock, r.ID = fixed{}, "6d5d3185"
	if err := process(t, r, input(t, "."), nil); err != nil {
		t.Fatal(err)
	}
	r.ID = "7e6e4296"
	values := map[string]cty.Value{
		"strip_path": cty.True, "strip_time": cty.True,
		"custom_data": cty.MapVal(map[string]cty.Value{"z": cty.StringVal("<1>"), "a": cty.StringVal("2")}),
	}
	dir := t.TempDir()
	if err := process(t, r, input(t, dir), values); err != nil {
		t.Fatal(err)
	}
	if err := process(t, r, &component.Artifact{ID: "ami-1"}, map[string]cty.Value{"strip_time": cty.True}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("packer-manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "builds": [
    {
      "name": "test",
      "builder_type": "null",
      "build_time": 1507245986,
      "files": [
        {
          "name": "disk.img",
          "size": 5
        }
      ],
      "artifact_id": "img-1",
      "packer_run_uuid": "6d5d3185",
      "custom_data": null
    },
    {
      "name": "test",
      "builder_type": "null",
      "files": [
        {
          "name": "disk.img",
          "size": 5
        }
      ],
      "artifact_id": "img-1",
      "packer_run_uuid": "7e6e4296",
      "custom_data": {
        "a": "2",
        "z": "\u003c1\u003e"
      }
    },
    {
      "name": "test",
      "builder_type": "null",
      "files": null,
      "artifact_id": "ami-1",
      "packer_run_uuid": "7e6e4296",
      "custom_data": null
    }
  ],
  "last_run_uuid": "7e6e4296"
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 2 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

func builds(t *testing.T) []map[string]any {
	t.Helper()
	data, err := os.ReadFile("packer-manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Builds []map[string]any }
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m.Builds
}

func TestForce(t *testing.T) {
	t.Chdir(t.TempDir())
	r, _, _ := componenttest.NewRun(t)
	in := &component.Artifact{ID: "x"}
	for i, c := range []struct {
		id    string
		force bool
		want  int
	}{{"1", false, 1}, {"1", true, 2}, {"2", false, 3}, {"3", true, 1}, {"3", true, 2}} {
		r.ID, r.Force = c.id, c.force
		if err := process(t, r, in, nil); err != nil {
			t.Fatal(err)
		}
		if got := len(builds(t)); got != c.want {
			t.Errorf("step %d: %d builds, want %d", i, got, c.want)
		}
	}
}

// TestKeepsForeignEntries: what another version has written stays.
func TestKeepsForeignEntries(t *testing.T) {
	t.Chdir(t.TempDir())
	r, _, _ := componenttest.NewRun(t)
	if err := os.WriteFile("packer-manifest.json", []byte(`{"builds":[{"name":"old","more":[1,2]}],"last_run_uuid":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := process(t, r, &component.Artifact{}, nil); err != nil {
		t.Fatal(err)
	}
	got := builds(t)
	if len(got) != 2 || got[0]["more"] == nil {
		t.Errorf("got %v", got)
	}
}

func TestDamaged(t *testing.T) {
	t.Chdir(t.TempDir())
	r, _, _ := componenttest.NewRun(t)
	if err := os.WriteFile("packer-manifest.json", []byte(`{"builds":`), 0o600); err != nil {
		t.Fatal(err)
	}
	err := process(t, r, &component.Artifact{}, nil)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) || !strings.Contains(err.Error(), "is not a manifest") {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile("packer-manifest.json"); err != nil || string(data) != `{"builds":` {
		t.Errorf("the file has become %q, %v", data, err)
	}
	if err := os.WriteFile("packer-manifest.json", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := process(t, r, &component.Artifact{}, nil); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

// TestParallel: builds that finish together are all in it.
func TestParallel(t *testing.T) {
	t.Chdir(t.TempDir())
	var all sync.WaitGroup
	for range 20 {
		r, _, _ := componenttest.NewRun(t)
		all.Go(func() {
			if err := process(t, r, &component.Artifact{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(builds(t)); got != 20 {
		t.Errorf("%d builds, want 20", got)
	}
}
