package upgrade

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"ingot/internal/diag"
	"ingot/internal/legacy"
)

// builder is a builder of the template with its new name.
type builder struct {
	*legacy.Builder
	// label is the name of the source.
	label string
	// computedName is set when the old name has actions.
	computedName bool
}

// address is how only and except call the build of the source.
func (b *builder) address() string { return b.Type + "." + b.label }

// nameBuilders gives every source a name: the builder's, as far as it can be
// written in HCL. It becomes the build's name for scripts and actions too.
func (u *upgrader) nameBuilders() {
	taken := map[string]bool{}
	for _, old := range u.t.Builders {
		taken[old.Name] = hclsyntax.ValidIdentifier(old.Name)
	}
	for _, old := range u.t.Builders {
		b := &builder{Builder: old, label: old.Name}
		if t, err := legacy.ParseText(old.Name); err != nil || t.HasAction() {
			b.computedName = true
		}
		if !taken[old.Name] {
			b.label = unused(taken, identifier(u.plainName(b)))
		}
		u.builders = append(u.builders, b)
		if !hclsyntax.ValidIdentifier(old.Type) {
			u.report(diag.In(old.TypeRange, "Cannot convert the type", "A type in HCL has only letters, digits, _ and -, which is not so for %q.", old.Type))
		}
		if b.label != old.Name && b.NameNode != nil {
			u.report(diag.WarnIn(b.NameNode.Range, "Builder renamed",
				"The builder %q is the source %q in HCL, where names have only letters, digits, _ and -. Scripts that use PACKER_BUILD_NAME and actions with build_name see the new name.",
				old.Name, b.label))
		}
	}
}

// plainName is the name of a builder with the values that its actions have
// when no variable is set.
func (u *upgrader) plainName(b *builder) string {
	if !b.computedName {
		return b.Name
	}
	t, err := legacy.ParseText(b.Name)
	if err != nil {
		return b.Name
	}
	var name strings.Builder
	end := 0
	for _, c := range t.Calls("user") {
		name.WriteString(b.Name[end:max(end, c.Start)])
		end = max(end, c.End)
		if v := u.t.Variable(strings.Join(c.Args, "")); v != nil && v.Default != nil && !strings.Contains(v.Default.Text, "{{") {
			name.WriteString(v.Default.Text)
		} else {
			name.WriteString(strings.Join(c.Args, ""))
		}
	}
	return strings.NewReplacer("{{", "", "}}", "").Replace(name.String() + b.Name[end:])
}

// builder returns the builder that a step means by a name, or nil.
func (u *upgrader) builder(name string) *builder {
	for _, b := range u.builders {
		if b.Name == name {
			return b
		}
	}
	return nil
}

// identifier makes an HCL identifier of a name. What cannot stand in one
// becomes an underscore.
func identifier(name string) string {
	var out strings.Builder
	gap := false
	for _, r := range strings.TrimSpace(name) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-':
			out.WriteRune(r)
			gap = false
		case !gap:
			out.WriteByte('_')
			gap = true
		}
	}
	id := out.String()
	for _, try := range []string{id, "_" + id, ascii(id)} {
		if hclsyntax.ValidIdentifier(try) {
			return try
		}
	}
	return "_"
}

// ascii is an identifier with all but ASCII letters and digits replaced.
func ascii(name string) string {
	return "x" + strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return '_'
		}
		return r
	}, name)
}

// unused returns a name that is not taken, and takes it.
func unused(taken map[string]bool, name string) string {
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s_%d", name, n)
	}
	taken[free] = true
	return free
}
