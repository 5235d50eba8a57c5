package crash

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// processesMarked lists the processes that have the mark in their environment.
func processesMarked(mark string) []string {
	return processes(func(proc string) bool {
		env, err := os.ReadFile(filepath.Join(proc, "environ"))
		return err == nil && slices.Contains(strings.Split(string(env), "\x00"), markVariable+"="+mark)
	})
}

// endMarked ends the processes that a failed test has left. Whoever carries a
// mark was started by the test.
func endMarked(t *testing.T, mark string) {
	t.Helper()
	for _, p := range processesMarked(mark) {
		number, _, _ := strings.Cut(p, " ")
		pid, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("end process %s: %v", p, err)
		}
	}
}

// processesRunning lists the processes that run a program.
func processesRunning(program string) []string {
	return processes(func(proc string) bool {
		exe, err := os.Readlink(filepath.Join(proc, "exe"))
		return err == nil && exe == program
	})
}

// processes lists those for which want is true, with their command lines.
func processes(want func(proc string) bool) []string {
	var out []string
	procs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is valid
	for _, proc := range procs {
		if want(proc) {
			line, _ := os.ReadFile(filepath.Join(proc, "cmdline")) // it may have ended
			out = append(out, filepath.Base(proc)+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return out
}

// mountsBelow lists mounts that are made of, or lie below, a folder: in every
// mount namespace, since a sandbox has one of its own.
func mountsBelow(dir string) []string {
	var out []string
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo") // the pattern is valid
	for _, table := range append([]string{"/proc/self/mountinfo"}, tables...) {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(text)) {
			if _, mount, ok := strings.Cut(line, " "); ok && strings.Contains(line, dir) {
				// Without the number, which differs between namespaces.
				_, mount, _ = strings.Cut(mount, " ")
				out = append(out, strings.TrimSpace(mount))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
