package template

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"ingot/internal/gotmpl"
	"ingot/internal/legacy"
	"ingot/internal/legacy/jsondoc"
)

// legacyExpr is a JSON value of a legacy template as an expression.
//
// In its strings a call of user is a reference to a variable, and template_dir
// one to path.root. Value puts what they refer to into the text as a string
// constant, so that it is not taken for an action whatever it holds. All other
// actions stay in the text for package gotmpl; what is no action but looks
// like one is written so that it is rendered to itself.
type legacyExpr struct {
	node *jsondoc.Node
	file *legacyFile
	// literal says that strings hold no actions.
	literal bool
}

var _ hcl.Expression = (*legacyExpr)(nil)

// referring are the functions whose calls are references.
const (
	userFunc = "user"
	dirFunc  = "template_dir"
)

// maxText bounds what variables that refer to each other several times can grow
// to, in bytes.
const maxText = 4 << 20

// Value evaluates the value with the variables that Variables lists.
func (e *legacyExpr) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	switch e.node.Kind {
	case jsondoc.Bool:
		return cty.BoolVal(e.node.Bool), nil
	case jsondoc.Number:
		return e.number()
	case jsondoc.String:
		return e.text(ctx)
	case jsondoc.Array:
		var diags hcl.Diagnostics
		values := make([]cty.Value, len(e.node.Elements))
		for i, n := range e.node.Elements {
			v, more := e.of(n).Value(ctx)
			diags = append(diags, more...)
			values[i] = v
		}
		return cty.TupleVal(values), diags
	case jsondoc.Object:
		var diags hcl.Diagnostics
		values := make(map[string]cty.Value, len(e.node.Members))
		for _, m := range e.node.Members {
			v, more := e.of(m.Value).Value(ctx)
			diags = append(diags, more...)
			values[m.Name] = v
		}
		return cty.ObjectVal(values), diags
	}
	return cty.NullVal(cty.DynamicPseudoType), nil
}

// of is the expression of a part.
func (e *legacyExpr) of(n *jsondoc.Node) *legacyExpr {
	return &legacyExpr{node: n, file: e.file, literal: e.literal}
}

// number refuses what does not fit in 64 bits of floating point, which is what
// JSON readers agree on, and which cannot become a text without end.
func (e *legacyExpr) number() (cty.Value, hcl.Diagnostics) {
	f, err := strconv.ParseFloat(e.node.Text, 64)
	if err != nil || math.IsInf(f, 0) {
		return cty.DynamicVal, mistake(e.node.Range, "Number out of range", "The number %s is too large.", e.node.Text)
	}
	if f == 0 {
		return cty.Zero, nil
	}
	v, err := cty.ParseNumberVal(e.node.Text)
	if err != nil {
		return cty.DynamicVal, mistake(e.node.Range, "Invalid number", "%s.", err)
	}
	return v, nil
}

func mistake(at hcl.Range, summary, detail string, args ...any) hcl.Diagnostics {
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: &at}}
}

// text is the value of a string.
func (e *legacyExpr) text(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if e.literal || !gotmpl.HasAction(e.node.Text) {
		return cty.StringVal(gotmpl.Literal(e.node.Text)), nil
	}
	text, err := legacy.ParseText(e.node.Text)
	if err != nil {
		return cty.DynamicVal, mistake(e.node.Range, "Invalid template action", "The actions in the text cannot be read: %s. Write a literal {{ as {{ `{{` }}.", err)
	}
	calls := text.Calls(userFunc, dirFunc)
	if len(calls) == 0 {
		return cty.StringVal(e.node.Text), nil
	}
	s := splicer{source: e.node.Text}
	for _, c := range calls {
		ref, diags := e.reference(c)
		if diags != nil {
			return cty.DynamicVal, diags
		}
		val, diags := ref.TraverseAbs(ctx)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		s.put(c, val)
		if s.out.Len() > maxText {
			return cty.DynamicVal, mistake(e.node.Range, "Text too long", "With the values of its variables the text has more than %d MB.", maxText>>20)
		}
	}
	return s.value(), nil
}

// reference is what a call refers to.
func (e *legacyExpr) reference(c legacy.Call) (hcl.Traversal, hcl.Diagnostics) {
	at := e.node.Within(e.file.src, c.Start, c.End)
	if c.Name == dirFunc {
		switch {
		case e.file.noDir:
			return nil, mistake(at, "No template folder", "template_dir is not known, since the template is read from standard input.")
		case len(c.Args) > 0 || !c.Literal:
			return nil, mistake(at, "Invalid call", "template_dir takes no arguments.")
		}
		return hcl.Traversal{hcl.TraverseRoot{Name: "path", SrcRange: at}, hcl.TraverseAttr{Name: "root", SrcRange: at}}, nil
	}
	if !c.Literal || len(c.Args) != 1 {
		return nil, mistake(at, "Invalid call", "user takes the name of one variable, written out, as in {{user `name`}}.")
	}
	return hcl.Traversal{hcl.TraverseRoot{Name: "var", SrcRange: at}, hcl.TraverseAttr{Name: c.Args[0], SrcRange: at}}, nil
}

// Variables lists what the strings refer to. A text that cannot be read
// refers to nothing; Value says what is wrong with it.
func (e *legacyExpr) Variables() []hcl.Traversal {
	if e.literal {
		return nil
	}
	var out []hcl.Traversal
	e.node.Walk(func(n *jsondoc.Node) {
		if !n.Is(jsondoc.String) || !gotmpl.HasAction(n.Text) {
			return
		}
		text, err := legacy.ParseText(n.Text)
		if err != nil {
			return
		}
		for _, c := range text.Calls(userFunc, dirFunc) {
			if ref, diags := e.of(n).reference(c); diags == nil {
				out = append(out, ref)
			}
		}
	})
	return out
}

// Range is the place of the value.
func (e *legacyExpr) Range() hcl.Range { return e.node.Range }

// StartRange is the place of the value.
func (e *legacyExpr) StartRange() hcl.Range { return e.node.Range }

// ExprList lets hcl.ExprList reach the elements of an array.
func (e *legacyExpr) ExprList() []hcl.Expression {
	if !e.node.Is(jsondoc.Array) {
		return nil
	}
	out := make([]hcl.Expression, len(e.node.Elements))
	for i, n := range e.node.Elements {
		out[i] = e.of(n)
	}
	return out
}

// ExprMap lets hcl.ExprMap reach the members of an object.
func (e *legacyExpr) ExprMap() []hcl.KeyValuePair {
	if !e.node.Is(jsondoc.Object) {
		return nil
	}
	out := make([]hcl.KeyValuePair, len(e.node.Members))
	for i, m := range e.node.Members {
		out[i] = hcl.KeyValuePair{Key: hcl.StaticExpr(cty.StringVal(m.Name), m.NameRange), Value: e.of(m.Value)}
	}
	return out
}

// splicer puts values in the place of calls.
type splicer struct {
	source string
	out    strings.Builder
	// done is how much of the source is in out.
	done    int
	unknown bool
	marks   []cty.ValueMarks
}

// put replaces one call; they have to come in order.
func (s *splicer) put(c legacy.Call, val cty.Value) {
	val, marks := val.Unmark()
	s.marks = append(s.marks, marks)
	text, err := convert.Convert(val, cty.String)
	if err != nil || text.IsNull() || !text.IsKnown() {
		s.unknown = true
		return
	}
	s.out.WriteString(s.source[s.done:c.Start])
	s.out.WriteString(strconv.Quote(text.AsString()))
	s.done = c.End
}

// value is the text, without actions when nothing but constants is left.
func (s *splicer) value() cty.Value {
	if s.unknown {
		return cty.UnknownVal(cty.String).WithMarks(s.marks...)
	}
	s.out.WriteString(s.source[s.done:])
	return cty.StringVal(folded(s.out.String())).WithMarks(s.marks...)
}

// folded writes the constants of a text out when it has nothing else.
func folded(source string) string {
	text, err := legacy.ParseText(source)
	if err != nil {
		return source // rendering it will say why
	}
	parts, ok := text.Parts()
	if !ok {
		return source
	}
	var out strings.Builder
	for _, p := range parts {
		constant, ok := p.Constant()
		if !ok {
			return source
		}
		out.WriteString(constant)
	}
	return gotmpl.Literal(out.String())
}
