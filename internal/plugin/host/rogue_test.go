//go:build unix

package host_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/plugin/host"
	"ingot/internal/plugin/process"
)

// rogue makes a rig with a plugin that misbehaves. When the test ends, no process with its
// environment may be left, whatever it has started.
func rogue(t *testing.T, how string) *rig {
	t.Helper()
	mark := "ROGUE_TEST=" + t.Name()
	t.Setenv("ROGUE", how)
	t.Setenv("ROGUE_TEST", t.Name())
	t.Setenv("TMPDIR", t.TempDir())
	t.Cleanup(func() { // after that of the rig
		if left := marked(mark); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
	})
	return newRig(t, program(t, "rogue", "."), func(p *host.Plugin) {
		p.Grace = 500 * time.Millisecond
		if how == "silent" || how == "mute" {
			p.StartTimeout = 3 * time.Second
		}
	})
}

// marked are the processes, but for this one and its children that are commands of the
// tests, whose environment has a variable.
func marked(mark string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	var out []string
	for _, f := range files {
		env, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(env, []byte(mark+"\x00")) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		out = append(out, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
	}
	return out
}

// TestRogueStart: a plugin that cannot be started or does not say what it is gives an
// error with its last lines.
func TestRogueStart(t *testing.T) {
	for _, c := range []struct{ how, want, log string }{
		{"cookie", "ended before it said where it listens: exit status 1", "not to be run by hand"},
		{"exit", "ended before it said where it listens: exit status 3", "no license for this plugin"},
		{"zombie", "ended before it said where it listens: exit status 4", "rogue is zombie"},
		{"silent", "could not be called within 3s", "rogue is silent"},
		{"garbage", `its first line is "Hello, I am a plugin" and not a handshake`, "rogue is garbage"},
		{"old", "protocol of Packer before 1.7", ""},
		{"newer", "speaks version 5.7 of the protocol; this program speaks 5.0", ""},
		{"endless", "its first line is longer than", ""},
		{"nowhere", "connect to it: ", "/nonexistent/socket"},
		{"mute", "could not be called within 3s", "rogue is mute"},
		{"gone", "ended without an answer: exit status 2", "panic: nobody was expected"},
		{"noise", "start the plugin probe", "rogue is noise"},
		{"nospec", `the schema of its builder "b"`, ""},
		{"huge", "a message is larger than 16 MiB", ""},
		{"deep", "nested more than 100 levels deep", ""},
		{"truncated", "unexpected EOF", ""},
		{"nonsense", "not the start of a msgpack value", ""},
		{"crash:Builder.ConfigSpec", "ended without an answer: exit status 2", "panic: something was nil in Builder.ConfigSpec"},
		{"orphan:Builder.ConfigSpec", "ended without an answer: exit status", "panic: something was nil in Builder.ConfigSpec"},
		{"hang:Builder.ConfigSpec", "the test waits no longer", ""},
	} {
		t.Run(c.how, func(t *testing.T) {
			r := rogue(t, c.how)
			ctx := t.Context()
			if strings.HasPrefix(c.how, "hang") {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, 2*time.Second, errors.New("the test waits no longer"))
				defer cancel()
			}
			err := r.host.Builder("b").(component.Loader).Load(ctx)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.log) {
				t.Errorf("error %v\nwant %q and %q", err, c.want, c.log)
			}
		})
	}
}

// TestRogueHarmless: what is odd and harms nobody is no error.
func TestRogueHarmless(t *testing.T) {
	for _, how := range []string{"twice", "stray", "linger"} {
		t.Run(how, func(t *testing.T) {
			r := rogue(t, how)
			if err := r.host.Builder("b").(component.Loader).Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRogueCheck: a plugin that fails while a configuration is checked gives a
// diagnostic.
func TestRogueCheck(t *testing.T) {
	for how, want := range map[string]string{
		"crash:Builder.Prepare":         "panic: something was nil in Builder.Prepare",
		"crash:Provisioner.Prepare":     "panic: something was nil in Provisioner.Prepare",
		"crash:PostProcessor.Configure": "panic: something was nil in PostProcessor.Configure",
		"crash:Datasource.Configure":    "panic: something was nil in Datasource.Configure",
		"crash:Datasource.Execute":      "panic: something was nil in Datasource.Execute",
		"crash:Datasource.OutputSpec":   "panic: something was nil in Datasource.OutputSpec",
		"nonsense:Datasource":           "sent something else than its data source",
	} {
		t.Run(how, func(t *testing.T) {
			r := rogue(t, how)
			_, diags := r.plan(rogueTemplate, true)
			if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
			for _, d := range diags {
				if d.Subject == nil {
					t.Errorf("no line: %s", d.Error())
				}
			}
		})
	}
}

const rogueTemplate = `
data "probe-d" "d" {
  x = "y"
}
source "probe-b" "b" {
  x = data.probe-d.d.x
}
build {
  sources = ["source.probe-b.b"]
  provisioner "probe-p" {
  }
  provisioner "shell" {
    inline = ["echo through the plugin"]
  }
  post-processor "probe-pp" {
  }
}
`

// TestRogueBuild: a plugin that fails while it builds fails the build, with its last
// lines, or obeys a time limit; nothing is held afterwards.
func TestRogueBuild(t *testing.T) {
	for _, c := range []struct{ how, want string }{
		{"crash:Builder.Run", "ended without an answer: exit status 2"},
		{"crash:capture", "panic: something was nil in capture"},
		{"crash:Artifact.BuilderId", "panic: something was nil in Artifact.BuilderId"},
		{"crash:Artifact.Destroy", "panic: something was nil in Artifact.Destroy"},
		{"crash:Provisioner.Provision", "panic: something was nil in Provisioner.Provision"},
		{"hang:Provisioner.Provision", "time-out of 1s reached"},
		{"slow:Provisioner.Provision", "time-out of 1s reached"},
		{"children:Provisioner.Provision", "time-out of 1s reached"},
		{"crash:PostProcessor.PostProcess", "panic: something was nil in PostProcessor.PostProcess"},
		{"vanish", "panic: the machine is gone"},
		{"unserved", "open stream 1 of the peer"},
		{"again", "asks for provisioning a second time"},
		{"nohook", "this build has no machine"},
		{"slowreader", "time-out of 1s reached"},
	} {
		t.Run(c.how, func(t *testing.T) {
			r := rogue(t, c.how)
			text := rogueTemplate
			change := func(old, new string) {
				if !strings.Contains(text, old) {
					t.Fatalf("the template has no %q", old)
				}
				text = strings.Replace(text, old, new, 1)
			}
			switch c.how {
			case "hang:Provisioner.Provision", "slow:Provisioner.Provision", "children:Provisioner.Provision":
				change(`provisioner "probe-p" {`, `provisioner "probe-p" {
    timeout = "1s"`)
			case "slowreader":
				change(`provisioner "shell" {
    inline = ["echo through the plugin"]`, `provisioner "file" {
    content     = "anything"
    destination = "/tmp/never"
    timeout     = "1s"`)
			case "vanish":
				// Nobody is left to remove the script from the machine.
				change(`    inline = ["echo through`, `    remote_folder = "`+os.Getenv("TMPDIR")+`"
    inline = ["sleep 100; echo through`)
			case "crash:Artifact.Destroy":
				change(`post-processor "probe-pp" {`, `post-processor "probe-pp" {
    keep_input_artifact = false`)
			}
			res := r.build(t.Context(), text)
			if err := res.Builds[0].Err; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant %q\n%s", err, c.want, r.said())
			}
			if open := r.open(); len(open) > 0 {
				t.Errorf("%v are still held", open)
			}
		})
	}
}

// TestRogueInterrupted: a builder that does not cancel is ended after the time that it is
// given for cleaning up.
func TestRogueInterrupted(t *testing.T) {
	for _, how := range []string{"hang:Builder.Run", "hang:capture", "slow:Builder.Run", "hang:PostProcessor.PostProcess"} {
		t.Run(how, func(t *testing.T) {
			r := rogue(t, how)
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				for ctx.Err() == nil && !strings.Contains(r.said(), "thinking about") {
					pause()
				}
				cancel(errors.New("interrupted by the test"))
			}()
			res := r.build(ctx, rogueTemplate)
			err := res.Builds[0].Err
			if err == nil || !strings.Contains(err.Error(), "interrupted by the test") {
				t.Errorf("error %v\n%s", err, r.said())
			}
			if strings.Contains(how, "hang:B") && !strings.Contains(err.Error(), "did not clean up") {
				t.Errorf("the error does not say that the plugin did not clean up: %v", err)
			}
			for _, o := range r.open() {
				if !strings.HasPrefix(o, host.RunKind) { // it says so as an error, and is tried again by reap
					t.Errorf("%s is still held", o)
				}
			}
		})
	}
}

// TestRogueText: text that is no UTF-8 arrives as text.
func TestRogueText(t *testing.T) {
	r := rogue(t, "utf8")
	res := r.build(t.Context(), strings.Replace(rogueTemplate, "echo through the plugin", "echo ${build.Odd}", 1))
	if res.Failed() > 0 {
		t.Fatal(res.Builds[0].Err)
	}
	const want = "bad � text"
	r.wants("message: "+want, "problem: "+want, "output: "+want, "trace: probe plugin: "+want)
	if a := res.Builds[0].Artifacts; len(a) != 1 || a[0].ID != want || a[0].Summary != want || a[0].Files[0].Path != want {
		t.Errorf("artifacts %+v", a)
	}
}

// TestRogueFlood: output is shown as fast as it is taken; nothing is lost.
func TestRogueFlood(t *testing.T) {
	t.Setenv("ROGUE_MB", "20")
	r := rogue(t, "flood")
	res := r.build(t.Context(), rogueTemplate)
	if res.Failed() > 0 {
		t.Fatal(res.Builds[0].Err)
	}
	if n := strings.Count(r.said(), "message: output output"); n != 20*16 {
		t.Errorf("%d lines arrived", n)
	}
}

// TestHandedOn: a post-processor may hand on what it was given; it stays what it was. What
// the plugin of the builder knows of its artifact, other plugins can ask.
func TestHandedOn(t *testing.T) {
	r := rogue(t, "handon")
	res := r.build(t.Context(), rogueTemplate)
	if res.Failed() > 0 {
		t.Fatal(res.Builds[0].Err)
	}
	a := res.Builds[0].Artifacts
	if len(a) != 1 || a[0].ID != "built" || strings.Contains(r.said(), "destroyed") {
		t.Errorf("artifacts %+v\n%s", a, r.said())
	}
}

// TestCleanEnvironment: with a clean environment, a plugin sees what it needs and what is
// kept for it.
func TestCleanEnvironment(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("SOME_CREDENTIAL", "secret")
	r := newRig(t, probe(t), func(p *host.Plugin) { p.CleanEnv, p.KeepEnv = true, []string{"ROGUE_KEPT"} })
	t.Setenv("ROGUE_KEPT", "kept")
	res := r.build(t.Context(), buildOf(`
  provisioner "shell" {
    inline = ["echo [$SOME_CREDENTIAL] [$ROGUE_KEPT]"]
  }
`))
	if res.Failed() > 0 {
		t.Fatal(res.Builds[0].Err)
	}
	r.wants("output: [] [kept]")
}

// TestLimits: a plugin and what it starts cannot use more than it may.
func TestLimits(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no limits on this system")
	}
	t.Setenv("TMPDIR", t.TempDir())
	r := newRig(t, probe(t), func(p *host.Plugin) { p.Limits = process.Limits{Memory: 1 << 30, OpenFiles: 123} })
	res := r.build(t.Context(), buildOf(`
  provisioner "shell" {
    inline = ["ulimit -n; ulimit -d"]
  }
`))
	if res.Failed() > 0 {
		t.Fatal(res.Builds[0].Err)
	}
	r.wants("output: 123", "output: 1048576")
}
