package diag

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// FromHCL turns what the HCL library reports into a List. Operands of the
// failing expression become Values.
func FromHCL(in hcl.Diagnostics) List {
	var out List
	for _, d := range in {
		sev := Error
		if d.Severity == hcl.DiagWarning {
			sev = Warning
		}
		out = append(out, &Diagnostic{
			Severity: sev,
			Summary:  d.Summary,
			Detail:   detail(d),
			Subject:  d.Subject,
			Context:  d.Context,
			Values:   operands(d),
		})
	}
	return out
}

// detail says of an attribute that an object does not have which ones it has;
// of anything else it is what the library says.
func detail(d *hcl.Diagnostic) string {
	ref, ok := d.Expression.(*hclsyntax.ScopeTraversalExpr)
	if !ok || d.Summary != "Unsupported attribute" || d.EvalContext == nil {
		return d.Detail
	}
	for n := 1; n < len(ref.Traversal); n++ {
		obj, failed := ref.Traversal[:n].TraverseAbs(d.EvalContext)
		name, isName := attributeName(ref.Traversal[n])
		if failed.HasErrors() || !isName || !obj.Type().IsObjectType() || obj.Type().HasAttribute(name) {
			continue
		}
		var have []string
		for attr := range obj.Type().AttributeTypes() {
			have = append(have, attr)
		}
		return fmt.Sprintf("%s has no attribute %q.%s", TraversalString(ref.Traversal[:n]), name, Suggest(name, "attributes", have))
	}
	return d.Detail
}

func attributeName(step hcl.Traverser) (string, bool) {
	switch s := step.(type) {
	case hcl.TraverseAttr:
		return s.Name, true
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString(), true
		}
	}
	return "", false
}

func operands(d *hcl.Diagnostic) []Value {
	if d.Expression == nil || d.EvalContext == nil {
		return nil
	}
	seen := map[string]bool{}
	var out []Value
	for _, tr := range d.Expression.Variables() {
		val, diags := tr.TraverseAbs(d.EvalContext)
		if diags.HasErrors() {
			continue
		}
		name := TraversalString(tr)
		if seen[name] {
			continue
		}
		seen[name] = true
		out = append(out, Value{Name: name, Text: Describe(val)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// TraversalString writes a traversal the way the template does.
func TraversalString(tr hcl.Traversal) string {
	var b strings.Builder
	for _, step := range tr {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			b.WriteString(s.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + s.Name)
		case hcl.TraverseIndex:
			b.WriteString("[" + Describe(s.Key) + "]")
		}
	}
	return b.String()
}

// Describe says what a value is in a few words, for a diagnostic: short
// primitives as they are, collections by kind and size.
func Describe(v cty.Value) string {
	if v.IsMarked() {
		return "a sensitive value"
	}
	switch {
	case !v.IsKnown():
		return "a " + v.Type().FriendlyName() + ", known only later"
	case v.IsNull():
		return "null"
	case v.Type() == cty.String:
		s := v.AsString()
		if r := []rune(s); len(r) > 60 {
			s = string(r[:57]) + "..."
		}
		return strconv.Quote(s)
	case v.Type() == cty.Bool:
		return strconv.FormatBool(v.True())
	case v.Type() == cty.Number:
		return v.AsBigFloat().Text('g', -1)
	case v.CanIterateElements():
		unit := "element"
		if v.Type().IsObjectType() || v.Type().IsMapType() {
			unit = "key"
		}
		n := v.LengthInt()
		if n != 1 {
			unit += "s"
		}
		return v.Type().FriendlyName() + " with " + strconv.Itoa(n) + " " + unit
	}
	return v.Type().FriendlyName()
}
