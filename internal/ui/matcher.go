package ui

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// mask stands in a text for what was taken out.
const mask = "<sensitive>"

// matcher finds many patterns in a text at once (Wu and Manber's method: a
// table of two-byte blocks says how far the window can move). It does not
// change once built.
type matcher struct {
	// least is the length of the shortest pattern and of the window, at
	// least 2; longest that of the longest one.
	least, longest int
	// shift by the last two bytes of the window.
	shift []uint8
	// heads tells by a hash of the window's first and last two bytes
	// whether a pattern may begin there, and buckets which ones, longest
	// first.
	heads   []uint64
	buckets map[uint32][]string
	// sorted has all patterns in order, to find those that begin in a given
	// way, and openers a bit for each two bytes that one begins with.
	sorted  []string
	openers []uint64
	// whole are texts that are only masked when they are all there is.
	whole map[string]bool
}

type span struct{ from, to int }

func newMatcher(patterns map[string]bool, whole map[string]bool) *matcher {
	m := &matcher{whole: whole}
	for p := range patterns {
		m.sorted = append(m.sorted, p)
	}
	slices.Sort(m.sorted)
	if len(m.sorted) == 0 {
		return m
	}
	m.least = len(m.sorted[0])
	for _, p := range m.sorted {
		m.least, m.longest = min(m.least, len(p)), max(m.longest, len(p))
	}
	m.least = min(m.least, 255)
	m.shift = make([]uint8, 1<<16)
	for i := range m.shift {
		m.shift[i] = uint8(m.least - 1)
	}
	m.heads = make([]uint64, 1<<16/64)
	m.openers = make([]uint64, 1<<16/64)
	m.buckets = make(map[uint32][]string, len(m.sorted))
	for _, p := range m.sorted {
		for i := 0; i+2 <= m.least; i++ {
			block := int(p[i])<<8 | int(p[i+1])
			m.shift[block] = min(m.shift[block], uint8(m.least-2-i))
		}
		o := opener(p)
		m.openers[o/64] |= 1 << (o % 64)
		h := m.head(p, 0)
		m.heads[slot(h)/64] |= 1 << (slot(h) % 64)
		m.buckets[h] = append(m.buckets[h], p)
	}
	for _, b := range m.buckets {
		slices.SortFunc(b, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	}
	return m
}

func (m *matcher) head(s string, i int) uint32 {
	j := i + m.least
	return uint32(s[i])<<24 | uint32(s[i+1])<<16 | uint32(s[j-2])<<8 | uint32(s[j-1])
}

func opener(s string) uint32 { return uint32(s[0])<<8 | uint32(s[1]) }

func slot(head uint32) uint32 { return (head * 2654435769) >> 16 }

// find returns the stretches of s to mask: all places of all patterns, those
// that overlap joined, in order.
func (m *matcher) find(s string) []span {
	if m.least == 0 || len(s) < m.least {
		return nil
	}
	var spans []span
	last := len(s) - m.least
	for i := 0; i <= last; {
		end := i + m.least
		if by := m.shift[int(s[end-2])<<8|int(s[end-1])]; by > 0 {
			i += int(by)
			continue
		}
		h := m.head(s, i)
		if m.heads[slot(h)/64]&(1<<(slot(h)%64)) != 0 {
			if n := m.longestAt(s[i:], h); n > 0 {
				spans = join(spans, span{i, i + n})
			}
		}
		i++
	}
	return spans
}

func (m *matcher) longestAt(s string, head uint32) int {
	for _, p := range m.buckets[head] {
		if strings.HasPrefix(s, p) {
			return len(p)
		}
	}
	return 0
}

func join(spans []span, s span) []span {
	if n := len(spans); n > 0 && s.from < spans[n-1].to {
		spans[n-1].to = max(spans[n-1].to, s.to)
		return spans
	}
	return append(spans, s)
}

// redact masks s.
func (m *matcher) redact(s string) string {
	if len(m.whole) > 0 && m.whole[strings.TrimSpace(s)] {
		return mask
	}
	return replace(s, m.find(s))
}

func replace(s string, spans []span) string {
	if len(spans) == 0 {
		return s
	}
	var b strings.Builder
	from := 0
	for _, sp := range spans {
		b.WriteString(s[from:sp.from])
		b.WriteString(mask)
		from = sp.to
	}
	b.WriteString(s[from:])
	return b.String()
}

// settled returns how much of s can be masked without knowing what follows
// it: a pattern that may have begun behind that point is not complete yet.
func (m *matcher) settled(s string) int {
	at := len(s)
	for i := max(0, len(s)-m.longest+1); i < len(s); i++ {
		if m.begins(s[i:]) {
			at = i
			break
		}
	}
	if at == len(s) {
		return at
	}
	for _, sp := range m.find(s) {
		if sp.from < at && at < sp.to {
			return sp.from
		}
	}
	return at
}

// begins reports whether a pattern starts with head and goes on after it.
func (m *matcher) begins(head string) bool {
	if len(head) >= 2 {
		if o := opener(head); m.openers[o/64]&(1<<(o%64)) == 0 {
			return false
		}
	}
	i := sort.SearchStrings(m.sorted, head)
	if i < len(m.sorted) && m.sorted[i] == head {
		i++
	}
	return i < len(m.sorted) && strings.HasPrefix(m.sorted[i], head)
}
