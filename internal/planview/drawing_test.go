package planview_test

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/scanner"

	"ingot/internal/plan"
	"ingot/internal/planview"
)

// hostile is a label that would break out of careless quotes, change the
// terminal, or be taken for markup.
const hostile = "a\"]; evil [label=\"\\N\\ #quot; <b>&lt;</b> --> %% `x` **y** \u202e\x1b[31m\nend"

func hostilePlan(t testing.TB) *planview.View {
	t.Helper()
	return show(t, fmt.Sprintf(`
source "fake" "s" {
  makes = %[1]s
}
build {
  sources = ["fake.s"]
  provisioner "fake" {
    name = %[1]s
  }
  post-processor "fake" {
    name = %[1]s
  }
}
`, hclQuoted(hostile)), planview.Options{})
}

// hclQuoted is a text as a template writes it.
func hclQuoted(text string) string {
	var out strings.Builder
	for _, r := range text {
		fmt.Fprintf(&out, `\u%04x`, r)
	}
	return `"` + out.String() + `"`
}

func TestDOTIsValid(t *testing.T) {
	for name, v := range map[string]*planview.View{"whole": show(t, whole, planview.Options{}), "hostile": hostilePlan(t), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := v.WriteDOT(&out); err != nil {
				t.Fatal(err)
			}
			labels, err := checkDOT(out.String())
			if err != nil {
				t.Fatalf("%v in\n%s", err, out.String())
			}
			if name == "hostile" && !strings.Contains(strings.Join(labels, "|"), `fake "a"]; evil [label="\N\ #quot; <b>&lt;</b> --> %% `) {
				t.Errorf("the name is not there as it is: %q", labels)
			}
		})
	}
}

func TestDOTCheckCanFail(t *testing.T) {
	for _, wrong := range []string{
		"", "digraph plan {", "digraph plan { a [label = \"x]; }", "digraph plan { a -> b; }",
		"digraph plan { a [label = \"x\"]; a -> a; } }", "digraph plan { a [label = \"x\"y]; }",
		"digraph plan { a [label = \"x\"] b }", "digraph plan { a [label = \"x\"]; a [label = \"x\"]; }",
	} {
		if _, err := checkDOT(wrong); err == nil {
			t.Errorf("%q passes", wrong)
		}
	}
}

// dotChecker reads the part of the DOT language that plans are drawn with:
// graphs, attributes, nodes that are declared once, and edges between them.
type dotChecker struct {
	tokens []string
	nodes  map[string]bool
	edges  [][2]string
	labels []string
}

// checkDOT returns the labels, or what is wrong.
func checkDOT(text string) ([]string, error) {
	c := dotChecker{nodes: map[string]bool{}}
	var s scanner.Scanner
	s.Init(strings.NewReader(text))
	s.Mode = scanner.ScanIdents | scanner.ScanStrings
	var scanErr error
	s.Error = func(_ *scanner.Scanner, msg string) { scanErr = fmt.Errorf("%s", msg) }
	for tok := s.Scan(); tok != scanner.EOF; tok = s.Scan() {
		word := s.TokenText()
		if last := len(c.tokens) - 1; word == ">" && last >= 0 && c.tokens[last] == "-" {
			c.tokens[last] = "->"
			continue
		}
		c.tokens = append(c.tokens, word)
	}
	if scanErr != nil {
		return nil, scanErr
	}
	if err := c.words("digraph", "plan"); err != nil {
		return nil, err
	}
	if err := c.block(); err != nil {
		return nil, err
	}
	if len(c.tokens) > 0 {
		return nil, fmt.Errorf("%q is behind the graph", c.tokens)
	}
	for _, e := range c.edges {
		if !c.nodes[e[0]] || !c.nodes[e[1]] {
			return nil, fmt.Errorf("edge %v leads to a node that is not declared", e)
		}
	}
	return c.labels, nil
}

func (c *dotChecker) next() string {
	if len(c.tokens) == 0 {
		return ""
	}
	word := c.tokens[0]
	c.tokens = c.tokens[1:]
	return word
}

func (c *dotChecker) words(want ...string) error {
	for _, w := range want {
		if got := c.next(); got != w {
			return fmt.Errorf("%q instead of %q before %q", got, w, c.tokens)
		}
	}
	return nil
}

func (c *dotChecker) block() error {
	if err := c.words("{"); err != nil {
		return err
	}
	for {
		word := c.next()
		switch {
		case word == "}":
			return nil
		case word == "subgraph":
			if c.next(); len(c.tokens) == 0 {
				return fmt.Errorf("the text ends in a subgraph")
			}
			if err := c.block(); err != nil {
				return err
			}
		case !identifier.MatchString(word):
			return fmt.Errorf("%q is no name", word)
		default:
			if err := c.statement(word); err != nil {
				return err
			}
		}
	}
}

var identifier = regexp.MustCompile(`^[a-z_][a-zA-Z0-9_]*$`)

// statement reads what follows a name, up to the semicolon.
func (c *dotChecker) statement(name string) error {
	switch word := c.next(); word {
	case "=":
		if err := c.value(name); err != nil {
			return err
		}
		return c.words(";")
	case "->":
		c.edges = append(c.edges, [2]string{name, c.next()})
		if len(c.tokens) > 0 && c.tokens[0] == ";" {
			return c.words(";")
		}
		if err := c.words("["); err != nil {
			return err
		}
	case "[":
		if name != "node" && c.nodes[name] {
			return fmt.Errorf("%s is declared twice", name)
		}
		c.nodes[name] = true
	default:
		return fmt.Errorf("%q behind %q", word, name)
	}
	for {
		if err := c.attribute(); err != nil {
			return err
		}
		switch word := c.next(); word {
		case ",":
		case "]":
			return c.words(";")
		default:
			return fmt.Errorf("%q in a list of attributes", word)
		}
	}
}

func (c *dotChecker) attribute() error {
	name := c.next()
	if !identifier.MatchString(name) {
		return fmt.Errorf("%q is no name of an attribute", name)
	}
	if err := c.words("="); err != nil {
		return err
	}
	return c.value(name)
}

func (c *dotChecker) value(name string) error {
	word := c.next()
	if text, ok := strings.CutPrefix(word, `"`); ok {
		if name == "label" {
			c.labels = append(c.labels, strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(strings.TrimSuffix(text, `"`)))
		}
		return nil
	}
	if !regexp.MustCompile(`^[A-Za-z]+$`).MatchString(word) {
		return fmt.Errorf("%q is no value", word)
	}
	return nil
}

var (
	mermaidNode   = regexp.MustCompile(`^    (b\w+)(?:\["([^"]*)"\]|\[\("([^"]*)"\)\]|\(\["([^"]*)"\]\)|\{\{"([^"]*)"\}\})$`)
	mermaidEdge   = regexp.MustCompile(`^ +(b\w+) (?:-->|-\.->\|on failure\|) (b\w+)$`)
	mermaidGroup  = regexp.MustCompile(`^  subgraph b\d+\["([^"]*)"\]$`)
	mermaidEntity = regexp.MustCompile(`#(\d+);`)
)

func TestMermaidIsValid(t *testing.T) {
	for name, v := range map[string]*planview.View{"whole": show(t, whole, planview.Options{}), "hostile": hostilePlan(t), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := v.WriteMermaid(&out); err != nil {
				t.Fatal(err)
			}
			labels, err := checkMermaid(out.String())
			if err != nil {
				t.Fatalf("%v in\n%s", err, out.String())
			}
			if name == "hostile" && !strings.Contains(strings.Join(labels, "|"), `fake "a"]; evil [label="\N\ #quot; <b>&lt;</b> --> %% `) {
				t.Errorf("the name is not there as it is: %q", labels)
			}
		})
	}
}

// checkMermaid returns the labels, or what is wrong. Only <br/> and entities
// may stand in a label of what has a meaning in Mermaid, HTML or Markdown.
func checkMermaid(text string) ([]string, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != "flowchart LR" {
		return nil, fmt.Errorf("it begins with %q", lines[0])
	}
	nodes, depth := map[string]bool{}, 0
	var labels []string
	for _, line := range lines[1:] {
		label := ""
		if m := mermaidNode.FindStringSubmatch(line); m != nil {
			nodes[m[1]] = true
			label = strings.Join(m[2:], "")
		} else if m := mermaidEdge.FindStringSubmatch(line); m != nil {
			if !nodes[m[1]] || !nodes[m[2]] {
				return nil, fmt.Errorf("%q leads to a node that is not declared", line)
			}
		} else if m := mermaidGroup.FindStringSubmatch(line); m != nil {
			depth++
			label = m[1]
		} else if line == "  end" {
			depth--
		} else {
			return nil, fmt.Errorf("line %q has no known form", line)
		}
		plain := strings.ReplaceAll(label, "<br/>", "\n")
		if rest := mermaidEntity.ReplaceAllString(plain, ""); strings.ContainsAny(rest, "\"#<>&`\\*_[]{}|") {
			return nil, fmt.Errorf("label %q has characters with a meaning", label)
		}
		labels = append(labels, mermaidEntity.ReplaceAllStringFunc(plain, func(e string) string {
			n, _ := strconv.Atoi(mermaidEntity.FindStringSubmatch(e)[1])
			return html.UnescapeString(fmt.Sprintf("&#%d;", n))
		}))
	}
	if depth != 0 {
		return nil, fmt.Errorf("%d groups are not ended", depth)
	}
	return labels, nil
}

func TestMermaidCheckCanFail(t *testing.T) {
	for _, wrong := range []string{
		"graph\n", "flowchart LR\n  subgraph b0[\"x\"]\n", "flowchart LR\n    b0 --> b1\n",
		"flowchart LR\n    b0[\"a\"b\"]\n", "flowchart LR\n    b0[\"a#b\"]\n", "flowchart LR\n    b0[\"<b>\"]\n",
	} {
		if _, err := checkMermaid(wrong); err == nil {
			t.Errorf("%q passes", wrong)
		}
	}
}

// TestTextIsPrintable: names and values cannot change the terminal.
func TestTextIsPrintable(t *testing.T) {
	got := text(t, hostilePlan(t))
	if i := strings.IndexFunc(got, func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }); i >= 0 {
		t.Errorf("unprintable character at %q", got[i:min(len(got), i+20)])
	}
}

func manyBuilds(n int) string {
	var b strings.Builder
	b.WriteString("variable \"token\" {\n  default = \"hunter2\"\n  sensitive = true\n}\n")
	for i := range n {
		fmt.Fprintf(&b, "source \"fake\" \"s%d\" {\n  text = \"x%d\"\n  list = [\"a\", var.token]\n  disk {\n    size = %d\n  }\n}\n", i, i, i)
	}
	b.WriteString("build {\n  sources = [\n")
	for i := range n {
		fmt.Fprintf(&b, "    \"fake.s%d\",\n", i)
	}
	b.WriteString("  ]\n  provisioner \"fake\" {\n    text = \"${source.name} ${build.ID}\"\n  }\n  post-processor \"fake\" {}\n}\n")
	return b.String()
}

// TestManyBuilds: the text grows with the number of builds and no faster.
func TestManyBuilds(t *testing.T) {
	small, large := text(t, show(t, manyBuilds(100), planview.Options{})), text(t, show(t, manyBuilds(900), planview.Options{}))
	if n, m := strings.Count(small, "\n"), strings.Count(large, "\n"); m-1 != 9*(n-1) {
		t.Errorf("100 builds are %d lines, 900 builds %d", n, m)
	}
}

// The benchmarks make and write all forms of a plan; the plan itself is made
// beforehand.
func Benchmark1000(b *testing.B)  { benchmark(b, 1000) }
func Benchmark10000(b *testing.B) { benchmark(b, 10000) }

func benchmark(b *testing.B, n int) {
	p, secrets := planned(b, manyBuilds(n), func(*plan.Inputs) {})
	b.ReportAllocs()
	for b.Loop() {
		v := planview.New(p, planview.Options{Redact: secrets.Redact})
		var out strings.Builder
		for _, write := range []func() error{
			func() error { return v.WriteText(&out) }, func() error { return v.WriteJSON(&out) },
			func() error { return v.WriteMermaid(&out) }, func() error { return v.WriteDOT(&out) },
		} {
			if err := write(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
