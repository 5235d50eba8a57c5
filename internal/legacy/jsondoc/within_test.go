package jsondoc

import (
	"encoding/json"
	"strings"
	"testing"
)

// The place of a piece of a string holds that piece, however it is escaped.
func TestWithin(t *testing.T) {
	for _, c := range []struct{ raw, piece, want string }{
		{`"abcd"`, "bc", "bc"},
		{`"a\n\"b\\c"`, "\"b\\", `\"b\\`},
		{`"ü€\u00e9x"`, "éx", `\u00e9x`},
		{`"\ud83d\ude00é!"`, "é!", "é!"},
		{`"\ud83dx\ude00y"`, "x", "x"},
		{`"\u20AC-"`, "-", "-"},
		{"\"\xff-\"", "-", "-"},
		{`"ab"`, "ab", "ab"},
	} {
		src := []byte(`{"k": ` + c.raw + `}`)
		root, diags := Parse(src, "t.json")
		if diags != nil {
			t.Fatal(diags.Err())
		}
		n := root.Get("k")
		i := strings.Index(n.Text, c.piece)
		at := n.Within(src, i, i+len(c.piece))
		if got := string(src[at.Start.Byte:at.End.Byte]); got != c.want || at.Start.Line != 1 {
			t.Errorf("%s: %q at %v, want %q", c.raw, got, at, c.want)
		}
	}
	made := NewString("text")
	if got := made.Within([]byte("else"), 1, 2); got != made.Range {
		t.Errorf("a string from elsewhere is at %v", got)
	}
}

// Every piece lies inside the string, and the whole of it is all between the
// quotes.
func FuzzWithin(f *testing.F) {
	f.Add([]byte(`"a\u00e9\ud83d\ude00\n"`), 1, 3)
	f.Add([]byte("\"\xff\\ud83d\\u12\""), 0, 9)
	f.Fuzz(func(t *testing.T, src []byte, from, to int) {
		n, diags := Parse(src, "f")
		if diags != nil || !n.Is(String) || !json.Valid(src) {
			return
		}
		at := n.Within(src, from, to)
		if at.Start.Byte <= n.Range.Start.Byte && from > 0 || at.End.Byte >= n.Range.End.Byte {
			t.Fatalf("%q: [%d:%d] at %v", src, from, to, at)
		}
		if all := n.Within(src, 0, len(n.Text)); all.Start.Byte != n.Range.Start.Byte+1 || all.End.Byte != n.Range.End.Byte-1 || all.End.Column != n.Range.End.Column-1 {
			t.Fatalf("%q: the whole is at %v, in %v", src, all, n.Range)
		}
	})
}
