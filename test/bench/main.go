//go:build linux

// Bench measures whole ingot processes against the raw tools, in turn, in the
// same run, and prints a Markdown table of medians. It needs the engines that
// `make deps` starts, and bin/ingot.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// figure is one row of the table.
type figure struct {
	work  string
	reach string
	run   func(b *bench) (string, error)
}

func main() {
	runs := flag.Int("runs", 5, "runs of each command")
	only := flag.String("only", "", "only rows whose text contains this")
	flag.Parse()
	b, err := newBench(*runs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	defer os.RemoveAll(b.dir)
	fmt.Printf("%s, %s/%s, %d cores, %s, median of %d runs\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), *runs)
	fmt.Println("| work | measured | to reach |")
	fmt.Println("| --- | --- | --- |")
	failed := false
	for _, f := range slices.Concat(figures, journalFigures, pluginFigures, machineFigures, cacheFigures) {
		if !strings.Contains(f.work, *only) {
			continue
		}
		text, err := f.run(b)
		if err != nil {
			text, failed = "failed: "+err.Error(), true
		}
		fmt.Printf("| %s | %s | %s |\n", f.work, text, f.reach)
	}
	if failed {
		os.RemoveAll(b.dir)
		os.Exit(1)
	}
}

// bench is what the figures share.
type bench struct {
	runs  int
	ingot string
	dir   string
	env   engines
}

// engines is the part of env.json that is needed.
type engines struct {
	DockerHost string `json:"docker_host"`
	SSH        struct {
		Host    string `json:"host"`
		Port    int    `json:"port"`
		User    string `json:"user"`
		KeyFile string `json:"key_file"`
		HostKey string `json:"host_key"`
	} `json:"ssh"`
	TinyImage   string `json:"tiny_image"`
	DebianImage string `json:"debian_image"`
	TinyTar     string `json:"tiny_tar"`
	Guest       *guest `json:"guest"`
	// Scripts is the folder of the scripts that make guests.
	Scripts string `json:"scripts"`
}

func newBench(runs int) (*bench, error) {
	ingot, err := filepath.Abs("bin/ingot")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(ingot); err != nil {
		return nil, fmt.Errorf("%w: run `make build` first", err)
	}
	state := os.Getenv("INGOT_TEST_ENV")
	if state == "" {
		state = filepath.Join(firstOf(os.Getenv("XDG_RUNTIME_DIR"), "/tmp"), "ingot-test-env")
	}
	data, err := os.ReadFile(filepath.Join(state, "env.json"))
	if err != nil {
		return nil, fmt.Errorf("%w: run `make deps` first", err)
	}
	b := &bench{runs: runs, ingot: ingot}
	if err := json.Unmarshal(data, &b.env); err != nil {
		return nil, fmt.Errorf("env.json: %w", err)
	}
	b.dir, err = os.MkdirTemp("", "ingot-bench-")
	return b, err
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// sample is one finished process.
type sample struct {
	wall, cpu time.Duration
	// rss is the largest resident set in bytes.
	rss int64
}

// once runs a command to its end.
func (b *bench) once(stdin []byte, name string, args ...string) (sample, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+b.env.DockerHost, "PACKER_NO_COLOR=1",
		"INGOT_STATE_DIR="+filepath.Join(b.dir, "state"), "INGOT_CACHE_DIR="+filepath.Join(b.dir, "cache"))
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	// A file, not a pipe: what stays in the background (a shared OpenSSH
	// connection) would hold a pipe open and be waited for.
	out, err := os.Create(filepath.Join(b.dir, "output"))
	if err != nil {
		return sample{}, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	begin := time.Now()
	err = cmd.Run()
	s := sample{wall: time.Since(begin)}
	if err != nil {
		text, _ := os.ReadFile(out.Name()) // only to explain the error
		return s, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, tail(string(text)))
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.rss = u.Maxrss * 1024
	}
	return s, nil
}

func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " / ")
}

// inTurn runs the functions one after the other, a round that does not count
// and then as often as asked, and returns the median of each.
func (b *bench) inTurn(fns ...func() (sample, error)) ([]sample, error) {
	all := make([][]sample, len(fns))
	for round := range b.runs + 1 {
		for i, fn := range fns {
			s, err := fn()
			if err != nil {
				return nil, err
			}
			if round > 0 {
				all[i] = append(all[i], s)
			}
		}
	}
	out := make([]sample, len(fns))
	for i, samples := range all {
		out[i] = median(samples)
	}
	return out, nil
}

func median(samples []sample) sample {
	mid := func(key func(sample) int64) int64 {
		values := make([]int64, len(samples))
		for i, s := range samples {
			values[i] = key(s)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return sample{
		wall: time.Duration(mid(func(s sample) int64 { return int64(s.wall) })),
		cpu:  time.Duration(mid(func(s sample) int64 { return int64(s.cpu) })),
		rss:  mid(func(s sample) int64 { return s.rss }),
	}
}

func (b *bench) ingotRun(args ...string) func() (sample, error) {
	return func() (sample, error) { return b.once(nil, b.ingot, args...) }
}

// write makes a file below the bench's folder and returns its path.
func (b *bench) write(name, text string) (string, error) {
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(text), 0o644)
}

func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2fx", float64(a)/float64(b)) }
