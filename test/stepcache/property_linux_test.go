package stepcache

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/testkit/live"
)

// atMost bounds the time of the test: rounds end when it is over.
const atMost = 30 * time.Second

// TestCachedImageIsCold changes a template at random, and builds it from the step
// cache and without. The images have to be the same to the last bit.
func TestCachedImageIsCold(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &world{T: t, Rand: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(), base: env.TinyTar, program: buildProgram(t)}
	for _, name := range []string{"f0", "f1", "tree/a", "tree/b"} {
		w.file(name)
	}
	for range 5 {
		w.steps = append(w.steps, w.step())
	}
	skipped, rounds := 0, 0
	for begin := time.Now(); time.Since(begin) < atMost || skipped == 0; rounds++ {
		for range 1 + w.IntN(2) {
			w.change()
		}
		w.template()
		text := w.build("cached.tar", []string{"-cache", "-cache-all"}[w.IntN(2)])
		skipped += strings.Count(text, "Skipping provisioner")
		w.build("cold.tar", "-no-cache")
		w.compare()
		if t.Failed() {
			t.Fatalf("round %d, steps:\n%s\n%s", rounds, strings.Join(w.steps, "\n"), text)
		}
	}
	t.Logf("%d rounds, %d provisioners were skipped", rounds, skipped)
}

type world struct {
	*testing.T
	*rand.Rand
	dir, base, program string
	steps              []string
}

func buildProgram(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "ingot")
	if out, err := exec.Command("go", "build", "-o", path, "ingot/cmd/ingot").CombinedOutput(); err != nil {
		t.Fatalf("build ingot: %v\n%s", err, out)
	}
	return path
}

func (w *world) pick(of ...string) string { return of[w.IntN(len(of))] }

// file gives a file of the template new contents and a mode.
func (w *world) file(name string) {
	path := filepath.Join(w.dir, "src", name)
	err := errors.Join(
		os.MkdirAll(filepath.Dir(path), 0o755),
		os.WriteFile(path, []byte(fmt.Sprintln("echo", w.IntN(3), ">> /srv/log")), 0o600),
		os.Chmod(path, []os.FileMode{0o644, 0o755, 0o600}[w.IntN(3)]),
	)
	// An upload keeps the time, which does not count as a change.
	if err = errors.Join(err, os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
		w.Fatal(err)
	}
}

// step is a random provisioner.
func (w *world) step() string {
	n := w.IntN(3)
	shell := func(line string) string {
		return fmt.Sprintf("provisioner \"shell\" {\n inline = [%q]\n}", "set -e; mkdir -p /srv; "+line)
	}
	switch w.IntN(12) {
	case 0:
		return fmt.Sprintf("provisioner \"file\" {\n source = %q\n destination = \"/up\"\n}", w.pick("src/f0", "src/f1"))
	case 1:
		return "provisioner \"file\" {\n source = \"src/tree\"\n destination = \"/opt/\"\n}"
	case 2:
		return fmt.Sprintf("provisioner \"shell\" {\n script = %q\n environment_vars = [\"X=%d\"]\n}", w.pick("src/f0", "src/f1"), n)
	case 3:
		return shell(fmt.Sprintf("rm -rf /srv/d%d /up", n))
	case 4:
		return shell(fmt.Sprintf("mkdir -p /srv/d%d/x; ls -R /srv > /srv/d%d/list", n, n))
	case 5:
		return shell(fmt.Sprintf("if test -e /srv/d%d; then rm -rf /srv/moved; mv /srv/d%d /srv/moved; fi", n, n))
	case 6:
		return shell(fmt.Sprintf("ln -sf log /srv/link%d; rm -f /srv/hard; touch /srv/log; ln /srv/log /srv/hard", n))
	case 7:
		return shell(fmt.Sprintf("chmod %s /srv; chown %d:%d /srv", w.pick("700", "755", "2775"), n, n))
	case 8:
		return shell("rm -rf /etc/shells /home; mkdir -p /home; echo new > /home/f")
	case 9:
		return "provisioner \"sleep\" {\n duration = \"1ms\"\n}"
	case 10:
		return "provisioner \"shell\" {\n cache = false\n inline = [\"mkdir -p /srv; echo uncached >> /srv/log\"]\n}"
	}
	return shell(fmt.Sprintf("echo %d >> /srv/log", n))
}

// change changes the template or a file of it.
func (w *world) change() {
	at := w.IntN(len(w.steps))
	switch w.IntN(6) {
	case 0:
		w.steps = slices.Insert(w.steps, at, w.step())
	case 1:
		if len(w.steps) > 3 {
			w.steps = slices.Delete(w.steps, at, at+1)
		}
	case 2:
		other := w.IntN(len(w.steps))
		w.steps[at], w.steps[other] = w.steps[other], w.steps[at]
	case 3:
		w.file(w.pick("f0", "f1", "tree/a", "tree/b", "tree/c"))
	case 4:
		w.steps[len(w.steps)-1] = w.step()
	default:
		w.steps[at] = w.step()
	}
}

func (w *world) template() {
	text := fmt.Sprintf("source \"oci\" \"p\" {\n from = \"tar:%s\"\n output = \"image.tar\"\n network = \"none\"\n}\nbuild {\n sources = [\"oci.p\"]\n%s\n}\n", w.base, strings.Join(w.steps, "\n"))
	if err := os.WriteFile(filepath.Join(w.dir, "t.pkr.hcl"), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// build builds and gives the image a name.
func (w *world) build(name string, flag string) string {
	w.Helper()
	cmd := exec.Command(w.program, "build", "-force", "-no-watchdog", flag, "t.pkr.hcl")
	cmd.Dir = w.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "SOURCE_DATE_EPOCH=1700000000",
		"INGOT_STATE_DIR=" + filepath.Join(w.dir, "state"), "INGOT_CACHE_DIR=" + filepath.Join(w.dir, "cache"), "INGOT_CONFIG_DIR=" + w.dir,
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		err = os.Rename(filepath.Join(w.dir, "image.tar"), filepath.Join(w.dir, name))
	}
	if err != nil {
		template, _ := os.ReadFile(filepath.Join(w.dir, "t.pkr.hcl")) // only to explain it
		w.Fatalf("%s: %v\n%s\n%s", flag, err, out, template)
	}
	return string(out)
}

// compare compares both images, which have a member for each of their blobs.
func (w *world) compare() {
	w.Helper()
	cached, cold := w.members("cached.tar"), w.members("cold.tar")
	for _, name := range slices.Sorted(maps.Keys(cold)) {
		switch text, ok := cached[name]; {
		case !ok:
			w.Errorf("the cached image has no %s", name)
		case text != cold[name]:
			w.Errorf("%s is another one in the cached image", name)
		}
	}
	if len(cached) != len(cold) {
		w.Errorf("the cached image has %d files, the cold one %d", len(cached), len(cold))
	}
}

func (w *world) members(name string) map[string]string {
	w.Helper()
	f, err := os.Open(filepath.Join(w.dir, name))
	if err != nil {
		w.Fatal(err)
	}
	defer f.Close()
	out := map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			w.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			w.Fatal(err)
		}
		out[h.Name] = string(data)
	}
	if len(out) < 3 {
		w.Fatalf("%s has only %d files", name, len(out))
	}
	return out
}
