package planview

import (
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/lang"
)

// Shape is what kind of value a Value is.
type Shape uint8

// The shapes.
const (
	Null Shape = iota
	Bool
	Number
	String
	List
	Object
	// Hidden values are sensitive, or not known yet; see Value.
	Hidden
)

// Value is a value as it may be shown: what is secret is not in it.
type Value struct {
	Shape Shape
	// Text is the text of a Bool, a Number or a String. In a String secrets
	// have been masked; Sensitive is then set.
	Text string
	// Items are the elements of a List or the values of an Object; Keys are
	// the names of an Object's values, sorted.
	Items []Value
	Keys  []string
	// Wait says what a value that is not known yet waits for; 0 when it is
	// known.
	Wait lang.Wait
	// Sensitive values are not shown, or only in part.
	Sensitive bool
}

// reader turns values of one configuration into what may be shown of them.
type reader struct {
	config *lang.Config
	redact func(string) string
}

// Show is a value that belongs to no configuration, such as a variable's, as it
// may be shown. Unknown parts are taken for what a data source will tell.
func Show(v cty.Value, redact func(string) string) Value {
	return reader{redact: redact}.read(v, nil, nil)
}

// HasSecret reports whether the value, or a part of it, is not shown because it
// is sensitive.
func (v Value) HasSecret() bool {
	return v.marks(func(v Value) any { return trueOrNil(v.Sensitive) }) != nil
}

// waitsFor is what the unknown value at a path waits for.
func (r reader) waitsFor(path cty.Path) lang.Wait {
	if r.config == nil {
		return lang.ForData
	}
	return r.config.WaitsFor(path)
}

// read is the value at a path. Secrets are the paths to what is sensitive,
// relative to the value.
func (r reader) read(v cty.Value, path cty.Path, secrets []cty.Path) Value {
	v, _ = v.Unmark()
	switch {
	case holdsAll(secrets, v):
		out := Value{Shape: Hidden, Sensitive: true}
		if !v.IsWhollyKnown() {
			out.Wait = r.wait(v, path)
		}
		return out
	case !v.IsKnown():
		return Value{Shape: Hidden, Wait: r.waitsFor(path)}
	case v.IsNull():
		return Value{Shape: Null}
	}
	switch t := v.Type(); {
	case t == cty.String:
		return r.text(v.AsString())
	case t == cty.Number:
		return r.plain(Number, v.AsBigFloat().Text('f', -1))
	case t == cty.Bool:
		return r.plain(Bool, strconv.FormatBool(v.True()))
	case t.IsObjectType() || t.IsMapType():
		return r.object(v, path, secrets)
	case v.CanIterateElements():
		return r.list(v, path, secrets)
	}
	return Value{Shape: Hidden, Sensitive: true} // a capsule, which has no text
}

// wait is what the first unknown part of a value waits for.
func (r reader) wait(v cty.Value, path cty.Path) lang.Wait {
	var out lang.Wait
	// Walk fails only when its callback does.
	_ = cty.Walk(v, func(p cty.Path, v cty.Value) (bool, error) {
		if out == 0 && !v.IsKnown() {
			out = r.waitsFor(append(path.Copy(), p...))
		}
		return out == 0, nil
	})
	return out
}

// text masks what is secret in a string, whatever way it came there.
func (r reader) text(s string) Value {
	masked := r.redact(s)
	return Value{Shape: String, Text: masked, Sensitive: masked != s}
}

func (r reader) plain(shape Shape, s string) Value {
	if r.redact(s) != s {
		return Value{Shape: Hidden, Sensitive: true}
	}
	return Value{Shape: shape, Text: s}
}

func (r reader) list(v cty.Value, path cty.Path, secrets []cty.Path) Value {
	out := Value{Shape: List, Items: make([]Value, 0, v.LengthInt())}
	for it := v.ElementIterator(); it.Next(); {
		k, el := it.Element()
		step := cty.IndexStep{Key: k}
		out.Items = append(out.Items, r.read(el, extend(path, step), below(secrets, step)))
	}
	return out
}

func (r reader) object(v cty.Value, path cty.Path, secrets []cty.Path) Value {
	isObject := v.Type().IsObjectType()
	out := Value{Shape: Object, Keys: []string{}, Items: []Value{}}
	for it := v.ElementIterator(); it.Next(); {
		k, el := it.Element()
		key := k.AsString()
		if r.redact(key) != key {
			// Masked keys might fall together; and who sees a secret's
			// neighbours may guess it.
			return Value{Shape: Hidden, Sensitive: true}
		}
		var step cty.PathStep = cty.IndexStep{Key: k}
		if isObject {
			step = cty.GetAttrStep{Name: key}
		}
		out.Keys = append(out.Keys, key)
		out.Items = append(out.Items, r.read(el, extend(path, step), below(secrets, step)))
	}
	return out
}

func extend(path cty.Path, step cty.PathStep) cty.Path {
	return append(path[:len(path):len(path)], step)
}

// holdsAll reports whether one of the paths means the whole of v: it ends
// here, or it does not fit into v, whose form was changed when it was
// converted.
func holdsAll(secrets []cty.Path, v cty.Value) bool {
	for _, path := range secrets {
		if len(path) == 0 || !leadsInto(path[0], v) {
			return true
		}
	}
	return false
}

func leadsInto(step cty.PathStep, v cty.Value) bool {
	if !v.IsKnown() || v.IsNull() {
		return false
	}
	switch t := v.Type(); {
	case t.IsObjectType():
		name, ok := stepName(step)
		return ok && t.HasAttribute(name)
	case t.IsMapType():
		name, ok := stepName(step)
		return ok && v.HasIndex(cty.StringVal(name)).True()
	case t.IsListType() || t.IsTupleType():
		index, ok := step.(cty.IndexStep)
		return ok && index.Key.Type() == cty.Number && v.HasIndex(index.Key).True()
	}
	return false
}

// stepName is the name that a step selects, in an object or a map.
func stepName(step cty.PathStep) (string, bool) {
	switch s := step.(type) {
	case cty.GetAttrStep:
		return s.Name, true
	case cty.IndexStep:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString(), true
		}
	}
	return "", false
}

// below are the paths that go on behind a step. An object may have become a
// map, so names are compared and not steps.
func below(secrets []cty.Path, step cty.PathStep) []cty.Path {
	var out []cty.Path
	for _, path := range secrets {
		if len(path) > 0 && sameStep(path[0], step) {
			out = append(out, path[1:])
		}
	}
	return out
}

func sameStep(a, b cty.PathStep) bool {
	an, aNamed := stepName(a)
	bn, bNamed := stepName(b)
	if aNamed || bNamed {
		return aNamed && bNamed && an == bn
	}
	ai, aIndexed := a.(cty.IndexStep)
	bi, bIndexed := b.(cty.IndexStep)
	return aIndexed && bIndexed && ai.Key.RawEquals(bi.Key)
}
