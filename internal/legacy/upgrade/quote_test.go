package upgrade

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// value evaluates code in which x is "<x>".
func value(t *testing.T, code string) string {
	t.Helper()
	e, diags := hclsyntax.ParseExpression([]byte(code), "q", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", code, diags)
	}
	v, diags := e.Value(&hcl.EvalContext{Variables: map[string]cty.Value{"x": cty.StringVal("<x>")}})
	if diags.HasErrors() {
		t.Fatalf("%s: %v", code, diags)
	}
	return v.AsString()
}

// checkText writes texts with a variable between them in all ways, and checks
// that they come out as they went in.
func checkText(t *testing.T, before, after string) {
	t.Helper()
	for _, p := range []pieces{{literal(before)}, {literal(before), {expr: expr{code: "x"}}, literal(after)}, {{expr: expr{code: "x"}}, {expr: expr{code: "x"}}, literal(after)}} {
		want := ""
		for _, x := range p {
			if x.expr.code != "" {
				want += "<x>"
			}
			want += x.literal
		}
		// Strings of HCL are in normal form C.
		want = cty.StringVal(want).AsString()
		if got := value(t, p.code()); got != want {
			t.Errorf("%q became %q in %s", want, got, p.code())
		}
		if code, ok := p.heredoc(); ok {
			if got := value(t, code+"\n"); got != want {
				t.Errorf("%q became %q in %s", want, got, code)
			}
		}
	}
}

func TestQuote(t *testing.T) {
	for _, text := range []string{
		"", "plain", `a "b" \c`, "$", "$$", "${x}", "$${x}", "$$${x}", "%{ if x }", "%%{x}", "%$%{x}", "%${x}", "$%{x}", "$$$", "%", "%%",
		"a\nb", "a\nb\n", "a\nb\nc\n", "\n\n\n", "a\n\n", "  a\n b\n", "EOT\nEOT\n", "a\r\nb\r\n", "\t\x00\x1f\x7f\u0085\u2028\ufeff", "é e\u0301 😀 \U000e0001",
		"a\n$", "a\nb\n$", "a\nb\n${", "a\n%{x}\n${x}\n", "\\\n\\n\n", "a\nb \n",
	} {
		checkText(t, text, text)
		checkText(t, text, "{"+text)
		checkText(t, text, "\n"+text+"\n\n")
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("a${b}$", "{%{c}\n\n")
	f.Add("a\nb\n", "c\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		if !utf8.ValidString(before) || !utf8.ValidString(after) || strings.ContainsRune(before+after, utf8.RuneError) {
			return // strings of JSON are valid
		}
		checkText(t, before, after)
	})
}

func TestIdentifier(t *testing.T) {
	for name, want := range map[string]string{
		"plain": "plain", "a b": "a_b", " a  b ": "a_b", "a.b/c": "a_b_c", "9": "_9", "-a": "_-a", "": "_", "é": "é", "!!": "_",
	} {
		if got := identifier(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
	}
}
