package fix

import (
	"github.com/hashicorp/hcl/v2"

	"ingot/internal/diag"
	"ingot/internal/legacy/jsondoc"
)

// Findings says, as warnings, which fixers would change something in a
// document, and where. The document stays as it is.
func Findings(doc *jsondoc.Node) diag.List {
	var out diag.List
	work := doc.Clone()
	for _, x := range All() {
		before := work.Clone()
		if !x.Apply(work) {
			continue
		}
		d := &diag.Diagnostic{
			Severity: diag.Warning, Summary: "Outdated setting: " + x.Name,
			Detail: x.Description + " Run \"ingot fix -diff\" with the template to see the change.",
		}
		if at := changed(before, work); at.Filename != "" {
			d.Subject = &at
		}
		out = append(out, d)
	}
	return out
}

// changed is the place of the first thing in a value that is not the same in
// another one: the zero Range when there is none, or when it was put in by a
// fixer and is in no file.
func changed(before, after *jsondoc.Node) hcl.Range {
	if before.Kind != after.Kind || before.Text != after.Text || before.Bool != after.Bool {
		return before.Range
	}
	for i, e := range before.Elements {
		if i >= len(after.Elements) {
			return e.Range
		}
		if at := changed(e, after.Elements[i]); at != (hcl.Range{}) {
			return at
		}
	}
	for i, m := range before.Members {
		if i >= len(after.Members) || after.Members[i].Name != m.Name {
			return m.NameRange
		}
		if at := changed(m.Value, after.Members[i].Value); at != (hcl.Range{}) {
			return at
		}
	}
	if len(after.Elements) > len(before.Elements) || len(after.Members) > len(before.Members) {
		at := before.Range
		at.End = at.Start
		return at
	}
	return hcl.Range{}
}
