package lint_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ingot/internal/diag"
	"ingot/internal/lint"
)

var update = flag.Bool("update", false, "write the rules' texts into docs/lint.md, around its examples")

const document = "../../docs/lint.md"

// example is one of the two examples of a rule: texts by the file they stand
// for.
type example map[string]string

// section is what docs/lint.md says about one rule.
type section struct {
	id        string
	text      string
	bad, good example
	// examples is the part with both, as it is written.
	examples string
}

var (
	ruleHeading = regexp.MustCompile(`(?m)^### ([A-Z]+[0-9]+)\n`)
	fenced      = regexp.MustCompile("(?ms)^```([a-z]+)(?: ([^\n]+))?\n(.*?)^```\n")
)

// readDocument takes docs/lint.md apart: what comes before the first rule and
// the section of each.
func readDocument(t testing.TB) (string, []section) {
	t.Helper()
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	marks := ruleHeading.FindAllStringSubmatchIndex(text, -1)
	var out []section
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		s := section{id: text[m[2]:m[3]], text: text[m[1]:end]}
		bad, good := strings.Index(s.text, "Bad:\n"), strings.Index(s.text, "Good:\n")
		if bad < 0 || good < bad {
			t.Fatalf("%s has no bad example in front of a good one", s.id)
		}
		last := good + fencedEnd(s.text[good:])
		s.examples = strings.TrimSpace(s.text[bad:last])
		s.bad, s.good = readExample(t, s.id, s.text[bad:good]), readExample(t, s.id, s.text[good:last])
		out = append(out, s)
	}
	return text[:marks[0][0]], out
}

func fencedEnd(text string) int {
	all := fenced.FindAllStringIndex(text, -1)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1][1]
}

func readExample(t testing.TB, id, text string) example {
	t.Helper()
	out := example{}
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		name := m[2]
		if name == "" {
			name = map[string]string{"hcl": "image.pkr.hcl", "json": "image.pkr.json"}[m[1]]
		}
		if name == "" {
			t.Fatalf("%s: an example in %s has no file name", id, m[1])
		}
		out[name] = m[3]
	}
	if len(out) == 0 {
		t.Fatalf("%s has an empty example", id)
	}
	return out
}

// frame completes an example: a part of a build gets a build around it, a
// script alone a step that runs it, and plugins are required.
func (e example) frame() map[string]string {
	files := map[string]string{"setup-crlf.sh": "#!/bin/sh\r\nset -e\r\ntouch /etc/built\r\n"}
	for name, text := range e {
		files[name] = text
	}
	main, ok := files["image.pkr.hcl"]
	switch {
	case !ok && files["setup.sh"] != "":
		main = `provisioner "shell" { script = "setup.sh" }` + "\n"
	case !ok && files["setup.ps1"] != "":
		main = `provisioner "powershell" { script = "setup.ps1" }` + "\n"
	case !ok:
		return files
	}
	if strings.HasPrefix(main, "provisioner") {
		main = "source \"null\" \"example\" {\n  ssh_host = \"192.0.2.7\"\n}\nbuild {\n  sources = [\"null.example\"]\n" + main + "\n}\n"
		if strings.Contains(main, "var.npm_token") {
			main = "variable \"npm_token\" {\n  sensitive = true\n}\n" + main
		}
	}
	files["image.pkr.hcl"] = main
	if !strings.Contains(main, "packer {") {
		if plugins := requirePlugins(main); plugins != "" {
			files["plugins.pkr.hcl"] = plugins
		}
	}
	return files
}

var componentType = regexp.MustCompile(`(?m)^\s*(?:source|data|provisioner|post-processor) "([a-z-]+)"`)

func requirePlugins(text string) string {
	var out strings.Builder
	seen := map[string]bool{}
	for _, m := range componentType.FindAllStringSubmatch(text, -1) {
		plugin, _, _ := strings.Cut(m[1], "-")
		if seen[plugin] || !slices.Contains([]string{"amazon", "azure", "googlecompute", "qemu", "vsphere", "virtualbox", "proxmox", "hyperv", "vmware", "ansible"}, plugin) {
			continue
		}
		seen[plugin] = true
		fmt.Fprintf(&out, "    %s = {\n      source  = \"github.com/hashicorp/%s\"\n      version = \"~> 1.1\"\n    }\n", plugin, plugin)
	}
	if out.Len() == 0 {
		return ""
	}
	return "packer {\n  required_plugins {\n" + out.String() + "  }\n}\n"
}

// TestExamples proves every rule by its examples in the documentation.
func TestExamples(t *testing.T) {
	_, sections := readDocument(t)
	for _, s := range sections {
		t.Run(s.id, func(t *testing.T) {
			t.Parallel()
			if got := idsOf(lintFiles(t, s.bad.frame())); !slices.Equal(got, []string{s.id}) {
				t.Errorf("the bad example is reported as %v", got)
			}
			if got := idsOf(lintFiles(t, s.good.frame())); len(got) > 0 {
				t.Errorf("the good example is reported as %v", got)
			}
		})
	}
}

func idsOf(r *lint.Result) []string {
	var out []string
	for _, f := range r.Active() {
		out = append(out, f.Rule.ID)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestDocument keeps docs/lint.md in step with the rules: every one has its
// section, with the same words, in the same order.
func TestDocument(t *testing.T) {
	intro, sections := readDocument(t)
	examples := map[string]string{}
	for _, s := range sections {
		if lint.Find(s.id) == nil {
			t.Errorf("the document has a section %s, and there is no such rule", s.id)
		}
		examples[s.id] = s.examples
	}
	if i := strings.Index(intro, "| id |"); i >= 0 {
		intro = intro[:i]
	}
	var want strings.Builder
	want.WriteString(strings.TrimRight(intro, "\n") + "\n\n| id | severity | what |\n| --- | --- | --- |\n")
	for _, r := range lint.Rules() {
		fmt.Fprintf(&want, "| [%s](#%s) | %s | %s |\n", r.ID, r.Anchor(), strings.ToLower(r.Severity.String()), r.Title)
	}
	for _, f := range lint.Families() {
		fmt.Fprintf(&want, "\n## %s\n", f.Title)
		for _, r := range lint.Rules() {
			if strings.TrimRight(r.ID, "0123456789") != f.Letters {
				continue
			}
			if examples[r.ID] == "" {
				t.Errorf("%s has no examples in the document", r.ID)
			}
			fmt.Fprintf(&want, "\n### %s\n\n**%s** (%s)\n\n%s\n\n%s\n\n%s\n", r.ID, r.Title, strings.ToLower(r.Severity.String()), diag.Wrap(r.Why, 88), diag.Wrap(r.Advice, 88), examples[r.ID])
		}
	}
	have, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) == want.String() {
		return
	}
	if !*update {
		t.Fatal("docs/lint.md is not in step with the rules; run go test ./internal/lint -update")
	}
	if err := os.WriteFile(filepath.FromSlash(document), []byte(want.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRules finds ids that are used twice and rules without words.
func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range lint.Rules() {
		if seen[r.ID] {
			t.Errorf("%s is there twice", r.ID)
		}
		seen[r.ID] = true
		for _, text := range []string{r.Why, r.Advice} {
			if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, ")") {
				t.Errorf("%s: %q is no sentence", r.ID, text)
			}
		}
		if r.Title == "" || strings.HasSuffix(r.Title, ".") {
			t.Errorf("%s: the title is %q", r.ID, r.Title)
		}
		if !slices.ContainsFunc(lint.Families(), func(f lint.Family) bool { return f.Letters == strings.TrimRight(r.ID, "0123456789") }) {
			t.Errorf("%s belongs to no family", r.ID)
		}
	}
	if len(seen) < 25 {
		t.Errorf("there are only %d rules", len(seen))
	}
}
