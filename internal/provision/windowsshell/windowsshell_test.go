package windowsshell

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/wincomm"
)

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func script(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "setup.bat")
	if err := os.WriteFile(path, []byte("@echo hi\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func apply(t *testing.T, comm component.Communicator, values map[string]cty.Value) error {
	t.Helper()
	step, diags := New().Plan(t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	run, _, _ := componenttest.NewRun(t)
	return step.Apply(t.Context(), component.Target{Run: run, Comm: comm})
}

func TestContract(t *testing.T) {
	path := script(t)
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"inline": {"inline": strs("ver"), "env": cty.MapVal(map[string]cty.Value{"A": cty.StringVal("b")})},
			"script": {"script": cty.StringVal(path)},
		},
		Invalid: componenttest.Configs{
			"nothing":   {},
			"two":       {"inline": strs("x"), "script": cty.StringVal(path)},
			"not there": {"scripts": strs("/nowhere.bat")},
			"variable":  {"inline": strs("x"), "environment_vars": strs("A")},
			"line end":  {"inline": strs("x"), "environment_vars": strs("A=b\nc")},
			"format":    {"inline": strs("x"), "env_var_format": cty.StringVal("%s")},
			"template":  {"inline": strs("x"), "execute_command": cty.StringVal("{{.Path")},
			"negative":  {"inline": strs("x"), "start_retry_timeout": cty.StringVal("-1s")},
		},
		Target: func(_ testing.TB, r component.Run) component.Target {
			return component.Target{Run: r, Comm: &wincomm.Machine{}}
		},
	})
}

func TestCommands(t *testing.T) {
	path := script(t)
	const injected = `set "PACKER_BUILDER_TYPE=null" && set "PACKER_BUILD_NAME=test" && `
	for name, c := range map[string]struct {
		values map[string]cty.Value
		line   string
		body   string
	}{
		"inline": {
			values: map[string]cty.Value{"inline": strs("ver", "exit /b 2"), "environment_vars": strs("A=b c", "B=")},
			line:   `set "A=b c" && set "B=" & ` + injected + `"c:/x.bat"`,
			body:   "ver\r\nexit /b 2\r\n",
		},
		"script": {
			values: map[string]cty.Value{"script": cty.StringVal(path), "execute_command": cty.StringVal("call {{.Path}} {{.Vars}}"), "env_var_format": cty.StringVal("[%s:%s]")},
			line:   "call c:/x.bat [PACKER_BUILDER_TYPE:null][PACKER_BUILD_NAME:test]",
			body:   "@echo hi\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.values["remote_path"] = cty.StringVal("c:/x.bat")
			comm := &wincomm.Machine{}
			if err := apply(t, comm, c.values); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, call := range comm.Calls() {
				lines = append(lines, call.Line)
			}
			want := []string{c.line, `del /f /q "c:\x.bat" 2>nul & if exist "c:\x.bat" exit 1`}
			if diff := cmp.Diff(want, lines); diff != "" {
				t.Error(diff)
			}
			if got := comm.Files()["c:/x.bat"]; got != c.body {
				t.Errorf("the script is %q", got)
			}
		})
	}
}

// TestSetCommand looks at what cmd.exe makes of the command, by its rules for
// quotes, carets and percent signs.
func TestSetCommand(t *testing.T) {
	for in, want := range map[string]string{
		`A=b c`:            `set "A=b c"`,
		`A=`:               `set "A="`,
		`A=x&y|z<1>2^3(4)`: `set "A=x&y|z<1>2^3(4)"`,
		`A=100%PATH%`:      `set ^"A=100^%PATH^%^"`,
		`A=say "hi" & go^`: `set ^"A=say ^"hi^" ^& go^^^"`,
	} {
		got := setCommand(in)
		if got != want {
			t.Errorf("setCommand(%q) is %s, want %s", in, got, want)
		}
		if seen := afterCmd(t, got); seen != `set "`+in+`"` {
			t.Errorf("setCommand(%q): the set command sees %s", in, seen)
		}
	}
}

// afterCmd removes what cmd.exe removes, and fails when the command would end
// early.
func afterCmd(t *testing.T, line string) string {
	t.Helper()
	var b strings.Builder
	quoted, caret := false, false
	for _, r := range line {
		switch {
		case caret:
			caret = false
		case r == '^' && !quoted:
			caret = true
			continue
		case r == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune("&|<>", r):
			t.Errorf("%s ends at %c", line, r)
		}
		b.WriteRune(r)
	}
	if quoted {
		t.Errorf("%s: what follows would be quoted", line)
	}
	return b.String()
}

// TestW17WindowsShellCleans: also after a failure.
func TestW17WindowsShellCleans(t *testing.T) {
	comm := &wincomm.Machine{On: func(_ context.Context, c wincomm.Call) (component.Exit, error) {
		return component.Exit{Code: map[int]int{1: 5}[c.N]}, nil
	}}
	err := apply(t, comm, map[string]cty.Value{"inline": strs("exit 5")})
	if err == nil || err.Error() != "windows-shell: script inline: script exited with non-zero exit status: 5. Allowed exit codes are: [0]" {
		t.Errorf("got %v", err)
	}
	calls := comm.Calls()
	if len(calls) != 2 || !strings.HasPrefix(calls[1].Line, `del /f /q "c:\Windows\Temp\script-`) {
		t.Errorf("the commands were %v", calls)
	}
}

func TestOtherShell(t *testing.T) {
	err := apply(t, posix{&wincomm.Machine{}}, map[string]cty.Value{"inline": strs("ver")})
	if err == nil || !strings.Contains(err.Error(), "use the shell provisioner") {
		t.Errorf("got %v", err)
	}
}

type posix struct{ *wincomm.Machine }

func (posix) Caps() component.Caps {
	return component.Caps{Run: true, Put: true, Shell: component.POSIX, Transport: "ssh"}
}
