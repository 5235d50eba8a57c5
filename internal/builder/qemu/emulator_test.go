//go:build unix

package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

// fakeVariable makes the test program play QEMU; its value says how.
const fakeVariable = "INGOT_TEST_FAKE_QEMU"

func TestMain(m *testing.M) {
	if role := os.Getenv(fakeVariable); role != "" {
		os.Exit(playQEMU(role))
	}
	os.Exit(m.Run())
}

// playQEMU does what QEMU would, in a role: "run", "die MESSAGE", "hang", "exit N"
// and "port FILE", which says that ports are taken until FILE has three lines.
func playQEMU(role string) int {
	role, rest, _ := strings.Cut(role, " ")
	switch role {
	case "die":
		fmt.Fprintln(os.Stderr, "qemu-system-x86_64: "+rest)
		return 1
	case "exit":
		var code int
		fmt.Sscan(rest, &code)
		return code
	case "hang":
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Hour)
	case "port":
		data, _ := os.ReadFile(rest)
		if strings.Count(string(data), "\n") < 3 {
			forward := ""
			for _, a := range os.Args {
				if strings.Contains(a, "hostfwd") {
					forward = a
				}
			}
			os.WriteFile(rest, append(data, forward+"\n"...), 0o600)
			fmt.Fprintf(os.Stderr, "qemu-system-x86_64: -netdev %s: Could not set up host forwarding rule 'tcp:127.0.0.1:2222-:22'\n", forward)
			return 1
		}
	}
	return serveQMP()
}

// serveQMP answers commands on the inherited sockets.
func serveQMP() int {
	commands, console := os.NewFile(firstInherited, "qmp"), os.NewFile(firstInherited+1, "console")
	fmt.Fprintln(commands, `{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}}}`)
	fmt.Fprint(console, "booting\r\nwelcome\r\n")
	for lines := bufio.NewScanner(commands); lines.Scan(); {
		var q struct {
			Execute   string
			Arguments map[string]any
			ID        string
		}
		if json.Unmarshal(lines.Bytes(), &q) != nil {
			return 3
		}
		answer, off := `{}`, ""
		switch q.Execute {
		case "query-vnc":
			answer = `{"enabled": true, "host": "127.0.0.1", "service": "5907"}`
		case "human-monitor-command":
			answer = `"nothing"`
		case "pmemsave":
			os.WriteFile(fmt.Sprint(q.Arguments["filename"]), nil, 0o600)
		case "screendump":
			os.WriteFile(fmt.Sprint(q.Arguments["filename"]), []byte("P6\n1 1\n255\nabc"), 0o600)
		case "system_powerdown":
			off = "guest-shutdown"
		case "quit":
			off = "host-qmp-quit"
		}
		fmt.Fprintf(commands, `{"return": %s, "id": %q}`+"\n", answer, q.ID)
		if off != "" {
			fmt.Fprintf(commands, `{"event": "SHUTDOWN", "data": {"guest": true, "reason": %q}}`+"\n", off)
			return 0
		}
	}
	return 2
}

// fakeJob is a job whose QEMU plays a role, ready for Boot.
func fakeJob(t *testing.T, role string, own map[string]cty.Value) (*job, component.Run, *componenttest.MemoryJournal, *componenttest.Events) {
	t.Helper()
	t.Setenv(fakeVariable, role)
	r, journal, events := componenttest.NewRun(t)
	r.WorkDir, r.ReportDir = t.TempDir(), filepath.Join(t.TempDir(), "reports")
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]cty.Value{"headless": cty.True, "boot_wait": cty.StringVal("0s")}
	for name, v := range own {
		all[name] = v
	}
	p := planOf(t, all)
	j := &job{plan: p, host: thisHost(), binary: binary, accelerator: accelTCG, conn: p.Connection}
	j.hw = hardware{dir: r.WorkDir, disks: []disk{{path: "/nowhere/disk", format: "qcow2"}}}
	return j, r, journal, events
}

func booted(t *testing.T, j *job, r component.Run) *machine {
	t.Helper()
	m, err := j.Boot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*machine)
}

func TestMachineFromBootToStop(t *testing.T) {
	j, r, journal, events := fakeJob(t, "run", nil)
	m := booted(t, j, r)
	e, err := m.Endpoint(t.Context())
	if err != nil || e.Transport != "ssh" || e.Host != "127.0.0.1" || e.Port < defaultHostPort || e.Port > defaultHostPorts || e.Connection.SSHUsername != "root" {
		t.Errorf("endpoint %+v, %v", e, err)
	}
	if facts := m.Facts(); facts[factID].AsString() != "packer-test" {
		t.Errorf("facts %v", facts)
	}
	if !strings.Contains(events.Said(), "vnc://127.0.0.1:5907") {
		t.Errorf("said %s", events.Said())
	}
	if len(journal.Open()) != 1 {
		t.Errorf("held: %v", journal.Open())
	}
	if err := m.Stop(t.Context(), r, nil); err != nil {
		t.Fatal(err)
	}
	if open := journal.Open(); len(open) != 0 {
		t.Errorf("still held: %v", open)
	}
	if _, err := m.Endpoint(t.Context()); !errors.Is(err, errSwitchedOff) {
		t.Errorf("endpoint of a machine that is off: %v", err)
	}
}

// Ensure that a QEMU that does not start is an error with its own words, and that
// nothing is left of it.
func TestQEMUThatDoesNotStart(t *testing.T) {
	for role, want := range map[string]string{
		"die -m 7: invalid size": "qemu has ended: -m 7: invalid size",
		"exit 5":                 "exit status 5",
	} {
		j, r, journal, _ := fakeJob(t, role, nil)
		_, err := j.Boot(t.Context(), r)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", role, err)
		}
		if open := journal.Open(); len(open) != 0 {
			t.Errorf("%s: still held: %v", role, open)
		}
	}
}

// Ensure that a port which somebody else took first costs a start, not the build.
func TestForwardedPortIsTaken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "starts")
	j, r, _, _ := fakeJob(t, "port "+file, nil)
	m := booted(t, j, r)
	defer m.end(context.WithoutCancel(t.Context()))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tried := strings.Fields(string(data))
	if len(tried) != 3 || tried[0] == tried[1] || tried[1] == tried[2] {
		t.Errorf("tried %q", tried)
	}
	if strings.Contains(string(data), fmt.Sprintf(":%d-", m.port)) {
		t.Errorf("port %d was tried before: %s", m.port, data)
	}
}

// Ensure that a window that cannot be opened is done without, unless the template
// asks for it.
func TestNoWindow(t *testing.T) {
	t.Setenv("DISPLAY", ":99")
	j, r, _, events := fakeJob(t, "die -display gtk: Parameter 'type' does not accept value 'gtk'", map[string]cty.Value{"headless": cty.False})
	if _, err := j.Boot(t.Context(), r); err == nil || !strings.Contains(events.Said(), "QEMU cannot open a window here") {
		t.Errorf("got %v, said %s", err, events.Said())
	}
	j, r, _, events = fakeJob(t, "die -display gtk: Parameter 'type' does not accept value 'gtk'", map[string]cty.Value{"headless": cty.False, "display": cty.StringVal("gtk")})
	if _, err := j.Boot(t.Context(), r); err == nil || strings.Contains(events.Said(), "QEMU cannot open a window here") {
		t.Errorf("got %v, said %s", err, events.Said())
	}
}

func TestChooseDisplay(t *testing.T) {
	r, _, events := componenttest.NewRun(t)
	screen := func(name string) string { return map[string]string{"DISPLAY": ":0"}[name] }
	none := func(string) string { return "" }
	str := cty.StringVal
	for _, c := range []struct {
		own  map[string]cty.Value
		env  func(string) string
		want string
		says bool
	}{
		{map[string]cty.Value{"headless": cty.True}, screen, "none", false},
		{map[string]cty.Value{"use_default_display": cty.True}, none, "", false},
		{map[string]cty.Value{"display": str("none")}, none, "", false},
		{map[string]cty.Value{"display": str("sdl")}, none, "sdl", false},
		{nil, screen, "gtk", false},
		{nil, none, "none", true},
	} {
		before := len(events.Said())
		if got := planOf(t, c.own).chooseDisplay(r, c.env); got != c.want || (len(events.Said()) > before) != c.says {
			t.Errorf("%v: got %q, said %q", c.own, got, events.Said()[before:])
		}
	}
}

// Ensure that a machine whose QEMU dies, or that is switched off, is not waited for.
func TestMachineThatIsGone(t *testing.T) {
	j, r, _, _ := fakeJob(t, "run", nil)
	m := booted(t, j, r)
	if err := syscall.Kill(m.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-m.off()
	_, err := m.Endpoint(t.Context())
	if err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("killed: %v", err)
	}
	if err := m.Stop(t.Context(), r, nil); err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("stop of a machine that was killed: %v", err)
	}
	d := m.Diagnose(t.Context(), r)
	if strings.Join(d.Console, "|") != "booting|welcome" || len(d.Errs) != 0 || len(d.Saved) != 1 {
		t.Errorf("diagnosis %+v", d)
	}
	if err := m.end(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDiagnose(t *testing.T) {
	j, r, _, _ := fakeJob(t, "run", nil)
	m := booted(t, j, r)
	defer m.end(context.WithoutCancel(t.Context()))
	// The console arrives on a line of its own.
	for data, _, more := m.console.since(0); !strings.Contains(string(data), "welcome"); data, _, more = m.console.since(0) {
		<-more
	}
	d := m.Diagnose(t.Context(), r)
	if strings.Join(d.Console, "|") != "booting|welcome" || len(d.Errs) != 0 || len(d.Saved) != 2 {
		t.Fatalf("diagnosis %+v", d)
	}
	for _, s := range d.Saved {
		if info, err := os.Stat(s.Path); err != nil || info.Size() == 0 || filepath.Dir(s.Path) != r.ReportDir {
			t.Errorf("%s: %v", s.Path, err)
		}
	}
}

// Ensure that boot_wait = "0s" does not wait, that nothing is waited for when there
// is nothing to type, and that boot_expect takes the place of the default.
func TestBootWait(t *testing.T) {
	str := cty.StringVal
	for name, c := range map[string]struct {
		own  map[string]cty.Value
		want time.Duration
	}{
		"nothing to type": {map[string]cty.Value{"boot_wait": str("1h")}, 0},
		"zero":            {map[string]cty.Value{"boot_command": list("a")}, 0},
		"default":         {map[string]cty.Value{"boot_command": list("a"), "boot_wait": cty.NullVal(cty.String)}, 10 * time.Second},
		"set":             {map[string]cty.Value{"boot_command": list("a"), "boot_wait": str("3s")}, 3 * time.Second},
		"expected":        {map[string]cty.Value{"boot_command": list("a"), "boot_wait": cty.NullVal(cty.String), "boot_expect": str("welcome")}, 0},
		"both":            {map[string]cty.Value{"boot_command": list("a"), "boot_wait": str("3s"), "boot_expect": str("welcome")}, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if v, ok := c.own["boot_wait"]; ok && v.IsNull() {
				c.own["boot_wait"] = str("10s") // what the schema's default is
			}
			j, r, _, _ := fakeJob(t, "run", c.own)
			clock := &stopwatch{}
			r.Clock = clock
			m := booted(t, j, r)
			if err := m.end(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
			// The fake has no keyboard to look at, so that there is a pause after each event.
			if got := clock.Now().Sub(time.Time{}); got.Truncate(time.Second) != c.want {
				t.Errorf("waited %s, want %s", got, c.want)
			}
		})
	}
}

// Ensure that a machine that ends while it is waited for, or typed at, ends the boot.
func TestMachineEndsWhileTyping(t *testing.T) {
	j, r, journal, _ := fakeJob(t, "run", map[string]cty.Value{"boot_command": list("a"), "boot_expect": cty.StringVal("never shown")})
	r.Events = component.SinkFunc(func(e component.Event) {
		if msg, ok := e.(component.Message); ok && strings.Contains(msg.Text, "Waiting until the machine shows") {
			pid, err := strconv.Atoi(journal.Open()[0].ID)
			if err == nil {
				err = syscall.Kill(pid, syscall.SIGKILL)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	m, err := j.Boot(t.Context(), r)
	if m == nil || err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("got %v", err)
	}
}

// Ensure that a QEMU that never answers can be interrupted, and is gone then.
func TestStartIsCancelled(t *testing.T) {
	j, r, journal, _ := fakeJob(t, "hang", nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	acquire := r.Journal
	r.Journal = recorderFunc(func(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error) {
		lease, err := acquire.Acquire(ctx, want, create)
		cancel(cause)
		return lease, err
	})
	if _, err := j.Boot(ctx, r); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if open := journal.Open(); len(open) != 0 {
		t.Errorf("still held: %v", open)
	}
}

type recorderFunc func(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error)

func (f recorderFunc) Acquire(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error) {
	return f(ctx, want, create)
}

func TestAccelerator(t *testing.T) {
	device := filepath.Join(t.TempDir(), "kvm")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		host      *host
		role      string
		binary    string
		want, why string
	}{
		"works":           {&host{os: "linux", arch: "amd64", kvm: device}, fmt.Sprintf("exit %d", probeExit), "", "kvm", "a machine was started with it"},
		"no device":       {&host{os: "linux", arch: "amd64", kvm: device + "2"}, "exit 1", "", "tcg", "there is no " + device + "2"},
		"refused":         {&host{os: "linux", arch: "amd64", kvm: device}, "die failed to initialize kvm: busy", "", "tcg", "failed to initialize kvm: busy"},
		"does not run":    {&host{os: "linux", arch: "amd64", kvm: device}, "exit 0", "", "tcg", "ended at once"},
		"apple":           {&host{os: "darwin", arch: "arm64"}, "exit 0", "", "hvf", "a machine was started with it"},
		"another machine": {&host{os: "linux", arch: "amd64", kvm: device}, "exit 1", "/usr/bin/qemu-system-aarch64", "tcg", "another kind"},
		"another system":  {&host{os: "plan9", arch: "amd64"}, "exit 1", "", "tcg", "no other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(fakeVariable, c.role)
			r, journal, _ := componenttest.NewRun(t)
			r.WorkDir = t.TempDir()
			binary := c.binary
			if binary == "" {
				binary = os.Args[0]
			}
			c.host.probes = map[string]error{}
			for range 2 {
				got, why, err := c.host.choose(t.Context(), r, binary)
				if err != nil || got != c.want || !strings.Contains(why, c.why) {
					t.Errorf("got %s, %q, %v", got, why, err)
				}
				t.Setenv(fakeVariable, "die it was asked twice")
			}
			if open := journal.Open(); len(open) != 0 {
				t.Errorf("still held: %v", open)
			}
			if left, _ := filepath.Glob(filepath.Join(r.WorkDir, "*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAcceleratorIsSaid(t *testing.T) {
	j, r, _, events := fakeJob(t, "exit 1", map[string]cty.Value{"accelerator": cty.StringVal("xen")})
	if got, err := j.chooseAccelerator(t.Context(), r); err != nil || got != "xen" || events.Said() != "" {
		t.Errorf("got %s, %v, said %s", got, err, events.Said())
	}
	j, r, _, events = fakeJob(t, "exit 1", nil)
	j.host = &host{os: "plan9", probes: map[string]error{}}
	if got, err := j.chooseAccelerator(t.Context(), r); err != nil || got != accelTCG || !strings.Contains(events.Said(), "Accelerator tcg (emulation, which is slow): this system has no other") {
		t.Errorf("got %s, %v, said %s", got, err, events.Said())
	}
}

func TestBinaryIsNotInstalled(t *testing.T) {
	for _, name := range []string{"qemu-system-nothing", "/nowhere/qemu-system-x86_64"} {
		if _, err := findBinary(name); err == nil || !strings.Contains(err.Error(), name+" is not installed (qemu_binary)") {
			t.Errorf("got %v", err)
		}
	}
}

func TestWhatQEMUSaid(t *testing.T) {
	said := &tail{}
	fmt.Fprint(said, strings.Repeat("x", 2*maxTail)+"\nVNC server running on 127.0.0.1:5901\n\nqemu-system-x86_64: -m: no\nother-program: kept\n")
	text := said.text()
	if !strings.HasSuffix(text, "x\n-m: no\nother-program: kept") || len(text) > maxTail {
		t.Errorf("%d bytes, at the end %q", len(text), text[max(0, len(text)-60):])
	}
	for _, c := range []struct{ said, want string }{
		{"", "qemu has ended: gone"},
		{"a warning", "qemu has ended: gone; it had said: a warning"},
	} {
		if got := (&failedError{errors.New("gone"), c.said}).Error(); got != c.want {
			t.Errorf("got %s", got)
		}
	}
}
