package upgrade

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A piece of a string is literal text, or an expression whose value stands in
// its place.
type piece struct {
	literal string
	// expr is empty for literal text.
	expr expr
}

func literal(text string) piece { return piece{literal: text} }

// pieces is what a string of the legacy template came to.
type pieces []piece

// join makes neighbouring literals one, and drops empty ones.
func (p pieces) join() pieces {
	var out pieces
	for _, x := range p {
		switch last := len(out) - 1; {
		case x.expr.code != "":
			out = append(out, x)
		case x.literal == "":
		case last >= 0 && out[last].expr.code == "":
			out[last].literal += x.literal
		default:
			out = append(out, x)
		}
	}
	return out
}

// isLiteral reports whether there is no expression in the string.
func (p pieces) isLiteral() bool {
	for _, x := range p {
		if x.expr.code != "" {
			return false
		}
	}
	return true
}

// expr writes the string as an HCL expression.
func (p pieces) expr() expr {
	p = p.join()
	if len(p) == 1 && p[0].expr.kind == stringKind && p[0].expr.code != "" {
		return p[0].expr
	}
	return expr{code: `"` + p.template() + `"`}
}

// code is the code of the expression.
func (p pieces) code() string { return p.expr().code }

// template writes the string as the inside of a quoted HCL template.
func (p pieces) template() string {
	var b strings.Builder
	p = p.join()
	for i, x := range p {
		if x.expr.code != "" {
			b.WriteString("${" + x.expr.code + "}")
			continue
		}
		quoteInto(&b, x.literal, i+1 < len(p))
	}
	return b.String()
}

// quote writes a text as a quoted HCL string.
func quote(text string) string { return pieces{literal(text)}.code() }

// quoteInto writes text so that it stands for itself inside quotes. before
// says that an interpolation follows, which a dollar must not escape.
func quoteInto(b *strings.Builder, text string, before bool) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == '$' || r == '%' {
			size = len(text[i:]) - len(strings.TrimLeft(text[i:], string(r)))
			quoteSigns(b, r, size, text[i+size:], before)
		} else {
			quoteRune(b, r)
		}
		i += size
	}
}

// quoteSigns writes n dollars or percent signs that stand in front of rest.
func quoteSigns(b *strings.Builder, sign rune, n int, rest string, before bool) {
	switch {
	case strings.HasPrefix(rest, "{"):
		b.WriteString(strings.Repeat(fmt.Sprintf(`\u%04x`, sign), n-1))
		b.WriteString(strings.Repeat(string(sign), 2))
	case rest == "" && before:
		b.WriteString(strings.Repeat(fmt.Sprintf(`\u%04x`, sign), n))
	default:
		b.WriteString(strings.Repeat(string(sign), n))
	}
}

func quoteRune(b *strings.Builder, r rune) {
	switch {
	case r == '"' || r == '\\':
		b.WriteString(`\` + string(r))
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case unicode.IsGraphic(r):
		b.WriteRune(r)
	case r > 0xffff:
		fmt.Fprintf(b, `\U%08x`, r)
	default:
		fmt.Fprintf(b, `\u%04x`, r)
	}
}

// heredocMark ends a heredoc.
const heredocMark = "EOT"

// heredoc writes a string of several lines as a heredoc, when one can hold it
// byte for byte.
func (p pieces) heredoc() (string, bool) {
	p = p.join()
	lines := 0
	var b strings.Builder
	for i, x := range p {
		if x.expr.code != "" {
			b.WriteString("${" + x.expr.code + "}")
			continue
		}
		text := x.literal
		if strings.Contains(text, heredocMark) || strings.ContainsFunc(text, notInHeredoc) ||
			strings.Contains(text, "$${") || strings.Contains(text, "%%{") || i+1 < len(p) && strings.HasSuffix(text, "$") {
			return "", false
		}
		lines += strings.Count(text, "\n")
		b.WriteString(strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text))
	}
	if lines < 2 || !strings.HasSuffix(b.String(), "\n") {
		return "", false
	}
	return "<<" + heredocMark + "\n" + b.String() + heredocMark, true
}

// notInHeredoc are the characters that need an escape.
func notInHeredoc(r rune) bool {
	return r != '\n' && r != '\t' && !unicode.IsGraphic(r)
}
