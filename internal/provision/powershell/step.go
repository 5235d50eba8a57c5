package powershell

import (
	"context"
	"fmt"

	"ingot/internal/component"
	"ingot/internal/shellenv"
	"ingot/internal/winguest"
)

type step struct{ config }

var _ component.InputReader = (*step)(nil)

// Apply runs the scripts in order and stops at the first that fails.
func (s *step) Apply(ctx context.Context, t component.Target) error {
	m := s.Machine(t)
	if err := m.Usable("powershell"); err != nil {
		return err
	}
	env := s.Assemble(shellenv.Supplied(t.Template, t.HTTPAddr))
	if len(s.Inline) > 0 {
		at := s.remote("")
		if err := s.run(ctx, m, "inline", at, winguest.FromPowerShell(s.inlineScript(at)), env); err != nil {
			return err
		}
	}
	for _, local := range s.Files() {
		if err := s.run(ctx, m, local, s.remote(local), winguest.FromFile(local), env); err != nil {
			return err
		}
	}
	if s.PauseAfter > 0 {
		t.Say(fmt.Sprintf("Pausing %s after this provisioner...", s.PauseAfter))
		return t.Clock.Sleep(ctx, s.PauseAfter)
	}
	return nil
}

func (s *step) run(ctx context.Context, m winguest.Machine, label string, at remote, body winguest.Source, env shellenv.Env) error {
	line, err := s.commandLine(m.Template, at)
	if err != nil {
		return fmt.Errorf("powershell: %w", err)
	}
	m.Say("Provisioning with PowerShell script: " + label)
	err = m.Do(ctx, winguest.Job{
		Label: label,
		Files: []winguest.File{
			{Path: at.vars, Source: winguest.FromPowerShell(s.variables(env))},
			{Path: at.script, Source: body},
		},
		Line:           line,
		As:             s.account(),
		ValidExitCodes: s.ValidExitCodes,
		Keep:           s.SkipClean,
		Removal:        winguest.RemoveWithPowerShell,
	})
	if err != nil {
		return fmt.Errorf("powershell: script %s: %w", label, err)
	}
	return nil
}

// Inputs are the scripts.
func (s *step) Inputs() component.Inputs {
	if len(s.Inline) > 0 {
		return component.Inputs{}
	}
	return component.Inputs{Files: s.Files()}
}
