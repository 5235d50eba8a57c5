package stepcache

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// shared is how many links from the first are the same.
func (c Chain) shared(with Chain) int {
	n := 0
	for n < len(c) && n < len(with) && c[n].Key == with[n].Key {
		n++
	}
	return n
}

// changes lists what is different in two links, as clauses: "file a.sh changed".
func changes(before, now Link) []string {
	if before.What != now.What {
		return []string{fmt.Sprintf("it was %s before", before.What)}
	}
	return Changes(before.Parts, now.Parts)
}

// Changes lists what is different in two lists of parts, as clauses: "file a.sh
// changed".
func Changes(before, now []Part) []string {
	old := map[string]string{}
	for _, p := range before {
		old[p.Name] = p.Digest
	}
	var out []string
	for _, p := range now {
		digest, was := old[p.Name]
		switch {
		case !was:
			out = append(out, p.Name+" was added")
		case digest != p.Digest:
			out = append(out, p.Name+" changed")
		}
		delete(old, p.Name)
	}
	for _, p := range before {
		if _, gone := old[p.Name]; gone {
			out = append(out, p.Name+" was removed")
		}
	}
	slices.Sort(out)
	return out
}

// NotSaved is why nothing is stored for a link although what comes after it is:
// saving it was not worth the time, or it was removed.
const NotSaved = "its result was not saved, or was removed from the cache"

// Explain says why nothing is stored for the last link of a chain, as a clause,
// by comparing it with the entries that there are for the same build.
func Explain(c Chain, build string, entries []Entry) string {
	at := len(c) - 1 // the links before it are stored, or nothing is
	best, bestShared, bestChanges := -1, -1, 0
	for i, e := range entries {
		if e.Build != build || e.Chain[0].What != c[0].What {
			continue
		}
		shared, n := c.shared(e.Chain), math.MaxInt // one that ends there tells least
		if shared < len(c) && shared < len(e.Chain) {
			n = len(changes(e.Chain[shared], c[shared]))
		}
		// Of those that go along for the same way, the one that differs in
		// the fewest things tells most, and of these the newest.
		if shared > bestShared || shared == bestShared && (n < bestChanges || n == bestChanges && e.Created.After(entries[best].Created)) {
			best, bestShared, bestChanges = i, shared, n
		}
	}
	switch {
	case best < 0:
		return "no build of this name has saved anything"
	case bestShared > at:
		return NotSaved
	case len(entries[best].Chain) <= bestShared:
		return "no build has come this far"
	}
	return strings.Join(changes(entries[best].Chain[bestShared], c[bestShared]), ", ")
}
