package compat_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	ledger         = "../../docs/weaknesses.md"
	lastWeakness   = 74
	repositoryRoot = "../.."
)

// namedWeaknesses have a test that carries their number.
var namedWeaknesses = []int{2, 3, 8, 21, 23, 25, 39, 40, 41, 44, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64}

var (
	ledgerRow    = regexp.MustCompile(`(?m)^\| W(\d+) \|.*\| ([^|]+) \|$`)
	codeSpan     = regexp.MustCompile("`([^`]+)`")
	testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// TestWeaknesses checks that the ledger has every weakness once, and that the
// tests it names exist.
func TestWeaknesses(t *testing.T) {
	text, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	exist := testNames(t)
	proofs := map[string]string{}
	for i, row := range ledgerRow.FindAllStringSubmatch(string(text), -1) {
		if number := fmt.Sprint(i + 1); row[1] != number {
			t.Fatalf("W%s stands where W%s belongs", row[1], number)
		}
		proofs[row[1]] = row[2]
		names := codeSpan.FindAllStringSubmatch(row[2], -1)
		if len(names) == 0 && !strings.HasPrefix(row[2], "not yet: needs ") {
			t.Errorf("W%s has neither a test nor a reason why there is none: %s", row[1], row[2])
		}
		for _, name := range names {
			if !strings.HasPrefix(row[2], "not yet: ") && !exist[name[1]] {
				t.Errorf("W%s: there is no test %s", row[1], name[1])
			}
		}
	}
	if len(proofs) != lastWeakness {
		t.Fatalf("the ledger has %d weaknesses, want %d", len(proofs), lastWeakness)
	}
	for _, n := range namedWeaknesses {
		own := regexp.MustCompile(fmt.Sprintf("`(TestW%d[A-Z]\\w*|w%d_\\w+\\.txtar)`", n, n))
		if !own.MatchString(proofs[fmt.Sprint(n)]) {
			t.Errorf("W%d has no test of its own name: %s", n, proofs[fmt.Sprint(n)])
		}
	}
}

// testNames are the names of all test functions, and of the files that are
// tests.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(repositoryRoot, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".fuzz", "bin", "dist"}, d.Name()):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			names[d.Name()] = true
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, f := range testFunction.FindAllStringSubmatch(string(text), -1) {
				names[f[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
