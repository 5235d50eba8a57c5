// Package hclformat lays out HCL texts: indentation, the spaces between tokens,
// and the alignment of what stands on neighbouring lines. It changes spaces and
// nothing else.
package hclformat

import (
	"bytes"
	"maps"
	"regexp"
	"runtime"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"golang.org/x/sync/errgroup"

	"ingot/internal/diag"
	"ingot/internal/template"
)

// Format returns the text in its canonical layout. What Format returns is its
// own layout: formatting it again changes nothing. Tokens, comments, the number
// of lines, their ends (also CRLF) and a byte order mark stay as they are; a
// line that cannot be laid out without changing a token stays as it was written.
//
// The list has the syntax errors of the text, at places in the file name; then
// there is no layout and the text is nil.
func Format(name string, src []byte) ([]byte, diag.List) {
	if wrong := template.CheckText(name, src); wrong != nil {
		return nil, wrong
	}
	text := bytes.TrimPrefix(src, byteOrderMark)
	out, ok := formatParts(name, text, partSize)
	if !ok {
		var diags hcl.Diagnostics
		if out, _, diags = formatPart(part{text: text, start: hcl.InitialPos}, name); diags.HasErrors() {
			return nil, diag.FromHCL(diags)
		}
	}
	if len(text) < len(src) {
		out = append(bytes.Clone(byteOrderMark), out...)
	}
	return out, nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// partSize is about how long the parts of a text are. The cost of the lexer's
// and the formatter's memory grows faster than the text, and parts can be worked
// on at the same time.
const partSize = 16 << 10

// formatParts formats a long text in parts. It is not ok when some part is not
// a sequence of blocks and attributes by itself, either because the text has
// errors or because it was divided inside a heredoc or a comment.
func formatParts(name string, text []byte, size int) ([]byte, bool) {
	parts := divide(text, size)
	if len(parts) < 2 {
		return nil, false
	}
	done := make([][]byte, len(parts))
	attributes := make([][]string, len(parts)) // and not the bodies, which are large
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range parts {
		g.Go(func() error {
			out, names, diags := formatPart(p, name)
			done[i], attributes[i] = out, names
			if diags.HasErrors() {
				return diags
			}
			return nil
		})
	}
	if g.Wait() != nil {
		return nil, false // the whole text has the errors at their places
	}
	seen := map[string]bool{}
	for _, name := range slices.Concat(attributes...) {
		if seen[name] {
			return nil, false // an error that no part can see
		}
		seen[name] = true
	}
	return bytes.Join(done, nil), true
}

// part is a piece of a text, and where it starts.
type part struct {
	text  []byte
	start hcl.Pos
}

// divide cuts a text between blocks, see blockEnd. Nothing is aligned across
// such a place.
func divide(text []byte, size int) []part {
	if len(text) <= size {
		return []part{{text, hcl.InitialPos}}
	}
	between := regexp.MustCompile(betweenBlocks)
	var parts []part
	pos := hcl.InitialPos
	for len(text) > 0 {
		cut := len(text)
		if size < len(text) {
			if end := blockEnd(between, text[size:]); end >= 0 {
				cut = size + end
			}
		}
		parts = append(parts, part{text[:cut], pos})
		pos.Line += bytes.Count(text[:cut], newline)
		pos.Byte += cut
		text = text[cut:]
	}
	return parts
}

var newline = []byte("\n")

// betweenBlocks is the end of a block, an empty line, and what looks like the
// header of the next block, with comments above it. A script inside a heredoc
// hardly ever looks so.
const betweenBlocks = `\n}\r?\n\r?\n(?:(?:#|//).*\n)*[a-z][\w-]*(?: +(?:"[^"\n]*"|[\w-]+))* +{\r?\n`

// blockEnd returns the offset of the empty line's end in the first match, or
// -1.
func blockEnd(between *regexp.Regexp, text []byte) int {
	at := between.FindIndex(text)
	if at == nil {
		return -1
	}
	const brace = len("\n}")
	i := at[0] + brace
	for range 2 {
		i += bytes.IndexByte(text[i:], '\n') + 1
	}
	return i
}

// formatPart formats a piece of a text. It also returns the names of the
// attributes outside of blocks.
func formatPart(p part, name string) (out []byte, attributes []string, diags hcl.Diagnostics) {
	file, diags := hclsyntax.ParseConfig(p.text, name, p.start)
	if diags.HasErrors() {
		return nil, nil, diags
	}
	attributes = slices.Collect(maps.Keys(file.Body.(*hclsyntax.Body).Attributes))
	out = trimEnd(hclwrite.Format(p.text))
	if !bytes.Equal(out, p.text) {
		out = keepTokens(p.text, out)
	}
	return out, attributes, nil
}

// trimEnd removes the spaces of a last line that has no end, which the formatter
// leaves, unless they may belong to a comment.
func trimEnd(text []byte) []byte {
	last := text[bytes.LastIndexByte(text, '\n')+1:]
	if bytes.Contains(last, []byte("#")) || bytes.Contains(last, []byte("//")) {
		return text
	}
	return bytes.TrimRight(text, " \t")
}

// keepTokens returns after, with the lines of before where a token would have
// changed: spaces are significant in a few places that the formatter does not
// know, such as between the numbers of a.0 .1 (with a number of its own, 0.1).
func keepTokens(before, after []byte) []byte {
	got := lex(after)
	if madeOf(before, got) {
		return after
	}
	want := lex(before)
	old, lines := bytes.SplitAfter(before, newline), bytes.SplitAfter(after, newline)
	if len(old) != len(lines) {
		return before
	}
	wantOn, gotOn := byLine(want, len(old)), byLine(got, len(old))
	for i := range lines {
		if !sameTokens(wantOn[i], gotOn[i]) {
			lines[i] = old[i]
		}
	}
	after = bytes.Join(lines, nil)
	if !sameTokens(want, lex(after)) {
		return before
	}
	return after
}

// madeOf reports whether a text is these tokens with spaces between them. The
// formatter puts spaces between the tokens of a text, so that what can go wrong
// is that two of them become one.
func madeOf(text []byte, tokens hclsyntax.Tokens) bool {
	for _, t := range tokens {
		if len(t.Bytes) == 0 || !isSpace(t.Bytes[0]) { // or the space is part of a template
			text = bytes.TrimLeft(text, " \t")
		}
		var found bool
		if text, found = bytes.CutPrefix(text, t.Bytes); !found {
			return false
		}
	}
	return len(text) == 0
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

func lex(text []byte) hclsyntax.Tokens {
	// What is wrong with the text is the parser's to say.
	tokens, _ := hclsyntax.LexConfig(text, "", hcl.InitialPos)
	return tokens
}

// byLine divides tokens by the line that they start on.
func byLine(tokens hclsyntax.Tokens, lines int) []hclsyntax.Tokens {
	out := make([]hclsyntax.Tokens, lines)
	for _, t := range tokens {
		i := t.Range.Start.Line - 1
		out[i] = append(out[i], t)
	}
	return out
}

func sameTokens(a, b hclsyntax.Tokens) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Type != b[i].Type || !bytes.Equal(a[i].Bytes, b[i].Bytes) {
			return false
		}
	}
	return true
}
