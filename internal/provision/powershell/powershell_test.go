package powershell

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/wincomm"
)

var update = flag.Bool("update", false, "write the golden files")

// pauses is a clock that remembers what it was asked to wait.
type pauses struct {
	component.SystemClock
	waited []time.Duration
}

func (p *pauses) Sleep(ctx context.Context, d time.Duration) error {
	p.waited = append(p.waited, d)
	return context.Cause(ctx)
}

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func script(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "setup.ps1")
	if err := os.WriteFile(path, []byte("Write-Output hi\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func apply(t *testing.T, comm *wincomm.Machine, values map[string]cty.Value) (*pauses, error) {
	t.Helper()
	step, diags := New().Plan(t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	run, _, _ := componenttest.NewRun(t)
	clock := &pauses{}
	run.Clock = clock
	run.Template.Build = map[string]string{"ID": "i-1"}
	return clock, step.Apply(t.Context(), component.Target{Run: run, Comm: comm, HTTPAddr: "10.0.2.2:8000"})
}

func TestContract(t *testing.T) {
	path := script(t)
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"inline":   {"inline": strs("hostname"), "env": cty.MapVal(map[string]cty.Value{"A": cty.StringVal("b")})},
			"script":   {"script": cty.StringVal(path), "pause_after": cty.StringVal("1ms"), "use_pwsh": cty.True},
			"elevated": {"scripts": strs(path), "elevated_user": cty.StringVal("SYSTEM")},
		},
		Invalid: componenttest.Configs{
			"nothing":   {},
			"two":       {"inline": strs("x"), "script": cty.StringVal(path)},
			"not there": {"scripts": strs("/nowhere.ps1")},
			"variable":  {"inline": strs("x"), "environment_vars": strs("A")},
			"format":    {"inline": strs("x"), "elevated_user": cty.StringVal("u"), "elevated_env_var_format": cty.StringVal("%s")},
			"template":  {"inline": strs("x"), "elevated_user": cty.StringVal("u"), "elevated_execute_command": cty.StringVal("{{.Path")},
			"password":  {"inline": strs("x"), "elevated_password": cty.StringVal("p")},
			"trace":     {"inline": strs("x"), "debug_mode": cty.NumberIntVal(3)},
			"negative":  {"inline": strs("x"), "start_retry_timeout": cty.StringVal("-1s")},
		},
		Target: func(_ testing.TB, r component.Run) component.Target {
			return component.Target{Run: r, Comm: &wincomm.Machine{}}
		},
	})
}

// TestScripts compares what is put on the machine and run there with the
// files in testdata.
func TestScripts(t *testing.T) {
	path := script(t)
	places := map[string]cty.Value{
		"remote_path":         cty.StringVal("c:/x/"),
		"remote_env_var_path": cty.StringVal("c:/x/it's vars.ps1"),
		"env": cty.MapVal(map[string]cty.Value{
			"PLAIN": cty.StringVal("a b"), "HARD": cty.StringVal("$x `y` \"z\" it's %P% \u201cq\u201d\nline"),
		}),
	}
	for name, values := range map[string]map[string]cty.Value{
		"inline":       {"inline": strs("Write-Output $env:PLAIN # a comment", "exit 3"), "remote_path": cty.StringVal("c:/x/s.ps1")},
		"inline_debug": {"inline": strs("hostname"), "remote_path": cty.StringVal("c:/x/s.ps1"), "debug_mode": cty.NumberIntVal(2), "use_pwsh": cty.True},
		"script":       {"script": cty.StringVal(path), "execution_policy": cty.StringVal("remotesigned")},
		"script_debug": {"script": cty.StringVal(path), "use_pwsh": cty.True, "debug_mode": cty.NumberIntVal(1)},
		"command":      {"script": cty.StringVal(path), "execute_command": cty.StringVal("powershell {{.Vars}}; {{.Path}} {{.ID}}"), "env_var_format": cty.StringVal("$env:%s=\"%s\"; ")},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range places {
				if _, ok := values[k]; !ok {
					values[k] = v
				}
			}
			comm := &wincomm.Machine{}
			if _, err := apply(t, comm, values); err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for _, p := range comm.Puts() {
				fmt.Fprintf(&got, "### upload %s\n%s\n", p, strings.Replace(comm.Files()[p], "\ufeff", "### byte order mark\n", 1))
			}
			for _, c := range comm.Calls() {
				line, _, encoded := strings.Cut(c.Line, "-EncodedCommand ")
				if encoded {
					line += "-EncodedCommand (what follows)"
				}
				fmt.Fprintf(&got, "### run %s\n%s\n", line, c.Script)
			}
			golden := filepath.Join("testdata", name+".ps1")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestW35PauseAfterWithSkipClean: one has nothing to do with the other.
func TestW35PauseAfterWithSkipClean(t *testing.T) {
	comm := &wincomm.Machine{}
	clock, err := apply(t, comm, map[string]cty.Value{"inline": strs("hostname"), "skip_clean": cty.True, "pause_after": cty.StringVal("7s")})
	if err != nil {
		t.Fatal(err)
	}
	if len(clock.waited) != 1 || clock.waited[0] != 7*time.Second {
		t.Errorf("waited %v, want 7s", clock.waited)
	}
	if n := len(comm.Calls()); n != 1 {
		t.Errorf("%d commands were run, want only the script", n)
	}
}

// TestScriptFails: the next script is not run.
func TestScriptFails(t *testing.T) {
	first, second := script(t), script(t)
	comm := &wincomm.Machine{On: func(_ context.Context, c wincomm.Call) (component.Exit, error) {
		if strings.Contains(c.Script, "Remove-Item") {
			return component.Exit{}, nil
		}
		return component.Exit{Code: 4}, nil
	}}
	_, err := apply(t, comm, map[string]cty.Value{"scripts": strs(first, second), "valid_exit_codes": cty.ListVal([]cty.Value{cty.NumberIntVal(0), cty.NumberIntVal(3010)})})
	want := "powershell: script " + first + ": script exited with non-zero exit status: 4. Allowed exit codes are: [0 3010]"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if n := len(comm.Puts()); n != 2 {
		t.Errorf("%d files were uploaded, want those of the first script", n)
	}
}

// TestRemoteFolder: every script keeps its name.
func TestRemoteFolder(t *testing.T) {
	path := script(t)
	c := config{RemotePath: `c:\x\`}
	if got := c.remote(path).script; got != `c:\x\setup.ps1` {
		t.Errorf("a script goes to %s", got)
	}
	if a, b := c.remote("").script, c.remote("").script; a == b || !strings.HasPrefix(a, `c:\x\script-`) || !strings.HasSuffix(a, ".ps1") {
		t.Errorf("inline lines go to %s and %s", a, b)
	}
}

func TestElevatedSettings(t *testing.T) {
	comm := &wincomm.Machine{}
	_, err := apply(t, comm, map[string]cty.Value{
		"inline": strs("hostname"), "elevated_user": cty.StringVal("admin"), "elevated_password": cty.StringVal("secret"),
		"elevated_execute_command": cty.StringVal("run {{.Path}} with {{.Vars}}"), "elevated_env_var_format": cty.StringVal("elevated %s=%s\n"),
		"execute_command": cty.StringVal("not this"), "env_var_format": cty.StringVal("not this %s %s"),
		"remote_path": cty.StringVal("c:/s.ps1"), "remote_env_var_path": cty.StringVal("c:/v.ps1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	texts, err := wincomm.Unpack(comm.Calls()[0].Stdin)
	if err != nil || len(texts) < 6 || texts[3] != "run c:/s.ps1 with c:/v.ps1" || texts[4] != "admin" || texts[5] != "secret" {
		t.Errorf("elevated is %q, %v", texts, err)
	}
	if got := comm.Files()["c:/v.ps1"]; !strings.HasPrefix(got, "elevated PACKER_BUILDER_TYPE=null\n") {
		t.Errorf("the variables are %q", got)
	}
}

func TestNoMachine(t *testing.T) {
	step, _ := New().Plan(t.Context(), New().Schema().Object(map[string]cty.Value{"inline": strs("x")}))
	run, _, _ := componenttest.NewRun(t)
	if err := step.Apply(t.Context(), component.Target{Run: run, Comm: unusable{}}); err == nil || !strings.Contains(err.Error(), "no machine") {
		t.Errorf("got %v", err)
	}
}

type unusable struct{ *wincomm.Machine }

func (unusable) Caps() component.Caps { return component.Caps{Transport: "none"} }

// TestW35PolicyNone: without a policy there is still an interpreter.
func TestW35PolicyNone(t *testing.T) {
	for name, values := range map[string]map[string]cty.Value{
		"inline": {"inline": strs("hostname")},
		"script": {"script": cty.StringVal(script(t))},
	} {
		values["execution_policy"] = cty.StringVal("none")
		comm := &wincomm.Machine{}
		if _, err := apply(t, comm, values); err != nil {
			t.Fatal(err)
		}
		line := comm.Calls()[0].Line
		if !strings.HasPrefix(line, "powershell -NonInteractive ") || strings.Contains(line, "ExecutionPolicy") {
			t.Errorf("%s: the command is %s", name, line)
		}
	}
}
