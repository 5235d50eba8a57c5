package diag

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/text/width"
)

// FormatOptions says how findings are laid out.
type FormatOptions struct {
	// Width is the number of columns; 0 means 80.
	Width int
	// Color adds SGR colours.
	Color bool
	// Redact hides secrets in a text; nil hides nothing. It is applied before
	// texts are cut and marks are placed: afterwards a secret could be
	// there in part, and a mark would point beside what it means.
	Redact func(string) string
}

// Format writes the findings for a person: the summary, the place with the
// source line and the range underlined, the values that took part, and the
// detail. Sources holds the text of the files by the name that ranges use; a
// finding in a file that is not among them is shown without its line.
func Format(w io.Writer, list List, sources map[string][]byte, o FormatOptions) error {
	if o.Width <= 0 {
		o.Width = 80
	}
	if o.Redact == nil {
		o.Redact = func(text string) string { return text }
	}
	f := formatter{sources: sources, opts: o, parsed: map[string]*hclsyntax.Body{}}
	for i, d := range list {
		if i > 0 {
			f.out.WriteByte('\n')
		}
		f.diagnostic(d)
	}
	_, err := io.WriteString(w, f.out.String())
	return err
}

// formatter holds what one call of Format gathers.
type formatter struct {
	out     strings.Builder
	sources map[string][]byte
	opts    FormatOptions
	// parsed keeps the files whose blocks were looked at; nil for one
	// that is not native syntax.
	parsed map[string]*hclsyntax.Body
}

const (
	red    = "31;1"
	yellow = "33;1"
	cyan   = "36;1"
	bold   = "1"
	faint  = "2"
)

func (f *formatter) paint(code, text string) string {
	if !f.opts.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (f *formatter) diagnostic(d *Diagnostic) {
	tone := red
	switch d.Severity {
	case Warning:
		tone = yellow
	case Info:
		tone = cyan
	}
	fmt.Fprintf(&f.out, "%s %s\n", f.paint(tone, d.Severity.String()+":"), f.paint(bold, f.shown(d.Summary)))
	if d.Subject != nil {
		f.place(d, tone)
	}
	for _, v := range d.Values {
		fmt.Fprintf(&f.out, "      %s is %s\n", v.Name, f.shown(v.Text))
	}
	if d.Detail == "" {
		return
	}
	f.out.WriteByte('\n')
	for _, line := range strings.Split(strings.TrimRight(f.opts.Redact(d.Detail), "\n"), "\n") {
		for _, part := range wrap(printable(line), f.opts.Width-2) {
			f.out.WriteString(strings.TrimRight("  "+part, " ") + "\n")
		}
	}
}

// shown is a text as it may be printed.
func (f *formatter) shown(text string) string { return printable(f.opts.Redact(text)) }

// snippet hides the secrets in a source line. When one goes over the border
// of what is marked, all of the line is marked.
func (f *formatter) snippet(before, marked, after string) snippet {
	marked, after = strings.TrimRight(marked, "\r"), strings.TrimRight(after, "\r")
	s := snippet{before: f.shown(before), marked: f.shown(marked), after: f.shown(after)}
	if whole := f.shown(before + marked + after); whole != s.before+s.marked+s.after {
		return snippet{marked: whole}
	}
	return s
}

// place writes the file, the line and what encloses it.
func (f *formatter) place(d *Diagnostic, tone string) {
	rng := *d.Subject
	src, ok := f.sources[rng.Filename]
	if !ok || rng.Start.Byte < 0 || rng.Start.Byte > len(src) || rng.Start.Line < 1 {
		if rng.Start.Line > 0 {
			fmt.Fprintf(&f.out, "  on %s line %d\n", rng.Filename, rng.Start.Line)
		} else {
			fmt.Fprintf(&f.out, "  on %s\n", rng.Filename)
		}
		return
	}
	in := ""
	if header := f.enclosing(rng, src); header != "" {
		in = ", in " + f.shown(header)
	}
	fmt.Fprintf(&f.out, "  on %s line %d%s:\n", rng.Filename, rng.Start.Line, in)

	start, end := lineAround(src, rng.Start.Byte)
	stop := min(max(rng.End.Byte, rng.Start.Byte), end)
	line := f.snippet(string(src[start:rng.Start.Byte]), string(src[rng.Start.Byte:stop]), string(src[stop:end]))
	gutter := fmt.Sprintf("%4d: ", rng.Start.Line)
	line.crop(f.opts.Width - len(gutter))
	f.out.WriteString(strings.TrimRight(f.paint(faint, gutter)+line.before+f.paint(bold, line.marked)+line.after, " ") + "\n")
	carets := strings.Repeat("^", max(columns(line.marked), 1))
	f.out.WriteString(strings.Repeat(" ", len(gutter)+columns(line.before)) + f.paint(tone, carets) + "\n")
}

// lineAround returns the bounds of the line that holds the byte at offset.
func lineAround(src []byte, offset int) (start, end int) {
	start = bytes.LastIndexByte(src[:offset], '\n') + 1
	if i := bytes.IndexByte(src[offset:], '\n'); i >= 0 {
		return start, offset + i
	}
	return start, len(src)
}

// enclosing names the blocks around a range, outermost first, as in
// `build "x", provisioner "shell"`.
func (f *formatter) enclosing(rng hcl.Range, src []byte) string {
	body, ok := f.parsed[rng.Filename]
	if !ok {
		if !strings.HasSuffix(rng.Filename, ".json") {
			file, wrong := hclsyntax.ParseConfig(src, rng.Filename, hcl.InitialPos)
			// A file of another name may be a script.
			if file != nil && (strings.HasSuffix(rng.Filename, ".hcl") || !wrong.HasErrors()) {
				body, _ = file.Body.(*hclsyntax.Body)
			}
		}
		f.parsed[rng.Filename] = body
	}
	var headers []string
	for body != nil {
		block := blockAt(body, rng.Start.Byte)
		if block == nil {
			break
		}
		header := block.Type
		for _, l := range block.Labels {
			header += fmt.Sprintf(" %q", l)
		}
		headers = append(headers, header)
		body = block.Body
	}
	return strings.Join(headers, ", ")
}

func blockAt(body *hclsyntax.Body, offset int) *hclsyntax.Block {
	for _, b := range body.Blocks {
		if b.TypeRange.Start.Byte <= offset && offset < b.CloseBraceRange.End.Byte {
			return b
		}
	}
	return nil
}

// snippet is a source line with a marked part.
type snippet struct{ before, marked, after string }

// crop shortens the line so that the start of the marked part stays in view.
func (s *snippet) crop(room int) {
	const dots = "..."
	room = max(room, 16)
	if columns(s.before)+columns(s.marked)+columns(s.after) <= room {
		return
	}
	if lead := room / 3; columns(s.before) > lead {
		r := []rune(s.before)
		s.before = dots + string(r[max(0, len(r)-lead):])
	}
	rest := max(room-columns(s.before)-len(dots), 8)
	if r := []rune(s.marked); len(r) > rest {
		s.marked, s.after = string(r[:rest]), dots
		return
	}
	rest -= len([]rune(s.marked))
	if r := []rune(s.after); len(r) > rest {
		s.after = string(r[:max(rest, 0)]) + dots
	}
}

// printable replaces what would move the cursor or change colours.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r) && r != '\n' && r != '\t', r == '\u2028', r == '\u2029', r == unicode.ReplacementChar:
			return '?'
		}
		return r
	}, strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\t", "  "))
}

// columns is how many terminal cells text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r):
		case isWide(r):
			n += 2
		default:
			n++
		}
	}
	return n
}

func isWide(r rune) bool {
	k := width.LookupRune(r).Kind()
	return k == width.EastAsianWide || k == width.EastAsianFullwidth
}

// wrap breaks a line between words. A line that starts with a space is laid
// out by its author and stays as it is.
func wrap(line string, room int) []string {
	if strings.HasPrefix(line, " ") || columns(line) <= room {
		return []string{line}
	}
	var out []string
	current, used := "", 0
	for _, word := range strings.Fields(line) {
		n := columns(word)
		switch {
		case current == "":
			current, used = word, n
		case used+1+n > room:
			out = append(out, current)
			current, used = word, n
		default:
			current, used = current+" "+word, used+1+n
		}
	}
	return append(out, current)
}

// Wrap breaks a paragraph into lines of at most so many columns.
func Wrap(text string, room int) string { return strings.Join(wrap(text, room), "\n") }
