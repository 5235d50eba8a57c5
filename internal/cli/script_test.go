package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ingot/internal/builder/oci"
	"ingot/internal/testkit/guestrig"
	"ingot/internal/testkit/live"
	"ingot/internal/watchdog"
)

func TestMain(m *testing.M) {
	// The oci builder's sandbox is the program started again, and so is the
	// watchdog of a plugin.
	if len(os.Args) > 1 && (os.Args[1] == oci.SandboxArg || os.Args[1] == watchdog.Arg) {
		os.Exit(Main(os.Args, OSStreams()))
	}
	// Plugins are copies of the program under a name of their own.
	if isPlugin(os.Args) {
		os.Exit(Main(os.Args, OSStreams()))
	}
	testscript.Main(m, map[string]func(){
		"packer-plugin-ingot": func() { os.Exit(Main(os.Args, OSStreams())) },
		"ingot":               func() { os.Exit(Main(os.Args, OSStreams())) },
		"packer":              func() { os.Exit(Main(append([]string{"packer"}, os.Args[1:]...), OSStreams())) },
	})
}

// TestScripts runs the real main on testdata/script. No engine is needed.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script", nil) }

// TestLiveScripts runs the scripts that talk to real engines.
func TestLiveScripts(t *testing.T) {
	env := live.Require(t)
	guest := env.Guest
	if guest == nil {
		guest = &live.Guest{} // scripts ask for [guest]
	}
	runScripts(t, "testdata/live", map[string]string{
		"GUEST_DISK": guest.Disk, "GUEST_EFI_DISK": guest.EFIDisk, "GUEST_ISO": guest.InstallISO, "GUEST_KEY": guest.KeyFile, "GUEST_PASSWORD": guest.Password,
		"DOCKER_HOST": env.DockerHost, "REGISTRY": env.Registry,
		"AUTH_REGISTRY": env.AuthRegistry, "AUTH_USER": env.AuthUser, "AUTH_PASSWORD": env.AuthPassword,
		"SSH_HOST": env.SSH.Host, "SSH_PORT": strconv.Itoa(env.SSH.Port), "SSH_USER": env.SSH.User,
		"SSH_KEY": env.SSH.KeyFile, "SSH_PASSWORD": env.SSH.Password, "SSH_HOST_KEY": env.SSH.HostKey,
		"TINY_TAR": env.TinyTar, "DEBIAN_TAR": env.DebianTar,
		"TINY_IMAGE": env.TinyImage, "DEBIAN_IMAGE": env.DebianImage,
	})
}

// TestMachineScripts runs the scripts that build virtual machines.
func TestMachineScripts(t *testing.T) {
	guest := live.RequireGuest(t, live.Require(t))
	runScripts(t, "testdata/machine", map[string]string{
		"GUEST_DISK": guest.Disk, "GUEST_EFI_DISK": guest.EFIDisk, "GUEST_ISO": guest.InstallISO, "GUEST_KEY": guest.KeyFile, "GUEST_HOST_KEY": guest.HostKey,
	})
}

// TestDebianScripts runs the scripts that build from a whole Debian system.
func TestDebianScripts(t *testing.T) {
	env := live.Require(t)
	guest, debian := live.RequireGuest(t, env), live.RequireDebianGuest(t, env)
	runScripts(t, "testdata/debian", map[string]string{"DEBIAN_DISK": debian.Disk, "GUEST_KEY": guest.KeyFile})
}

// runScripts gives every script folders of its own for state, cache,
// configuration and temporary files, and the commands below. With
// UPDATE_SCRIPTS set, cmp rewrites what it is given instead of failing.
func runScripts(t *testing.T, dir string, variables map[string]string) {
	testscript.Run(t, testscript.Params{
		Dir:                dir,
		RequireUniqueNames: true,
		UpdateScripts:      os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			for name, value := range variables {
				e.Setenv(name, value)
			}
			return setupScript(e)
		},
		Condition: func(name string) (bool, error) {
			if name == "guest" {
				return variables["GUEST_DISK"] != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: withCommands(pluginCommands(t), map[string]func(*testscript.TestScript, bool, []string){
			"containers":        containers,
			"exits":             exits,
			"guest":             func(ts *testscript.TestScript, neg bool, args []string) { inGuest(t, ts, neg, args) },
			"json-lines":        jsonLines,
			"kill-started":      killStarted,
			"no-image":          noImage,
			"no-secret":         noSecret,
			"no-secret-in":      noSecretIn,
			"normalise":         normalise,
			"otlp-server":       otlpServer,
			"nothing-left":      nothingLeft,
			"reap-named":        reapNamed,
			"records":           records,
			"slow-server":       slowServer,
			"touch":             touch,
			"wait-for":          waitFor,
			"wait-for-run":      waitForRun,
			"powershell-syntax": powershellSyntax,
			"windows-sshd":      sshOnWindows(t),
			"winrm-server":      winrmServer,
			"winrm-state":       winrmState,

			"wait-for-started": waitForStarted,
		}),
	})
}

type scriptCommands = map[string]func(*testscript.TestScript, bool, []string)

func withCommands(more, all scriptCommands) scriptCommands {
	maps.Copy(all, more)
	return all
}

// markVariable is in the environment of all that a script starts.
const markVariable = "INGOT_SCRIPT"

func setupScript(e *testscript.Env) error {
	served, err := exec.LookPath("packer-plugin-ingot")
	if err != nil {
		return err
	}
	e.Setenv("SERVED_PLUGIN", served)
	e.Values[winrmKey] = new(winrmHolder)
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	e.Setenv("ROOT", root)
	e.Setenv("PACKER_NO_COLOR", "1")
	e.Setenv(markVariable, e.WorkDir)
	// MARK is a name for things outside of the script's folder.
	e.Setenv("MARK", fmt.Sprintf("%d-%s", os.Getpid(), strings.TrimPrefix(filepath.Base(e.WorkDir), "script-")))
	for name, dir := range map[string]string{
		"INGOT_STATE_DIR": "state", "INGOT_CACHE_DIR": "cache", "INGOT_CONFIG_DIR": "config", "TMPDIR": "tmp", "HOME": "home",
	} {
		path := filepath.Join(e.WorkDir, "."+dir)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		e.Setenv(name, path)
	}
	return nil
}

// exits CODE COMMAND... runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			ts.Fatalf("%v", err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// guest [efi] FORMAT DISK COMMAND boots an overlay of a disk that a build made,
// runs a command in it as root, and prints what that prints.
func inGuest(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	o := guestrig.Options{}
	if len(args) > 0 && args[0] == "efi" {
		o.EFI, args = true, args[1:]
	}
	if neg || len(args) != 3 {
		ts.Fatalf("usage: guest [efi] FORMAT DISK COMMAND")
	}
	o.Format, o.Disk = args[0], ts.MkAbs(args[1])
	tb := scriptTB{t, ts}
	fmt.Fprint(ts.Stdout(), guestrig.Check(tb, live.Require(tb), o, args[2]))
}

// scriptTB lets what is made for Go tests be used in a script: a failure fails the
// script, and what is to be tidied up is so at its end.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (s scriptTB) Helper()                      {}
func (s scriptTB) Cleanup(f func())             { s.ts.Defer(f) }
func (s scriptTB) Fatal(args ...any)            { s.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (s scriptTB) Fatalf(f string, args ...any) { s.ts.Fatalf(f, args...) }
func (s scriptTB) Errorf(f string, args ...any) { s.ts.Fatalf(f, args...) }
func (s scriptTB) Skipf(f string, args ...any)  { s.ts.Fatalf(f, args...) }
func (s scriptTB) Logf(f string, args ...any)   { s.ts.Logf(f, args...) }

// nothing-left checks that there is no journal, no temporary file, and no
// process that the script started. A run's watchdog may need a moment.
func nothingLeft(ts *testscript.TestScript, neg bool, _ []string) {
	left := leftovers(ts)
	for end := time.Now().Add(waitLimit); !neg && len(left) > 0 && time.Now().Before(end); left = leftovers(ts) {
		time.Sleep(20 * time.Millisecond)
	}
	if (len(left) == 0) == neg {
		ts.Fatalf("left: %q", left)
	}
}

func leftovers(ts *testscript.TestScript) (left []string) {
	for _, dir := range []string{filepath.Join(ts.Getenv("INGOT_STATE_DIR"), "runs"), ts.Getenv("TMPDIR")} {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			ts.Fatalf("%v", err)
		}
		for _, e := range entries {
			left = append(left, filepath.Join(dir, e.Name()))
		}
	}
	return append(left, processesWith(markVariable+"="+ts.Getenv(markVariable))...)
}

// wait-for-started NAME waits until a program of that name runs that the script
// has started, and kill-started NAME kills it.
func waitForStarted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: wait-for-started NAME")
	}
	await(ts, args[0], func() bool { return len(started(ts, args[0])) > 0 })
}

func killStarted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: kill-started NAME")
	}
	found := started(ts, args[0])
	if len(found) == 0 {
		ts.Fatalf("no %s runs", args[0])
	}
	for _, p := range found {
		ts.Check(p.Kill())
	}
}

// started finds the processes of the script by the name of their program.
func started(ts *testscript.TestScript, name string) (found []*os.Process) {
	setting := []byte("\x00" + markVariable + "=" + ts.Getenv(markVariable) + "\x00")
	environs, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is valid
	for _, path := range environs {
		dir := filepath.Dir(path)
		env, err := os.ReadFile(path)
		program, linkErr := os.Readlink(filepath.Join(dir, "exe"))
		if err != nil || linkErr != nil || filepath.Base(program) != name || !bytes.Contains(append([]byte{0}, env...), setting) {
			continue // it has ended, or is another
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		ts.Check(err)
		p, err := os.FindProcess(pid)
		ts.Check(err)
		found = append(found, p)
	}
	return found
}

// processesWith lists the processes that have a setting in their environment;
// none where the system does not tell.
func processesWith(setting string) []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is valid
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		for _, kv := range bytes.Split(env, []byte{0}) {
			if string(kv) == setting {
				line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
				found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
			}
		}
	}
	return found
}

// json-lines FILE checks that each line is an object with a type. FILE may be
// stdout.
func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	eachLine(ts, neg, args, func(line string) error {
		var object struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			return err
		}
		if object.Type == "" {
			return errors.New("no type")
		}
		return nil
	})
}

var record = regexp.MustCompile(`^\d+,[^,]*,[a-z-]+(,[^,]*)+$`)

// records FILE checks that each line has the form SECONDS,TARGET,TYPE,DATA...
func records(ts *testscript.TestScript, neg bool, args []string) {
	eachLine(ts, neg, args, func(line string) error {
		if !record.MatchString(line) {
			return errors.New("not a record")
		}
		return nil
	})
}

func eachLine(ts *testscript.TestScript, neg bool, args []string, check func(string) error) {
	if neg || len(args) != 1 {
		ts.Fatalf("want one file")
	}
	text := strings.TrimSuffix(ts.ReadFile(args[0]), "\n")
	if text == "" {
		ts.Fatalf("%s is empty", args[0])
	}
	for i, line := range strings.Split(text, "\n") {
		if err := check(line); err != nil {
			ts.Fatalf("%s:%d: %v: %s", args[0], i+1, err, line)
		}
	}
}

// secretForms are how a value with pa55 in it may appear; pa55 itself covers
// what is not encoded, the others are base64 at the three offsets.
var secretForms = []string{"pa55", "cGE1N", "BhNT", "wYTU1"}

// no-secret [FILE] looks into a file, or both streams, for secrets.
func noSecret(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("no-secret cannot be negated")
	}
	if len(args) == 0 {
		args = []string{"stdout", "stderr"}
	}
	for _, file := range args {
		text := ts.ReadFile(file)
		for _, form := range secretForms {
			if i := strings.Index(text, form); i >= 0 {
				ts.Fatalf("%s has a secret: %q", file, text[max(0, i-40):min(len(text), i+40)])
			}
		}
	}
}

// no-secret-in DIR looks into all files below a folder, of which there must be
// some.
func noSecretIn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: no-secret-in DIR")
	}
	seen := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			seen++
			noSecret(ts, neg, []string{path})
		}
		return err
	}))
	if seen == 0 {
		ts.Fatalf("%s is empty", args[0])
	}
}

var changing = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`after \d+ \w+( \d+ \w+)*`), "after DURATION"},
	{regexp.MustCompile(`/\S*/ingot-[0-9a-z]{26}/\d+-\d+/script-\d+`), "SCRIPT"},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "RUN"},
}

// normalise FROM TO replaces what differs from run to run.
func normalise(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: normalise FROM TO")
	}
	text := ts.ReadFile(args[0])
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.with)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// reap-named reaps the runs there are by name.
func reapNamed(ts *testscript.TestScript, neg bool, _ []string) {
	entries, err := os.ReadDir(filepath.Join(ts.Getenv("INGOT_STATE_DIR"), "runs"))
	ts.Check(err)
	args := []string{"reap"}
	for _, e := range entries {
		args = append(args, e.Name())
	}
	if len(args) == 1 {
		ts.Fatalf("there is no run")
	}
	if err := ts.Exec("ingot", args...); (err != nil) != neg {
		ts.Fatalf("%v: %v", args, err)
	}
}

// slow-server FILE serves HTTP at $SLOW_SERVER. It makes the file when the first
// request comes, and answers none before the client goes away.
func slowServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: slow-server FILE")
	}
	path := ts.MkAbs(args[0])
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := os.WriteFile(path, nil, 0o600); err == nil {
			<-r.Context().Done()
		}
	}))
	ts.Setenv("SLOW_SERVER", server.URL)
	ts.Defer(server.Close)
}

// otlp-server FILE takes traces at $OTLP_SERVER and appends them to the file.
func otlpServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: otlp-server FILE")
	}
	path := ts.MkAbs(args[0])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err == nil {
			_, err = io.Copy(f, r.Body)
			err = errors.Join(err, f.Close())
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	ts.Setenv("OTLP_SERVER", server.URL)
	ts.Defer(server.Close)
}

// touch FILE... makes empty files.
func touch(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		ts.Check(os.WriteFile(ts.MkAbs(file), nil, 0o600))
	}
}

// containers N checks how many containers have the script's mark as label.
func containers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: containers NUMBER")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(ts.Exec("docker", "ps", "--all", "--quiet", "--filter", "label=ingot.script="+ts.Getenv("MARK")))
	if ids := strings.Fields(ts.ReadFile("stdout")); len(ids) != want {
		ts.Fatalf("%d containers, want %d: %v", len(ids), want, ids)
	}
}

// no-image NAME removes an image, which must be there.
func noImage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: no-image NAME")
	}
	ts.Check(ts.Exec("docker", "image", "rm", args[0]))
}

// wait-for-run waits until a run holds something.
func waitForRun(ts *testscript.TestScript, neg bool, args []string) {
	pattern := filepath.Join(ts.Getenv("TMPDIR"), "*")
	await(ts, "a run's folder", func() bool {
		found, err := filepath.Glob(pattern)
		ts.Check(err)
		return len(found) > 0
	})
}

// waitLimit is long for a slow machine; only a test that fails waits for it.
const waitLimit = time.Minute

// wait-for PATTERN [TEXT] waits until there is a file of that name, with the text in it.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: wait-for PATTERN [TEXT]")
	}
	pattern, text := ts.MkAbs(args[0]), append(args, "")[1]
	await(ts, strings.Join(args, " with "), func() bool {
		found, err := filepath.Glob(pattern)
		ts.Check(err)
		return slices.ContainsFunc(found, func(path string) bool {
			data, err := os.ReadFile(path)
			return (err == nil || text == "") && bytes.Contains(data, []byte(text))
		})
	})
}

func await(ts *testscript.TestScript, what string, there func() bool) {
	for deadline := time.Now().Add(waitLimit); !there(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not appear in %s", what, waitLimit)
		}
	}
}
