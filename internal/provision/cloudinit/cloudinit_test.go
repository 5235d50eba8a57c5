package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/comm/fake"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

// guest makes a machine whose cloud-init gives one answer after the other, the
// last one for ever.
func guest(t testing.TB, answers ...fake.Program) *fake.Machine {
	t.Helper()
	m := fake.NewMachine()
	var mu sync.Mutex
	m.Program("cloud-init", func(ctx context.Context, p *fake.Process) int {
		mu.Lock()
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		mu.Unlock()
		return answer(ctx, p)
	})
	for _, real := range []string{"grep", "tail"} {
		m.Program(real, func(ctx context.Context, p *fake.Process) int {
			cmd := exec.CommandContext(ctx, real, p.Args[1:]...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
			if cmd.Run() != nil {
				return 1
			}
			return 0
		})
	}
	return m
}

func says(code int, text string) fake.Program {
	return func(_ context.Context, p *fake.Process) int {
		fmt.Fprintln(p.Stdout, text)
		return code
	}
}

// old refuses what cloud-init did not know before version 22.
func old(code int, text string) fake.Program {
	return func(_ context.Context, p *fake.Process) int {
		if slices.Contains(p.Args, "--format") {
			fmt.Fprintln(p.Stderr, "usage: cloud-init [-h]\ncloud-init: error: unrecognized arguments: --format json")
			return 2
		}
		fmt.Fprint(p.Stdout, text)
		return code
	}
}

func hangs(ctx context.Context, _ *fake.Process) int {
	<-ctx.Done()
	return 1
}

func plan(t testing.TB, values map[string]cty.Value) component.Step {
	t.Helper()
	s, diags := New().Plan(t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return s
}

func TestContract(t *testing.T) {
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New:     New,
		Valid:   componenttest.Configs{"all": {"wait_timeout": cty.StringVal("1m"), "required": cty.True, "fail_on_degraded": cty.True}, "nothing": {}},
		Invalid: componenttest.Configs{"negative": {"wait_timeout": cty.StringVal("-1s")}},
		Target: func(t testing.TB, r component.Run) component.Target {
			return component.Target{Run: r, Comm: guest(t, says(0, `{"status": "done"}`)).Connect(fake.Options{})}
		},
	})
}

const degraded = `{
  "boot_status_code": "enabled-by-generator",
  "datasource": "nocloud",
  "detail": "DataSourceNoCloud [seed=/dev/sr0]",
  "errors": [],
  "extended_status": "degraded done",
  "recoverable_errors": {"WARNING": ["Failed to\n set the locale"], "DEPRECATED": ["key x"]},
  "status": "done"
}`

// TestStatus: what cloud-init says decides, and its exit code does not, since
// versions and distributions differ in that.
func TestStatus(t *testing.T) {
	yes := map[string]cty.Value{"required": cty.True, "fail_on_degraded": cty.True}
	for name, c := range map[string]struct {
		answers []fake.Program
		values  map[string]cty.Value
		want    string // part of the error
		said    string
	}{
		"done":            {[]fake.Program{says(0, `{"status": "done", "datasource": "nocloud"}`)}, yes, "", "cloud-init has set the machine up with the data source nocloud"},
		"done with noise": {[]fake.Program{says(0, "{}\nWARNING: {old} option\n{\"status\": \"done\"}\nbye")}, yes, "", "has set the machine up;"},
		"error":           {[]fake.Program{says(1, `{"status": "error", "errors": ["('scripts_user', ProcessExecutionError())", "b"]}`)}, nil, "it ended with errors: ('scripts_user', ProcessExecutionError()); b", ""},
		"error, code 0":   {[]fake.Program{says(0, `{"status": "error", "detail": "no disk"}`)}, nil, `it ended with errors: status "error" (no disk)`, ""},
		"degraded":        {[]fake.Program{says(2, degraded)}, nil, "", "warning: cloud-init has ended, but reports problems: DEPRECATED: key x; WARNING: Failed to set the locale"},
		"degraded fails":  {[]fake.Program{says(0, degraded)}, yes, "fail_on_degraded = true): DEPRECATED: key x; WARNING: Failed to set the locale", ""},
		"disabled":        {[]fake.Program{says(0, `{"status": "disabled", "detail": "no data source"}`)}, nil, "", "cloud-init is disabled on this machine (no data source). Nothing to wait for."},
		"disabled fails":  {[]fake.Program{says(0, `{"status": "disabled"}`)}, yes, "cloud-init is disabled on the machine (required = true)", ""},
		"unknown status":  {[]fake.Program{says(0, `{"status": "odd"}`)}, nil, `it reports the status "odd"`, ""},
		"early answer":    {[]fake.Program{says(0, `{"status": "not run"}`), says(0, `{"status": "done"}`)}, nil, "", "has set the machine up"},
		"broken":          {[]fake.Program{says(1, "Traceback\nValueError: no JSON")}, nil, "cloud-init status ended with exit code 1: ValueError: no JSON", ""},
		"broken once":     {[]fake.Program{says(1, "ValueError: no JSON"), says(0, `{"status": "done"}`)}, nil, "", "has set the machine up"},
		"old":             {[]fake.Program{old(2, ""), old(0, "\n....\nstatus: done\ntime: Thu\ndetail:\nDataSourceNone\n")}, nil, "", "has set the machine up"},
		"old, dots":       {[]fake.Program{old(2, ""), old(0, "....status: done\n")}, nil, "", "has set the machine up"},
		"old error":       {[]fake.Program{old(2, ""), old(1, "\nstatus: error\ndetail:\n('x', y)\nz\n")}, nil, "it ended with errors: ('x', y) z", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, events := componenttest.NewRun(t)
			r.Clock = hasty{}
			m := guest(t, c.answers...)
			before := m.Files()
			err := plan(t, c.values).Apply(t.Context(), component.Target{Run: r, Comm: m.Connect(fake.Options{})})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if !strings.Contains(events.Said(), c.said) {
				t.Errorf("said %q, want %q", events.Said(), c.said)
			}
			if diff := cmp.Diff(before, m.Files()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// hasty does not sleep between attempts, and never comes to report progress.
type hasty struct{ component.SystemClock }

func (hasty) Sleep(ctx context.Context, d time.Duration) error {
	if d == progressInterval {
		<-ctx.Done()
	}
	return context.Cause(ctx)
}

func TestAbsent(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	target := component.Target{Run: r, Comm: fake.NewMachine().Connect(fake.Options{})}
	if err := plan(t, nil).Apply(t.Context(), target); err != nil {
		t.Error(err)
	}
	if !strings.Contains(events.Said(), "This machine has no cloud-init. Nothing to wait for.") {
		t.Errorf("said %q", events.Said())
	}
	err := plan(t, map[string]cty.Value{"required": cty.True}).Apply(t.Context(), target)
	if err == nil || !strings.Contains(err.Error(), "the machine has no cloud-init (required = true)") {
		t.Errorf("got %v", err)
	}
}

func TestNoMachine(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	err := plan(t, nil).Apply(t.Context(), component.Target{Run: r, Comm: fake.NewMachine().Connect(fake.Options{NoRun: true})})
	if !errors.Is(err, component.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// TestLogs: what failed is shown with the lines of the logs that tell of it.
func TestLogs(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	m := guest(t, says(1, `{"status": "error", "errors": ["x"]}`))
	log := strings.Repeat("2026-01-01 - util.py[DEBUG]: fine\n", 50) + "2026-01-01 - cc_runcmd.py[ERROR]: bad\nTraceback (most recent call last):\n  File x\nRuntimeError: it broke\n"
	for name, text := range map[string]string{"cloud-init.log": log, "cloud-init-output.log": strings.Repeat("before\n", 30) + "apt: no network\n"} {
		if err := m.WriteFile("/var/log/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := plan(t, nil).Apply(t.Context(), component.Target{Run: r, Comm: m.Connect(fake.Options{})}); err == nil {
		t.Error("no error")
	}
	lines := events.Lines(component.Stderr)
	want := append([]string{"2026-01-01 - cc_runcmd.py[ERROR]: bad", "Traceback (most recent call last):", "RuntimeError: it broke"}, slices.Repeat([]string{"before"}, 19)...)
	if diff := cmp.Diff(append(want, "apt: no network"), lines); diff != "" {
		t.Error(diff)
	}
}

// TestTimeout: the error says how long was waited, for what, and where
// cloud-init is.
func TestTimeout(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	m := guest(t, hangs)
	if err := m.WriteFile(statusFile, []byte(`{"v1": {"stage": "modules-config", "init": {}}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	err := plan(t, map[string]cty.Value{"wait_timeout": cty.StringVal("50ms")}).Apply(t.Context(), component.Target{Run: r, Comm: m.Connect(fake.Options{})})
	if err == nil || err.Error() != "cloud-init: waited 50ms (wait_timeout) for the end of cloud-init, which is in the stage modules-config" {
		t.Errorf("got %v", err)
	}
}

func TestCancel(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	m := guest(t, func(ctx context.Context, p *fake.Process) int {
		cancel(cause)
		return hangs(ctx, p)
	})
	err := plan(t, nil).Apply(ctx, component.Target{Run: r, Comm: m.Connect(fake.Options{})})
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
}

// TestRestart: cloud-init may restart the machine; what counts is what it says
// when the machine is back.
func TestRestart(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	r.Clock = hasty{}
	lost := 2
	c := guest(t, says(0, `{"status": "done"}`)).Connect(fake.Options{Before: func(context.Context, fake.Op) error {
		if lost--; lost >= 0 {
			return fmt.Errorf("run: %w", component.ErrDisconnected)
		}
		return nil
	}})
	if err := plan(t, nil).Apply(t.Context(), component.Target{Run: r, Comm: c}); err != nil {
		t.Error(err)
	}
	var waited []string
	for _, e := range events.All() {
		if w, ok := e.(component.Waiting); ok {
			waited = append(waited, w.Detail)
		}
	}
	if diff := cmp.Diff(slices.Repeat([]string{"run: connection lost"}, 2), waited); diff != "" {
		t.Error(diff)
	}
}

// paced is a clock on which the time between two reports passes at once.
type paced struct{ component.SystemClock }

func (paced) Sleep(ctx context.Context, _ time.Duration) error {
	return component.SystemClock{}.Sleep(ctx, time.Millisecond)
}

// TestProgress: while it waits, the step says in which stage cloud-init is.
func TestProgress(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	r.Clock = paced{}
	seen := make(chan struct{})
	var once sync.Once
	r.Events = component.SinkFunc(func(e component.Event) {
		if w, ok := e.(component.Waiting); ok && w.Detail == "stage init-network" {
			once.Do(func() { close(seen) })
		}
	})
	m := guest(t, func(ctx context.Context, p *fake.Process) int {
		select {
		case <-seen:
		case <-ctx.Done():
		}
		return says(0, `{"status": "done"}`)(ctx, p)
	})
	if err := m.WriteFile(statusFile, []byte(`{"v1": {"stage": "init-network"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := plan(t, nil).Apply(t.Context(), component.Target{Run: r, Comm: m.Connect(fake.Options{})}); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(degraded))
	f.Add([]byte("..\nstatus: done\ndetail:\nx"))
	f.Add([]byte("{\n{}\n{\"status\":1}"))
	f.Fuzz(func(t *testing.T, out []byte) {
		for _, parse := range []func([]byte) (status, bool){parseJSON, parseLong} {
			if s, ok := parse(out); ok != (s.Status != "") {
				t.Errorf("status %q is reported as %v", s.Status, ok)
			}
		}
	})
}
