//go:build unix

package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/comm/local"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

// machine is this machine as a target, with faults to order.
type machine struct {
	caps component.Caps
	// fault, when set, is asked before every command; an error is
	// returned in place of running it.
	fault func(n int, c component.Command) error
	// after replaces the result of a command that has run.
	after func(n int, exit component.Exit) (component.Exit, error)
	shell string

	mu   sync.Mutex
	runs []string // guarded by mu
	puts []string // guarded by mu
	// expected counts the restarts that were announced.
	expected int
}

var posix = component.Caps{Run: true, Put: true, Get: true, Shell: component.POSIX, Transport: "test"}

func (m *machine) Run(ctx context.Context, c component.Command) (component.Exit, error) {
	m.mu.Lock()
	m.runs = append(m.runs, c.Line)
	n := len(m.runs)
	m.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return component.Exit{}, err
	}
	if m.fault != nil {
		if err := m.fault(n, c); err != nil {
			return component.Exit{}, err
		}
	}
	sh := m.shell
	if sh == "" {
		sh = "/bin/sh"
	}
	cmd := exec.CommandContext(ctx, sh, "-c", c.Line)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var failed *exec.ExitError
	if err := cmd.Run(); ctx.Err() != nil {
		return component.Exit{}, context.Cause(ctx)
	} else if err != nil && !errors.As(err, &failed) {
		return component.Exit{}, err
	}
	exit := component.Exit{Code: cmd.ProcessState.ExitCode()}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		exit.Code = 128 + int(status.Signal())
	}
	if m.after != nil {
		return m.after(n, exit)
	}
	return exit, nil
}

func (m *machine) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	m.puts = append(m.puts, dst)
	m.mu.Unlock()
	data, err := io.ReadAll(src)
	if err != nil {
		return err
	}
	if int64(len(data)) != meta.Size {
		return fmt.Errorf("the size is %d, announced were %d", len(data), meta.Size)
	}
	if err := os.WriteFile(dst, data, 0o600); err != nil {
		return err
	}
	return os.Chmod(dst, meta.Mode)
}

func (m *machine) ExpectRestart() { m.expected++ }

func (m *machine) Get(context.Context, string, io.Writer) error     { return component.ErrUnsupported }
func (m *machine) PutTree(context.Context, string, io.Reader) error { return component.ErrUnsupported }
func (m *machine) GetTree(context.Context, string, io.Writer) error { return component.ErrUnsupported }
func (m *machine) Caps() component.Caps                             { return m.caps }
func (m *machine) Close() error                                     { return nil }

// instant is a clock that does not wait.
type instant struct{ component.SystemClock }

func (instant) Sleep(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }

// bench is one test's machine, folder and run.
type bench struct {
	t      *testing.T
	m      *machine
	dir    string
	run    component.Run
	events *componenttest.Events
}

func newBench(t *testing.T, caps component.Caps) *bench {
	b := &bench{t: t, m: &machine{caps: caps}, dir: t.TempDir()}
	b.run, _, b.events = componenttest.NewRun(t)
	b.run.Clock = instant{}
	b.run.Template.Build = map[string]string{"ID": "i-1"}
	return b
}

// step plans with the bench's folder as remote folder.
func (b *bench) step(values map[string]cty.Value) component.Step {
	b.t.Helper()
	if _, ok := values["remote_path"]; !ok {
		values["remote_folder"] = cty.StringVal(b.dir)
	}
	s, diags := New().Plan(b.t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		b.t.Fatal(diags.Err())
	}
	return s
}

func (b *bench) apply(values map[string]cty.Value) error {
	b.t.Helper()
	return b.step(values).Apply(b.t.Context(), component.Target{Run: b.run, Comm: b.m, HTTPAddr: "10.0.2.2:8000"})
}

// clean checks that nothing is left in the remote folder.
func (b *bench) clean() {
	b.t.Helper()
	left, err := os.ReadDir(b.dir)
	if err != nil || len(left) != 0 {
		b.t.Errorf("left on the machine: %v, %v", left, err)
	}
}

func (b *bench) output(want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.events.Lines(component.Stdout)); diff != "" {
		b.t.Error(diff)
	}
}

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func codes(n ...int64) cty.Value {
	out := make([]cty.Value, len(n))
	for i, v := range n {
		out[i] = cty.NumberIntVal(v)
	}
	return cty.ListVal(out)
}

func TestContract(t *testing.T) {
	script := filepath.Join(t.TempDir(), "s.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\r\necho hi\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, comm := range map[string]func(r component.Run) component.Communicator{
		"double": func(component.Run) component.Communicator { return &machine{caps: posix} },
		"local":  func(r component.Run) component.Communicator { return local.New(r.Journal) },
	} {
		t.Run(name, func(t *testing.T) { contract(t, script, comm) })
	}
}

func contract(t *testing.T, script string, comm func(component.Run) component.Communicator) {
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"inline": {"inline": strs("echo hi"), "env": cty.MapVal(map[string]cty.Value{"A": cty.StringVal("b")})},
			"script": {"script": cty.StringVal(script), "use_env_var_file": cty.True, "pause_after": cty.StringVal("1ms")},
		},
		Invalid: componenttest.Configs{
			"nothing":   {},
			"two":       {"inline": strs("x"), "script": cty.StringVal(script)},
			"not there": {"scripts": strs("/nowhere")},
			"folder":    {"script": cty.StringVal("/")},
			"variable":  {"inline": strs("x"), "environment_vars": strs("A")},
			"format":    {"inline": strs("x"), "env_var_format": cty.StringVal("%s")},
			"template":  {"inline": strs("x"), "execute_command": cty.StringVal("{{.Path")},
			"negative":  {"inline": strs("x"), "pause_after": cty.StringVal("-1s")},
		},
		Target: func(_ testing.TB, r component.Run) component.Target {
			return component.Target{Run: r, Comm: comm(r)}
		},
	})
}

// TestWays runs the same scripts in one round trip, in several, and in the
// shells that are there: they behave alike.
func TestWays(t *testing.T) {
	separate := posix
	separate.AlwaysPTY = true
	for name, c := range map[string]struct {
		caps  component.Caps
		shell string
	}{
		"one trip": {posix, ""}, "separate": {separate, ""}, "bash": {posix, "bash"}, "dash": {posix, "dash"}, "busybox": {posix, "busybox"},
	} {
		t.Run(name, func(t *testing.T) {
			shell, err := exec.LookPath(c.shell)
			if c.shell == "busybox" {
				shell = filepath.Join(t.TempDir(), "sh")
				busybox, lookErr := exec.LookPath("busybox")
				if err = lookErr; err == nil {
					err = os.Symlink(busybox, shell)
				}
			}
			if c.shell != "" && err != nil {
				t.Skip("this shell is not installed")
			}
			if c.shell == "" {
				shell = ""
			}
			behaves(t, func(t *testing.T) *bench {
				b := newBench(t, c.caps)
				b.m.shell = shell
				return b
			})
		})
	}
}

func behaves(t *testing.T, newBench func(*testing.T) *bench) {
	value := "it's  \"$HOME\" `id` \\ %s\nsecond line"
	for name, c := range map[string]struct {
		values map[string]cty.Value
		out    []string
		fails  string
	}{
		"inline": {
			values: map[string]cty.Value{"inline": strs("echo one", "echo two")},
			out:    []string{"one", "two"},
		},
		"stops at the first failure": {
			values: map[string]cty.Value{"inline": strs("echo one", "false", "echo two")},
			out:    []string{"one"}, fails: "status: 1. Allowed exit codes are: [0]",
		},
		"own shebang": {
			values: map[string]cty.Value{"inline": strs("#!/bin/sh", "false", "echo on")},
			out:    []string{"on"},
		},
		"shebang is set, so the line is kept too": {
			values: map[string]cty.Value{"inline": strs("#!/bin/false", "echo on"), "inline_shebang": cty.StringVal("/bin/sh")},
			out:    []string{"on"},
		},
		"variables": {
			values: map[string]cty.Value{
				"inline":           strs(`printf '%s\n' "$A"`, `echo $B $PACKER_BUILD_NAME $PACKER_BUILDER_TYPE $PACKER_HTTP_ADDR $PACKER_HTTP_IP $PACKER_HTTP_PORT`),
				"environment_vars": strs("A="+value, "B=list"),
				"env":              cty.MapVal(map[string]cty.Value{"B": cty.StringVal("map")}),
			},
			out: append(strings.Split(value, "\n"), "map test null 10.0.2.2:8000 10.0.2.2 8000"),
		},
		"variables with a format": {
			values: map[string]cty.Value{
				"inline": strs(`printf '%s\n' "$A"`), "environment_vars": strs("A=" + value),
				"env_var_format": cty.StringVal("export %s='%s'; "),
			},
			out: strings.Split(value, "\n"),
		},
		"variables file": {
			values: map[string]cty.Value{
				"inline": strs(`printf '%s\n' "$A"`), "environment_vars": strs("A=" + value), "use_env_var_file": cty.True,
			},
			out: strings.Split(value, "\n"),
		},
		"command": {
			values: map[string]cty.Value{
				"inline":          strs(`echo $A`, "echo $0 | sed s,.*/script_.*.sh,script,"),
				"execute_command": cty.StringVal("echo {{build `ID`}} {{.ID}}; chmod +x {{.Path}}; {{.Vars}} env A=x {{.Path}}"),
			},
			out: []string{"i-1 i-1", "x", "script"},
		},
		"command with a comment": {
			values: map[string]cty.Value{"inline": strs("echo on"), "execute_command": cty.StringVal("sh {{.Path}} # as root")},
			out:    []string{"on"},
		},
		"command with exec": {
			values: map[string]cty.Value{"inline": strs("echo on"), "execute_command": cty.StringVal("exec sh {{.Path}}")},
			out:    []string{"on"},
		},
		"command with exit": {
			values: map[string]cty.Value{"inline": strs("echo on"), "execute_command": cty.StringVal("sh {{.Path}}; exit 5")},
			out:    []string{"on"}, fails: "status: 5",
		},
		"command that is no command": {
			values: map[string]cty.Value{"inline": strs("echo on"), "execute_command": cty.StringVal("sh {{.Path}} ) 'x")},
			fails:  "non-zero exit status",
		},
		"command with sudo's pipe": {
			values: map[string]cty.Value{"inline": strs("cat", "echo on"), "execute_command": cty.StringVal("echo 'packer' | sh -c '{{ .Vars }} sh {{ .Path }}'")},
			out:    []string{"packer", "on"},
		},
		"command in double quotes": {
			values: map[string]cty.Value{"inline": strs("cat", "echo on"), "execute_command": cty.StringVal("echo 'packer' | {{ .Vars }} sh {{ .Path }}")},
			out:    []string{"packer", "on"},
		},
		"standard input is empty": {
			values: map[string]cty.Value{"inline": strs("cat", "echo on")},
			out:    []string{"on"},
		},
		"exit codes": {
			values: map[string]cty.Value{"inline": strs("exit 97"), "valid_exit_codes": codes(0, 97)},
		},
		"exit code of a failed upload is no other": {
			values: map[string]cty.Value{"inline": strs("exit 97")},
			fails:  "status: 97",
		},
		"umask": {
			values: map[string]cty.Value{"inline": strs("umask 022", "umask")},
			out:    []string{"0022"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			err := b.apply(c.values)
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("got %v, want %q", err, c.fails)
			}
			b.output(c.out...)
			b.clean()
		})
	}
}

func TestOneTripIsOne(t *testing.T) {
	b := newBench(t, posix)
	if err := b.apply(map[string]cty.Value{"inline": strs("true"), "use_env_var_file": cty.True}); err != nil {
		t.Fatal(err)
	}
	if len(b.m.runs) != 1 || len(b.m.puts) != 0 {
		t.Errorf("runs: %q, puts: %q", b.m.runs, b.m.puts)
	}
}

// TestSecretsStayOffTheCommandLine: without a say of the user, variables are
// not part of the command's text.
func TestSecretsStayOffTheCommandLine(t *testing.T) {
	b := newBench(t, posix)
	if err := b.apply(map[string]cty.Value{"inline": strs("echo $S"), "environment_vars": strs("S=hunter2")}); err != nil {
		t.Fatal(err)
	}
	b.output("hunter2")
	if strings.Contains(b.m.runs[0], "hunter2") {
		t.Errorf("the command is %s", b.m.runs[0])
	}
}

func TestLineEnds(t *testing.T) {
	script := filepath.Join(t.TempDir(), "dos.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\r\nprintf 'a\rb'\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, posix)
	if err := b.apply(map[string]cty.Value{"script": cty.StringVal(script)}); err != nil {
		t.Error(err)
	}
	// With binary the interpreter is "/bin/sh\r", which is not there.
	if err := b.apply(map[string]cty.Value{"script": cty.StringVal(script), "binary": cty.True}); err == nil {
		t.Error("CR was dropped in spite of binary")
	}
	b.clean()
}

func FuzzUnixLines(f *testing.F) {
	f.Add([]byte("a\r\nb\rc\n\r\r\n\r"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := source{text: string(in)}
		r, err := s.open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if want := bytes.ReplaceAll(in, []byte("\r\n"), []byte("\n")); !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if n, err := s.size(); err != nil || n != int64(len(got)) {
			t.Errorf("size: %d, %v", n, err)
		}
	})
}

func TestW34Paths(t *testing.T) {
	b := newBench(t, posix)
	fixed := filepath.Join(b.dir, "with space.sh")
	if err := b.apply(map[string]cty.Value{"inline": strs("echo \"$0\""), "remote_path": cty.StringVal(fixed)}); err != nil {
		t.Fatal(err)
	}
	if err := b.apply(map[string]cty.Value{"inline": strs("echo \"$0\""), "remote_file": cty.StringVal("x.sh"), "skip_clean": cty.True}); err != nil {
		t.Fatal(err)
	}
	b.output(fixed, filepath.Join(b.dir, "x.sh"))
	info, err := os.Stat(filepath.Join(b.dir, "x.sh"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("skip_clean: %v, %v", info, err)
	}
	first, second := (&config{RemoteFolder: "/tmp"}).remote(), (&config{RemoteFolder: "/tmp"}).remote()
	if first.script == second.script || len(first.script) < len("/tmp/script_.sh")+32 {
		t.Errorf("the names can be guessed: %s, %s", first.script, second.script)
	}
}

// errLost is a connection that breaks.
var errLost = fmt.Errorf("ssh: %w", component.ErrDisconnected)

func TestW33Disconnect(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]cty.Value
		ok     bool
	}{
		"unexpected":  {map[string]cty.Value{}, false},
		"expected":    {map[string]cty.Value{"expect_disconnect": cty.True}, true},
		"exit code":   {map[string]cty.Value{"valid_exit_codes": codes(0, disconnectCode)}, true},
		"other codes": {map[string]cty.Value{"valid_exit_codes": codes(0, 1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, posix)
			b.m.after = func(n int, exit component.Exit) (component.Exit, error) {
				switch n {
				case 1: // while the script ran; it could not be removed
					return component.Exit{}, errLost
				case 2: // and the machine is not up again yet
					return component.Exit{}, errLost
				}
				return exit, nil
			}
			c.values["inline"] = strs("echo on")
			c.values["execute_command"] = cty.StringVal("sh {{.Path}}; kill -KILL $$; sleep 0.1")
			err := b.apply(c.values)
			if (err == nil) != c.ok {
				t.Fatalf("got %v", err)
			}
			if n := strings.Count(strings.Join(b.m.runs, "\n"), "trap : HUP"); n != 1 {
				t.Errorf("the script was started %d times", n)
			}
			if c.ok && len(b.m.runs) != 3 {
				t.Errorf("%d commands, want the script and two attempts to remove it", len(b.m.runs))
			}
			if c.ok != (b.m.expected == 1) || b.m.expected > 1 {
				t.Errorf("a restart was expected %d times", b.m.expected)
			}
			if !c.ok && !strings.Contains(err.Error(), "expect_disconnect") {
				t.Errorf("no hint in %v", err)
			}
			b.clean()
		})
	}
}

// TestRestartThatIsNotSeenYet: a script that restarts the machine may end
// before the connection does.
func TestRestartThatIsNotSeenYet(t *testing.T) {
	for name, c := range map[string]struct {
		line   string
		expect bool
		want   int
	}{
		"expected":     {"true", true, 1},
		"not expected": {"true", false, 0},
		"failed":       {"exit 3", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, posix)
			err := b.apply(map[string]cty.Value{"inline": strs(c.line), "expect_disconnect": cty.BoolVal(c.expect)})
			if (err == nil) != (c.line == "true") || b.m.expected != c.want {
				t.Errorf("a restart was expected %d times: %v", b.m.expected, err)
			}
		})
	}
}

// TestRetriesWhatHasNotStarted: a connection that breaks before the machine
// has the whole script is no reason to give up, one that breaks later is.
func TestRetriesWhatHasNotStarted(t *testing.T) {
	b := newBench(t, posix)
	b.m.fault = func(n int, c component.Command) error {
		if n > 2 {
			return nil
		}
		if _, err := io.CopyN(io.Discard, c.Stdin, 3); err != nil {
			return err
		}
		return errLost
	}
	if err := b.apply(map[string]cty.Value{"inline": strs("echo on")}); err != nil {
		t.Fatal(err)
	}
	b.output("on")
	if len(b.m.runs) != 3 {
		t.Errorf("%d attempts, want 3", len(b.m.runs))
	}

	b = newBench(t, posix)
	b.m.fault = func(n int, c component.Command) error {
		if n > 1 {
			return nil
		}
		if _, err := io.Copy(io.Discard, c.Stdin); err != nil {
			return err
		}
		return errLost
	}
	if err := b.apply(map[string]cty.Value{"inline": strs("echo on")}); !errors.Is(err, component.ErrDisconnected) {
		t.Errorf("got %v", err)
	}
	b.output()
}

// TestCutUploadNeverRuns: the end of a broken connection looks like the end
// of the script.
func TestCutUploadNeverRuns(t *testing.T) {
	for _, values := range []map[string]cty.Value{{}, {"use_env_var_file": cty.True}, {"env_var_format": cty.StringVal("%s='%s' ")}} {
		values["inline"] = strs("echo one", "echo two", "echo three")
		b := newBench(t, posix)
		var whole bytes.Buffer
		b.m.fault = func(n int, c component.Command) error {
			if n > 1 {
				return nil
			}
			if _, err := whole.ReadFrom(c.Stdin); err != nil {
				return err
			}
			return errors.New("stop here")
		}
		if err := b.apply(values); err == nil {
			t.Fatal("the fault is without effect")
		}
		line, text := b.m.runs[0], whole.String()
		for cut := len(text) - 1; cut >= 0; cut -= 1 + cut/8 {
			cmd := exec.Command("/bin/sh", "-c", line)
			cmd.Stdin = strings.NewReader(text[:cut])
			out, err := cmd.Output()
			if err == nil || len(out) > 0 {
				t.Fatalf("cut after %d of %d bytes: %v, output %q", cut, len(text), err, out)
			}
		}
		b.clean()
	}
}

func TestW33RefusedUpload(t *testing.T) {
	for _, always := range []bool{false, true} {
		caps := posix
		caps.AlwaysPTY = always
		b := newBench(t, caps)
		err := b.apply(map[string]cty.Value{"inline": strs("echo on"), "remote_path": cty.StringVal(b.dir + "/nowhere/x.sh")})
		if err == nil || isDisconnect(err) {
			t.Errorf("got %v", err)
		}
		if n := len(b.m.runs) + len(b.m.puts); n < refusals || n > refusals+1 {
			t.Errorf("%d attempts, want %d and perhaps one removal", n, refusals)
		}
		b.output()
	}
}

func isDisconnect(err error) bool { return errors.Is(err, component.ErrDisconnected) }

// TestW15HungStart: a machine that takes the script and says nothing does not
// hold the build for ever.
func TestW15HungStart(t *testing.T) {
	b := newBench(t, posix)
	b.m.shell = filepath.Join(t.TempDir(), "hung")
	if err := os.WriteFile(b.m.shell, []byte("#!/bin/sh\ncase $2 in rm*) exit 0;; esac\ncat >/dev/null; exec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := b.apply(map[string]cty.Value{"inline": strs("echo on"), "start_retry_timeout": cty.StringVal("100ms")})
	if err == nil || !strings.Contains(err.Error(), "did not start") {
		t.Errorf("got %v", err)
	}
}

// TestSlowScript: start_retry_timeout is about the start; a script that runs
// may be silent for longer.
func TestSlowScript(t *testing.T) {
	b := newBench(t, posix)
	if err := b.apply(map[string]cty.Value{"inline": strs("sleep 0.6", "echo on"), "start_retry_timeout": cty.StringVal("300ms")}); err != nil {
		t.Fatal(err)
	}
	b.output("on")
}

func TestW17CancelCleans(t *testing.T) {
	for _, always := range []bool{false, true} {
		caps := posix
		caps.AlwaysPTY = always
		b := newBench(t, caps)
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		b.run.Events = component.SinkFunc(func(e component.Event) {
			if o, ok := e.(component.Output); ok && o.Line == "ready" {
				cancel(cause)
			}
		})
		s := b.step(map[string]cty.Value{"inline": strs("echo ready", "exec sleep 600 >/dev/null 2>&1")})
		err := s.Apply(ctx, component.Target{Run: b.run, Comm: b.m})
		if !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
		b.clean()
	}
}

func TestW15CancelledPause(t *testing.T) {
	b := newBench(t, posix)
	b.run.Clock = component.SystemClock{}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	b.run.Events = component.SinkFunc(func(e component.Event) {
		if m, ok := e.(component.Message); ok && strings.HasPrefix(m.Text, "Pausing") {
			cancel(cause)
		}
	})
	s := b.step(map[string]cty.Value{"inline": strs("true"), "pause_after": cty.StringVal("10m")})
	if err := s.Apply(ctx, component.Target{Run: b.run, Comm: b.m}); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestNoMachine(t *testing.T) {
	b := newBench(t, component.Caps{Transport: "none"})
	if err := b.apply(map[string]cty.Value{"inline": strs("true")}); !errors.Is(err, component.ErrUnsupported) || !strings.Contains(err.Error(), "shell-local") {
		t.Errorf("got %v", err)
	}
}

func TestWindowsMachine(t *testing.T) {
	b := newBench(t, component.Caps{Run: true, Put: true, Shell: component.Cmd, Transport: "ssh"})
	if err := b.apply(map[string]cty.Value{"inline": strs("true")}); err == nil || !strings.Contains(err.Error(), "windows-shell") {
		t.Errorf("got %v", err)
	}
	for shell, want := range map[component.Shell]string{
		component.Cmd:        `del /f /q "C:\Temp\a b.sh"`,
		component.PowerShell: `Remove-Item -Force -ErrorAction SilentlyContinue -LiteralPath 'C:/Temp/a b.sh'`,
	} {
		if got := removeCommand(shell, []string{"C:/Temp/a b.sh"}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	// PowerShell takes a typographic quote for one as well.
	if got := removeCommand(component.PowerShell, []string{"it\u2019s"}); !strings.HasSuffix(got, "'it\u2019\u2019s'") {
		t.Errorf("got %s", got)
	}
}

func TestInputs(t *testing.T) {
	script := filepath.Join(t.TempDir(), "s.sh")
	if err := os.WriteFile(script, []byte("true"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		values map[string]cty.Value
		files  []string
	}{
		"script":  {map[string]cty.Value{"script": cty.StringVal(script)}, []string{script}},
		"scripts": {map[string]cty.Value{"scripts": strs(script, script)}, []string{script, script}},
		"inline":  {map[string]cty.Value{"inline": strs("true")}, nil},
	} {
		s, diags := New().Plan(t.Context(), New().Schema().Object(c.values))
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		in := s.(component.InputReader).Inputs()
		if !slices.Equal(in.Files, c.files) || in.Volatile != "" || in.Neutral {
			t.Errorf("%s: got %+v", name, in)
		}
	}
}

func TestGate(t *testing.T) {
	for name, c := range map[string]struct {
		pieces []string
		want   string
		passed bool
	}{
		"none":        {[]string{"a\nb"}, "a\nb", false},
		"first":       {[]string{"M\nout\n"}, "out\n", true},
		"in pieces":   {[]string{"noise\n", "M", "\r", "\nout", "put\n"}, "noise\noutput\n", true},
		"behind text": {[]string{"no newline M\nout"}, "no newline \nout", true},
		"long":        {[]string{strings.Repeat("x", 2*maxHeld), "\nM\n", "y"}, strings.Repeat("x", 2*maxHeld) + "\ny", true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			called := 0
			s := newStart(func() { called++ })
			g := &gate{start: s, next: &out}
			for _, p := range c.pieces {
				if _, err := g.Write([]byte(strings.ReplaceAll(p, "M", s.marker))); err != nil {
					t.Fatal(err)
				}
			}
			g.flush()
			if out.String() != c.want || s.passed.Load() != c.passed || called > 1 {
				t.Errorf("got %q, passed %t, called %d", out.String(), s.passed.Load(), called)
			}
		})
	}
}
