//go:build unix

package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/comm/none"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/engine"
	"ingot/internal/journal"
	"ingot/internal/plan"
	"ingot/internal/plugin/host"
	"ingot/internal/plugin/store"
	fileprov "ingot/internal/provision/file"
	"ingot/internal/provision/shell"
	"ingot/internal/provision/shelllocal"
	"ingot/internal/ratelimit"
	"ingot/internal/reap"
	"ingot/internal/template"
)

// programs are the plugins that tests run, built once for all of them.
var programs struct {
	sync.Mutex
	dir  string
	made map[string]string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ingot-plugins-")
	if err != nil {
		panic(err)
	}
	programs.dir, programs.made = dir, map[string]string{}
	code := m.Run()
	_ = os.RemoveAll(dir) // it is a temporary folder
	os.Exit(code)
}

// program builds a plugin of test/plugin.
func program(t testing.TB, module, pkg string) string {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if path := programs.made[module+pkg]; path != "" {
		return path
	}
	path := filepath.Join(programs.dir, "packer-plugin-"+module)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = filepath.Join("..", "..", "..", "test", "plugin", module) // a module of its own, or part of this one
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin %s: %v\n%s", module, err, out)
	}
	programs.made[module+pkg] = path
	return path
}

func probe(t testing.TB) string { return program(t, "probe", "./server") }

// describe asks a plugin what it is.
func describe(t testing.TB, path string) store.Description {
	t.Helper()
	out, err := exec.Command(path, "describe").Output()
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	var d store.Description
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// rig runs templates whose components are those of a plugin, under "probe-", and a few
// of our own.
type rig struct {
	t      testing.TB
	plugin host.Plugin
	live   *host.Live
	host   *host.Provider
	store  journal.Store
	prompt component.Prompter
	change func(*engine.Options)

	mu     sync.Mutex
	events []component.Stamped
	logs   []string
	secret []string
}

func newRig(t testing.TB, path string, change func(*host.Plugin)) *rig {
	t.Helper()
	r := &rig{t: t, live: host.NewLive(), store: &journal.MemStore{}}
	r.plugin = host.Plugin{
		Path: path, Name: "probe", Description: describe(t, path), Live: r.live,
		Core: host.Core{Version: "1.16.0"}, Grace: 20 * time.Second,
		Log: func(line string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.logs = append(r.logs, line)
		},
	}
	if change != nil {
		change(&r.plugin)
	}
	r.host = host.New(r.plugin)
	t.Cleanup(func() {
		if err := r.host.Close(); err != nil {
			t.Errorf("close the plugin: %v", err)
		}
		noneLeft(t, path)
	})
	return r
}

// noneLeft fails when a process of a program is still there.
func noneLeft(t testing.TB, path string) {
	t.Helper()
	if left := running(path); len(left) > 0 {
		t.Errorf("processes %v of %s are left", left, path)
	}
}

// running are the processes of a program, but for those that ended and were not waited
// for by others.
func running(path string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil // no way to tell on this system
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		stat, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err == nil && exe == path && !bytes.Contains(stat, []byte(") Z ")) {
			out = append(out, pid)
		}
	}
	return out
}

// provider adds the prefix to the plugin's names.
type provider struct{ r *rig }

func inner(name string) string {
	rest, ok := strings.CutPrefix(name, "probe-")
	switch {
	case name == "probe":
		return store.DefaultComponent
	case ok:
		return rest
	}
	return ""
}

func (p provider) Manifest() component.Manifest { return p.r.host.Manifest() }
func (p provider) Builder(name string) component.Builder {
	return p.r.host.Builder(inner(name))
}
func (p provider) Provisioner(name string) component.Provisioner {
	switch name {
	case "shell":
		return shell.New()
	case "file":
		return fileprov.New()
	case "shell-local":
		return shelllocal.New()
	}
	return p.r.host.Provisioner(inner(name))
}
func (p provider) PostProcessor(name string) component.PostProcessor {
	return p.r.host.PostProcessor(inner(name))
}
func (p provider) DataSource(name string) component.DataSource {
	return p.r.host.DataSource(inner(name))
}
func (provider) Close() error { return nil }

// plan plans a template.
func (r *rig) plan(text string, evaluate bool) (*plan.Plan, diag.List) {
	r.t.Helper()
	dir, name := r.t.TempDir(), "t.pkr.hcl"
	if strings.HasPrefix(text, "{") {
		name = "t.json"
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	tpl, diags := template.Load(filepath.Join(dir, name), template.Options{CoreVersion: "1.16.0", WorkDir: dir})
	if diags.HasErrors() {
		r.t.Fatal(diags.Err())
	}
	return plan.Make(r.t.Context(), tpl, plan.Inputs{Provider: provider{r}, CoreVersion: "1.16.0", EvaluateData: evaluate, Start: time.Now()})
}

// result is how a run ended.
type result struct {
	engine.Result
	r *rig
}

// build plans a template, which has to be without mistakes, and runs it.
func (r *rig) build(ctx context.Context, text string) result {
	r.t.Helper()
	p, diags := r.plan(text, true)
	if diags.HasErrors() {
		r.t.Fatal(diags.Err())
	}
	log, err := r.store.Create(context.Background(), journal.RunInfo{ID: "run"})
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	prompt := r.prompt
	if prompt == nil {
		prompt = nobody{}
	}
	o := engine.Options{
		RunID: "9f0c1d6e-0000-4000-8000-000000000001", OnError: engine.Cleanup, Clock: component.SystemClock{}, TempDir: r.t.TempDir(),
		CacheDir: r.t.TempDir(), ReportDir: r.t.TempDir(), Limits: ratelimit.New(component.SystemClock{}),
		Dialers: map[string]component.Dialer{"none": none.NewDialer()},
		Ledger:  journal.NewLedger(log, journal.NewReapers(reap.Files{}, reap.Processes{}, r.live), component.SystemClock{}),
		Prompt:  prompt, Release: context.Background(),
		Sensitive: func(s string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.secret = append(r.secret, s)
		},
		Handle: func(e component.Stamped) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
	}
	if r.change != nil {
		r.change(&o)
	}
	res, err := engine.Run(ctx, p, o)
	if err != nil {
		r.t.Errorf("the run: %v", err)
	}
	return result{res, r}
}

type nobody struct{}

func (nobody) Interactive() bool { return false }
func (nobody) Ask(context.Context, string) (string, error) {
	return "", errors.New("there is nobody to ask")
}

// said is what a run told, one event to a line.
func (r *rig) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, s := range r.events {
		switch e := s.Event.(type) {
		case component.Message:
			b.WriteString("message: " + e.Text + "\n")
		case component.Problem:
			b.WriteString("problem: " + e.Text + "\n")
		case component.Warning:
			b.WriteString("warning: " + e.Summary + ": " + e.Detail + "\n")
		case component.Output:
			b.WriteString("output: " + e.Line + "\n")
		case component.Trace:
			b.WriteString("trace: " + e.Text + "\n")
		case component.Progress:
			if e.Finished {
				b.WriteString("progress: " + e.Label + " " + strconv.FormatInt(e.Done, 10) + "\n")
			}
		}
	}
	return b.String()
}

// wants checks that a run told all these lines.
func (r *rig) wants(lines ...string) {
	r.t.Helper()
	said := r.said()
	for _, l := range lines {
		if !strings.Contains(said, l) {
			r.t.Errorf("there is no %q", l)
		}
	}
	if r.t.Failed() {
		r.t.Logf("said:\n%s", said)
	}
}

// open are the resources that are still in the journal.
func (r *rig) open() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := map[string]bool{}
	for _, s := range r.events {
		switch e := s.Event.(type) {
		case component.ResourceHeld:
			held[e.Resource.Kind+" "+e.Resource.Token] = true
		case component.ResourceReleased:
			if e.Err == nil {
				delete(held, e.Resource.Kind+" "+e.Resource.Token)
			}
		case component.ResourceKept:
			delete(held, e.Resource.Kind+" "+e.Resource.Token)
		}
	}
	var out []string
	for k := range held {
		out = append(out, k)
	}
	return out
}

// pause lets others work.
func pause() { time.Sleep(5 * time.Millisecond) }
