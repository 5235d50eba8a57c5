package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == SandboxArg {
		os.Exit(SandboxMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func str(s string) cty.Value { return cty.StringVal(s) }

func list(s ...string) cty.Value {
	var vs []cty.Value
	for _, x := range s {
		vs = append(vs, cty.StringVal(x))
	}
	return cty.ListVal(vs)
}

// attrs are the attributes of a configuration.
type attrs map[string]cty.Value

// build is one build in a test.
type build struct {
	testing.TB
	run     component.Run
	journal *componenttest.MemoryJournal
	events  *componenttest.Events
	job     component.Job
	machine component.Machine
	comm    component.Communicator
	steps   int
}

// boot plans and boots. With cache "" the build has a cache of its own.
func boot(t testing.TB, cache string, env map[string]string, a attrs) *build {
	t.Helper()
	b := prepare(t, cache, env, a)
	b.boot()
	return b
}

func (b *build) boot() {
	b.Helper()
	m, err := b.job.Boot(b.Context(), b.run)
	if err != nil {
		b.Fatalf("boot: %v", err)
	}
	b.connect(m)
}

func (b *build) connect(m component.Machine) {
	b.Helper()
	b.machine = m
	var err error
	if b.comm, err = m.(component.SelfDialer).Dial(b.Context(), b.run); err != nil {
		b.Fatalf("dial: %v", err)
	}
}

// prepare plans and prepares.
func prepare(t testing.TB, cache string, env map[string]string, a attrs) *build {
	t.Helper()
	b := &build{TB: t}
	b.run, b.journal, b.events = componenttest.NewRun(t)
	b.journal.Reap = NewReaper().Reap
	if cache != "" {
		b.run.CacheDir = cache
	}
	bld := builder{getenv: func(name string) string { return env[name] }}
	job, diags := bld.Plan(t.Context(), bld.Schema().Object(a))
	if diags.HasErrors() {
		t.Fatalf("plan: %v", diags.Err())
	}
	b.job = job
	t.Cleanup(func() {
		if err := b.journal.ReleaseAll(context.Background()); err != nil {
			t.Errorf("release: %v", err)
		}
	})
	if err := job.Prepare(t.Context(), b.run); err != nil {
		t.Fatalf("prepare: %v", err)
	}
	return b
}

// sh runs a line that must succeed and returns its output.
func (b *build) sh(line string) string {
	b.Helper()
	var out bytes.Buffer
	exit, err := b.comm.Run(b.Context(), component.Command{Line: line, Stdout: &out, Stderr: &out})
	if err != nil || exit.Code != 0 {
		b.Fatalf("%s: %v, %v\n%s", line, exit, err, out.String())
	}
	return out.String()
}

// step runs a line as a provisioner of its own.
func (b *build) step(line string) {
	b.Helper()
	b.sh(line)
	if err := b.machine.(component.StepSealer).SealStep(b.Context(), b.run, component.StepInfo{Type: "shell", Index: b.steps}); err != nil {
		b.Fatalf("seal %q: %v", line, err)
	}
	b.steps++
}

func (b *build) capture() *component.Artifact {
	b.Helper()
	a, err := b.job.Capture(b.Context(), b.run, b.machine)
	if err != nil {
		b.Fatalf("capture: %v", err)
	}
	return a
}

// simple builds with one step per line.
func simple(t testing.TB, cache string, env map[string]string, a attrs, lines ...string) *component.Artifact {
	t.Helper()
	b := boot(t, cache, env, a)
	for _, l := range lines {
		b.step(l)
	}
	return b.capture()
}

func out(t testing.TB, name string) (string, cty.Value) {
	p := filepath.Join(t.TempDir(), name)
	return p, str(p)
}

// exports are export blocks.
func exports(blocks ...attrs) cty.Value {
	for _, b := range schema().Blocks {
		if b.Name == "export" {
			var out []cty.Value
			for _, values := range blocks {
				out = append(out, b.Schema.Object(values))
			}
			return cty.ListVal(out)
		}
	}
	panic("the schema has no export block")
}

func tarNames(t testing.TB, file string) map[string]bool {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]bool{}
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(h.Name, "/")] = true
	}
}
