package console

import (
	"context"
	"slices"
	"strings"
)

// names is what can be completed.
type names interface {
	// Functions are the names of functions.
	Functions() []string
	// Members are the names that can follow an expression and a dot; for
	// the empty expression those that one can begin with.
	Members(ctx context.Context, expr string) []string
}

// candidates returns what the word in front of the cursor can become, sorted,
// and how much of that is there already. Functions end with a bracket, names
// that others follow with a dot.
func candidates(ctx context.Context, n names, before string) (found []string, typed string) {
	word := wordAtEnd(before)
	dot := strings.LastIndexByte(word, '.')
	var all []string
	switch {
	case dot == 0:
		return nil, "" // members of what is no plain reference
	case dot > 0:
		typed = word[dot+1:]
		all = n.Members(ctx, word[:dot])
	default:
		typed = word
		for _, root := range n.Members(ctx, "") {
			all = append(all, root+".")
		}
		for _, f := range n.Functions() {
			all = append(all, f+"(")
		}
		if strings.TrimSpace(before) == word {
			all = append(all, commands...)
		}
		if len(all) > len(commands) {
			all = append(all, "true", "false", "null")
		}
	}
	for _, name := range all {
		if strings.HasPrefix(name, typed) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), typed
}

// wordAtEnd is the reference that a text ends with, indexes included.
func wordAtEnd(text string) string {
	i := len(text)
	for i > 0 {
		switch c := text[i-1]; {
		case c == '.' || c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80:
			i--
			continue
		case c == ']':
			if open := strings.LastIndexByte(text[:i], '['); open > 0 {
				i = open
				continue
			}
		}
		break
	}
	return strings.TrimLeft(text[i:], "-0123456789")
}

// completion is the longest text that all candidates begin with.
func completion(found []string) string {
	if len(found) == 0 {
		return ""
	}
	first, last := found[0], found[len(found)-1] // sorted: the rest is between
	n := 0
	for n < len(first) && n < len(last) && first[n] == last[n] {
		n++
	}
	return strings.ToValidUTF8(first[:n], "")
}

// columns lays names out below each other, in lines of at most width.
func columns(list []string, width int) string {
	longest := 0
	for _, name := range list {
		longest = max(longest, len([]rune(name)))
	}
	perLine := max(1, width/(longest+2))
	rows := (len(list) + perLine - 1) / perLine
	var out strings.Builder
	for row := range rows {
		for i := row; i < len(list); i += rows {
			out.WriteString(list[i])
			if i+rows < len(list) {
				out.WriteString(strings.Repeat(" ", longest+2-len([]rune(list[i]))))
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}
