package lang

import (
	"context"
	"regexp"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/template"
)

// Each is one instance of a block with for_each.
type Each struct {
	Key   string
	Value cty.Value
}

// Object is what each shows in the instance.
func (e Each) Object() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(e.Key), "value": e.Value})
}

// validKey is what a part of a build's name may consist of.
var validKey = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// CheckKey refuses a text that cannot be part of a build's name. What names it
// for a sentence, such as "The key of an instance".
func CheckKey(at hcl.Range, what, key string) diag.List {
	if validKey.MatchString(key) {
		return nil
	}
	return diag.In(at, "Invalid key", "%s becomes part of a name: it can hold letters, digits, dots, dashes and underscores, and cannot be %q.", what, key)
}

// ForEach evaluates for_each. The instances are in the order of their keys, of
// a list in its own order. They are not known when the value depends on
// something that is not known yet.
func (v *View) ForEach(ctx context.Context, a *hcl.Attribute) (instances []Each, known bool, diags diag.List) {
	at := a.Expr.Range()
	val, diags := v.Value(ctx, a.Expr)
	if diags.HasErrors() {
		return nil, true, diags
	}
	switch t := val.Type(); {
	case val.IsMarked():
		return nil, true, append(diags, sensitiveKeys(at)...)
	case !val.IsKnown():
		return nil, false, diags
	case val.IsNull():
		return nil, true, append(diags, diag.In(at, "Wrong type", "The argument for_each cannot be null. Use {} for no instances.")...)
	case t.IsMapType() || t.IsObjectType():
		instances, more := eachPair(val, a.Expr)
		return instances, true, append(diags, more...)
	case t.IsListType() || t.IsSetType() || t.IsTupleType():
		instances, known, more := eachText(val, a.Expr)
		return instances, known, append(diags, more...)
	}
	return nil, true, append(diags, diag.In(at, "Wrong type",
		"The argument for_each has to be a map, an object or a list of strings, but it is %s.", diag.Describe(val))...)
}

func sensitiveKeys(at hcl.Range) diag.List {
	return diag.In(at, "Sensitive for_each", "The keys of for_each become part of names, which are shown. They cannot be sensitive.")
}

func eachPair(val cty.Value, expr hcl.Expression) (instances []Each, diags diag.List) {
	for it := val.ElementIterator(); it.Next(); {
		key, el := it.Element()
		k, _ := key.Unmark()
		diags = append(diags, CheckKey(PartRange(expr, cty.IndexPath(k)), "A key of for_each", k.AsString())...)
		instances = append(instances, Each{k.AsString(), el})
	}
	return instances, diags
}

func eachText(val cty.Value, expr hcl.Expression) (instances []Each, known bool, diags diag.List) {
	seen := map[string]bool{}
	i := 0
	for it := val.ElementIterator(); it.Next(); i++ {
		_, el := it.Element()
		at := PartRange(expr, cty.IndexIntPath(i))
		switch {
		case el.IsMarked():
			return nil, true, sensitiveKeys(at)
		case !el.IsKnown():
			return nil, false, diags
		case el.IsNull() || el.Type() != cty.String:
			diags = append(diags, diag.In(at, "Wrong type",
				"The elements of for_each become names: each has to be a string, but this one is %s.", diag.Describe(el))...)
			continue
		}
		key := el.AsString()
		diags = append(diags, CheckKey(at, "An element of for_each", key)...)
		if seen[key] {
			diags = append(diags, diag.In(at, "Duplicate key", "The key %q is in for_each twice.", key)...)
			continue
		}
		seen[key] = true
		instances = append(instances, Each{key, el})
	}
	return instances, true, diags
}

// eachData reads the instances of a data source with for_each, several at a
// time. The value is an object by key.
func (s *Scope) eachData(ctx context.Context, d *template.Data) (cty.Value, diag.List) {
	instances, known, diags := s.View().ForEach(ctx, d.ForEach)
	if !known || diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	values := make([]cty.Value, len(instances))
	found := make([]diag.List, len(instances))
	var wait sync.WaitGroup
	for i, e := range instances {
		select {
		case s.reading <- struct{}{}:
		case <-ctx.Done():
			found[i] = diag.In(d.Range, "Stopped", "Reading the instances was stopped: %s.", context.Cause(ctx))
			continue
		}
		wait.Go(func() {
			defer func() { <-s.reading }()
			v := s.View()
			v.Roots = map[string]cty.Value{"each": e.Object()}
			values[i], found[i] = s.opts.ReadData(ctx, d, v)
		})
	}
	wait.Wait()
	out := make(map[string]cty.Value, len(instances))
	for i, e := range instances {
		out[e.Key] = values[i]
		diags = append(diags, found[i]...)
	}
	return cty.ObjectVal(out), diags
}
