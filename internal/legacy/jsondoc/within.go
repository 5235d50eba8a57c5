package jsondoc

import (
	"unicode/utf16"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// Within is the place of a piece of a string, given by its first byte in Text
// and the one behind it, in the text that the string was read from. It is the
// place of the whole string when that was not read from src.
func (n *Node) Within(src []byte, from, to int) hcl.Range {
	at := n.Range
	start, end := at.Start.Byte, at.End.Byte
	if n.Kind != String || start < 0 || end > len(src) || end-start < 2 || src[start] != '"' {
		return at
	}
	raw := src[start+1 : end-1]
	pos := hcl.Pos{Line: at.Start.Line, Column: at.Start.Column + 1, Byte: start + 1}
	first, last := pos, pos
	for read := 0; ; {
		if read <= from {
			first = pos
		}
		if read >= to || len(raw) == 0 {
			last = pos
			break
		}
		taken, made := character(raw)
		pos.Column += utf8.RuneCount(raw[:taken])
		pos.Byte += taken
		raw, read = raw[taken:], read+made
	}
	return hcl.Range{Filename: at.Filename, Start: first, End: last}
}

// character is how many bytes the first character of a JSON string takes, and
// how many it has once it is decoded. Raw is not empty.
func character(raw []byte) (taken, made int) {
	if raw[0] != '\\' || len(raw) < 2 {
		r, size := utf8.DecodeRune(raw)
		return size, utf8.RuneLen(r) // of a broken one, the replacement
	}
	if raw[1] != 'u' {
		return 2, 1
	}
	r := escaped(raw)
	if !utf16.IsSurrogate(r) {
		return min(6, len(raw)), utf8.RuneLen(r)
	}
	if pair := utf16.DecodeRune(r, escaped(raw[min(6, len(raw)):])); pair != utf8.RuneError {
		return 12, utf8.RuneLen(pair)
	}
	return min(6, len(raw)), utf8.RuneLen(utf8.RuneError)
}

// escaped is the number in \uXXXX, or the replacement character.
func escaped(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return utf8.RuneError
	}
	var r rune
	for _, c := range raw[2:6] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return utf8.RuneError
		}
	}
	return r
}
