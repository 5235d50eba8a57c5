package sleep

import (
	"context"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestContract(t *testing.T) {
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New:     New,
		Valid:   componenttest.Configs{"short": {"duration": cty.StringVal("1ms")}},
		Invalid: componenttest.Configs{"none": {}, "negative": {"duration": cty.StringVal("-1s")}, "no unit": {"duration": cty.StringVal("5")}},
		Target:  func(_ testing.TB, r component.Run) component.Target { return component.Target{Run: r} },
	})
}

// noted is a clock that notes what it was asked for.
type noted struct {
	component.SystemClock
	slept time.Duration
}

func (n *noted) Sleep(_ context.Context, d time.Duration) error {
	n.slept += d
	return nil
}

func TestDuration(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	clock := new(noted)
	r.Clock = clock
	s, diags := New().Plan(t.Context(), New().Schema().Object(map[string]cty.Value{"duration": cty.StringVal("1h30m")}))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if err := s.Apply(t.Context(), component.Target{Run: r}); err != nil || clock.slept != 90*time.Minute {
		t.Errorf("slept %s, %v", clock.slept, err)
	}
}
