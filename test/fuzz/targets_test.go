// Package fuzz_test checks the list of what `make fuzz` runs.
package fuzz_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// TestTargetsExist fails when a target of the list is not there any more.
func TestTargetsExist(t *testing.T) {
	list, err := os.ReadFile("targets")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for i, line := range strings.Split(string(list), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if len(fields) != 2 && (len(fields) != 3 || fields[2] != "short") {
			t.Errorf("targets:%d: want PACKAGE TARGET, or PACKAGE TARGET short, got %q", i+1, line)
			continue
		}
		checked++
		if err := hasTarget(fields[0], fields[1]); err != nil {
			t.Errorf("targets:%d: %v", i+1, err)
		}
	}
	if checked < 6 {
		t.Errorf("the list has %d targets, want 6 at least", checked)
	}
}

func hasTarget(dir, target string) error {
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		return err
	}
	declared := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(target) + `\(f \*testing\.F\)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if declared.Match(text) {
			return nil
		}
	}
	return fmt.Errorf("there is no target %s in %s", target, dir)
}
