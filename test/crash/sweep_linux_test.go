package crash

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"ingot/internal/failpoint"
	"ingot/internal/testkit/fakecloud"
	"ingot/internal/testkit/live"
)

const sweptDockerTemplate = `
variable "mark" {}
variable "image" {}
source "docker" "crash" {
  image       = var.image
  pull        = false
  discard     = true
  run_command = ["-d", "-i", "-t", "--label", "` + markLabel + `=${var.mark}", "--entrypoint=/bin/sh", "--", "{{.Image}}"]
}
build {
  sources = ["docker.crash"]
}
`

// TestSweepWithoutJournal: builds are killed while they hold things, and the disk with
// their journals is lost. What they have made is found at the provider by its labels,
// and nothing else is touched. A run that is alive keeps what it has.
func TestSweepWithoutJournal(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	program := buildProgram(t)
	for _, s := range []subject{
		{name: "fake cloud, as a program", cloud: true, template: cloudProcessTemplate, results: []string{"packer-manifest.json"}},
		{name: "docker", template: sweptDockerTemplate, args: []string{"-var", "image=" + env.TinyImage}},
	} {
		t.Run(s.name, func(t *testing.T) {
			c := newCampaign(t, env, program, s)
			provider := strings.Fields(strings.ReplaceAll(s.name, "fake cloud,", fakecloud.Name))[0]
			// It stands still while it holds all that it will have at a provider.
			const holding = failpoint.ProviderRelease + ":1"
			t.Run("alive", func(t *testing.T) {
				w := c.newWorld(t)
				end := w.run(holding+"=stop", func(p *os.Process) {
					if !awaitStop(t, p.Pid) {
						t.Error("the build did not hold anything")
						return
					}
					before := len(w.held())
					if out := w.sweep(provider, w.runID()); out != "left: its run is alive" {
						t.Errorf("the sweep of a run that is alive: %s", out)
					}
					if len(w.held()) != before || before == 0 {
						t.Errorf("%d things were there, now %d", before, len(w.held()))
					}
					w.signal(p.Pid, syscall.SIGCONT)
				}, w.buildArgs()...)
				if end.err != nil {
					t.Errorf("the build: %v\n%s", end.err, end.output)
				}
				w.checkNothingLeft()
			})
			t.Run("dead", func(t *testing.T) {
				w := c.newWorld(t)
				if end := w.run(holding+"=kill", nil, w.buildArgs()...); !end.killed {
					t.Fatalf("the build was not killed: %v\n%s", end.err, end.output)
				}
				run := w.runID()
				w.loseState()
				if out := w.sweep(provider, "another-run"); !strings.HasPrefix(out, "left: ") || strings.Contains(out, "removed") {
					t.Errorf("the sweep of another run: %s", out)
				}
				if s.cloud {
					// Only here is nobody else at work.
					if out := w.sweep(provider); !strings.HasPrefix(out, "left: it may be needed until") {
						t.Errorf("the sweep before it has expired: %s", out)
					}
				}
				if len(w.held()) == 0 {
					t.Error("the build has left nothing: the test is blind")
				}
				if out := w.sweep(provider, run); out != "removed" {
					t.Errorf("the sweep of the run: %s", out)
				}
				if left := w.held(); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
				if s.cloud {
					w.checkCloud()
				}
				c.foreign.check(t)
			})
		})
	}
	t.Run("expired", func(t *testing.T) {
		c := newCampaign(t, env, program, subject{name: "fake cloud, as a program", cloud: true, template: cloudProcessTemplate, results: []string{"packer-manifest.json"}})
		w := c.newWorld(t)
		args := append([]string{"build", "-expires-after=1ms"}, w.buildArgs()[1:]...)
		if end := w.run(failpoint.ProviderRelease+":1=kill", nil, args...); !end.killed {
			t.Fatalf("the build was not killed: %v\n%s", end.err, end.output)
		}
		w.loseState()
		if out := w.sweep(fakecloud.Name); out != "removed" || len(w.held()) > 0 {
			t.Errorf("the sweep: %s; left: %v", out, w.held())
		}
		w.checkCloud()
	})
}

// loseState is the loss of the disk with the journals.
func (w *world) loseState() {
	w.t.Helper()
	for _, err := range []error{os.RemoveAll(w.path("state")), os.MkdirAll(w.path("state/runs"), 0o700)} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// held lists what the run has at its provider, images aside.
func (w *world) held() []trace {
	var out []trace
	for _, tr := range w.traces() {
		if tr.kind == "cloud" || tr.kind == "container" {
			out = append(out, tr)
		}
	}
	return out
}

// runID is the id of the one run of this world.
func (w *world) runID() string {
	w.t.Helper()
	entries, err := os.ReadDir(w.path("state/runs"))
	if err != nil || len(entries) != 1 {
		w.t.Fatalf("%d runs, %v", len(entries), err)
	}
	return entries[0].Name()
}

// sweep runs `ingot reap -provider`, and says what became of what belongs to this world,
// each thing once.
func (w *world) sweep(provider string, runs ...string) string {
	w.t.Helper()
	mine := map[string]bool{}
	for _, tr := range w.traces() {
		mine[tr.what] = true
	}
	end := w.run("", nil, append([]string{"reap", "-json", "-provider=" + provider}, runs...)...)
	if end.err != nil {
		w.t.Fatalf("sweep: %v\n%s", end.err, end.output)
	}
	var said []string
	for line := range strings.Lines(end.output) {
		var l struct {
			Type, Reason string
			Removed      bool
			Resource     struct{ ID, Kind string }
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			w.t.Fatalf("reap printed %q: %v", line, err)
		}
		text := "removed"
		if l.Type == "left" {
			text = "left: " + l.Reason
		} else if l.Type == "resource" && !l.Removed {
			text = "failed: " + line
		}
		if l.Type != "summary" && mine[l.Resource.ID] && (len(said) == 0 || said[len(said)-1] != text) {
			said = append(said, text)
		}
	}
	return strings.Join(said, "; ")
}
