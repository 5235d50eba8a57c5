package lint

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"mvdan.cc/sh/v3/syntax"

	"ingot/internal/lang"
)

// script is a text that a step runs: the lines of inline, or a file.
type script struct {
	step *step
	// file is the name that ranges in it use; for inline lines that of the
	// template.
	file   string
	inline bool
	text   string
	// guessed: parts of the text are not known, and a placeholder stands
	// for them.
	guessed bool
	// shell is the interpreter's base name, such as "sh" or "bash", or
	// "powershell", "cmd", or "" when it is not known.
	shell string
	// errexit: a failed command ends the script from the start, because of
	// how it is started. errexitKnown is unset when that cannot be told.
	errexit, errexitKnown bool
	// started says how it is started, for messages, when that is not by its
	// first line.
	started string

	prog   *syntax.File // nil when it is not a shell script or has mistakes
	wrong  error
	places []hcl.Range // of the lines of inline
	cmds   []*command
}

const (
	// maxScript is the size up to which scripts are read. The parser
	// recurses, so that the size bounds its depth as well.
	maxScript = 256 << 10
	// maxBrackets is the depth of brackets up to which scripts are parsed.
	maxBrackets = 500

	// placeholder stands for what is not known in an inline script. It is an
	// expansion, as the user's own variable would be.
	placeholder      = "${" + placeholderParam + "}"
	placeholderParam = "INGOT_NOT_KNOWN"
)

var errTooDeep = errors.New("brackets are nested too deeply")

// parseShell parses a script of a dialect.
func parseShell(text string, variant syntax.LangVariant) (*syntax.File, error) {
	depth := 0
	for _, c := range []byte(text) {
		switch c {
		case '(', '{', '[':
			if depth++; depth > maxBrackets {
				return nil, errTooDeep
			}
		case ')', '}', ']':
			depth = max(0, depth-1)
		}
	}
	return syntax.NewParser(syntax.Variant(variant)).Parse(strings.NewReader(text), "")
}

// parse makes the syntax tree and the list of commands.
func (s *script) parse() {
	if !isShell(s.shell) && s.shell != "" {
		return
	}
	variants := []syntax.LangVariant{syntax.LangBash, syntax.LangPOSIX}
	switch s.shell {
	case "ksh", "mksh":
		variants = []syntax.LangVariant{syntax.LangMirBSDKorn, syntax.LangBash}
	case "zsh":
		variants = []syntax.LangVariant{syntax.LangZsh, syntax.LangBash}
	}
	for _, v := range variants {
		f, err := parseShell(s.text, v)
		if err == nil {
			s.prog, s.wrong = f, nil
			break
		}
		if s.wrong == nil {
			s.wrong = err
		}
	}
	if s.prog != nil {
		c := collector{script: s}
		s.cmds = c.stmts(s.prog.Stmts, surroundings{})
	}
}

// at turns a part of the script into its place.
func (s *script) at(pos, end syntax.Pos) hcl.Range {
	if s.inline {
		return s.line(int(pos.Line()))
	}
	return hcl.Range{
		Filename: s.file,
		Start:    hcl.Pos{Line: int(pos.Line()), Column: int(pos.Col()), Byte: int(pos.Offset())},
		End:      hcl.Pos{Line: int(end.Line()), Column: int(end.Col()), Byte: int(end.Offset())},
	}
}

// line is the place of a line, counted from 1.
func (s *script) line(n int) hcl.Range {
	if s.inline {
		if len(s.places) == 0 {
			return s.step.Range
		}
		return s.places[min(max(n, 1), len(s.places))-1]
	}
	lines := strings.SplitAfter(s.text, "\n")
	n = min(max(n, 1), len(lines))
	offset := 0
	for _, l := range lines[:n-1] {
		offset += len(l)
	}
	width := len(strings.TrimRight(lines[n-1], "\r\n"))
	return hcl.Range{
		Filename: s.file,
		Start:    hcl.Pos{Line: n, Column: 1, Byte: offset},
		End:      hcl.Pos{Line: n, Column: 1 + width, Byte: offset + width},
	}
}

// span is the place of a part of the text given by offsets. In an inline
// script it is the whole line.
func (s *script) span(start, end int) hcl.Range {
	line := 1 + strings.Count(s.text[:start], "\n")
	if s.inline {
		return s.line(line)
	}
	column := start - strings.LastIndexByte(s.text[:start], '\n')
	return hcl.Range{
		Filename: s.file,
		Start:    hcl.Pos{Line: line, Column: column, Byte: start},
		End:      hcl.Pos{Line: line, Column: column + end - start, Byte: end},
	}
}

// readScript reads a script file as the provisioners do: relative to the
// working directory.
func (p *pass) readScript(name string) (string, bool) {
	if text, ok := p.sources[name]; ok && !p.templateFiles[name] {
		return string(text), true
	}
	path := name
	if path == "~" || strings.HasPrefix(path, "~/") {
		path = filepath.Join(p.in.Home, path[1:])
	}
	if p.in.WorkDir != "" && !filepath.IsAbs(path) {
		path = filepath.Join(p.in.WorkDir, path)
	}
	// Only a regular file is opened: opening a pipe would wait.
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxScript {
		return "", false
	}
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err != nil || len(data) > maxScript {
		return "", false
	}
	p.sources[name] = data
	return string(data), true
}

// inlineScript joins the lines of an inline argument. Known is false when
// nothing at all is known of it.
func (p *pass) inlineScript(a *lang.Argument) (s *script, known bool) {
	s = &script{inline: true, file: a.Expr.Range().Filename}
	add := func(text string, at hcl.Range) {
		lines := strings.Split(text, "\n")
		for i := range lines {
			s.places = append(s.places, p.innerLine(at, i, len(lines)))
		}
		s.text += text + "\n"
	}
	elements := a.Elements()
	if len(elements) == 1 && elements[0] == a {
		val, marked := a.Value.Unmark()
		if len(marked) > 0 || val.IsNull() || !val.IsKnown() || !val.CanIterateElements() {
			text, exact := sketch(a, a.Expr)
			if text == placeholder {
				return nil, false
			}
			s.guessed = !exact
			add(text, a.Expr.Range())
			return s, true
		}
		for it := val.ElementIterator(); it.Next(); {
			_, el := it.Element()
			text, ok := plainText(el)
			if !ok {
				text, s.guessed = placeholder, true
			}
			add(text, a.Expr.Range())
		}
		return s, true
	}
	for _, e := range elements {
		text, exact := sketch(e, e.Expr)
		s.guessed = s.guessed || !exact
		add(text, e.Expr.Range())
	}
	return s, true
}

// innerLine is the place of line i of n that one expression holds.
func (p *pass) innerLine(at hcl.Range, i, n int) hcl.Range {
	src := p.sources[at.Filename]
	if n < 2 || at.Start.Byte < 0 || at.Start.Byte+2 > len(src) || string(src[at.Start.Byte:at.Start.Byte+2]) != "<<" {
		return at
	}
	// The text of a here-document starts on the line after its mark.
	start := at.Start.Byte
	for range i + 1 {
		j := bytes.IndexByte(src[start:min(at.End.Byte, len(src))], '\n')
		if j < 0 {
			return at
		}
		start += j + 1
	}
	end := start
	for end < len(src) && src[end] != '\n' && src[end] != '\r' {
		end++
	}
	indent := end - start - len(bytes.TrimLeft(src[start:end], " \t"))
	line := at.Start.Line + 1 + i
	return hcl.Range{
		Filename: at.Filename,
		Start:    hcl.Pos{Line: line, Column: 1 + indent, Byte: start + indent},
		End:      hcl.Pos{Line: line, Column: 1 + end - start, Byte: end},
	}
}

// syntaxBash is the dialect that texts of unknown shells are read in.
const syntaxBash = syntax.LangBash

// action is a template action in a string.
var action = pattern(`\{\{[^{}]*\}\}`)

// sketch is the text of an expression, with a placeholder for what is not
// known or secret. Exact reports whether it holds none.
func sketch(a *lang.Argument, expr hcl.Expression) (text string, exact bool) {
	if text, ok := plainText(a.Part(expr)); ok {
		filled := action().ReplaceAllString(text, placeholder)
		return filled, filled == text
	}
	switch x := expr.(type) {
	case *hclsyntax.TemplateExpr:
		var b strings.Builder
		for _, part := range x.Parts {
			t, _ := sketch(a, part)
			b.WriteString(t)
		}
		return b.String(), false
	case *hclsyntax.TemplateWrapExpr:
		return sketch(a, x.Wrapped)
	case *hclsyntax.ParenthesesExpr:
		return sketch(a, x.Expression)
	}
	return placeholder, false
}

// plainText is a value as text when it is known and not secret.
func plainText(v cty.Value) (string, bool) {
	if v == cty.NilVal || v.ContainsMarked() || !v.IsKnown() || v.IsNull() || !v.Type().IsPrimitiveType() {
		return "", false
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() {
		return "", false
	}
	return s.AsString(), true
}
