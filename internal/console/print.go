// Package console reads expressions, from a terminal with line editing or from
// a stream, and prints what they come to.
package console

import (
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

const sensitiveText = "<sensitive>"

// Text is a value as the console prints it: a string as it is, a collection
// over several lines in the syntax of HCL, with the strings in it quoted.
// Sensitive parts are hidden, and unknown stands for those that are not known.
func Text(v cty.Value, unknown string) string {
	if !v.IsMarked() && v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
		return v.AsString()
	}
	p := printer{unknown: unknown}
	p.value(v, "")
	return p.out.String()
}

type printer struct {
	out     strings.Builder
	unknown string
}

func (p *printer) value(v cty.Value, indent string) {
	switch {
	case v.IsMarked():
		p.out.WriteString(sensitiveText)
		return
	case !v.IsKnown():
		p.out.WriteString(p.unknown)
		return
	case v.IsNull():
		p.out.WriteString("null")
		return
	}
	switch t := v.Type(); {
	case t == cty.Number:
		p.out.WriteString(v.AsBigFloat().Text('f', -1))
	case t.IsListType() || t.IsSetType() || t.IsTupleType():
		p.list(v, indent)
	case t.IsMapType() || t.IsObjectType():
		p.object(v, indent)
	case t.IsPrimitiveType():
		p.out.Write(hclwrite.TokensForValue(v).Bytes())
	default:
		p.out.WriteString("<" + t.FriendlyName() + ">")
	}
}

const step = "  "

func (p *printer) list(v cty.Value, indent string) {
	if v.LengthInt() == 0 {
		p.out.WriteString("[]")
		return
	}
	p.out.WriteString("[\n")
	for _, e := range v.Elements() {
		p.out.WriteString(indent + step)
		p.value(e, indent+step)
		p.out.WriteString(",\n")
	}
	p.out.WriteString(indent + "]")
}

func (p *printer) object(v cty.Value, indent string) {
	if v.LengthInt() == 0 {
		p.out.WriteString("{}")
		return
	}
	p.out.WriteString("{\n")
	for k, e := range v.Elements() {
		p.out.WriteString(indent + step)
		p.value(k, "")
		p.out.WriteString(" = ")
		p.value(e, indent+step)
		p.out.WriteString("\n")
	}
	p.out.WriteString(indent + "}")
}
