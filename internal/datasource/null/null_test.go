package null

import (
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component/componenttest"
)

func TestContract(t *testing.T) {
	componenttest.DataSource(t, componenttest.DataSourceConfig{
		New:     New,
		Valid:   componenttest.Configs{"text": {"input": cty.StringVal("x")}},
		Invalid: componenttest.Configs{"none": {}},
		Instant: []string{"text"},
	})
}

func TestKeepsMarks(t *testing.T) {
	in := cty.StringVal("x").Mark("sensitive")
	v, diags := New().Read(t.Context(), New().Schema().Object(map[string]cty.Value{"input": in}))
	if diags.HasErrors() || !v.GetAttr("output").RawEquals(in) {
		t.Errorf("got %#v, %v", v, diags.Err())
	}
}
