package hclformat

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// Ensure that the layout is the usual one, and what of a text stays as it is.
func TestFormat(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"empty", "", ""},
		{"attributes", "a=1\nlonger   =  2\n\nb  = 3\n", "a      = 1\nlonger = 2\n\nb = 3\n"},
		{"blocks", "build{\nsources=[\n\"a\",\n   \"b\" ]\n}\n", "build {\n  sources = [\n    \"a\",\n  \"b\"]\n}\n"},
		{"trailing comments", "a = 1 # x\nbb = 22 // y\n", "a  = 1  # x\nbb = 22 // y\n"},
		{"comments in a list", "a = [\n1, # one\n  # alone\n22, /* two */\n]\n", "a = [\n  1, # one\n  # alone\n  22, /* two */\n]\n"},
		{"comment over lines", "b {\n/* one\n     two */\na=1\n}\n", "b {\n  /* one\n     two */\n  a = 1\n}\n"},
		{"CRLF", "a=1\r\n# c\r\nbb =2 # d\r\n", "a = 1\r\n# c\r\nbb = 2 # d\r\n"},
		{"CRLF and LF", "a=1\r\nb =2\n", "a = 1\r\nb = 2\n"},
		{"byte order mark", "\ufeffa=1\n", "\ufeffa = 1\n"},
		{"tabs", "b {\n\ta\t=\t1\n\t\n}\n", "b {\n  a = 1\n\n}\n"},
		{"spaces at the end", "a = 1  \nb = 2 \t", "a = 1\nb = 2"},
		{"no line end", "a=1", "a = 1"},
		{"comment at the end", "a=1 # x ", "a = 1 # x "},
		{"heredoc", "b {\na=<<-EOT\n      x  ${ var.x }\n\ty  \n   EOT\nb=1\n}\n", "b {\n  a = <<-EOT\n      x  ${var.x}\n\ty  \n   EOT\n  b = 1\n}\n"},
		{"template", "a = \" x  ${ b }  %{ if c ~}  y %{ endif } \"\n", "a = \" x  ${b}  %{if c~}  y %{endif} \"\n"},
		{"template actions", "a=\"{{ .Path }}   {{ build `ID`}}\"\n", "a = \"{{ .Path }}   {{ build `ID`}}\"\n"},
		{"characters of several bytes", "\"日本\"=1\nb=\"e\u0301\" # x\n", ""},
		{"operators", "a=b?-c:- d\ne=!f&&g==- 1\n", "a = b ? -c : -d\ne = !f && g == -1\n"},
		{"number behind an index", "x=1\na=b .0 .1\ny =2\n", "x = 1\na=b .0 .1\ny = 2\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, diags := Format("f.hcl", []byte(c.src))
			if c.want == "" && c.src != "" {
				if !diags.HasErrors() {
					t.Errorf("accepted, as %q", out)
				}
				return
			}
			if diags.HasErrors() {
				t.Fatal(diags.Err())
			}
			if string(out) != c.want {
				t.Errorf("got\n%q, want\n%q", out, c.want)
			}
		})
	}
}

// Ensure that the comparison of tokens finds two that became one, and takes the
// spaces of templates for what they are.
func TestMadeOf(t *testing.T) {
	for _, c := range []struct {
		text, tokens string
		want         bool
	}{
		{"a  = \tb . c\n", "a=b.c\n", true},
		{"a=b.0 .1\n", "a=b.0.1\n", false},
		{"a = \" x\"\n", "a=\" x\"\n", true},
		{"a = \"  x\"\n", "a = \" x\"\n", false},
		{"a = <<E\n  x\n E\n", "a=<<E\n  x\n E\n", true},
		{"a = <<E\n   x\n E\n", "a=<<E\n  x\n E\n", false},
		{"a = 1 # b", "a = 1", false},
	} {
		if got := madeOf([]byte(c.text), lex([]byte(c.tokens))); got != c.want {
			t.Errorf("%q of the tokens of %q: %v", c.text, c.tokens, got)
		}
	}
}

// Ensure that every mistake of a text is reported, and no layout of it given.
func TestFormatErrors(t *testing.T) {
	for _, c := range []struct {
		name, src string
		line      int
	}{
		{"short", "a = 1\nb = [\n", 3},
		{"nested", "a = " + strings.Repeat("[", 100_000), 1},
		{"long, in the last part", long(200) + "a = = 1\n", strings.Count(long(200), "\n") + 1},
		{"long, the same attribute in two parts", "x = 1\n" + long(200) + "x = 2\n", strings.Count(long(200), "\n") + 2},
		{"open heredoc", long(100) + "a = <<STOP\n" + long(100), strings.Count(long(200), "\n") + 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, diags := Format("f.hcl", []byte(c.src))
			if !diags.HasErrors() || out != nil {
				t.Fatalf("accepted, as %d bytes", len(out))
			}
			if at := diags[0].Subject; at == nil || at.Filename != "f.hcl" || at.Start.Line != c.line {
				t.Errorf("got %v, want line %d of f.hcl", diags[0], c.line)
			}
		})
	}
}

// long is a text of so many blocks, of which each has a heredoc that looks
// like the end of a block.
func long(blocks int) string {
	return strings.Repeat(`source "null" "s" {
  ssh_host= "x" # comment
    script = <<EOT
f() {
  x
}

EOT
  tags = {
    a = 1
  bbb = 2
  }
}

`, blocks)
}

// Ensure that dividing a text changes nothing, wherever it is cut.
func TestParts(t *testing.T) {
	for _, src := range []string{long(30), strings.ReplaceAll(long(30), "\n", "\r\n"), "a = 1\n" + long(3) + "bbb = 2\n\n" + long(3), long(4) + "# end"} {
		whole, diags := Format("f.hcl", []byte(src))
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		divided := 0
		for size := 1; size < 2000; size += 37 {
			out, ok := formatParts("f.hcl", []byte(src), size)
			if !ok {
				continue // cut inside a heredoc
			}
			divided++
			if !bytes.Equal(out, whole) {
				t.Fatalf("in parts of %d bytes: got\n%s\nwant\n%s", size, out, whole)
			}
		}
		if divided == 0 {
			t.Error("the text was never divided")
		}
	}
}

// Ensure that the layout does not depend on the spaces that were there.
func TestFormatIgnoresSpaces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, src := range append(seeds(), long(2)) {
		want, diags := Format("f.hcl", []byte(src))
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		if bytes.Contains(want, []byte(".0 .1")) {
			continue
		}
		for range 200 {
			other := respaced(random, []byte(src))
			if got, _ := Format("f.hcl", other); !bytes.Equal(got, want) {
				t.Fatalf("%q became\n%q, want\n%q", other, got, want)
			}
		}
	}
}

// respaced puts other spaces between the tokens of a text, and returns the
// text itself when that would change a token.
func respaced(random *rand.Rand, src []byte) []byte {
	var out []byte
	tokens := lex(src)
	end := 0
	for _, tok := range tokens {
		// A gap in the middle of a line may close or grow, nothing else is
		// sure to be a place for spaces.
		if tok.Range.Start.Byte > end {
			for range random.IntN(4) {
				out = append(out, " \t"[random.IntN(2)])
			}
		}
		out = append(out, tok.Bytes...)
		end = tok.Range.End.Byte
	}
	if !sameTokens(tokens, lex(out)) {
		return src
	}
	return out
}

func seeds() []string {
	return []string{
		"a  = 1\r\n# c  \r\nbb =2 #x\r\n",
		"a = <<-E\n  x\n    E\nb=1\n",
		"a = <<E\n  x\n${ [\n1,\n2 ]  }\n  y ${ a }\nE\n",
		"a=b .0 .1\n",
		"a = 1 \n\t\n\tb=2  ",
		"a /*x*/ = /* y\nz */ 1\nb=2 # c\n",
		"a=\"${  x }  ${ {} } %{ if x ~} y %{ endif }\"\n",
		"b \"x\" y {\n c = {for k , v in { a : 1 } : k => v... if ! v}\n}\n\nd {}\n",
		"b {\n x=f(<<A\n foo ${ g(\n 1\n ) }\nA\n  ,b)\ny=1\n}\n",
		"a = b[ 0 ].*.c [ - 1 ] + d::e ( f ... )\n",
	}
}

// FuzzFormat formats any text. What comes out has the same tokens and is its
// own layout.
func FuzzFormat(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Add([]byte("\ufeffa=1\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		out, diags := Format("f.hcl", src)
		if diags.HasErrors() {
			if out != nil {
				t.Fatal("a text beside errors")
			}
			return
		}
		if !sameTokens(lex(src), lex(out)) {
			t.Fatalf("%q became %q, whose tokens are others", src, out)
		}
		if a, b := strings.Fields(string(src)), strings.Fields(string(out)); strings.Join(a, "") != strings.Join(b, "") {
			t.Fatalf("%q became %q, which differs in more than spaces", src, out)
		}
		again, diags := Format("f.hcl", out)
		if diags.HasErrors() || !bytes.Equal(out, again) {
			t.Fatalf("%q became %q, then %q: %v", src, out, again, diags.Err())
		}
	})
}

func BenchmarkFormat(b *testing.B) {
	for _, c := range []struct {
		name string
		src  []byte
	}{{"small", []byte(long(30))}, {"large", []byte(long(30_000))}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.src)))
			for b.Loop() {
				if _, diags := Format("f.hcl", c.src); diags.HasErrors() {
					b.Fatal(diags.Err())
				}
			}
		})
	}
}
