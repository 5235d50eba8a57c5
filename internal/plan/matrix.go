package plan

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/template"
)

// mostCombinations bounds a matrix. Nobody builds as many images, and a mistake
// in a list should not take all memory.
const mostCombinations = 4096

// combination is one value for each axis of a matrix.
type combination struct {
	// texts are the values as they stand in names, in the order of the axes.
	texts  []string
	object cty.Value
	// name is the texts with dashes between them.
	name string
}

// axis is one list of a matrix.
type axis struct {
	name   string
	values []cty.Value
}

// matrixReader evaluates one matrix block.
type matrixReader struct {
	view  *lang.View
	read  bool
	ctx   context.Context
	axes  []axis
	diags diag.List
}

// matrix lists the combinations of a matrix: the product of its lists, without
// what exclude describes, and with what include adds.
func (p *planner) matrix(ctx context.Context, m *template.Matrix, roots map[string]cty.Value) ([]combination, diag.List) {
	r := matrixReader{view: p.scope.View(), read: p.in.EvaluateData, ctx: ctx}
	r.view.Roots = roots
	size := 1
	for _, a := range m.Axes {
		values := r.axis(a)
		r.axes = append(r.axes, axis{a.Name, values})
		if size *= len(values); size > mostCombinations {
			return nil, append(r.diags, diag.In(m.Range, "Matrix too large", "The lists of the matrix have more than %d combinations.", mostCombinations)...)
		}
	}
	excluded, included := r.objects(m.Exclude, false), r.objects(m.Include, true)
	if r.diags.HasErrors() {
		return nil, r.diags
	}
	all := r.product()
	for i, x := range excluded {
		rest := slices.DeleteFunc(slices.Clone(all), func(c combination) bool { return c.matches(r.axes, x) })
		if len(rest) == len(all) {
			r.diags = append(r.diags, diag.WarnIn(lang.PartRange(m.Exclude.Expr, cty.IndexIntPath(i)), "Nothing to exclude",
				"No combination of the matrix is left that has these values.")...)
		}
		all = rest
	}
	for i, x := range included {
		c := r.combination(func(axis int) cty.Value { return x[r.axes[axis].name] })
		if slices.ContainsFunc(all, func(other combination) bool { return slices.Equal(other.texts, c.texts) }) {
			r.diags = append(r.diags, diag.In(lang.PartRange(m.Include.Expr, cty.IndexIntPath(i)), "Combination twice",
				"The matrix has the combination %s already.", c.name)...)
			continue
		}
		all = append(all, c)
	}
	return all, r.diags
}

// value evaluates an argument of the matrix. It is false when there is nothing
// to go on with.
func (r *matrixReader) value(a *hcl.Attribute) (cty.Value, bool) {
	val, diags := r.view.Value(r.ctx, a.Expr)
	r.diags = append(r.diags, diags...)
	at := a.Expr.Range()
	switch {
	case diags.HasErrors():
		return val, false
	case val.ContainsMarked():
		r.diags = append(r.diags, diag.In(at, "Sensitive matrix", "The values of a matrix become part of names, which are shown. They cannot be sensitive.")...)
		return val, false
	case !val.IsWhollyKnown():
		r.diags = append(r.diags, notKnownYet(at, "Which combinations the matrix has", r.read)...)
		return val, false
	case val.IsNull() || !val.Type().IsTupleType() && !val.Type().IsListType() && !val.Type().IsSetType():
		want := "a list of values"
		if a.Name == "include" || a.Name == "exclude" {
			want = "a list of objects"
		}
		r.diags = append(r.diags, diag.In(at, "Wrong type", "The argument %q of a matrix has to be %s, but it is %s.", a.Name, want, diag.Describe(val))...)
		return val, false
	}
	return val, true
}

// axis reads one list.
func (r *matrixReader) axis(a *hcl.Attribute) []cty.Value {
	val, ok := r.value(a)
	if !ok {
		return nil
	}
	var texts []string
	out := val.AsValueSlice()
	for i, v := range out {
		at := lang.PartRange(a.Expr, cty.IndexIntPath(i))
		text, diags := keyText(at, a.Name, v)
		if diags == nil && slices.Contains(texts, text) {
			diags = diag.In(at, "Duplicate value", "The value %q is in the list %q twice.", text, a.Name)
		}
		r.diags = append(r.diags, diags...)
		texts = append(texts, text)
	}
	return out
}

// keyText is a value of a matrix as it stands in names.
func keyText(at hcl.Range, axis string, v cty.Value) (string, diag.List) {
	if v.IsNull() || !v.Type().IsPrimitiveType() {
		return "", diag.In(at, "Wrong type", "The values of the matrix are strings, whole numbers, true and false, but %q has %s.", axis, diag.Describe(v))
	}
	if v.Type() == cty.Number && !v.AsBigFloat().IsInt() {
		return "", diag.In(at, "Number with a fraction", "The number is written %s in names, which may not be what was meant. Put it in quotes.", diag.Describe(v))
	}
	text, err := convert.Convert(v, cty.String)
	if err != nil {
		return "", diag.In(at, "Wrong type", "The value cannot be part of a name: %s.", err)
	}
	return text.AsString(), lang.CheckKey(at, "A value of the matrix", text.AsString())
}

// objects reads include or exclude; complete says that an object has to have
// a value for each axis.
func (r *matrixReader) objects(a *hcl.Attribute, complete bool) []map[string]cty.Value {
	if a == nil {
		return nil
	}
	val, ok := r.value(a)
	if !ok {
		return nil
	}
	var names []string
	for _, x := range r.axes {
		names = append(names, x.name)
	}
	var out []map[string]cty.Value
	for i, el := range val.AsValueSlice() {
		path := cty.IndexIntPath(i)
		at := lang.PartRange(a.Expr, path)
		if el.IsNull() || !el.Type().IsObjectType() && !el.Type().IsMapType() {
			r.diags = append(r.diags, diag.In(at, "Wrong type",
				"An element of %s has to be an object with values of the matrix, as in { %s = ... }, but it is %s.", a.Name, names[0], diag.Describe(el))...)
			continue
		}
		values := el.AsValueMap()
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if !slices.Contains(names, name) {
				r.diags = append(r.diags, diag.In(at, "Unknown name in "+a.Name, "The matrix has no list %q.%s", name, diag.Suggest(name, "lists of the matrix", names))...)
				continue
			}
			_, diags := keyText(lang.PartRange(a.Expr, path.Index(cty.StringVal(name))), name, values[name])
			r.diags = append(r.diags, diags...)
		}
		for _, name := range names {
			if _, has := values[name]; complete && !has {
				r.diags = append(r.diags, diag.In(at, "Incomplete combination", "What is included needs a value for each list of the matrix: %q is missing.", name)...)
			}
		}
		out = append(out, values)
	}
	return out
}

// product is every combination, the last list changing fastest.
func (r *matrixReader) product() []combination {
	picks := make([]int, len(r.axes))
	for _, a := range r.axes {
		if len(a.values) == 0 {
			return nil
		}
	}
	var out []combination
	for {
		out = append(out, r.combination(func(i int) cty.Value { return r.axes[i].values[picks[i]] }))
		i := len(picks) - 1
		for ; i >= 0; i-- {
			if picks[i]++; picks[i] < len(r.axes[i].values) {
				break
			}
			picks[i] = 0
		}
		if i < 0 {
			return out
		}
	}
}

// combination takes the value of each axis, by its number.
func (r *matrixReader) combination(value func(axis int) cty.Value) combination {
	c := combination{}
	values := make(map[string]cty.Value, len(r.axes))
	for i, a := range r.axes {
		v := value(i)
		text, _ := keyText(hcl.Range{}, a.name, v) // it was checked
		c.texts = append(c.texts, text)
		values[a.name] = v
	}
	c.object, c.name = cty.ObjectVal(values), strings.Join(c.texts, "-")
	return c
}

// matches reports whether the combination has all these values.
func (c combination) matches(axes []axis, values map[string]cty.Value) bool {
	for i, a := range axes {
		v, ok := values[a.name]
		if !ok {
			continue
		}
		if text, _ := keyText(hcl.Range{}, a.name, v); text != c.texts[i] {
			return false
		}
	}
	return true
}
