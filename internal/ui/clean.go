package ui

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// dirty returns the index of the first byte of s that may belong to a control
// character other than tab, or -1.
func dirty(s string) int {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < 0x20 && c != '\t', c == 0x7f:
			return i
		case c == 0xc2 && i+1 < len(s) && s[i+1] >= 0x80 && s[i+1] < 0xa0:
			return i
		}
	}
	return -1
}

// appendClean appends s without control characters and escape sequences, so
// that what a guest prints cannot move the cursor, rename the window or fill
// the clipboard of whoever watches. Colours (SGR) stay when sgr is set.
func appendClean(dst []byte, s string, sgr bool) []byte {
	i := dirty(s)
	if i < 0 {
		return append(dst, s...)
	}
	dst = append(dst, s[:i]...)
	s = s[i:]
	coloured := false
	var state byte
	for len(s) > 0 {
		seq, _, n, next := ansi.DecodeSequence(s, state, nil)
		if n == 0 {
			break
		}
		state, s = next, s[n:]
		switch {
		case seq == "\t" || dirty(seq) < 0:
			dst = append(dst, seq...)
		case sgr && strings.HasPrefix(seq, "\x1b[") && strings.HasSuffix(seq, "m") && dirty(seq[1:]) < 0:
			dst, coloured = append(dst, seq...), true
		}
	}
	if coloured {
		dst = append(dst, "\x1b[0m"...)
	}
	return dst
}

// Clean returns s without control characters and escape sequences, colours
// included. Tabs stay.
func Clean(s string) string {
	if dirty(s) < 0 {
		return s
	}
	return string(appendClean(nil, s, false))
}
