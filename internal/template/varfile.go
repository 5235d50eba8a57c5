package template

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

// Assignment gives a variable a value in a var file.
type Assignment struct {
	Name      string
	NameRange hcl.Range
	// Value is unknown when there was a mistake in it.
	Value cty.Value
	// Expr stands for Value in the var file of a legacy template, whose
	// texts may refer to variables.
	Expr hcl.Expression
	// Range is the value's place.
	Range hcl.Range
}

// ReadVarFile reads a .hcl or .json file of literal values, in the order in
// which they are written; for a legacy template, an object of strings in a
// file of any name. Its text is added to t.Sources.
func (t *Template) ReadVarFile(path string) ([]Assignment, diag.List) {
	if t.Legacy != nil {
		return t.readLegacyVarFile(path)
	}
	if !strings.HasSuffix(path, ".hcl") && !strings.HasSuffix(path, ".json") {
		return nil, diag.Errorf("Unknown kind of var file", "The var file %s has to end with .hcl or .json, which says how it is written.", path)
	}
	f := t.onDisk(path)
	body, diags := t.parse(f, "Cannot read the var file")
	if body == nil {
		return nil, diags
	}
	attrs, hclDiags := body.JustAttributes()
	for _, d := range diag.FromHCL(hclDiags) {
		if strings.HasPrefix(d.Summary, "Unexpected") {
			d.Summary = "Block in a var file"
			d.Detail = "A var file holds only NAME = VALUE. Declare variables in a .pkr.hcl file."
		}
		diags = append(diags, d)
	}
	var out []Assignment
	for _, a := range inOrder(attrs) {
		val, hclDiags := a.Expr.Value(nil)
		if hclDiags.HasErrors() {
			diags = append(diags, diag.In(a.Expr.Range(), "Not a literal value",
				"A var file holds literal values: the value of %q cannot refer to anything or call a function.", a.Name)...)
			val = cty.DynamicVal // the variable was set, though not well
		}
		out = append(out, Assignment{Name: a.Name, NameRange: a.NameRange, Value: val, Range: a.Expr.Range()})
	}
	return out, diags
}
