//go:build unix

package localscript

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/gotmpl"
	"ingot/internal/procid"
	"ingot/internal/shellenv"
)

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func plan(t *testing.T, values map[string]cty.Value) *Scripts {
	t.Helper()
	s, diags := Plan(component.Schema{Attributes: Attributes()}.Object(values))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return s
}

func TestPlanRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]cty.Value
		want   string
	}{
		"nothing":     {nil, "No script"},
		"empty lists": {map[string]cty.Value{"inline": cty.ListValEmpty(cty.String)}, "No script"},
		"two":         {map[string]cty.Value{"inline": strs("true"), "command": cty.StringVal("true")}, "More than one script source"},
		"not there":   {map[string]cty.Value{"script": cty.StringVal("/nowhere/x.sh")}, "Script not found"},
		"folder":      {map[string]cty.Value{"scripts": strs("/")}, "Script is a folder"},
		"system":      {map[string]cty.Value{"inline": strs("true"), "only_on": strs("plan9")}, "Unknown operating system"},
		"pathing":     {map[string]cty.Value{"inline": strs("true"), "use_linux_pathing": cty.True}, "Conflicting settings"},
		"template":    {map[string]cty.Value{"inline": strs("true"), "execute_command": strs("{{")}, "Invalid template text"},
		"variables":   {map[string]cty.Value{"inline": strs("true"), "environment_vars": strs("x")}, "Not an environment variable"},
	} {
		t.Run(name, func(t *testing.T) {
			s, diags := Plan(component.Schema{Attributes: Attributes()}.Object(c.values))
			if s != nil || !diags.HasErrors() || diags[0].Summary != c.want {
				t.Errorf("got %v, %v", s, diags.Err())
			}
		})
	}
}

func TestInline(t *testing.T) {
	r, journal, events := componenttest.NewRun(t)
	s := plan(t, map[string]cty.Value{
		"inline":           strs("echo \"$0\" | sed 's,.*/script-.*,ours,'", "echo $X $PACKER_BUILD_NAME $PACKER_RUN_UUID", "echo err >&2", "cat", "test -n \"$INGOT_TOKEN\"", "printf 'no end'"),
		"environment_vars": strs("X=it's  it"),
	})
	if err := s.Run(t.Context(), r, ""); err != nil {
		t.Fatal(err)
	}
	want := []string{"ours", "it's it test " + r.ID, "no end"}
	if diff := cmp.Diff(want, events.Lines(component.Stdout)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"err"}, events.Lines(component.Stderr)); diff != "" {
		t.Error(diff)
	}
	if left, _ := os.ReadDir(r.WorkDir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if len(journal.Kept()) != 1 || len(journal.Open()) != 0 {
		t.Errorf("kept %v, open %v", journal.Kept(), journal.Open())
	}
	res := journal.Kept()[0]
	if res.Kind != procid.Kind || res.ID == "" {
		t.Errorf("the resource is %+v", res)
	}
	if runtime.GOOS == "linux" && res.Attrs[procid.StartAttr] == "" {
		t.Error("the start time is missing")
	}
}

// TestShebang: sh -e is the default, and what the user says replaces it.
func TestShebang(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	if err := plan(t, map[string]cty.Value{"inline": strs("false", "echo not reached")}).Run(t.Context(), r, ""); err == nil {
		t.Error("sh -e has not stopped at false")
	}
	s := plan(t, map[string]cty.Value{"inline": strs("false", "echo reached"), "inline_shebang": cty.StringVal("/bin/sh")})
	if err := s.Run(t.Context(), r, ""); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"reached"}, events.Lines(component.Stdout)); diff != "" {
		t.Error(diff)
	}
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with space")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	one, two := "one.sh", filepath.Join(dir, "two")
	if err := os.WriteFile(one, []byte("#!/bin/sh\necho one $A\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Without a shebang the shell runs it.
	if err := os.WriteFile(two, []byte("echo two $A\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, _, events := componenttest.NewRun(t)
	s := plan(t, map[string]cty.Value{"scripts": strs(one, two), "env": cty.MapVal(map[string]cty.Value{"A": cty.StringVal("a")})})
	if err := s.Run(t.Context(), r, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one a", "two a"}, events.Lines(component.Stdout)); diff != "" {
		t.Error(diff)
	}
	if err := os.Chmod(two, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), r, ""); err == nil || !strings.Contains(err.Error(), "not executable") {
		t.Errorf("got %v, want a hint at the mode", err)
	}
}

func TestExitCodes(t *testing.T) {
	r, journal, _ := componenttest.NewRun(t)
	allowed := cty.ListVal([]cty.Value{cty.NumberIntVal(0), cty.NumberIntVal(3)})
	for line, want := range map[string]string{
		"exit 3":        "",
		"exit 0":        "",
		"exit 4":        "non-zero exit status: 4. Allowed exit codes are: [0 3]",
		"kill -KILL $$": "signal KILL. Allowed exit codes are: [0 3]",
	} {
		err := plan(t, map[string]cty.Value{"inline": strs(line), "valid_exit_codes": allowed}).Run(t.Context(), r, "")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
	if len(journal.Kept()) != 2 || len(journal.Released()) != 2 {
		t.Errorf("kept %d, released %d", len(journal.Kept()), len(journal.Released()))
	}
}

func TestCommandLine(t *testing.T) {
	env := shellenv.Env{{Name: "A", Value: "it's"}}
	vars := gotmpl.Vars{Build: map[string]string{"ID": "i-1"}}
	for name, c := range map[string]struct {
		s             Scripts
		path, shebang string
		argv, env     []string
	}{
		"default":               {Scripts{}, "x.sh", "", []string{"/bin/sh", "-c", `exec "$0"`, "./x.sh"}, []string{"A=it's"}},
		"ours":                  {Scripts{}, "/w/s", "/bin/bash -eux", []string{"/bin/bash", "-eux", "/w/s"}, []string{"A=it's"}},
		"odd shebang":           {Scripts{}, "/w/s", "bash", []string{"/bin/sh", "-c", `exec "$0"`, "/w/s"}, []string{"A=it's"}},
		"format alone":          {Scripts{Settings: shellenv.Settings{Format: "%s=%s;"}}, "/s", "", []string{"/bin/sh", "-c", `A=it'"'"'s; /s`}, nil},
		"own":                   {Scripts{ExecuteCommand: []string{"env", "{{.Vars}}", "{{.Command}}", "{{build `ID`}}", "{{.ID}}"}}, "/s", "", []string{"env", `A='it'"'"'s' `, "/s", "i-1", "i-1"}, nil},
		"single":                {Scripts{ExecuteCommand: []string{"sudo {{.Script}}"}, WrapSingle: true}, "/s", "", []string{"sh", "-c", "sudo /s"}, nil},
		"single as provisioner": {Scripts{ExecuteCommand: []string{"{{.Script}}"}}, "/s", "", []string{"/s"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			argv, got, err := c.s.commandLine(vars, env, c.path, c.shebang)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.argv, argv); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.env, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOnlyOn(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	other := "windows"
	if runtime.GOOS == other {
		other = "linux"
	}
	if err := plan(t, map[string]cty.Value{"inline": strs("exit 1"), "only_on": strs(other)}).Run(t.Context(), r, ""); err != nil {
		t.Error(err)
	}
	if !strings.Contains(events.Said(), "Skipping") {
		t.Errorf("said %q", events.Said())
	}
	if err := plan(t, map[string]cty.Value{"inline": strs("exit 1"), "only_on": strs(other, runtime.GOOS)}).Run(t.Context(), r, ""); err == nil {
		t.Error("it was skipped here too")
	}
}

func TestLinuxPath(t *testing.T) {
	for in, want := range map[string]string{`C:\a b\c.sh`: "/mnt/c/a b/c.sh", "/home/x": "/home/x", `d:x`: "/mnt/dx"} {
		if got := linuxPath(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// TestW12CancelEndsGrandchildren: a cancelled script and all that it started in
// its group are gone when Run returns, also when they ignore the polite signal.
func TestW12CancelEndsGrandchildren(t *testing.T) {
	for name, line := range map[string]string{
		"polite": "sleep 600 & sleep 600",
		"deaf":   "trap '' TERM; sh -c \"trap '' TERM; while :; do sleep 0.05; done\" & echo ready; while :; do sleep 0.05; done",
	} {
		t.Run(name, func(t *testing.T) {
			r, journal, _ := componenttest.NewRun(t)
			pids := filepath.Join(t.TempDir(), "held")
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("enough")
			r.Events = component.SinkFunc(func(e component.Event) {
				if o, ok := e.(component.Output); ok && o.Line == "ready" {
					cancel(cause)
				}
			})
			// Whoever holds the lock is alive.
			s := plan(t, map[string]cty.Value{"inline": strs("exec 9>"+pids, "flock 9", "echo ready", line)})
			s.grace = 50 * time.Millisecond
			if err := s.Run(ctx, r, ""); !errors.Is(err, cause) {
				t.Errorf("got %v, want the cause", err)
			}
			if len(journal.Released()) != 1 {
				t.Errorf("released %v", journal.Released())
			}
			// SIGKILL is delivered before kill returns, but a process
			// that is dying may hold its files for a moment.
			waitUnlocked(t, pids)
		})
	}
}

// TestBackground: what a successful script leaves in the background with its
// output elsewhere goes on, and nobody waits for it.
func TestBackground(t *testing.T) {
	r, journal, events := componenttest.NewRun(t)
	held := filepath.Join(t.TempDir(), "held")
	s := plan(t, map[string]cty.Value{"inline": strs("exec 9>"+held, "flock 9", "sleep 600 >/dev/null 2>&1 </dev/null & echo $!")})
	if err := s.Run(t.Context(), r, ""); err != nil {
		t.Fatal(err)
	}
	pid := events.Lines(component.Stdout)[0]
	if !locked(t, held) {
		t.Error("the background process has ended")
	}
	if len(journal.Kept()) != 1 {
		t.Errorf("kept %v", journal.Kept())
	}
	if err := plan(t, map[string]cty.Value{"inline": strs("kill " + pid)}).Run(t.Context(), r, ""); err != nil {
		t.Fatal(err)
	}
	waitUnlocked(t, held)
}

// TestOutputHeld: a background process that holds the output is waited for,
// with a note, and a cancel ends the wait.
func TestOutputHeld(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	r.Events = component.SinkFunc(func(e component.Event) {
		if _, ok := e.(component.Waiting); ok {
			cancel(cause)
		}
	})
	err := plan(t, map[string]cty.Value{"inline": strs("sleep 600 & exit 0")}).Run(ctx, r, "")
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
}

// TestManyAtOnce: files that are executed are never busy, although others
// start processes at the same time.
func TestManyAtOnce(t *testing.T) {
	var all sync.WaitGroup
	s := plan(t, map[string]cty.Value{"inline": strs("true"), "execute_command": strs("{{.Script}}")})
	for range 8 {
		r, _, _ := componenttest.NewRun(t)
		all.Go(func() {
			for range 10 {
				if err := s.Run(t.Context(), r, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkInline(b *testing.B) {
	r, _, _ := componenttest.NewRun(b)
	s, _ := Plan(component.Schema{Attributes: Attributes()}.Object(map[string]cty.Value{"inline": strs("true")}))
	for b.Loop() {
		if err := s.Run(b.Context(), r, ""); err != nil {
			b.Fatal(err)
		}
	}
}
