package lint

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/diag"
	"ingot/internal/legacy/jsondoc"
)

func suppressionRules() []*Rule {
	return []*Rule{
		{
			ID: unusedSuppression, Severity: diag.Info, Title: "A suppression that suppresses nothing",
			Why:    "The comment asks not to report something that is not reported here. Either the mistake is gone, or the comment is at the wrong place and hides nothing.",
			Advice: "Remove the comment, or move it to the line of the finding or the line above.",
		},
		{
			ID: unknownSuppression, Severity: diag.Warning, Title: "A suppression of an unknown rule",
			Why:    "There is no rule of that id, so that the comment does nothing. Most often the id is misspelled.",
			Advice: "Correct the id. ingot lint -list shows all of them.",
		},
	}
}

const (
	unusedSuppression  = "LNT101"
	unknownSuppression = "LNT102"
)

// suppression is one id of one comment.
type suppression struct {
	id     string
	reason string
	at     hcl.Range
	// from and to are the lines in which it holds; to is 0 for the file.
	from, to int
	used     bool
}

// suppressions are those of all files, by file name.
type suppressions map[string][]*suppression

// mark is how a suppression starts inside a comment.
var mark = pattern(`(?:#|//|/\*)[#/*\s]*ingot:ignore(-file)?=([A-Za-z0-9_,]+)[ \t]*([^\r\n]*)`)

// jsonMark is how it starts in the text of a comment of JSON.
var jsonMark = pattern(`^\s*ingot:ignore(-file)?=([A-Za-z0-9_,]+)[ \t]*(.*)`)

func readSuppressions(sources map[string][]byte, isJSON func(string) bool) suppressions {
	out := suppressions{}
	for name, src := range sources {
		if isJSON(name) {
			out.readJSON(name, src)
			continue
		}
		out.readLines(name, src)
	}
	return out
}

// readLines finds the comments of templates and scripts.
func (s suppressions) readLines(name string, src []byte) {
	lines := strings.SplitAfter(string(src), "\n")
	offset := 0
	for i, text := range lines {
		if m := mark().FindStringSubmatchIndex(text); m != nil {
			at := hcl.Range{
				Filename: name,
				Start:    hcl.Pos{Line: i + 1, Column: m[0] + 1, Byte: offset + m[0]},
				End:      hcl.Pos{Line: i + 1, Column: m[5] + 1, Byte: offset + m[5]},
			}
			from, to := i+1, i+1
			if strings.TrimSpace(text[:m[0]]) == "" {
				to = firstOfCode(lines, i) + 1
			}
			if m[2] >= 0 {
				from, to = 1, 0
			}
			reason := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text[m[6]:m[7]]), "*/"))
			s.add(name, text[m[4]:m[5]], reason, at, from, to)
		}
		offset += len(text)
	}
}

// firstOfCode is the index of the first line after i that is not a comment.
func firstOfCode(lines []string, i int) int {
	for j := i + 1; j < len(lines); j++ {
		t := strings.TrimSpace(lines[j])
		if !strings.HasPrefix(t, "#") && !strings.HasPrefix(t, "//") && !strings.HasPrefix(t, "/*") {
			return j
		}
	}
	return i
}

// readJSON finds the members that stand for comments: "//" in any object, and
// names that start with an underscore at the top. They hold for the object
// that they are in, at the top for the file.
func (s suppressions) readJSON(name string, src []byte) {
	root, diags := jsondoc.Parse(src, name)
	if diags.HasErrors() || root == nil {
		return
	}
	var walk func(n *jsondoc.Node, top bool)
	walk = func(n *jsondoc.Node, top bool) {
		for _, m := range n.Members {
			if m.Name == "//" || top && strings.HasPrefix(m.Name, "_") {
				s.jsonComment(name, n, m.Value, top)
			}
			walk(m.Value, false)
		}
		for _, e := range n.Elements {
			walk(e, false)
		}
	}
	walk(root, true)
}

func (s suppressions) jsonComment(name string, owner, v *jsondoc.Node, top bool) {
	for _, text := range append([]*jsondoc.Node{v}, v.Elements...) {
		if text.Kind != jsondoc.String {
			continue
		}
		m := jsonMark().FindStringSubmatch(text.Text)
		if m == nil {
			continue
		}
		from, to := owner.Range.Start.Line, owner.Range.End.Line
		if top || m[1] != "" {
			from, to = 1, 0
		}
		s.add(name, m[2], strings.TrimSpace(m[3]), text.Range, from, to)
	}
}

func (s suppressions) add(file, ids, reason string, at hcl.Range, from, to int) {
	for _, id := range strings.Split(ids, ",") {
		if id != "" {
			s[file] = append(s[file], &suppression{id: strings.ToUpper(id), reason: reason, at: at, from: from, to: to})
		}
	}
}

// match reports whether a comment suppresses a finding, and marks it as used.
func (s suppressions) match(f Finding) (bool, string) {
	found, reason := false, ""
	for _, x := range s[f.Range.Filename] {
		if x.id == f.Rule.ID && (x.to == 0 || x.from <= f.Range.Start.Line && f.Range.Start.Line <= x.to) {
			x.used, found, reason = true, true, cmp.Or(reason, x.reason)
		}
	}
	return found, reason
}

// complaints are findings about the suppressions themselves. Those of rules
// that were not chosen are left alone: they may be of use in another run.
func (s suppressions) complaints(chosen func(*Rule) bool) []Finding {
	var out []Finding
	for _, list := range s {
		for _, x := range list {
			r := Find(x.id)
			switch {
			case r == nil:
				out = append(out, Finding{Rule: Find(unknownSuppression), Range: x.at, Message: "There is no rule " + x.id + "." + diag.Suggest(x.id, "rules", ids())})
			case !x.used && chosen(r) && r.check != nil:
				out = append(out, Finding{Rule: Find(unusedSuppression), Range: x.at, Message: r.ID + " is not reported here."})
			}
		}
	}
	for i := range out {
		// They can be suppressed for a whole file as well.
		out[i].Suppressed, out[i].Reason = s.match(out[i])
	}
	slices.SortStableFunc(out, compareFindings)
	return out
}

func ids() []string {
	var out []string
	for _, r := range Rules() {
		out = append(out, r.ID)
	}
	return out
}
