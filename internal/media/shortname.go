package media

import (
	"fmt"
	"strings"
)

// shortNames makes names of the form 8.3 that are unique in one folder.
type shortNames struct {
	taken map[string]bool
	// next is the number to try next for a name that is taken.
	next map[string]int
	// tilde puts "~" before the number of a name that is not the real one, as
	// FAT does.
	tilde bool
}

const (
	baseLimit      = 8
	extensionLimit = 3
)

func newShortNames(tilde bool) shortNames {
	return shortNames{map[string]bool{}, map[string]int{}, tilde}
}

// file returns the name of a file: always with a dot.
func (s shortNames) file(name string) string {
	base, ext := s.split(name)
	return s.unique(base, "."+ext, base+"."+ext != name && base != name)
}

// folder returns the name of a folder, which has no extension.
func (s shortNames) folder(name string) string {
	base := s.clean(name, baseLimit)
	return s.unique(base, "", base != name)
}

// split cuts a name at its last dot and makes both parts short.
func (s shortNames) split(name string) (base, ext string) {
	trimmed := strings.TrimLeft(name, ".")
	if i := strings.LastIndexByte(trimmed, '.'); i > 0 {
		return s.clean(trimmed[:i], baseLimit), s.clean(trimmed[i+1:], extensionLimit)
	}
	return s.clean(name, baseLimit), ""
}

func (s shortNames) clean(text string, limit int) string {
	var b strings.Builder
	for _, r := range strings.ToUpper(text) {
		if b.Len() == limit {
			break
		}
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || s.tilde && r < 0x80 && strings.ContainsRune("-!#$%&'()@^`{}", r) {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 && limit == baseLimit {
		return "_"
	}
	return b.String()
}

// unique adds a number to a name that is taken or, with tilde, not the real one.
func (s shortNames) unique(base, ext string, differs bool) string {
	candidate := base + ext
	number := s.next[candidate]
	for s.taken[candidate] || s.tilde && differs && candidate == base+ext {
		number++
		mark := fmt.Sprint(number)
		if s.tilde {
			mark = "~" + mark
		}
		candidate = base[:min(len(base), baseLimit-len(mark))] + mark + ext
	}
	s.next[base+ext] = number
	s.taken[candidate] = true
	return candidate
}

// sortKey orders identifiers as ISO 9660 wants it: the name filled with spaces,
// then the extension.
func sortKey(id string) string {
	base, ext, _ := strings.Cut(id, ".")
	return fmt.Sprintf("%-8s.%s", base, ext)
}
