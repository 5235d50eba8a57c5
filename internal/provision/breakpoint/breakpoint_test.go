package breakpoint

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

// person answers at once.
type person struct{ asked []string }

func (p *person) Interactive() bool { return true }

func (p *person) Ask(ctx context.Context, question string) (string, error) {
	p.asked = append(p.asked, question)
	return "", context.Cause(ctx)
}

func TestContract(t *testing.T) {
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"note":     {"note": cty.StringVal("look")},
			"disabled": {"disable": cty.True},
		},
		Instant: []string{"disabled"},
		Target: func(_ testing.TB, r component.Run) component.Target {
			r.Prompt = new(person)
			return component.Target{Run: r}
		},
	})
}

func TestAsks(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	p := new(person)
	r.Prompt = p
	if err := (step{Note: "look"}).Apply(t.Context(), component.Target{Run: r}); err != nil || len(p.asked) != 1 {
		t.Errorf("asked %v, %v", p.asked, err)
	}
	if !strings.Contains(events.Said(), `Pausing at Breakpoint provisioner with note "look"`) {
		t.Errorf("said %q", events.Said())
	}
	if err := (step{Note: "look", Disable: true}).Apply(t.Context(), component.Target{Run: r}); err != nil || len(p.asked) != 1 {
		t.Errorf("disabled: asked %v, %v", p.asked, err)
	}
	if !strings.Contains(events.Said(), `with note "look" disabled; continuing...`) {
		t.Errorf("said %q", events.Said())
	}
}

func TestNobodyThere(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	err := step{}.Apply(t.Context(), component.Target{Run: r})
	if err == nil || !strings.Contains(err.Error(), "disable = true") {
		t.Errorf("got %v", err)
	}
}

func TestPromptFails(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	r.Prompt = new(person)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := (step{}).Apply(ctx, component.Target{Run: r}); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
