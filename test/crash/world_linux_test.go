package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/failpoint"
	"ingot/internal/journal"
	"ingot/internal/testkit/fakecloud"
)

// world is the surroundings of one run: folders of its own, and a mark that
// all it makes can be told by.
type world struct {
	t    *testing.T
	c    *campaign
	root string
	// mark is in the environment of every process that the run starts, and a
	// label of its containers and so of its images.
	mark       string
	dockerHost string
	// neighbours are files and folders of somebody else in the places where
	// the run keeps its own.
	neighbours []string
	// ownGroup puts what is run into a group of processes of its own.
	ownGroup bool
	// countInto is a file for the names of the points that a run gets to.
	countInto string
	// complete says that the run ended well, so that its image is wanted.
	complete bool
	// unread says that the journal was gone before it could be read, so that
	// any result may have been given to the user.
	unread bool
	// kept are resources that the run gave to the user before it was killed.
	kept []string
	// cloud is where the subject builds, with what is somebody else's there; nil
	// for most subjects.
	cloud        *fakecloud.Server
	cloudForeign []string
}

const (
	markVariable = "INGOT_CRASH_TEST"
	markLabel    = "ingot.crash.test"
	foreignToken = "ingot-01foreign0000000000000000"
)

func (c *campaign) newWorld(t *testing.T) *world {
	t.Helper()
	// Not in the test's own folder, whose name is too long for a socket.
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, c: c, root: root, dockerHost: c.env.DockerHost}
	w.mark = fmt.Sprintf("%s-%d", c.foreign.id, c.worlds.Add(1))
	t.Cleanup(func() { endMarked(t, w.mark) })
	for _, dir := range []string{"home", "state/runs", "cache/oci/tmp", "cache/steps", "tmp", "work"} {
		if err := os.MkdirAll(w.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if c.cache != "" {
		copyTree(t, c.cache, w.path("cache"))
	}
	if c.subject.cloud {
		w.startCloud()
	}
	write(t, w.path("work/template.pkr.hcl"), c.subject.template)
	for name, data := range c.subject.files {
		write(t, w.path("work/"+name), string(data))
	}
	w.neighbours = []string{
		w.path("tmp/" + foreignToken), w.path("work/.ingot-part-foreign"), w.path("cache/oci/tmp/oci-" + foreignToken),
	}
	for _, dir := range w.neighbours {
		if err := os.MkdirAll(filepath.Join(dir, "inside"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.root, filepath.FromSlash(name)) }

// ending is how a run of the program ended.
type ending struct {
	killed bool
	err    error
	output string
}

// command is the program with something to happen at a failpoint: "NAME:N" kills
// it, "" is nothing.
func (w *world) command(point string, args ...string) *exec.Cmd {
	what := point
	if point != "" && !strings.Contains(point, "=") {
		what += "=kill"
	}
	cmd := exec.Command(w.c.program, args...)
	cmd.Dir = w.path("work")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + w.path("home"), "TMPDIR=" + w.path("tmp"),
		"INGOT_STATE_DIR=" + w.path("state"), "INGOT_CACHE_DIR=" + w.path("cache"), "INGOT_CONFIG_DIR=" + w.path("home"),
		"DOCKER_HOST=" + w.dockerHost,
		failpoint.Variable + "=" + what,
		failpoint.CountVariable + "=" + w.countInto,
		markVariable + "=" + w.mark,
	}
	if w.cloud != nil {
		cmd.Env = append(cmd.Env, fakecloud.EndpointVariable+"="+w.cloud.URL)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: w.ownGroup}
	return cmd
}

// run starts the program, calls during when it is not nil, and waits.
func (w *world) run(point string, during func(*os.Process), args ...string) ending {
	w.t.Helper()
	cmd := w.command(point, args...)
	// A file, since whatever is left running would hold a pipe open.
	out, err := os.CreateTemp(w.root, "output-")
	if err != nil {
		w.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	limit := time.AfterFunc(runLimit, func() { cmd.Process.Kill() })
	defer limit.Stop()
	if during != nil {
		during(cmd.Process)
	}
	end := ending{err: cmd.Wait()}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		w.t.Fatal(err)
	}
	end.output = string(text)
	w.complete = w.complete || end.err == nil && args[0] == "build"
	var exit *exec.ExitError
	if errors.As(end.err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		end.killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if end.killed && !limit.Stop() {
		w.t.Fatalf("%v did not end within %s:\n%s", args, runLimit, text)
	}
	return end
}

// runLimit is for a program that hangs.
const runLimit = 2 * time.Minute

// buildArgs leaves the watchdog out, which would be faster than the test's own
// look at what the crash has left.
func (w *world) buildArgs() []string {
	return append([]string{"build", "-no-watchdog"}, w.watchedArgs()[1:]...)
}

func (w *world) watchedArgs() []string {
	args := append([]string{"build", "-var", "mark=" + w.mark}, w.c.subject.args...)
	if w.cloud != nil {
		args = append(args, "-var", "endpoint="+w.cloud.URL)
	}
	return append(args, ".")
}

// build runs a build that kills itself at the failpoint, "" for none.
func (w *world) build(point string) ending {
	w.t.Helper()
	return w.run(point, nil, w.buildArgs()...)
}

// buildAndKill runs a build and kills it after a while.
func (w *world) buildAndKill(after time.Duration) ending {
	w.t.Helper()
	return w.run("", func(p *os.Process) {
		time.Sleep(after)
		if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			w.t.Error(err)
		}
	}, w.buildArgs()...)
}

// openAndKept reads the journal that the killed run has left, notes what it
// gave away, and says what it held.
func (w *world) openAndKept() string {
	w.t.Helper()
	states, err := journal.FileStore{Dir: w.path("state/runs")}.List(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	if len(states) == 0 {
		// Before anything was made, or after the last step.
		_, err := os.Stat(w.path("work/packer-manifest.json"))
		w.complete = err == nil
		return "no journal"
	}
	var held []string
	for _, o := range states[0].Open {
		name := o.Resource.Kind
		if o.Resource.ID == "" {
			name += "?"
		}
		held = append(held, name)
	}
	w.kept = w.keptResults(states[0].Run.ID)
	return fmt.Sprintf("[%s] kept %d", strings.Join(held, " "), len(w.kept))
}

// resultKinds are the kinds of resources that artifacts are made of.
var resultKinds = []string{"docker.image", "file.dir", fakecloud.Name + ".image"}

// keptResults lists the images and folders of which the journal says that they
// belong to the user.
func (w *world) keptResults(run string) []string {
	text, err := os.ReadFile(w.path("state/runs/" + run + "/journal.jsonl"))
	if err != nil {
		w.t.Fatal(err)
	}
	results, ids := map[uint64]bool{}, map[uint64]string{}
	var kept []string
	for line := range strings.Lines(string(text)) {
		_, record, _ := strings.Cut(line, " ")
		var r journal.Record
		if json.Unmarshal([]byte(record), &r) != nil {
			continue // torn by the crash
		}
		switch r.Type {
		case journal.Intent:
			results[r.Lease] = slices.Contains(resultKinds, r.Resource.Kind)
		case journal.Made:
			ids[r.Lease] = r.ID
		case journal.Kept:
			if results[r.Lease] {
				kept = append(kept, ids[r.Lease])
			}
		}
	}
	return kept
}

// reap runs `ingot reap -json` and returns the kinds that it removed.
func (w *world) reap() string {
	w.t.Helper()
	end := w.run("", nil, "reap", "-json")
	if end.err != nil {
		w.t.Fatalf("reap: %v\n%s", end.err, end.output)
	}
	var kinds []string
	summary := false
	for line := range strings.Lines(end.output) {
		var l struct {
			Type     string
			Removed  bool
			Resource struct{ Kind string }
			Failed   int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			w.t.Fatalf("reap printed %q: %v", line, err)
		}
		switch l.Type {
		case "resource":
			if !l.Removed {
				w.t.Errorf("reap did not remove: %s", line)
			}
			kinds = append(kinds, l.Resource.Kind)
		case "summary":
			summary = true
		default:
			w.t.Errorf("reap printed %s", line)
		}
	}
	if !summary {
		w.t.Errorf("reap printed no summary:\n%s", end.output)
	}
	return strings.Join(kinds, " ")
}

// reapAgain checks that a second reap finds nothing to do.
func (w *world) reapAgain() {
	w.t.Helper()
	end := w.run("", nil, "reap")
	if end.err != nil || !strings.Contains(end.output, "Nothing was left behind.") {
		w.t.Errorf("second reap: %v\n%s", end.err, end.output)
	}
}

// trace is something of the run that is there.
type trace struct{ kind, what string }

// traces looks for everything that the run may have made.
func (w *world) traces() []trace {
	w.t.Helper()
	var out []trace
	add := func(kind string, whats ...string) {
		for _, what := range whats {
			out = append(out, trace{kind, what})
		}
	}
	add("process", processesMarked(w.mark)...)
	add("mount", mountsBelow(w.root)...)
	for _, dir := range []string{"state/runs", "tmp", "cache/oci/tmp", "work"} {
		for _, name := range w.strangers(dir) {
			add("file", dir+"/"+name)
		}
	}
	if w.cloud != nil {
		for _, thing := range w.cloud.Things() {
			switch {
			case slices.Contains(w.cloudForeign, thing.ID):
			case thing.Collection() == fakecloud.Images:
				add("image", thing.ID)
			default:
				add("cloud", thing.ID)
			}
		}
	}
	add("container", w.c.foreign.containersOf(w.t, w.mark)...)
	add("image", w.c.foreign.imagesOf(w.t, w.mark)...)
	return out
}

// checkNothingLeft allows no trace except images that the run was to make, or
// had already given to the user. Those are removed.
func (w *world) checkNothingLeft() {
	w.t.Helper()
	var images []string
	defer func() { w.c.foreign.removeImages(w.t, images) }()
	for _, tr := range w.traces() {
		if tr.kind == "image" {
			if w.cloud == nil {
				images = append(images, tr.what)
			}
			if w.complete || slices.Contains(w.kept, tr.what) {
				continue
			}
		}
		w.t.Errorf("left: %s %s", tr.kind, tr.what)
	}
	if w.cloud != nil {
		w.checkCloud()
	}
	for _, n := range w.neighbours {
		if _, err := os.Stat(filepath.Join(n, "inside")); err != nil {
			w.t.Errorf("somebody else's folder was touched: %v", err)
		}
	}
}

// checkStepCache builds with what a killed run has saved, and then empties the
// store: what it does not know of is found by checkNothingLeft.
func (w *world) checkStepCache() {
	w.t.Helper()
	if !w.c.subject.saves {
		return
	}
	if end := w.build(""); end.err != nil { // -cache-all is among its arguments
		w.t.Errorf("build with what was saved: %v\n%s", end.err, end.output)
	}
	if end := w.run("", nil, "cache", "prune", "-all"); end.err != nil {
		w.t.Errorf("cache prune: %v\n%s", end.err, end.output)
	}
	if left := w.strangers("cache/steps"); len(left) > 0 {
		w.t.Errorf("left in the step cache: %q", left)
	}
	// A checkpoint without its name is at most the parent of a final image, which
	// has none.
	for _, id := range w.c.foreign.imagesOf(w.t, w.mark) {
		img, err := w.c.foreign.engine.ImageInspect(context.Background(), id)
		if err != nil {
			w.t.Error(err)
		} else if len(img.RepoTags) > 0 {
			w.t.Errorf("left after the step cache was emptied: image %q", img.RepoTags)
		}
	}
}

// count says how many traces of each kind there are.
func count(traces []trace) string {
	n := map[string]int{}
	for _, tr := range traces {
		n[tr.kind]++
	}
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(n)) {
		words = append(words, fmt.Sprintf("%d %s", n[kind], kind))
	}
	return strings.Join(words, ", ")
}

// strangers lists what is in a folder beyond the neighbours and the files that
// a build is to make.
func (w *world) strangers(dir string) []string {
	entries, err := os.ReadDir(w.path(dir))
	if err != nil {
		w.t.Fatal(err)
	}
	expected := append([]string{"template.pkr.hcl", "packer-manifest.json.lock"}, w.c.subject.results...)
	expected = slices.AppendSeq(expected, maps.Keys(w.c.subject.files))
	var out []string
	for _, e := range entries {
		path := filepath.Join(w.path(dir), e.Name())
		if slices.Contains(w.neighbours, path) || dir == "work" && slices.Contains(expected, e.Name()) && w.mayBe(e.Name()) {
			continue
		}
		out = append(out, e.Name())
	}
	return out
}

// mayBe says that a result may be there now: those that appear while they are made
// have to be gone unless they belong to the user.
func (w *world) mayBe(result string) bool {
	if w.unread {
		return true
	}
	return !slices.Contains(w.c.subject.whole, result) || w.complete || slices.Contains(w.kept, w.path("work/"+result))
}

// checkResults looks for the files of a build that succeeded.
func (w *world) checkResults() {
	w.t.Helper()
	for _, name := range w.c.subject.results {
		info, err := os.Stat(w.path("work/" + name))
		if err != nil {
			w.t.Errorf("result: %v", err)
		} else if info.Size() == 0 {
			w.t.Errorf("result: %s is empty", name)
		}
	}
}

// startCloud starts a cloud in which somebody else has something, and another run of
// ours that is alive somewhere else.
func (w *world) startCloud() {
	w.cloud = fakecloud.NewServer()
	w.t.Cleanup(w.cloud.Close)
	for _, collection := range []string{fakecloud.KeyPairs, fakecloud.Disks, fakecloud.Instances, fakecloud.Images} {
		token := foreignToken + "-" + collection
		w.cloudForeign = append(w.cloudForeign,
			w.cloud.Add(collection, fakecloud.Thing{Labels: map[string]string{"owner": "somebody else"}}),
			w.cloud.Add(collection, fakecloud.Thing{Token: token, Labels: map[string]string{component.LabelToken: token}}))
	}
}

// checkCloud looks for what is somebody else's, and for the images that were kept.
func (w *world) checkCloud() {
	w.t.Helper()
	var there []string
	for _, thing := range w.cloud.Things() {
		there = append(there, thing.ID)
	}
	for _, id := range slices.Concat(w.cloudForeign, w.kept) {
		if !slices.Contains(there, id) {
			w.t.Errorf("lost: %s", id)
		}
	}
}
