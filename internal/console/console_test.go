package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		val  cty.Value
		want string
	}{
		{cty.StringVal("a \"b\"\n${c}"), "a \"b\"\n${c}"},
		{cty.NumberIntVal(1 << 40), "1099511627776"},
		{cty.MustParseNumberVal("0.1"), "0.1"},
		{cty.True, "true"},
		{cty.NullVal(cty.String), "null"},
		{cty.UnknownVal(cty.String), "?"},
		{cty.EmptyTupleVal, "[]"},
		{cty.EmptyObjectVal, "{}"},
		{cty.MapValEmpty(cty.String), "{}"},
		{cty.SetVal([]cty.Value{cty.StringVal("b"), cty.StringVal("a")}), "[\n  \"a\",\n  \"b\",\n]"},
		{cty.ObjectVal(map[string]cty.Value{"a b": cty.TupleVal([]cty.Value{cty.StringVal("x\"${y}"), cty.DynamicVal})}), "{\n  \"a b\" = [\n    \"x\\\"$${y}\",\n    ?,\n  ]\n}"},
		{cty.StringVal("x").Mark("secret"), "<sensitive>"},
		{cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("x").Mark("secret")}), "{\n  \"a\" = <sensitive>\n}"},
		{cty.ListVal([]cty.Value{cty.StringVal("x")}).Mark("secret"), "<sensitive>"},
	} {
		if got := Text(c.val, "?"); got != c.want {
			t.Errorf("%#v: got\n%s\nwant\n%s", c.val, got, c.want)
		}
	}
}

func TestOpenAndBlank(t *testing.T) {
	for _, c := range []struct {
		input       string
		open, blank bool
	}{
		{"1", false, false},
		{"", false, true},
		{"  # nothing\n", false, true},
		{"[1,", true, false},
		{"f(", true, false},
		{"[for k, v in {", true, false},
		{"f(1\n)", false, false},
		{"\"${f(", true, false},
		{"\"[\"", false, false},
		{"# [", false, true},
		{"[ # ]", true, false},
		{"]", false, false},
		{"<<EOT", true, false},
		{"<<EOT\nEOT x\n", true, false},
		{"<<EOT\na\nEOT\n", false, false},
		{"f(<<-EOT\n  a\n  EOT\n", true, false},
		// More lines cannot help these.
		{"[ \"abc", false, false},
		{"[ 'a'", false, false},
	} {
		if got := open(c.input); got != c.open {
			t.Errorf("%q: open is %v", c.input, got)
		}
		if got := blank(c.input); got != c.blank {
			t.Errorf("%q: blank is %v", c.input, got)
		}
	}
}

// testScope has a variable and an object, and evaluates with them.
type testScope struct{ legacy bool }

func (testScope) context() *hcl.EvalContext {
	return &hcl.EvalContext{Variables: map[string]cty.Value{
		"var":   cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal("x"), "names": cty.EmptyTupleVal}),
		"local": cty.ObjectVal(map[string]cty.Value{"o": cty.ObjectVal(map[string]cty.Value{"inner": cty.True})}),
	}}
}

func (s testScope) Eval(_ context.Context, src []byte, name string, start hcl.Pos) (cty.Value, diag.List) {
	expr, diags := hclsyntax.ParseExpression(src, name, start)
	if diags.HasErrors() {
		return cty.DynamicVal, diag.FromHCL(diags)
	}
	val, diags := expr.Value(s.context())
	return val, diag.FromHCL(diags)
}

func (s testScope) Legacy() bool      { return s.legacy }
func (testScope) Functions() []string { return []string{"lower", "upper", "urlencode"} }

func (s testScope) Members(ctx context.Context, expr string) []string {
	if expr == "" {
		return []string{"local", "var"}
	}
	val, diags := s.Eval(ctx, []byte(expr), "", hcl.InitialPos)
	if diags.HasErrors() || !val.Type().IsObjectType() {
		return nil
	}
	var out []string
	for name := range val.Type().AttributeTypes() {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		before string
		want   []string
		grown  string
	}{
		{"h", []string{"help"}, "help"},
		{"  v", []string{"var.", "variables"}, "var"},
		{"1 + v", []string{"var."}, "var."},
		{"u", []string{"upper(", "urlencode("}, "u"},
		{"upper(lo", []string{"local.", "lower("}, "lo"},
		{"var.", []string{"name", "names"}, "name"},
		{"var.names", []string{"names"}, "names"},
		{"\"${local.o.", []string{"inner"}, "inner"},
		{"[local][0].", []string{}, ""},
		{"f(x).", nil, ""},
		{"var.name.", []string{}, ""},
		{"nothing.", []string{}, ""},
		{"!t", []string{"true"}, "true"},
		{"-l", []string{"local.", "lower("}, "lo"},
	} {
		got, typed := candidates(context.Background(), testScope{}, c.before)
		if len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.before, got, c.want)
		}
		if g := completion(got); g != c.grown {
			t.Errorf("%q grows to %q, want %q", c.before, g, c.grown)
		}
		if !strings.HasSuffix(c.before, typed) {
			t.Errorf("%q does not end with %q", c.before, typed)
		}
	}
}

func TestColumns(t *testing.T) {
	for _, c := range []struct {
		width int
		want  string
	}{{80, "a    bbb  c\n"}, {10, "a    c\nbbb\n"}, {1, "a\nbbb\nc\n"}} {
		if got := columns([]string{"a", "bbb", "c"}, c.width); got != c.want {
			t.Errorf("width %d: got %q, want %q", c.width, got, c.want)
		}
	}
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "history")
	keep := func(line string) bool { return !strings.Contains(line, "secret") }
	h, err := OpenHistory(path, keep)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one", "one", "", "the secret", " private", "two"} {
		if err := h.remember(line); err != nil {
			t.Fatal(err)
		}
	}
	// The session offers all, the next one what was kept.
	if h.Len() != 4 || h.At(0) != "two" || h.At(2) != "the secret" {
		t.Errorf("got %q", h.lines)
	}
	again, err := OpenHistory(path, keep)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"one", "two"}; !slices.Equal(again.lines, want) {
		t.Errorf("got %q, want %q", again.lines, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read the history: %v, %v", info.Mode(), err)
	}
}

func TestHistoryIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	var text strings.Builder
	for i := range 2*mostLines + 1 {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHistory(path, nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "\n"); n != mostLines || !strings.HasSuffix(string(data), fmt.Sprintf("line %d\n", 2*mostLines)) {
		t.Errorf("%d lines are left", n)
	}
}

// Ensure that a history that cannot be kept does not keep anybody from typing.
func TestHistoryUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := OpenHistory(filepath.Join(file, "history"), nil)
	if err == nil {
		t.Fatal("a folder was made of a file")
	}
	if err := h.remember("one"); err != nil || h.Len() != 1 {
		t.Errorf("%d lines, %v", h.Len(), err)
	}
}

// stream runs a session on a text and returns what it printed and reported.
func stream(t *testing.T, scope Scope, in string) (out, found string, ok bool) {
	t.Helper()
	var printed, reported strings.Builder
	s := Session{
		Scope: scope, Out: &printed, Redact: func(s string) string { return s }, Unknown: "?",
		Report: func(l diag.List, sources map[string][]byte) {
			for _, d := range l {
				fmt.Fprintf(&reported, "%d: %s\n", d.Subject.Start.Line, sources[d.Subject.Filename][d.Subject.Start.Byte:d.Subject.End.Byte])
			}
		},
		Variables: func() string { return "the variables\n" },
	}
	ok, err := s.Stream(context.Background(), strings.NewReader(in), "in")
	if err != nil {
		t.Fatal(err)
	}
	return printed.String(), reported.String(), ok
}

func TestStream(t *testing.T) {
	for _, c := range []struct {
		name, in, out, found string
		ok                   bool
	}{
		{"nothing", "", "", "", true},
		{"every result", "1\n2\n", "1\n2\n", "", true},
		{"no line end", "var.name", "x\n", "", true},
		{"CRLF", "1\r\nvariables\r\n\r\n", "1\nthe variables\n", "", true},
		{"over lines", "[\n1\n]\n<<E\na\nE\n", "[\n  1,\n]\na\n\n", "", true},
		{"mistakes", "1\n\n[1,\nvar.no]\n2\n", "1\n2\n", "4: .no\n", false},
		{"exit", "1\nexit\n2\n", "1\n", "", true},
		{"exit after a mistake", "var.no\nexit\n", "", "1: .no\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, found, ok := stream(t, testScope{}, c.in)
			if out != c.out || found != c.found || ok != c.ok {
				t.Errorf("printed %q, reported %q, %v; want %q, %q, %v", out, found, ok, c.out, c.found, c.ok)
			}
		})
	}
	// A legacy text has no brackets that wait for their ends.
	if _, found, ok := stream(t, testScope{legacy: true}, "[\n1\n"); ok || strings.Count(found, "\n") != 1 {
		t.Errorf("reported %q, %v", found, ok)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, os.ErrClosed }

// Ensure that a reader that went away ends the session.
func TestStreamWithoutReader(t *testing.T) {
	s := Session{Scope: testScope{}, Out: broken{}, Redact: func(s string) string { return s }}
	if _, err := s.Stream(context.Background(), strings.NewReader("1\n2\n"), "in"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// FuzzStream reads any input. What is printed of it ends, and no input is
// evaluated twice.
func FuzzStream(f *testing.F) {
	for _, s := range []string{"[\n1\n]\n", "<<E\na\nE\n", "\"${\n", "var.name", "}\n{\n", "exit\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if strings.Count(in, "(")+strings.Count(in, "[")+strings.Count(in, "{")+strings.Count(in, "!") > 1000 {
			return // the scope of the command refuses such a depth
		}
		s := Session{
			Scope: testScope{}, Out: new(strings.Builder), Redact: func(s string) string { return s },
			Report: func(l diag.List, sources map[string][]byte) {
				for _, d := range l {
					if d.Subject != nil && d.Subject.End.Byte > len(sources["in"])+1 {
						t.Fatalf("%q: a finding at %v, beyond the end", in, d.Subject)
					}
				}
			},
			Variables: func() string { return "" },
		}
		if _, err := s.Stream(context.Background(), strings.NewReader(in), "in"); err != nil {
			t.Fatal(err)
		}
		candidates(context.Background(), testScope{}, in)
	})
}
