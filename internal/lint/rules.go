package lint

import (
	"slices"
	"strings"

	"ingot/internal/diag"
)

// Rule is one thing to look for.
type Rule struct {
	// ID never changes and is never used again: the letters of a family and
	// a number.
	ID       string
	Severity diag.Severity
	// Title says in a few words what is wrong.
	Title string
	// Why says what goes wrong and when; Advice what to do.
	Why, Advice string

	// check reports what it finds; nil for what suppressions are checked by.
	check func(*pass)
}

// Family is a group of rules whose ids start with the same letters.
type Family struct {
	Letters, Title string
}

// Families lists the groups in the order in which they are shown.
func Families() []Family {
	return []Family{
		{"SEC", "Secrets"},
		{"IMG", "Base images"},
		{"NET", "Network"},
		{"SH", "Shell scripts"},
		{"WIN", "Windows"},
		{"VM", "Machines and how they are reached"},
		{"CLD", "Clouds"},
		{"CTR", "Containers"},
		{"COST", "Cost"},
		{"PLG", "Plugins"},
		{"TPL", "Templates"},
		{"LNT", "This command itself"},
	}
}

// Rules returns all rules in the order of the families and numbers.
func Rules() []*Rule {
	return slices.Concat(
		secretRules(), imageRules(), networkRules(), shellRules(), windowsRules(),
		machineRules(), cloudRules(), containerRules(), costRules(), pluginRules(), templateRules(), suppressionRules(),
	)
}

// Find returns the rule of an id, in any case of letters, or nil.
func Find(id string) *Rule {
	for _, r := range Rules() {
		if strings.EqualFold(r.ID, id) {
			return r
		}
	}
	return nil
}

// Anchor is the name of the rule's section in docs/lint.md.
func (r *Rule) Anchor() string { return strings.ToLower(r.ID) }

// Document is where the rule is explained, from the root of the repository.
func (r *Rule) Document() string { return "docs/lint.md#" + r.Anchor() }
