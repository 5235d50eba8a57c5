//go:build unix

package shelllocal

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func TestContract(t *testing.T) {
	componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
		New:     New,
		Valid:   componenttest.Configs{"inline": {"inline": strs("true")}},
		Invalid: componenttest.Configs{"nothing": {}, "not there": {"script": cty.StringVal("/nowhere")}},
		Input:   func(testing.TB, string) *component.Artifact { return &component.Artifact{ID: "x"} },
	})
}

// TestSees: the artifact's data, and one string as a whole command.
func TestSees(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	r.Template.Build = map[string]string{"ID": "img-1", "PackerHTTPAddr": "10.0.2.2:80"}
	tr, diags := New().Plan(t.Context(), New().Schema().Object(map[string]cty.Value{
		"inline":          strs("echo $A $PACKER_HTTP_PORT"),
		"execute_command": strs("echo {{build `ID`}}; {{.Vars}} A=b sh {{.Script}}"),
	}))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	in := &component.Artifact{ID: "img-1"}
	out, use, err := tr.Process(t.Context(), r, in)
	if err != nil || out != in || use != component.Requires {
		t.Errorf("got %v, %d, %v", out, use, err)
	}
	if diff := cmp.Diff([]string{"img-1", "b 80"}, events.Lines(component.Stdout)); diff != "" {
		t.Error(diff)
	}
}
