// Package docs_test checks that the documentation names only what exists.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = ".."

// documents returns the Markdown files of the repository by their path from
// its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		docs[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) < 10 {
		t.Fatalf("only %d documents were found", len(docs))
	}
	return docs
}

// commands are those that the documentation may show, one a line.
var commands = []string{
	"cache list",
	"cache prune",
	"cache verify",
	"build",
	"validate",
	"plan",
	"hcl2_upgrade",
	"inspect",
	"lint",
	"schema",
	"fix",
	"fmt",
	"console",
	"reap",
	"cache list",
	"cache prune",
	"runs list",
	"runs show",
	"runs logs",
	"runs report",
	"runs resume",
	"init",
	"plugins install",
	"plugins vendor",
	"version",
	"completion",
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span    = regexp.MustCompile("`([^`\n]+)`")
	fence   = regexp.MustCompile("(?ms)^```.*?^```")
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	// inRepository are the beginnings of a path that is meant from the root.
	inRepository = regexp.MustCompile(`^(internal|cmd|docs|examples|test|\.ci)/[\w./*-]*$`)
	command      = regexp.MustCompile(`(?m)(?:^|[ \x60$])(?:ingot|packer) (` + strings.Join(commands, "|") + `)((?: +[^\s|\x60]+)*)`)
	flag         = regexp.MustCompile(`^--?[a-z][a-z-]+`)
)

// brokenLinks lists the relative links of a document that lead nowhere.
func brokenLinks(name, text string, exists func(string) bool, anchors func(string) []string) []string {
	var broken []string
	for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		target, anchor, _ := strings.Cut(m[1], "#")
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		file := name
		if target != "" {
			file = filepath.ToSlash(filepath.Join(filepath.Dir(name), target))
		}
		if !exists(file) || anchor != "" && !slices.Contains(anchors(file), anchor) {
			broken = append(broken, m[1])
		}
	}
	return broken
}

// brokenPaths lists the paths of the repository in code spans that do not
// exist. They may have wildcards.
func brokenPaths(text string, exists func(string) bool) []string {
	var broken []string
	for _, m := range span.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		if path := m[1]; inRepository.MatchString(path) && !exists(strings.TrimSuffix(path, "/")) {
			broken = append(broken, path)
		}
	}
	return broken
}

func onDisk(path string) bool {
	found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(path)))
	return err == nil && len(found) > 0
}

// anchorsOf lists the anchors that GitHub gives to the headings of a text.
func anchorsOf(text string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		kept := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		out = append(out, kept)
	}
	return out
}

func TestLinksLeadSomewhere(t *testing.T) {
	docs := documents(t)
	for name, text := range docs {
		for _, l := range brokenLinks(name, text, onDisk, func(file string) []string { return anchorsOf(docs[file]) }) {
			t.Errorf("%s links to %s, which does not exist", name, l)
		}
		for _, p := range brokenPaths(text, onDisk) {
			t.Errorf("%s names %s, which does not exist", name, p)
		}
	}
}

var (
	layer   = regexp.MustCompile(`(?m)^\t\{"([\w/]+)", (nil|componentLayer|\[\]string\{[^}]*\}),`)
	shared  = regexp.MustCompile(`(?m)^\tcomponentLayer += (\[\]string\{[^}]*\})`)
	quoted  = regexp.MustCompile(`"([\w/]+)"`)
	ruleRow = regexp.MustCompile("(?m)^\\| ((?:`[\\w/]+` ?)+)\\| (.*) \\|$")
)

// TestLayersAgree compares the table of imports with the one that is tested.
func TestLayersAgree(t *testing.T) {
	code, err := os.ReadFile(filepath.Join(root, "internal", "layers_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	names := func(re *regexp.Regexp, s string) string {
		var out []string
		for _, m := range re.FindAllStringSubmatch(s, -1) {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	common := ""
	if m := shared.FindStringSubmatch(string(code)); m != nil {
		common = m[1]
	}
	tested := map[string]string{}
	for _, m := range layer.FindAllStringSubmatch(string(code), -1) {
		tested[m[1]] = names(quoted, strings.Replace(m[2], "componentLayer", common, 1))
	}
	_, section, _ := strings.Cut(string(text), "## Who may import whom")
	section, _, _ = strings.Cut(section, "\n## ")
	told := map[string]string{}
	for _, m := range ruleRow.FindAllStringSubmatch(section, -1) {
		for _, p := range strings.Fields(m[1]) {
			told[strings.Trim(p, "`")] = names(span, m[2])
		}
	}
	if len(tested) < 10 || common == "" {
		t.Fatalf("only %d layers were found in the test", len(tested))
	}
	for p, may := range tested {
		if got, ok := told[p]; !ok || got != may {
			t.Errorf("%s may import %q, architecture.md says %q", p, may, got)
		}
	}
	for p := range told {
		if _, ok := tested[p]; !ok {
			t.Errorf("architecture.md has a row for %s, the test has none", p)
		}
	}
}

// usedFlag is a flag that a document shows with a command.
type usedFlag struct{ command, flag string }

func usedFlags(text string) []usedFlag {
	var out []usedFlag
	for _, m := range command.FindAllStringSubmatch(text, -1) {
		for _, word := range strings.Fields(m[2]) {
			if f := flag.FindString(word); f != "" {
				out = append(out, usedFlag{m[1], f})
			}
		}
	}
	return out
}

// knows reports whether a command has a flag. Nothing runs: the line ends with
// a flag that no command has.
func knows(t *testing.T, u usedFlag) bool {
	t.Helper()
	const nobody = "zz-no-such-flag"
	_, said := ingot(t, slices.Concat(strings.Fields(u.command), []string{u.flag, "--" + nobody})...)
	return !strings.Contains(said, "unknown") || strings.Contains(said, nobody)
}

func TestFlagsExist(t *testing.T) {
	seen := map[usedFlag]bool{}
	for name, text := range documents(t) {
		for _, u := range usedFlags(text) {
			if !seen[u] && !knows(t, u) {
				t.Errorf("%s shows %s with ingot %s, which has no such flag", name, u.flag, u.command)
			}
			seen[u] = true
		}
		for _, m := range span.FindAllStringSubmatch(text, -1) {
			f := flag.FindString(m[1])
			// Those of the environment and of the qemu builder are of other programs.
			if f == "" || strings.HasPrefix(m[1], "--") || name == "test/env/README.md" || name == "docs/reference/builders/qemu.md" {
				continue
			}
			if !slices.ContainsFunc(commands, func(c string) bool { return knows(t, usedFlag{c, f}) }) {
				t.Errorf("%s shows the flag %s, which no command has", name, f)
			}
		}
	}
	if len(seen) < 2 {
		t.Errorf("only %d flags were found in command lines", len(seen))
	}
}

// TestChecksCanFail proves that the checks above find what they look for.
func TestChecksCanFail(t *testing.T) {
	exists := func(p string) bool { return p == "docs/a.md" || p == "internal/cli" }
	anchors := func(string) []string { return anchorsOf("# On disk\n## A `line`, or two") }
	text := "[a](a.md) [b](b.md) [c](a.md#on-disk) [d](a.md#a-line-or-two) [e](a.md#nowhere) [f](https://example.com/x) `internal/cli` `internal/no` `not a path`"
	if got, want := brokenLinks("docs/x.md", text, exists, anchors), []string{"b.md", "a.md#nowhere"}; !slices.Equal(got, want) {
		t.Errorf("broken links: got %q, want %q", got, want)
	}
	if got, want := brokenPaths(text, exists), []string{"internal/no"}; !slices.Equal(got, want) {
		t.Errorf("broken paths: got %q, want %q", got, want)
	}
	flags := usedFlags("run `ingot build -only='a' -parallel-builds 2 .` or\n    ingot reap -dry-run")
	if want := []usedFlag{{"build", "-only"}, {"build", "-parallel-builds"}, {"reap", "-dry-run"}}; !slices.Equal(flags, want) {
		t.Errorf("used flags: got %q, want %q", flags, want)
	}
	if !knows(t, usedFlag{"build", "-only"}) || knows(t, usedFlag{"build", "-no-such"}) || knows(t, usedFlag{"reap", "-only"}) {
		t.Error("knows does not tell flags that exist from others")
	}
}
