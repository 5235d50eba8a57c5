package upgrade

import (
	"bytes"
	"strings"
	"unicode"
)

// writer collects lines. Indentation and alignment are left to the formatter.
type writer struct{ text []byte }

func (w *writer) String() string { return string(w.text) }

func (w *writer) line(s string) {
	w.text = append(append(w.text, s...), '\n')
}

// blank makes one empty line, but none at the start of the text or of a block.
func (w *writer) blank() {
	if len(w.text) > 0 && !bytes.HasSuffix(w.text, []byte("\n\n")) && !bytes.HasSuffix(w.text, []byte("{\n")) {
		w.text = append(w.text, '\n')
	}
}

// end closes a block. One with nothing in it gets a single line.
func (w *writer) end() {
	w.text = bytes.TrimRight(w.text, "\n")
	if !bytes.HasSuffix(w.text, []byte("{")) {
		w.text = append(w.text, '\n')
	}
	w.line("}")
}

// comment writes every line of a text as a comment.
func (w *writer) comment(text string) {
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) && r != '\t' || !unicode.IsPrint(r) && !unicode.IsSpace(r) || r == '\u2028' || r == '\u2029' {
				return -1
			}
			return r
		}, line)
		w.line(strings.TrimRight("# "+line, " \t"))
	}
}
