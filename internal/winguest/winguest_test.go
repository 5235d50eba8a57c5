package winguest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/wincomm"
	"ingot/internal/winguest"
)

// instant is a clock on which waiting takes no time but time passes.
type instant struct{ passed time.Duration }

func (c *instant) Now() time.Time { return time.Unix(1_700_000_000, 0).Add(c.passed) }

func (c *instant) Sleep(ctx context.Context, d time.Duration) error {
	c.passed += d
	return context.Cause(ctx)
}

const secret = "p4ss'w\u2019 .\"ord"

func machine(t *testing.T, comm *wincomm.Machine) (winguest.Machine, *componenttest.Events) {
	run, _, events := componenttest.NewRun(t)
	run.Clock = &instant{}
	return winguest.Machine{Target: component.Target{Run: run, Comm: comm}, Patience: time.Minute}, events
}

func job() winguest.Job {
	return winguest.Job{
		Label:   "s.ps1",
		Files:   []winguest.File{{Path: "c:/x/vars.ps1", Source: winguest.FromText("vars")}, {Path: "c:/x/s.ps1", Source: winguest.FromText("body")}},
		Line:    "run it",
		Removal: winguest.RemoveWithPowerShell,
	}
}

func removals(m *wincomm.Machine) int {
	n := 0
	for _, c := range m.Calls() {
		if strings.Contains(c.Script, "Remove-Item -LiteralPath $path") && strings.Contains(c.Script, "'c:/x/vars.ps1', 'c:/x/s.ps1'") {
			n++
		}
	}
	return n
}

// TestW17WindowsScriptsAreRemoved: whatever becomes of the script.
func TestW17WindowsScriptsAreRemoved(t *testing.T) {
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		exit    component.Exit
		err     error
		cancels bool
		want    string
	}{
		"success":      {},
		"failure":      {exit: component.Exit{Code: 3}, want: "non-zero exit status: 3"},
		"disconnected": {err: component.ErrDisconnected, want: "windows-restart"},
		"cancelled":    {err: stop, want: "stop"},
		"too late":     {cancels: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			comm := &wincomm.Machine{}
			comm.On = func(_ context.Context, call wincomm.Call) (component.Exit, error) {
				if call.Line != "run it" {
					return component.Exit{}, nil
				}
				if c.cancels || errors.Is(c.err, stop) {
					cancel(stop)
				}
				return c.exit, c.err
			}
			m, _ := machine(t, comm)
			err := m.Do(ctx, job())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if n := removals(comm); n != 1 {
				t.Errorf("the files were removed %d times", n)
			}
		})
	}
}

func TestKeepLeavesTheFiles(t *testing.T) {
	comm := &wincomm.Machine{}
	m, _ := machine(t, comm)
	j := job()
	j.Keep = true
	if err := m.Do(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if calls := comm.Calls(); len(calls) != 1 || calls[0].Line != "run it" {
		t.Errorf("got %v, want only the script", calls)
	}
}

// TestW35UploadsAreWholeOnRetry: every attempt uploads the files from their
// beginning, and a script is begun once.
func TestW35UploadsAreWholeOnRetry(t *testing.T) {
	comm := &wincomm.Machine{OnPut: func(n int, _ string) error {
		if n < 4 {
			return component.ErrDisconnected
		}
		return nil
	}}
	m, _ := machine(t, comm)
	if err := m.Do(t.Context(), job()); err != nil {
		t.Fatal(err)
	}
	if f := comm.Files(); f["c:/x/vars.ps1"] != "vars" || f["c:/x/s.ps1"] != "body" {
		t.Errorf("uploaded was %v", f)
	}
	begun := 0
	for _, c := range comm.Calls() {
		if c.Line == "run it" {
			begun++
		}
	}
	if begun != 1 || len(comm.Puts()) != 5 {
		t.Errorf("begun %d times after %d uploads, want 1 and 5", begun, len(comm.Puts()))
	}
}

func TestUploadIsGivenUpInTheEnd(t *testing.T) {
	comm := &wincomm.Machine{OnPut: func(int, string) error { return component.ErrDisconnected }}
	m, _ := machine(t, comm)
	err := m.Do(t.Context(), job())
	if !errors.Is(err, component.ErrDisconnected) || strings.Contains(fmt.Sprint(err), "while the script ran") {
		t.Errorf("got %v, want the error of the upload", err)
	}
	if n := len(comm.Puts()); n < 5 {
		t.Errorf("only %d attempts within a minute", n)
	}
}

// TestAcceptedDisconnect: the files are removed once the machine is back.
func TestAcceptedDisconnect(t *testing.T) {
	comm := &wincomm.Machine{On: func(_ context.Context, c wincomm.Call) (component.Exit, error) {
		if c.N < 6 {
			return component.Exit{}, component.ErrDisconnected
		}
		return component.Exit{}, nil
	}}
	m, _ := machine(t, comm)
	j := job()
	j.ValidExitCodes = []int{0, winguest.Disconnected}
	if err := m.Do(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if n := removals(comm); n != 5 {
		t.Errorf("%d removals were tried, want 5", n)
	}
}

func elevated() winguest.Job {
	j := job()
	j.As = &winguest.Account{User: "Administrator", Password: secret}
	return j
}

// TestW19PasswordIsNowhereOnTheMachine: not in a file and not in a command.
func TestW19PasswordIsNowhereOnTheMachine(t *testing.T) {
	comm := &wincomm.Machine{On: func(_ context.Context, c wincomm.Call) (component.Exit, error) {
		if c.Stdin != "" {
			_, _ = c.Stdout.Write([]byte("from the task\r\n"))
			return component.Exit{Code: 7}, nil
		}
		return component.Exit{}, nil
	}}
	m, events := machine(t, comm)
	j := elevated()
	j.ValidExitCodes = []int{7}
	if err := m.Do(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	for path, body := range comm.Files() {
		if strings.Contains(body, secret) {
			t.Errorf("the password is in %s", path)
		}
	}
	var texts []string
	for _, c := range comm.Calls() {
		if strings.Contains(c.Line+c.Script, secret) {
			t.Errorf("the password is in the command %s", c.Script)
		}
		if len(c.Line) > 8000 {
			t.Errorf("a command line has %d characters, cmd.exe takes 8191", len(c.Line))
		}
		if c.Stdin != "" {
			var err error
			if texts, err = wincomm.Unpack(c.Stdin); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(texts) != 7 || texts[3] != "run it" || texts[4] != "Administrator" || texts[5] != secret || texts[6] != "60" {
		t.Errorf("the arguments are %q", texts[min(1, len(texts)):])
	}
	if got := events.Lines(component.Stdout); len(got) != 1 || got[0] != "from the task" {
		t.Errorf("the output is %q", got)
	}
}

// TestW19TaskIsEndedOnCancel: its own script may have been killed with the
// connection.
func TestW19TaskIsEndedOnCancel(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	comm := &wincomm.Machine{On: func(ctx context.Context, c wincomm.Call) (component.Exit, error) {
		if c.Stdin == "" {
			return component.Exit{}, nil
		}
		cancel(stop)
		return component.Exit{}, context.Cause(ctx)
	}}
	m, _ := machine(t, comm)
	if err := m.Do(ctx, elevated()); !errors.Is(err, stop) {
		t.Errorf("got %v, want the cause", err)
	}
	ended := false
	for _, c := range comm.Calls() {
		texts, _ := wincomm.Unpack(comm.Calls()[0].Stdin)
		ended = ended || strings.Contains(c.Script, "$folder.DeleteTask($name, 0)") && strings.Contains(c.Script, "$name = '"+texts[2]+"'")
	}
	if !ended {
		t.Error("nothing ended the task")
	}
}

// TestElevationThatDoesNotStart is tried again, but not for long.
func TestElevationThatDoesNotStart(t *testing.T) {
	for stage, want := range map[string]int{"early": 3, "late": 1} {
		t.Run(stage, func(t *testing.T) {
			tried := 0
			comm := &wincomm.Machine{}
			comm.On = func(_ context.Context, c wincomm.Call) (component.Exit, error) {
				if c.Stdin == "" {
					return component.Exit{}, nil
				}
				tried++
				texts, err := wincomm.Unpack(c.Stdin)
				fmt.Fprintf(c.Stderr, "noise\r\n%s %s The user name or password is incorrect\r\n", texts[1], stage)
				return component.Exit{Code: 1}, err
			}
			m, events := machine(t, comm)
			j := elevated()
			j.ValidExitCodes = []int{0, 1}
			err := m.Do(t.Context(), j)
			if err == nil || !strings.Contains(err.Error(), "run as Administrator: The user name or password is incorrect") {
				t.Errorf("got %v", err)
			}
			if tried != want {
				t.Errorf("tried %d times, want %d", tried, want)
			}
			if got := events.Lines(component.Stderr); len(got) != want || got[0] != "noise" {
				t.Errorf("the standard error is %q", got)
			}
		})
	}
}

// TestW35RemovalAsTheElevatedUser: files that the connected user cannot remove
// are removed by the one who ran them.
func TestW35RemovalAsTheElevatedUser(t *testing.T) {
	comm := &wincomm.Machine{On: func(_ context.Context, c wincomm.Call) (component.Exit, error) {
		if strings.Contains(c.Script, "Remove-Item -LiteralPath $path") {
			return component.Exit{Code: 1}, nil
		}
		return component.Exit{}, nil
	}}
	m, _ := machine(t, comm)
	if err := m.Do(t.Context(), elevated()); err != nil {
		t.Fatal(err)
	}
	calls := comm.Calls()
	texts, err := wincomm.Unpack(calls[len(calls)-1].Stdin)
	if err != nil || len(texts) < 4 || !strings.Contains(wincomm.Script(texts[3]), "Remove-Item -LiteralPath $path") {
		t.Errorf("the last command is %q, %v", texts, err)
	}
}

func TestElevationNeedsAStandardInput(t *testing.T) {
	comm := &wincomm.Machine{AlwaysPTY: true}
	m, _ := machine(t, comm)
	if err := m.Do(t.Context(), elevated()); err == nil || !strings.Contains(err.Error(), "ssh_pty") {
		t.Errorf("got %v", err)
	}
}

func TestQuoting(t *testing.T) {
	for in, want := range map[string]string{
		`a`: `'a'`, `it's`: `'it''s'`, "\u2018\u2019": "'\u2018\u2018\u2019\u2019'", `$x "`: `'$x "'`,
	} {
		if got := winguest.Literal(in); got != want {
			t.Errorf("Literal(%q) is %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"a": "a", "$b": "`$b", "`": "``", `'"`: "`'`\"", "\u201c": "`\u201c", "a\nb": "a\nb", "a\x00": "a`0", "%PATH%": "%PATH%",
	} {
		if got := winguest.Escape(in); got != want {
			t.Errorf("Escape(%q) is %s, want %s", in, got, want)
		}
	}
}

func TestEncodedDecodes(t *testing.T) {
	line := winguest.Encoded("pwsh", "-ExecutionPolicy bypass", "'ä\U0001F600'")
	if got := wincomm.Script(line); got != "'ä\U0001F600'" || !strings.HasPrefix(line, "pwsh -ExecutionPolicy bypass -NonInteractive ") {
		t.Errorf("%s decodes to %q", line, got)
	}
}

func TestRemoveWithCmd(t *testing.T) {
	want := `del /f /q "c:\a b.bat" 2>nul & if exist "c:\a b.bat" exit 1`
	if got := winguest.RemoveWithCmd([]string{"c:/a b.bat"}); got != want {
		t.Errorf("got %s", got)
	}
}
