package crash

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"ingot/internal/testkit/live"
)

// subject is a template to crash on.
type subject struct {
	name string
	// template is written to template.pkr.hcl. Its provisioners are to have
	// processes running for a while, and to have ended them themselves when
	// they succeed.
	template string
	args     []string
	// warm asks for a complete run before the first crash, whose cache the
	// crashing runs begin with. Without it they begin with an empty one.
	warm bool
	// points are the failpoints to kill at, each as often as it is reached.
	points []string
	// every is how many times a point is reached for each time that the subject
	// is killed there, and random how often it is killed at no step in
	// particular; 0 is each time, and randomCrashes.
	every, random int
	// sees are the kinds of trace that some crash is to leave, so that the
	// checks are known to see them.
	sees []string
	// calls are requests to the Docker engine, as regular expressions of their
	// first lines, whose answers the run is not to see.
	calls []string
	// results are the files that a run makes in the folder of the template.
	results []string
	// whole are those of the results that may be there only when the run had
	// given them to the user: others are found in the traces.
	whole []string
	// files are written beside the template.
	files map[string][]byte
	// saves says that runs save machines in the step cache, which a later run
	// has to be able to use, and which has to take all of them away when it is
	// emptied.
	saves bool
	// programs are what has to be installed.
	programs []string
	// cloud asks for a fake cloud, whose address is the variable endpoint.
	cloud bool
	// parts is in how many parts the matrix of the subject is swept.
	parts int
}

// backgroundStep has processes on this machine: one that the script waits
// for, and one in a session of its own that would survive it.
const backgroundStep = `
  provisioner "shell-local" {
    inline = [
      "sleep 600 & one=$!",
      "setsid sleep 601 & two=$!",
      "sleep 0.15",
      "kill $one $two",
    ]
  }
`

const dockerTemplate = `
variable "mark" {}
variable "image" {}
source "docker" "crash" {
  image       = var.image
  pull        = false
  commit      = true
  run_command = ["-d", "-i", "-t", "--label", "` + markLabel + `=${var.mark}", "--entrypoint=/bin/sh", "--", "{{.Image}}"]
}
build {
  sources = ["docker.crash"]
  provisioner "shell" {
    inline = ["sleep 600 & echo provisioned > /provisioned"]
  }
` + backgroundStep + `
  post-processor "manifest" {}
}
`

const stepCacheTemplate = `
variable "mark" {}
variable "image" {}
source "docker" "crash" {
  image       = var.image
  pull        = false
  commit      = true
  run_command = ["-d", "-i", "-t", "--label", "` + markLabel + `=${var.mark}", "--entrypoint=/bin/sh", "--", "{{.Image}}"]
}
build {
  sources = ["docker.crash"]
  provisioner "shell" {
    inline = ["echo one > /one"]
  }
  provisioner "shell" {
    inline = ["echo two > /two"]
  }
  post-processor "manifest" {}
}
`

const ociTemplate = `
variable "mark" {}
variable "base" {}
source "oci" "crash" {
  from    = "tar:${var.base}"
  output  = "image.tar"
  network = "none"
}
build {
  sources = ["oci.crash"]
  provisioner "shell" {
    inline = ["sleep 600 & sleep 0.1; echo provisioned > /provisioned"]
  }
` + backgroundStep + `
  post-processor "manifest" {}
}
`

const cloudProcessTemplate = `
variable "mark" {}
variable "endpoint" {}
source "fakecloud" "crash" {
  endpoint = var.endpoint
}
build {
  sources = ["fakecloud.crash"]
  post-processor "manifest" {}
}
`

// qemuTemplate has a machine with a TPM and a CD, which switches itself off.
const qemuTemplate = `
variable "mark" {}
source "qemu" "crash" {
  iso_url      = "off.img"
  iso_checksum = "none"
  disk_image   = true
  disk_size    = "4M"
  accelerator  = "tcg"
  memory       = 32
  headless     = true
  vtpm         = true
  communicator = "none"
  cd_content   = { "answers" = "yes" }
  http_content = { "/answers" = "yes" }
}
build {
  sources = ["qemu.crash"]
` + backgroundStep + `
  post-processor "manifest" {}
}
`

// offDisk is a disk whose boot sector waits for half a second and then switches
// the machine off.
func offDisk() []byte {
	disk := make([]byte, 1<<20)
	copy(disk, []byte{
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0xfb,                   // sti
		0x8b, 0x1e, 0x6c, 0x04, // mov bx, [0x46c]: ticks, of which 18 make a second
		0x83, 0xc3, 0x09, // add bx, 9
		0xf4,             // wait: hlt
		0xa1, 0x6c, 0x04, // mov ax, [0x46c]
		0x39, 0xd8, // cmp ax, bx
		0x75, 0xf8, // jne wait
		0xba, 0x04, 0x06, // mov dx, 0x604
		0xb8, 0x00, 0x20, // mov ax, 0x2000
		0xef,             // out dx, ax: off
		0xf4, 0xeb, 0xfd, // halt for ever
	})
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}

func subjects(env live.Env) []subject {
	all := []string{"journal.create", "journal.before", "journal.after", "journal.remove"}
	oci := subject{
		name:     "oci",
		parts:    matrixParts,
		points:   all,
		template: ociTemplate,
		args:     []string{"-var", "base=" + env.TinyTar},
		results:  []string{"image.tar", "packer-manifest.json"},
		sees:     []string{"file", "process"},
	}
	cached := oci
	cached.name, cached.warm, cached.points, cached.parts = "oci cached", true, []string{"journal.after"}, 0
	return []subject{
		{
			name:     "docker",
			parts:    matrixParts,
			points:   all,
			template: dockerTemplate,
			args:     []string{"-var", "image=" + env.TinyImage},
			results:  []string{"packer-manifest.json"},
			sees:     []string{"container", "file", "image", "process"},
			calls: []string{
				`POST \S*/containers/create`, `POST \S*/containers/\w+/start`, `POST \S*/containers/\w+/exec`,
				`POST \S*/commit`, `DELETE \S*/containers/`,
			},
		},
		{
			name: "docker step cache",
			// Each crash takes two more builds to look at.
			points: []string{"journal.before"}, every: 3, random: 4,
			template: stepCacheTemplate,
			args:     []string{"-cache-all", "-var", "image=" + env.TinyImage},
			results:  []string{"packer-manifest.json"},
			sees:     []string{"container", "file", "image"},
			calls:    []string{`POST \S*/commit`},
			saves:    true,
		},
		oci,
		cached,
		{
			name:     "fake cloud, as a program",
			parts:    matrixParts,
			cloud:    true,
			template: cloudProcessTemplate,
			results:  []string{"packer-manifest.json"},
			sees:     []string{"cloud", "file", "image"},
		},
		{
			name: "qemu",
			// The moments after a record differ from those before the next one
			// as with the others; each machine takes seconds.
			points:   []string{"journal.before"},
			parts:    guestParts,
			template: qemuTemplate,
			results:  []string{"output-crash", "packer-manifest.json"},
			whole:    []string{"output-crash"},
			sees:     []string{"file", "process"},
			files:    map[string][]byte{"off.img": offDisk()},
			programs: []string{"qemu-system-x86_64", "qemu-img", "swtpm"},
		},
	}
}

// TestCrash is slow for its size: each crash is a build of its own.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("a crash for every journal record takes minutes")
	}
	env := live.Require(t)
	live.RequireRoot(t)
	program := buildProgram(t)
	for _, s := range subjects(env) {
		t.Run(s.name, func(t *testing.T) {
			live.RequirePrograms(t, s.programs...)
			if s.points == nil {
				t.Skip("its crashes are those of the matrix")
			}
			c := newCampaign(t, env, program, s)
			full := c.completeRun()
			for _, point := range s.points {
				c.everyTime(point)
			}
			c.inCalls()
			c.atRandom(full, cmp.Or(s.random, randomCrashes))
			c.finish()
		})
	}
}

const (
	// randomCrashes is how often each subject is killed at no step in
	// particular.
	randomCrashes = 10
	// parallel is how many builds run at a time.
	parallel = 2
	// mostTimes ends the search for the last time that a point is reached.
	mostTimes = 200
)

// buildProgram builds ingot with the points at which it kills itself.
func buildProgram(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// built is the program, built once for all tests. TestMain removes it.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ingot-crash-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "ingot")
	cmd := exec.Command("go", "build", "-tags", "failpoints,fakecloud", "-o", path, "ingot/cmd/ingot")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ingot: %w\n%s", err, out)
	}
	return path, nil
})

// campaign is all the crashes of one subject.
type campaign struct {
	t       *testing.T
	env     live.Env
	program string
	subject subject
	foreign *foreign
	worlds  atomic.Int64
	// cache is what crashing runs begin with, "" for an empty one.
	cache string

	mu   sync.Mutex // guards the two below
	rows []row
	seen map[string]bool
	// counts is how often a complete run gets to each point.
	counts map[string]int
}

// row is one crash in the summary.
type row struct {
	when, state, traces, removed string

	ok bool
}

func newCampaign(t *testing.T, env live.Env, program string, s subject) *campaign {
	c := &campaign{t: t, env: env, program: program, subject: s, foreign: newForeign(t, env), seen: map[string]bool{}}
	if s.warm {
		w := c.newWorld(t)
		if end := w.build(""); end.err != nil {
			t.Fatalf("run that fills the cache: %v\n%s", end.err, end.output)
		}
		w.checkNothingLeft()
		c.cache = w.path("cache")
	}
	return c
}

// completeRun checks that the subject works when nothing is killed, and that
// the checks find nothing then. It returns how long the build took.
func (c *campaign) completeRun() time.Duration {
	w := c.newWorld(c.t)
	begin := time.Now()
	end := w.build("")
	full := time.Since(begin)
	if end.err != nil {
		c.t.Fatalf("complete run: %v\n%s", end.err, end.output)
	}
	w.checkStepCache()
	w.checkNothingLeft()
	w.checkResults()
	c.foreign.check(c.t)
	return full
}

// everyTime kills when the point is reached for the first time, the second, ...
// until a build gets through.
func (c *campaign) everyTime(point string) {
	turns := make(chan int)
	var (
		wg      sync.WaitGroup
		once    sync.Once
		through = make(chan struct{})
	)
	for range parallel {
		wg.Go(func() {
			for n := range turns {
				failpoint := fmt.Sprintf("%s:%d", point, n)
				if !c.crash(failpoint, func(w *world) ending { return w.build(failpoint) }) {
					once.Do(func() { close(through) })
				}
			}
		})
	}
	n := 1
feed:
	for ; n <= mostTimes; n += max(c.subject.every, 1) {
		select {
		case turns <- n:
		case <-through:
			break feed
		}
	}
	close(turns)
	wg.Wait()
	if n > mostTimes {
		c.t.Errorf("%s: a build got there more than %d times", point, mostTimes)
	}
}

// atRandom kills at moments spread over the whole run.
func (c *campaign) atRandom(full time.Duration, times int) {
	seed := uint64(len(c.subject.name)) // the same moments each time
	random := rand.New(rand.NewPCG(seed, 1))
	delays := make(chan time.Duration, times)
	for range times {
		delays <- time.Duration(random.Int64N(int64(full)))
	}
	close(delays)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for d := range delays {
				when := fmt.Sprintf("%d%% of the time", 100*d/full)
				c.crash(when, func(w *world) ending { return w.buildAndKill(d) })
			}
		})
	}
	wg.Wait()
}

// inCalls kills when the engine has been sent a request, before it has
// answered.
func (c *campaign) inCalls() {
	for _, call := range c.subject.calls {
		c.crash("call "+call, func(w *world) ending {
			w.t.Helper()
			proxy := newProxy(w.t, c.env.DockerSocket(), call)
			w.dockerHost = proxy.host
			end := w.run("", proxy.onMatch, w.buildArgs()...)
			if !end.killed {
				w.t.Errorf("the build made no call %s", call)
			}
			return end
		})
	}
}

// crash runs a build in a world of its own, and reaps and checks when it was
// killed. It returns whether it was.
func (c *campaign) crash(when string, build func(*world) ending) (killed bool) {
	failed := true
	c.t.Run(when, func(t *testing.T) {
		w := c.newWorld(t)
		end := build(w)
		if !end.killed {
			if end.err != nil {
				t.Fatalf("the build was not killed, and failed: %v\n%s", end.err, end.output)
			}
			w.checkStepCache()
			w.checkNothingLeft()
			w.checkResults()
			failed = t.Failed()
			return
		}
		killed = true
		state := w.openAndKept()
		before := w.traces()
		removed := w.reap()
		w.checkStepCache()
		w.checkNothingLeft()
		w.reapAgain()
		c.foreign.check(t)
		failed = t.Failed()
		tally.note(cell{c.subject.name, lostIngot, c.subject.crashedAt(when)}, len(before), !failed)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.rows = append(c.rows, row{when: when, state: state, traces: count(before), removed: removed, ok: !failed})
		for _, tr := range before {
			c.seen[tr.kind] = true
		}
	})
	if failed {
		// The search would go on for ever after a build that cannot work.
		c.t.Logf("%s: %s failed", c.subject.name, when)
	}
	return killed
}

// finish looks once more for what may have come late, such as the result of a
// call that the engine was still working on, and prints what was done.
func (c *campaign) finish() {
	c.foreign.checkEngine(c.t)
	for _, p := range processesRunning(c.program) {
		c.t.Errorf("%s: still running: %s", c.subject.name, p)
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "killed at\tjournal said\tthere was\treap removed\tclean\n")
	clean := 0
	for _, r := range c.rows {
		verdict := "no"
		if r.ok {
			verdict = "yes"
			clean++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.when, r.state, r.traces, r.removed, verdict)
	}
	w.Flush()
	c.t.Logf("%s: %d crashes, %d clean\n%s", c.subject.name, len(c.rows), clean, table.String())
	for _, kind := range c.subject.sees {
		if !c.seen[kind] {
			c.t.Errorf("%s: no crash left a %s: the checks may be blind", c.subject.name, kind)
		}
	}
}

// copyTree copies a folder.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", from, err, out)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// crashedAt names the kind of moment in the table.
func (s subject) crashedAt(when string) string {
	switch {
	case strings.HasPrefix(when, "journal.") && s.every > 1:
		return atThird
	case strings.HasPrefix(when, "journal.before") && len(s.points) == 1:
		return atBefore
	case strings.HasPrefix(when, "journal.after") && len(s.points) == 1:
		return atAfter
	case strings.HasPrefix(when, "journal."):
		return atRecord
	case strings.HasPrefix(when, "call "):
		return atAnswer
	}
	return atRandom
}
