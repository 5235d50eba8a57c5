package diag

import (
	"sort"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
)

// listLimit is how many names a sentence may list before it becomes noise.
const listLimit = 16

// Nearest returns the candidate that name is most likely a misspelling of,
// and whether there is one that is near enough.
func Nearest(name string, candidates []string) (string, bool) {
	// In a name of up to three letters two edits make another word, in a
	// single letter one does.
	best, bestDist := "", 3
	switch len(name) {
	case 0, 1:
		bestDist = 1
	case 2, 3:
		bestDist = 2
	}
	lower := strings.ToLower(name)
	for _, c := range candidates {
		if c == name {
			continue
		}
		d := levenshtein.Distance(lower, strings.ToLower(c), nil)
		if d < bestDist || d == bestDist && best != "" && c < best {
			best, bestDist = c, d
		}
	}
	return best, best != ""
}

// Suggest is a sentence that helps somebody who wrote name where one of the
// candidates was wanted: the nearest one, else all of them when they are few.
// It starts with a space so that it can follow another sentence, and is empty
// when there is nothing to say. What is the plural of the thing, such as
// "variables".
func Suggest(name, what string, candidates []string) string {
	if near, ok := Nearest(name, candidates); ok {
		return " Did you mean " + strconv.Quote(near) + "?"
	}
	switch {
	case len(candidates) == 0:
		return " There are no " + what + "."
	case len(candidates) <= listLimit:
		return " Known " + what + ": " + Names(candidates) + "."
	}
	return " There are " + strconv.Itoa(len(candidates)) + " " + what + ", none with a name like that."
}

// Names lists names, sorted, for a sentence; of a long list it shows the
// start.
func Names(names []string) string {
	sorted := append([]string(nil), names...)
	sort.Strings(sorted)
	more := ""
	if len(sorted) > listLimit {
		more = " and " + strconv.Itoa(len(sorted)-listLimit) + " more"
		sorted = sorted[:listLimit]
	}
	return strings.Join(sorted, ", ") + more
}

// Sort orders l by place, findings without one first, and drops repetitions.
// It keeps the order of findings at the same place.
func (l List) Sort() List {
	type key struct {
		severity        Severity
		summary, detail string
		file            string
		start, end      int
	}
	seen := make(map[key]bool, len(l))
	out := make(List, 0, len(l))
	for _, d := range l {
		k := key{severity: d.Severity, summary: d.Summary, detail: d.Detail}
		if d.Subject != nil {
			k.file, k.start, k.end = d.Subject.Filename, d.Subject.Start.Byte, d.Subject.End.Byte
		}
		if !seen[k] {
			seen[k] = true
			out = append(out, d)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i].Subject, out[j].Subject
		switch {
		case a == nil || b == nil:
			return a == nil && b != nil
		case a.Filename != b.Filename:
			return a.Filename < b.Filename
		}
		return a.Start.Byte < b.Start.Byte
	})
	if len(out) == 0 {
		return nil
	}
	return out
}
