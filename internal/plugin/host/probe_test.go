//go:build unix

package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/component"
	"ingot/internal/engine"
	"ingot/internal/plugin/host"
	"ingot/internal/plugin/process"
	"ingot/internal/plugin/store"
)

// whole is a template with every kind of component of the probe, between native steps.
const whole = `
data "probe-d" "x" {
  x = "asked"
}
source "probe-b" "one" {
  greeting = "hello {{build_name}} from ${data.probe-d.x.y} ${data.probe-d.x.n} ${join("+", data.probe-d.x.l)}"
  count    = 3
  list     = ["a", "b"]
  m        = { k = "v" }
  blk {
    a = "in the block"
  }
  bl {
    a = "first"
  }
  bl {
    a = "second"
  }
}
build {
  sources = ["source.probe-b.one"]
  provisioner "shell" {
    inline = ["echo native $PACKER_BUILD_NAME ${build.ProbeVar}"]
  }
  provisioner "probe" {
    cmd = "echo plugin ${build.ID}; cat; exit 0"
  }
  provisioner "shell-local" {
    inline = ["echo local ${build.ConnType}"]
  }
  post-processors {
    post-processor "probe-pp" {
      note = "first of ${build.ProbeVar}"
    }
    post-processor "probe-pp" {
      note = "second"
    }
  }
}
`

// buildOf is a template with a builder of the probe and these steps.
func buildOf(steps string) string {
	return `
source "probe-b" "one" {
  greeting = "x"
}
build {
  sources = ["source.probe-b.one"]` + steps + `}
`
}

// TestProbe runs a build of which every part but two steps is a plugin's, in all modes of
// the protocol.
func TestProbe(t *testing.T) {
	for _, mode := range []struct {
		name string
		gob  bool
		tcp  bool
	}{{"protobuf, unix", false, false}, {"gob, unix", true, false}, {"protobuf, tcp", false, true}, {"gob, tcp", true, true}} {
		t.Run(mode.name, func(t *testing.T) {
			if mode.tcp {
				t.Setenv("PROBE_TCP", "1")
			}
			t.Setenv("TMPDIR", t.TempDir())
			r := newRig(t, probe(t), func(p *host.Plugin) { p.ForceGob = mode.gob })
			res := r.build(t.Context(), whole)
			if res.Failed() > 0 {
				t.Fatalf("%v\n%s", res.Builds[0].Err, r.said())
			}
			r.wants(
				"message: greeting is hello {{build_name}} from echo asked 42 p+q",
				"message: a message", "problem: an error line", "trace: probe,x,y",
				"progress: http://x/y.iso 1000",
				"output: native one set-by-probe",
				"message: probe provisioner cmd=echo plugin probe-id",
				`message: exit=0 out="plugin probe-id\n"`,
				"output: local plugin",
				"message: pp note=first of set-by-probe in id=built",
				"message: pp note=second in id=post",
				"trace: probe plugin: rpc Builder.Run",
				`"bl":[{"a":"first"},{"a":"second"}],"blk":{"a":"in the block"}`,
				`"list":["a","b"],"m":{"k":"v"}`,
				"packer_build_name", "9f0c1d6e-0000-4000-8000-000000000001",
			)
			made := res.Builds[0].Artifacts
			if len(made) != 1 || made[0].ID != "post" || made[0].Producer != "probe.builder" || made[0].Summary != "probe artifact post" {
				t.Errorf("the artifacts are %+v", made)
			}
			// The builder's artifact was replaced. What the second post-processor hands on
			// is what it was given, by all that a plugin says of an artifact.
			if n := strings.Count(r.said(), "DESTROY built"); n != 1 {
				t.Errorf("%d artifacts were destroyed", n)
			}
			if open := r.open(); len(open) > 0 {
				t.Errorf("%v are still held", open)
			}
		})
	}
}

// TestLegacyJSON: components of plugins in a JSON template get the placeholders by which
// they know the build function, and texts with actions as they are.
func TestLegacyJSON(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRig(t, probe(t), nil)
	res := r.build(t.Context(), `{
  "variables": {"who": "me"},
  "builders": [{"type": "probe-b", "greeting": "from {{user `+"`who`"+`}} {{timestamp}}", "count": 2}],
  "provisioners": [{"type": "probe", "cmd": "echo {{build `+"`ID`"+`}}"}],
  "post-processors": [{"type": "probe-pp", "note": "x"}]
}`)
	if res.Failed() > 0 {
		t.Fatal(res.Builds[0].Err)
	}
	// The plugin would render the actions; the probe does not.
	r.wants(`message: greeting is from {{"me"}} {{timestamp}}`, `ProbeVar: "Build_ProbeVar. To`, "message: probe provisioner cmd=echo {{build `ID`}}",
		`PackerRunUUID: "Build_PackerRunUUID. To set this dynamically in the Packer template, you must use the`)
}

// TestValidate: a plugin checks configurations without a build, and its complaints have a
// line.
func TestValidate(t *testing.T) {
	r := newRig(t, probe(t), nil)
	_, diags := r.plan(`
source "probe-b" "bad" {
  count = 1
}
source "probe-b" "good" {
  greeting = "x"
}
build {
  sources = ["source.probe-b.bad", "source.probe-b.good"]
  provisioner "shell" {
    inline = ["echo ${build.ProbeVar} ${build.ProbeVra}"]
  }
}
`, false)
	text := diags.Err().Error()
	for _, want := range []string{"The plugin refuses the configuration: greeting is required", `ProbeVra`, "Warning"} {
		if want == "Warning" {
			if len(diags.Warnings()) == 0 || diags.Warnings()[0].Detail != "probe warns" {
				t.Errorf("warnings: %v", diags.Warnings())
			}
			continue
		}
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in %s", want, text)
		}
	}
	for _, d := range diags {
		if d.Subject == nil {
			t.Errorf("%s has no line", d.Error())
		}
	}
}

// TestNothingStartsUnused: a plugin whose components a template does not use is not
// started. (W48)
func TestW48NothingStartsUnused(t *testing.T) {
	r := newRig(t, probe(t), func(p *host.Plugin) { p.Path = "/nowhere/packer-plugin-probe" })
	if r.host.Builder("b") == nil || r.host.Builder("none") != nil {
		t.Error("the names are not those of the description")
	}
	if n := len(running(probe(t))); n != 0 {
		t.Errorf("%d processes were started", n)
	}
	if err := r.host.Builder("b").(component.Loader).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "start the plugin probe") {
		t.Errorf("error %v", err)
	}
}

// TestWarm: components that are going to be used have a process each, which then checks
// their configurations.
func TestWarm(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRig(t, probe(t), nil)
	r.host.Warm(t.Context(), []host.Use{
		{Kind: process.Builder, Name: "b"}, {Kind: process.Provisioner, Name: store.DefaultComponent},
		{Kind: process.PostProcessor, Name: "pp"}, {Kind: process.DataSource, Name: "none such"},
	})
	warm := running(probe(t))
	if len(warm) < 3 {
		t.Errorf("the processes are %v", warm)
	}
	if _, diags := r.plan(strings.Replace(whole, "data.probe-d.x.", "local.", 3)+`locals {
  y = "a"
  n = 1
  l = ["b"]
}`, false); diags.HasErrors() {
		t.Error(diags.Err())
	}
	for _, pid := range warm {
		if !slices.Contains(running(probe(t)), pid) {
			t.Errorf("process %d was not used again", pid)
		}
	}
}

// TestFailedStep: the builder hears that provisioning has failed, cleans up and ends; the
// error is the step's.
func TestFailedStep(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRig(t, probe(t), nil)
	res := r.build(t.Context(), buildOf(`
  provisioner "probe" {
    cmd = "echo before; exit 3"
    max_retries = 1
  }
  error-cleanup-provisioner "probe" {
    cmd = "echo cleaning"
  }
`))
	err := res.Builds[0].Err
	if err == nil || !strings.Contains(err.Error(), "failed 2 times") || !strings.Contains(err.Error(), "exit status: 3") {
		t.Errorf("error %v", err)
	}
	r.wants(`message: exit=0 out="cleaning\n"`)
	if n := strings.Count(r.said(), `exit=3 out="before\n"`); n != 2 {
		t.Errorf("it was tried %d times", n)
	}
	if strings.Contains(r.said(), "rpc Builder.Cancel") {
		t.Error("the builder was told to cancel, not that the build has failed")
	}
	if open := r.open(); len(open) > 0 {
		t.Errorf("%v are still held", open)
	}
}

// TestInterrupt: the interrupt ends the command, then the provisioner, then the builder,
// each in its own way.
func TestInterrupt(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRig(t, probe(t), nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	started := filepath.Join(t.TempDir(), "started")
	go func() {
		for !exists(started) && ctx.Err() == nil {
			pause()
		}
		cancel(errors.New("interrupted by the test"))
	}()
	res := r.build(ctx, buildOf(`
  provisioner "shell" {
    inline = ["touch '`+started+`'", "sleep 300"]
  }
`))
	err := res.Builds[0].Err
	if err == nil || !strings.Contains(err.Error(), "interrupted by the test") {
		t.Errorf("error %v", err)
	}
	r.wants("rpc Builder.Cancel", "cancelled while in hook", "Hook.Cancel -> nil", "Hook.Run ended with the build has failed")
	if open := r.open(); len(open) > 0 {
		t.Errorf("%v are still held", open)
	}
}

// TestAbort: with -on-error=abort the builder is not asked to clean up; its process ends
// with the run.
func TestAbort(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRig(t, probe(t), nil)
	r.change = func(o *engine.Options) { o.OnError = engine.Abort }
	res := r.build(t.Context(), buildOf(`
  provisioner "probe" {
    cmd = "exit 3"
  }
`))
	if res.Failed() != 1 {
		t.Error("the build did not fail")
	}
	if open := r.open(); len(open) != 1 || !strings.HasPrefix(open[0], host.RunKind) {
		t.Errorf("%v are still held", open)
	}
	noneLeft(t, probe(t))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
