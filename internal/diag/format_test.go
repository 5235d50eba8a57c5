package diag_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/diag"
)

func format(t *testing.T, l diag.List, src string, o diag.FormatOptions) string {
	t.Helper()
	var out strings.Builder
	if err := diag.Format(&out, l, map[string][]byte{"f.hcl": []byte(src)}, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func at(line, start, end int) hcl.Range {
	return hcl.Range{Filename: "f.hcl", Start: hcl.Pos{Line: line, Column: 1, Byte: start}, End: hcl.Pos{Line: line, Column: 1, Byte: end}}
}

// Ensure that the carets stand below what they mean, whatever the line holds.
func TestFormatSnippet(t *testing.T) {
	for _, c := range []struct {
		name, src string
		rng       hcl.Range
		width     int
		want      string
	}{
		{"plain", "a = b\n", at(1, 4, 5), 0, "   1: a = b\n          ^\n"},
		{"no line end", "a = b", at(1, 4, 5), 0, "   1: a = b\n          ^\n"},
		{"empty range", "a = \n", at(1, 4, 4), 0, "   1: a =\n          ^\n"},
		{"end of file", "a\n", at(2, 2, 2), 0, "   2:\n      ^\n"},
		{"tab", "\ta = b\n", at(1, 5, 6), 0, "   1:   a = b\n            ^\n"},
		{"wide", "日 = b\n", at(1, 6, 7), 0, "   1: 日 = b\n           ^\n"},
		{"combining", "e\u0301 = b\n", at(1, 6, 7), 0, "   1: e\u0301 = b\n          ^\n"},
		{"carriage return", "a = b\r\n", at(1, 4, 6), 0, "   1: a = b\n          ^\n"},
		{"several lines", "a = [\n  1,\n]\n", at(1, 4, 12), 0, "   1: a = [\n          ^\n"},
		{"escape sequence", "a = \"\x1b[31m\"\n", at(1, 4, 11), 0, "   1: a = \"?[31m\"\n          ^^^^^^^\n"},
		{"long line", strings.Repeat("x", 100) + "HERE" + strings.Repeat("y", 100), at(1, 100, 104), 30, "   1: ...xxxxxxxxHERE" + strings.Repeat("y", 6) + "...\n                 ^^^^\n"},
		{"long mark", strings.Repeat("x", 100), at(1, 0, 100), 30, "   1: " + strings.Repeat("x", 21) + "...\n      " + strings.Repeat("^", 21) + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := format(t, diag.In(c.rng, "S", ""), c.src, diag.FormatOptions{Width: c.width})
			_, got, _ = strings.Cut(got, ":\n")
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// Ensure that a finding whose file is not at hand still says where it is.
func TestFormatWithoutSource(t *testing.T) {
	rng := at(7, 0, 1)
	rng.Filename = "other.hcl"
	if got, want := format(t, diag.WarnIn(rng, "S", "D."), "", diag.FormatOptions{}), "Warning: S\n  on other.hcl line 7\n\n  D.\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	beyond := at(3, 500, 501)
	if got, want := format(t, diag.In(beyond, "S", ""), "a", diag.FormatOptions{}), "Error: S\n  on f.hcl line 3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Ensure that details are wrapped between words, but not where their author
// laid them out.
func TestFormatDetail(t *testing.T) {
	got := format(t, diag.Errorf("S", "One two three four.\n  kept as it is, however long it may be\n\nFive."), "", diag.FormatOptions{Width: 14})
	want := "Error: S\n\n  One two\n  three four.\n    kept as it is, however long it may be\n\n  Five.\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Ensure that findings come in the order of their places, once each.
func TestSort(t *testing.T) {
	l := append(diag.In(at(3, 9, 9), "c", ""), diag.In(at(1, 1, 1), "a", "")...)
	l = append(l, diag.Errorf("none", "")...)
	l = append(l, diag.In(at(3, 9, 9), "c", "")...)
	l = append(l, diag.In(at(3, 9, 9), "d", "")...)
	var got string
	for _, d := range l.Sort() {
		got += d.Summary + " "
	}
	if got != "none a c d " {
		t.Errorf("got %s", got)
	}
	if diag.List(nil).Sort() != nil {
		t.Error("sorting nothing gives something")
	}
}

// Ensure that suggestions are near enough to help.
func TestSuggest(t *testing.T) {
	for _, c := range []struct {
		name string
		from []string
		want string
	}{
		{"imge", []string{"image", "tags"}, ` Did you mean "image"?`},
		{"Image", []string{"image"}, ` Did you mean "image"?`},
		{"ab", []string{"xy"}, ` Known things: xy.`},
		{"b", []string{"a"}, ` Known things: a.`},
		{"nothing", []string{"z", "a"}, ` Known things: a, z.`},
		{"nothing", nil, ` There are no things.`},
		{"nothing", strings.Split(strings.Repeat("x,", 20)+"x", ","), ` There are 21 things, none with a name like that.`},
	} {
		if got := diag.Suggest(c.name, "things", c.from); got != c.want {
			t.Errorf("%s from %v: got %q, want %q", c.name, c.from, got, c.want)
		}
	}
}

// FuzzFormat shows findings at arbitrary places of arbitrary texts.
func FuzzFormat(f *testing.F) {
	f.Add("a = b\n", "Detail.", 1, 0, 3, 80)
	f.Add(strings.Repeat("0", 20), "", 2, 20, 5, 2)
	f.Add("source \"x\" \"y\" {\n a\n}", "", 2, 20, 5, 10)
	f.Fuzz(func(t *testing.T, src, detail string, line, start, end, width int) {
		got := format(t, diag.In(at(line, start, end), "S", "%s", detail), src, diag.FormatOptions{Width: width})
		for _, r := range got {
			if r < ' ' && r != '\n' {
				t.Fatalf("a control character reached the terminal: %q", got)
			}
		}
	})
}

// Ensure that a secret is hidden before its line is cut, and that the mark
// stays where it belongs.
func TestFormatRedacts(t *testing.T) {
	secret := "b" + strings.Repeat("0123456789", 6) + "e"
	hide := func(text string) string { return strings.ReplaceAll(text, secret, "<sensitive>") }
	for _, c := range []struct{ name, src, marked, want string }{
		{"before the mark", "? " + secret + " x", " x", "   1: ? <sensitive> x\n                   ^^\n"},
		{"behind the mark", "here, " + secret, "here", "   1: here, <sensitive>\n      ^^^^\n"},
		{"marked", "? " + secret + " x", secret, "   1: ? <sensitive> x\n        ^^^^^^^^^^^\n"},
		{"marked in part", "? " + secret + " x", secret[30:], "   1: ? <sensitive> x\n      " + strings.Repeat("^", 15) + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := strings.Index(c.src, c.marked)
			d := diag.In(at(1, start, start+len(c.marked)), "S", "Behind the %s.", secret)
			want := "Error: S\n  on f.hcl line 1:\n" + c.want + "\n  Behind the <sensitive>.\n"
			if got := format(t, d, c.src, diag.FormatOptions{Redact: hide}); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
