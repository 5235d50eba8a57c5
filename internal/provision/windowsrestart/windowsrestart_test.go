package windowsrestart

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/wincomm"
	"ingot/internal/winguest"
)

// windows is a machine that restarts: it goes down, stays away for some
// questions, and then has another time of its last start.
type windows struct {
	wincomm.Machine
	now     time.Time
	slept   int
	started time.Time
	// away is how many questions get no answer after a restart.
	away, gone int
	// deaf: the restart command has no effect.
	deaf bool
	// restart is the result of the restart command.
	restart component.Exit
	lost    error
	// answer, when set, answers everything but the restart command.
	answer func(c wincomm.Call) (component.Exit, error)
	// pending is how often the registry has a key.
	pending int
}

func newWindows() *windows {
	w := &windows{now: time.Unix(1_700_000_000, 0), away: 2}
	w.started = w.now.Add(-time.Hour)
	w.On = w.on
	return w
}

// Now and Sleep are the clock of the test.
func (w *windows) Now() time.Time { return w.now }

func (w *windows) Sleep(ctx context.Context, d time.Duration) error {
	w.slept++
	w.now = w.now.Add(d)
	return context.Cause(ctx)
}

func (w *windows) on(_ context.Context, c wincomm.Call) (component.Exit, error) {
	if c.Line == winguest.RestartCommand || c.Line == "reboot" {
		if !w.deaf {
			w.gone = w.away
			w.started = w.now.Add(20 * time.Second)
			w.now = w.now.Add(30 * time.Second)
		}
		return w.restart, w.lost
	}
	if w.gone > 0 {
		w.gone--
		return component.Exit{}, component.ErrDisconnected
	}
	if w.answer != nil {
		if exit, err := w.answer(c); err != nil || exit.Code != 0 {
			return exit, err
		}
	}
	switch {
	case strings.Contains(c.Script, "ingot-boot"):
		fmt.Fprintf(c.Stdout, "ingot-boot %d %d\r\n", w.started.UnixNano()/100+621355968000000000, w.now.Sub(w.started).Milliseconds())
	case strings.Contains(c.Script, "Test-Path") && w.pending > 0:
		w.pending--
		fmt.Fprint(c.Stdout, "HKLM:SOFTWARE\\a\r\nHKLM:b\r\n")
	}
	return component.Exit{}, nil
}

func apply(ctx context.Context, t *testing.T, w *windows, values map[string]cty.Value) error {
	t.Helper()
	step, diags := New().Plan(t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	run, _, _ := componenttest.NewRun(t)
	run.Clock = w
	return step.Apply(ctx, component.Target{Run: run, Comm: w})
}

func TestContract(t *testing.T) {
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"defaults": {},
			"all": {
				"restart_command": cty.StringVal("reboot"), "restart_check_command": cty.StringVal("ver"), "restart_timeout": cty.StringVal("1h"),
				"check_registry": cty.True, "registry_keys": cty.ListVal([]cty.Value{cty.StringVal("HKLM:SOFTWARE\\a")}),
			},
		},
		Invalid: componenttest.Configs{"negative": {"restart_timeout": cty.StringVal("-1s")}},
		Target: func(_ testing.TB, r component.Run) component.Target {
			w := newWindows()
			r.Clock = w
			return component.Target{Run: r, Comm: w}
		},
	})
}

func TestRestart(t *testing.T) {
	timeout := map[string]cty.Value{"restart_timeout": cty.StringVal("2m")}
	for name, c := range map[string]struct {
		machine func(w *windows)
		values  map[string]cty.Value
		fails   string
	}{
		"restarts":           {},
		"loses the command":  {machine: func(w *windows) { w.lost = component.ErrDisconnected }},
		"already going down": {machine: func(w *windows) { w.restart.Code = 1115 }},
		"already scheduled":  {machine: func(w *windows) { w.restart.Code = 1190 }},
		"is quick":           {machine: func(w *windows) { w.away = 0 }},
		"refuses":            {machine: func(w *windows) { w.deaf, w.restart.Code = true, 5 }, fails: `/c "restart by ingot", ended with exit code 5`},
		"does not go down":   {machine: func(w *windows) { w.deaf = true }, values: timeout, fails: "waited 2m0s (restart_timeout) for the restart of the machine; the last thing seen was: the machine answers, and has been running since 2023-11-14T21:13:20Z"},
		"does not come back": {machine: func(w *windows) { w.away = 1e6 }, values: timeout, fails: "the last thing seen was: read the time of the last start: connection lost"},
		"has work left":      {machine: func(w *windows) { w.pending = 3 }, values: map[string]cty.Value{"check_registry": cty.True}},
		"has work without end": {machine: func(w *windows) { w.pending = 1e6 }, values: map[string]cty.Value{"check_registry": cty.True},
			fails: `waited 5m0s (restart_timeout) for the end of the work that the registry tells of; the last thing seen was: the registry still has HKLM:SOFTWARE\a, HKLM:b`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWindows()
			if c.machine != nil {
				c.machine(w)
			}
			err := apply(t.Context(), t, w, c.values)
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("got %v, want %q", err, c.fails)
			}
		})
	}
}

// TestW7NoSpinOnUnexpectedExitCodes: there is a pause after every answer that
// does not help, and an end.
func TestW7NoSpinOnUnexpectedExitCodes(t *testing.T) {
	w := newWindows()
	asked := 0
	w.answer = func(c wincomm.Call) (component.Exit, error) {
		if c.N == 1 {
			return component.Exit{}, nil
		}
		asked++
		return component.Exit{Code: 42}, nil
	}
	err := apply(t.Context(), t, w, nil)
	if err == nil || !strings.Contains(err.Error(), "exit code 42") || !strings.Contains(err.Error(), "waited 5m0s") {
		t.Errorf("got %v", err)
	}
	if asked < 10 || asked > 5*60 || w.slept < asked {
		t.Errorf("the machine was asked %d times with %d pauses", asked, w.slept)
	}
}

// TestW7Cancel: a cancel ends the wait at once.
func TestW7Cancel(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	w := newWindows()
	asked := 0
	w.answer = func(c wincomm.Call) (component.Exit, error) {
		if c.N > 1 {
			asked++
			cancel(stop)
			return component.Exit{}, component.ErrDisconnected
		}
		return component.Exit{}, nil
	}
	if err := apply(ctx, t, w, nil); !errors.Is(err, stop) {
		t.Errorf("got %v, want the cause", err)
	}
	if asked != 1 {
		t.Errorf("the machine was asked %d times after the cancel", asked-1)
	}
}

// TestCheckCommand: it decides when the machine is ready.
func TestCheckCommand(t *testing.T) {
	w := newWindows()
	checks := 0
	w.answer = func(c wincomm.Call) (component.Exit, error) {
		if c.Line == "check" {
			checks++
			if checks < 4 {
				return component.Exit{Code: checks}, nil
			}
		}
		return component.Exit{}, nil
	}
	if err := apply(t.Context(), t, w, map[string]cty.Value{"restart_check_command": cty.StringVal("check")}); err != nil {
		t.Fatal(err)
	}
	if checks != 4 {
		t.Errorf("%d checks, want 4", checks)
	}
}

// TestNoPowerShell: waiting would not help.
func TestNoPowerShell(t *testing.T) {
	w := newWindows()
	asked := 0
	w.answer = func(wincomm.Call) (component.Exit, error) { asked++; return component.Exit{Code: 9009}, nil }
	err := apply(t.Context(), t, w, nil)
	if err == nil || !strings.Contains(err.Error(), "read the time of the last start: exit code 9009") || asked != 3 {
		t.Errorf("got %v after %d attempts", err, asked)
	}
}

func TestRegistryScript(t *testing.T) {
	want := "foreach ($key in @('HKLM:a''b', 'HKLM:c')) { if (Test-Path -LiteralPath $key) { Write-Output $key } }\n"
	if got := registryScript([]string{"HKLM:a'b", "HKLM:c"}); got != want {
		t.Errorf("got %s", got)
	}
}
