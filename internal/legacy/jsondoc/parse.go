package jsondoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/diag"
)

// maxDepth bounds how deep arrays and objects may be nested, since reading
// them recurses.
const maxDepth = 1000

// Parse reads one JSON value (RFC 8259). A byte order mark in front of it is
// skipped. A name that an object has twice is an error at the second place.
// The Node is nil when the text cannot be read, and otherwise holds what
// could be, also when the list has errors.
func Parse(src []byte, filename string) (*Node, diag.List) {
	p := parser{src: src, filename: filename}
	if rest, ok := bytes.CutPrefix(src, []byte("\ufeff")); ok {
		p.base = len(src) - len(rest)
	}
	p.last.Column = 1
	p.dec = json.NewDecoder(bytes.NewReader(src[p.base:]))
	p.dec.UseNumber()
	for i, c := range src {
		if c == '\n' {
			p.lines = append(p.lines, i+1)
		}
	}
	n, err := p.value(0)
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return nil, p.syntax(err)
	}
	return n, p.diags
}

type parser struct {
	src      []byte
	filename string
	// base is the offset of the text that dec reads.
	base int
	dec  *json.Decoder
	// lines are the offsets at which lines start, but for the first.
	lines []int
	// last is the place that was last computed.
	last  hcl.Pos
	diags diag.List
}

var errDepth = errors.New("nested more than 1000 deep")

var errTrailing = errors.New("more text after the end of the value")

// token returns the next token with its place.
func (p *parser) token() (json.Token, hcl.Range, error) {
	start := p.base + int(p.dec.InputOffset())
	for start < len(p.src) && bytes.IndexByte([]byte(" \t\r\n,:"), p.src[start]) >= 0 {
		start++
	}
	t, err := p.dec.Token()
	return t, p.between(start, p.base+int(p.dec.InputOffset())), err
}

func (p *parser) value(depth int) (*Node, error) {
	t, at, err := p.token()
	if err != nil {
		return nil, err
	}
	return p.rest(t, at, depth)
}

// rest reads what follows the first token of a value.
func (p *parser) rest(t json.Token, at hcl.Range, depth int) (*Node, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	n := &Node{Range: at}
	switch t := t.(type) {
	case nil:
	case bool:
		n.Kind, n.Bool = Bool, t
	case json.Number:
		n.Kind, n.Text = Number, t.String()
	case string:
		n.Kind, n.Text = String, t
	case json.Delim:
		if t == '[' {
			return n, p.array(n, depth)
		}
		return n, p.object(n, depth)
	}
	return n, nil
}

func (p *parser) array(n *Node, depth int) error {
	n.Kind = Array
	for {
		t, at, err := p.token()
		if err != nil {
			return err
		}
		if t == json.Delim(']') {
			n.Range.End = at.End
			return nil
		}
		e, err := p.rest(t, at, depth+1)
		if err != nil {
			return err
		}
		n.Elements = append(n.Elements, e)
	}
}

func (p *parser) object(n *Node, depth int) error {
	n.Kind = Object
	seen := map[string]hcl.Range{}
	for {
		t, at, err := p.token()
		if err != nil {
			return err
		}
		name, isName := t.(string)
		if !isName {
			n.Range.End = at.End
			return nil
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		if first, twice := seen[name]; twice {
			p.diags = append(p.diags, diag.In(at, "Duplicate key",
				"The key %q is already set on line %d. Remove one of the two.", name, first.Start.Line)...)
			continue
		}
		seen[name] = at
		n.Members = append(n.Members, Member{Name: name, NameRange: at, Value: v})
	}
}

// end finds text after the value.
func (p *parser) end() error {
	_, err := p.dec.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errTrailing
	}
	return err
}

// syntax words what is wrong with the text.
func (p *parser) syntax(err error) diag.List {
	offset := p.base + int(p.dec.InputOffset())
	// The decoder's own positions count from the start of some token; those
	// of a check of the whole text are exact.
	var ignored json.RawMessage
	var se *json.SyntaxError
	if whole := json.Unmarshal(p.src[p.base:], &ignored); errors.As(whole, &se) {
		err, offset = whole, p.base+int(se.Offset)-1
	}
	offset = min(max(offset, 0), len(p.src))
	if errors.Is(err, io.EOF) || strings.Contains(err.Error(), "unexpected end") {
		offset = len(bytes.TrimRight(p.src, " \t\r\n"))
		return diag.In(p.between(offset, offset), "Invalid JSON", "The text ends before the value does. Is a closing bracket or quote missing?")
	}
	_, size := utf8.DecodeRune(p.src[offset:])
	return diag.In(p.between(offset, offset+size), "Invalid JSON", "%s.", err)
}

func (p *parser) between(start, end int) hcl.Range {
	return hcl.Range{Filename: p.filename, Start: p.pos(start), End: p.pos(end)}
}

// pos is the line and the column, in characters, of an offset.
func (p *parser) pos(offset int) hcl.Pos {
	line := sort.SearchInts(p.lines, offset+1)
	from := hcl.Pos{Column: 1}
	if line > 0 {
		from.Byte = p.lines[line-1]
	}
	// A text may be one long line: count on from the place before.
	if p.last.Byte >= from.Byte && p.last.Byte <= offset {
		from = p.last
	}
	from.Column += utf8.RuneCount(p.src[from.Byte:offset])
	p.last = hcl.Pos{Line: line + 1, Column: from.Column, Byte: offset}
	return p.last
}
