package compat_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"ingot/internal/cli"
)

var update = flag.Bool("update", false, "rewrite the golden files of the corpus")

// mainVariable makes the test program behave as ingot.
const mainVariable = "INGOT_COMPAT_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		os.Exit(cli.Main(os.Args, cli.OSStreams()))
	}
	os.Exit(m.Run())
}

// TestCorpus runs plan, and build where a case asks for it, on every template
// of the corpus. Each has a process and a folder of its own.
func TestCorpus(t *testing.T) {
	cases := readCorpus(t)
	if len(cases) < 150 {
		t.Errorf("the corpus has %d cases, want 150 at least", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c *corpusCase) run(t *testing.T) {
	planned := c.command(t, c.prepare(t), "plan", "-json")
	check(t, "exit code of plan", c.exit, planned.code)
	said := planned.out + planned.err
	golden := map[string]string{planFile: planned.out, diagnosticsFile: planned.err, buildFile: "", buildErrorsFile: ""}
	if c.build {
		dir := c.prepare(t)
		built := c.command(t, dir, "build", "-parallel-builds=1")
		check(t, "exit code of build", c.buildExit, built.code)
		golden[buildFile] = built.out
		// Findings that plan has said already are not repeated here.
		if built.err != planned.err {
			golden[buildErrorsFile] = built.err
		}
		said += built.out + built.err
		c.checkMade(t, dir)
		for _, line := range c.prints {
			if !slices.Contains(strings.Split(built.out, "\n"), line) {
				t.Errorf("build did not print the line %q:\n%s%s", line, built.out, built.err)
			}
		}
	}
	for _, text := range c.want {
		if !strings.Contains(unwrap(said), text) {
			t.Errorf("missing in the output: %s\n%s", text, said)
		}
	}
	for _, text := range c.never {
		if strings.Contains(unwrap(said), text) {
			t.Errorf("unexpected in the output: %s\n%s", text, said)
		}
	}
	if *update && !t.Failed() {
		for name, text := range golden {
			c.setGolden(name, text)
		}
		if err := os.WriteFile(c.file, txtar.Format(c.archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name, text := range golden {
		if d := cmp.Diff(c.golden(name), text); d != "" {
			t.Errorf("%s (-want +got; run with -update to accept):\n%s", name, d)
		}
	}
}

func check(t *testing.T, what string, want, got int) {
	t.Helper()
	if want != got {
		t.Errorf("%s is %d, want %d", what, got, want)
	}
}

// prepare writes the files of the case into a folder.
func (c *corpusCase) prepare(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.inputs() {
		path := filepath.Join(dir, "work", f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if filepath.Ext(path) == ".sh" {
			mode = 0o755
		}
		if err := os.WriteFile(path, f.Data, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"work", "home", "state", "cache", "config", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// result is what a command left behind.
type result struct {
	out, err string
	code     int
}

// command runs ingot with the case's flags and template.
func (c *corpusCase) command(t *testing.T, dir string, words ...string) result {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	words = append(append(words, c.flags...), c.path)
	cmd := exec.CommandContext(context.Background(), program, words...)
	cmd.Args[0] = "ingot"
	cmd.Dir = filepath.Join(dir, "work")
	cmd.Env = append([]string{
		mainVariable + "=1", "PACKER_NO_COLOR=1", "PATH=" + os.Getenv("PATH"),
		"HOME=" + filepath.Join(dir, "home"), "TMPDIR=" + filepath.Join(dir, "tmp"),
		"INGOT_STATE_DIR=" + filepath.Join(dir, "state"), "INGOT_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"INGOT_CONFIG_DIR=" + filepath.Join(dir, "config"), "PACKER_PLUGIN_PATH=" + filepath.FromSlash("/nowhere/plugins"),
	}, c.env...)
	if c.stdin != "" {
		text, err := os.ReadFile(filepath.Join(dir, "work", c.stdin))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin = bytes.NewReader(text)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return result{out: normalise(out.String(), dir), err: normalise(errs.String(), dir), code: cmd.ProcessState.ExitCode()}
}

// checkMade compares what build wrote with what it had to write.
func (c *corpusCase) checkMade(t *testing.T, dir string) {
	t.Helper()
	for name, want := range c.made() {
		text, err := os.ReadFile(filepath.Join(dir, "work", name))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		// A file of a case always ends with a newline, one that is made
		// need not.
		got := strings.TrimSuffix(normalise(string(text), dir), "\n")
		if d := cmp.Diff(strings.TrimSuffix(normalise(want, dir), "\n"), got); d != "" {
			t.Errorf("build made %s (-want +got):\n%s", name, d)
		}
	}
}

// changing is what differs from run to run.
var changing = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`after \d+ \w+( \d+ \w+)*`), "after DURATION"},
	{regexp.MustCompile(`trying again in \d+ \w+( \d+ \w+)*`), "trying again in DURATION"},
	{regexp.MustCompile(`/\S*/ingot-[0-9a-z]{26}/\d+-\d+/script-\d+`), "SCRIPT"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "UUID"},
}

func normalise(text, dir string) string {
	text = strings.ReplaceAll(text, filepath.Join(dir, "work"), "DIR")
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.with)
	}
	return text
}

// wrapped is where a diagnostic was broken to fit the width.
var wrapped = regexp.MustCompile(`\n  (\S)`)

// unwrap undoes line breaks in the text of diagnostics.
func unwrap(text string) string { return wrapped.ReplaceAllString(text, " $1") }
