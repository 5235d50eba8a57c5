// Package breakpoint is the breakpoint provisioner: it stops a build until
// somebody at the terminal lets it go on.
package breakpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

type provisioner struct{}

// New returns the breakpoint provisioner.
func New() component.Provisioner { return provisioner{} }

func (provisioner) Schema() component.Schema {
	return component.Schema{
		Description: "Stops the build until Enter is pressed, so that the machine can be looked at.",
		Attributes: []component.Attribute{
			component.String("note", "Text to show while the build is stopped."),
			component.Bool("disable", "Go on without stopping."),
		},
		Manual: &component.Manual{
			Example: `provisioner "breakpoint" {
  note = "look at /etc/app.conf"
}
`,
		},
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	var s step
	if err := component.Decode(cfg, &s); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	return s, nil
}

type step struct {
	Note    string `cty:"note"`
	Disable bool   `cty:"disable"`
}

// Inputs says that somebody may have changed the machine at a breakpoint.
func (s step) Inputs() component.Inputs {
	if s.Disable {
		return component.Inputs{Neutral: true}
	}
	return component.Inputs{Volatile: "a person may change the machine there"}
}

func (s step) Apply(ctx context.Context, t component.Target) error {
	name := "Breakpoint provisioner"
	if s.Note != "" {
		name += fmt.Sprintf(" with note %q", s.Note)
	}
	if s.Disable {
		t.Say(name + " disabled; continuing...")
		return nil
	}
	if !t.Prompt.Interactive() {
		return errors.New("breakpoint: there is no terminal where somebody could press Enter; set disable = true to run without stopping")
	}
	t.Say("Pausing at " + name + ".")
	if _, err := t.Prompt.Ask(ctx, "Press enter to continue."); err != nil {
		return fmt.Errorf("breakpoint: %w", err)
	}
	return nil
}
