//go:build unix

package shelllocal

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestContract(t *testing.T) {
	inline := cty.ListVal([]cty.Value{cty.StringVal("true")})
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New:     New,
		Valid:   componenttest.Configs{"inline": {"inline": inline}},
		Invalid: componenttest.Configs{"nothing": {}, "two": {"inline": inline, "command": cty.StringVal("x")}},
		Target:  func(_ testing.TB, r component.Run) component.Target { return component.Target{Run: r} },
	})
}

func TestHTTPServer(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	s, diags := New().Plan(t.Context(), New().Schema().Object(map[string]cty.Value{
		"inline": cty.ListVal([]cty.Value{cty.StringVal("echo $PACKER_HTTP_IP $PACKER_HTTP_PORT")}),
	}))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if err := s.Apply(t.Context(), component.Target{Run: r, HTTPAddr: "10.0.2.2:8080"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10.0.2.2 8080"}, events.Lines(component.Stdout)); diff != "" {
		t.Error(diff)
	}
}
