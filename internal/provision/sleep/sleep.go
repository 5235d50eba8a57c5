// Package sleep is the sleep provisioner: it waits.
package sleep

import (
	"context"
	"fmt"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

type provisioner struct{}

// New returns the sleep provisioner.
func New() component.Provisioner { return provisioner{} }

func (provisioner) Schema() component.Schema {
	duration := component.DurationAttr("duration", "", "How long to wait.")
	duration.Required = true
	return component.Schema{
		Description: "Waits for some time.",
		Attributes:  []component.Attribute{duration},
		Manual: &component.Manual{
			Example: `provisioner "sleep" {
  duration = "10s"
}
`,
		},
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	var s step
	if err := component.Decode(cfg, &s); err != nil {
		return nil, diag.At("duration", "Invalid duration", "%s.", err)
	}
	switch {
	case cfg.IsKnown() && !component.IsSet(cfg, "duration"):
		return nil, diag.At("duration", "Missing duration", "Set duration to how long to wait, such as \"10s\".")
	case s.Duration < 0:
		return nil, diag.At("duration", "Negative duration", "duration must not be negative, got %s.", s.Duration)
	}
	return s, nil
}

type step struct {
	Duration time.Duration `cty:"duration"`
}

func (s step) Apply(ctx context.Context, t component.Target) error {
	t.Say(fmt.Sprintf("Sleeping for %s...", s.Duration))
	return t.Clock.Sleep(ctx, s.Duration)
}

// Inputs has none: waiting leaves nothing behind.
func (step) Inputs() component.Inputs { return component.Inputs{Neutral: true} }
