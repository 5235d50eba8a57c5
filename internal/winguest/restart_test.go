package winguest

import (
	"context"
	"errors"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/wincomm"
)

// A machine that takes the command and never says anything may be restarting:
// whether it is, is seen later.
func TestRestartCommandWithoutAnAnswer(t *testing.T) {
	run, _, _ := componenttest.NewRun(t)
	for name, c := range map[string]struct {
		exit  component.Exit
		err   error
		fails bool
	}{
		"no answer":       {err: errNoAnswer},
		"connection lost": {err: component.ErrDisconnected},
		"refused":         {exit: component.Exit{Code: 5}, fails: true},
		"cancelled":       {err: context.Canceled, fails: true},
	} {
		m := Machine{Target: component.Target{Run: run, Comm: &wincomm.Machine{On: func(context.Context, wincomm.Call) (component.Exit, error) {
			return c.exit, c.err
		}}}}
		if err := m.ask(t.Context(), RestartCommand, time.Minute); (err != nil) != c.fails || c.err != nil && err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
