package funcs

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the reference anew")

const referenceFile = "../../../docs/functions.md"

// TestReferenceIsComplete: every function is in the reference once, with an example that does what it says.
func TestReferenceIsComplete(t *testing.T) {
	table := Table(testEnv(t))
	maps.Copy(table, VariableDefaults(func(string) (string, bool) { return "/home/user", true }))
	var got []string
	for _, g := range Reference() {
		for _, f := range g.Functions {
			got = append(got, f.Name)
			if len(f.Examples) == 0 {
				t.Errorf("%s has no example", f.Name)
			}
			for _, e := range f.Examples {
				checkExample(t, f.Name, e, func(expr string) (string, error) {
					v, err := eval(table, expr)
					return fmt.Sprintf("%#v", v), err
				})
			}
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(table)), got); diff != "" {
		t.Errorf("functions in the reference (-want +got):\n%s", diff)
	}
}

// checkExample compares a call with what it is said to give: the result itself or, as templates have no way to write
// lists, sets and maps of one type, what converts to the same.
func checkExample(t *testing.T, name string, e Example, eval func(string) (string, error)) {
	t.Helper()
	if !strings.HasPrefix(e.Call, name+"(") {
		t.Errorf("%s has an example for another function: %s", name, e.Call)
	}
	got, err := eval("jsonencode(" + e.Call + ")")
	if err != nil {
		t.Errorf("%s: %v", e.Call, err)
		return
	}
	if e.Result == "" {
		again, err := eval("jsonencode(" + e.Call + ")")
		if err == nil && again == got && name != "base64gzip" {
			t.Errorf("%s gives %s each time; write it down", e.Call, got)
		}
		return
	}
	want, err := eval("jsonencode(" + e.Result + ")")
	if err != nil || got != want {
		t.Errorf("%s\n got %s\nwant %s, error %v", e.Call, got, want, err)
	}
}

// TestReferenceIsCurrent compares docs/functions.md with what the functions say of themselves.
func TestReferenceIsCurrent(t *testing.T) {
	text := referenceText()
	if *update {
		if err := os.WriteFile(referenceFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(have)); diff != "" {
		t.Errorf("docs/functions.md is not current; run go test ./internal/lang/funcs -update (-want +got):\n%s", diff)
	}
}

const referenceHead = `# Functions

Every function that an expression in a template may call, with examples and their
results. This page is made from the functions' own descriptions and tested against
them; ` + "`go test ./internal/lang/funcs -update`" + ` writes it.

- An argument that is not known yet (of the machine, or of a data source that is not
  read) makes the result unknown. A null argument is an error, unless the description
  says otherwise.
- What is computed from a sensitive value is sensitive.
- A relative path starts at the folder of the template, except where another place is
  named. A ` + "`~`" + ` at its beginning is the home folder.
- Whole numbers are exact; ` + "`1/0`" + ` is infinite and no error.
- In examples, files and secrets are those that a test has made.

`

func referenceText() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	groups := Reference()
	for _, g := range groups {
		fmt.Fprintf(&b, "- %s:", g.Title)
		for i, f := range g.Functions {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " [%s](#%s)", f.Name, f.Name)
		}
		b.WriteString("\n")
	}
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n", g.Title)
		for _, f := range g.Functions {
			fmt.Fprintf(&b, "\n### %s\n\n`%s`\n\n%s\n", f.Name, f.Signature, f.Description)
			for i, p := range f.Params {
				if i == 0 {
					b.WriteString("\n")
				}
				fmt.Fprintf(&b, "- `%s` (%s): %s\n", p.Name, TypeName(p.Type), p.Description)
			}
			b.WriteString("\n```hcl\n")
			for _, e := range f.Examples {
				b.WriteString(exampleText(e))
			}
			b.WriteString("```\n")
		}
	}
	return b.String()
}

func exampleText(e Example) string {
	if e.Result == "" {
		return e.Call + "\n"
	}
	return e.Call + "\n# " + strings.ReplaceAll(e.Result, "\n", "\n# ") + "\n"
}
