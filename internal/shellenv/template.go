package shellenv

import (
	"errors"
	"maps"
	"strings"

	"ingot/internal/diag"
	"ingot/internal/gotmpl"
)

// Fields returns what {{.Name}} can reach in an attribute that is rendered
// late: the build's data, and own on top of it.
func Fields(v gotmpl.Vars, own map[string]string) map[string]string {
	out := maps.Clone(v.Build)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, own)
	return out
}

// CheckTemplate finds mistakes in an attribute that is rendered late: text
// that is no template, or calls what does not exist. Fields are not checked,
// since the data of the build is not known yet.
func CheckTemplate(attribute, text string, fields ...string) diag.List {
	data := map[string]string{}
	for _, f := range fields {
		data[f] = f
	}
	_, err := gotmpl.Render(text, gotmpl.Vars{}, data)
	if err == nil || errors.Is(err, gotmpl.ErrNotYetKnown) || strings.Contains(err.Error(), "no entry for key") {
		return nil
	}
	return diag.At(attribute, "Invalid template text", "%s.", err)
}
