package lang

import (
	"testing"

	"github.com/zclconf/go-cty/cty"
)

func list(texts ...string) cty.Value {
	var out []cty.Value
	for _, t := range texts {
		out = append(out, cty.StringVal(t))
	}
	return cty.ListVal(out)
}

// Ensure that values are converted as Packer's decoder does, and no further.
func TestConvertWeakly(t *testing.T) {
	obj := cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("1")})
	objType := cty.Object(map[string]cty.Type{"a": cty.Number})
	for _, c := range []struct {
		name  string
		val   cty.Value
		to    cty.Type
		want  cty.Value // NilVal: refused
		split bool
	}{
		{"number to string", cty.NumberIntVal(5), cty.String, cty.StringVal("5"), false},
		{"bool to string", cty.True, cty.String, cty.StringVal("true"), false},
		{"string to number", cty.StringVal("5"), cty.Number, cty.NumberIntVal(5), false},
		{"string to bool", cty.StringVal("true"), cty.Bool, cty.True, false},
		{"word to bool", cty.StringVal("yes"), cty.Bool, cty.NilVal, false},
		{"word to number", cty.StringVal("five"), cty.Number, cty.NilVal, false},
		{"tuple to list", cty.TupleVal([]cty.Value{cty.StringVal("a"), cty.NumberIntVal(1)}), cty.List(cty.String), list("a", "1"), false},
		{"uniform tuple to list", cty.TupleVal([]cty.Value{cty.StringVal("a"), cty.StringVal("b")}), cty.List(cty.String), list("a", "b"), false},
		{"empty tuple to list", cty.EmptyTupleVal, cty.List(cty.String), cty.ListValEmpty(cty.String), false},
		{"string to list", cty.StringVal("a b"), cty.List(cty.String), list("a b"), false},
		{"commas to list", cty.StringVal("a,b"), cty.List(cty.String), list("a", "b"), true},
		{"commas to set", cty.StringVal("a,b,a"), cty.Set(cty.String), cty.SetVal([]cty.Value{cty.StringVal("a"), cty.StringVal("b")}), true},
		{"number to list of strings", cty.NumberIntVal(5), cty.List(cty.String), list("5"), false},
		{"commas to list of numbers", cty.StringVal("1,2"), cty.List(cty.Number), cty.NilVal, false},
		{"object to list of objects", obj, cty.List(objType), cty.ListVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"a": cty.NumberIntVal(1)})}), false},
		{"object to list of strings", obj, cty.List(cty.String), cty.NilVal, false},
		{"object to map", obj, cty.Map(cty.Number), cty.MapVal(map[string]cty.Value{"a": cty.NumberIntVal(1)}), false},
		{"list to string", list("a"), cty.String, cty.NilVal, false},
		{"null to list", cty.NullVal(cty.DynamicPseudoType), cty.List(cty.String), cty.NullVal(cty.List(cty.String)), false},
		{"unknown string to list", cty.UnknownVal(cty.String), cty.List(cty.String), cty.UnknownVal(cty.List(cty.String)), false},
		{"unknown to list", cty.DynamicVal, cty.List(cty.String), cty.UnknownVal(cty.List(cty.String)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := convertWeakly(c.val, c.to)
			if c.want == cty.NilVal {
				if err == nil {
					t.Fatalf("got %#v, want an error", got.value)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !got.value.RawEquals(c.want) || got.split != c.split {
				t.Errorf("got %#v (split %v), want %#v (split %v)", got.value, got.split, c.want, c.split)
			}
		})
	}
}

// Ensure that a text is reported once, and not when it would only blank out
// harmless output.
func TestSecretsReported(t *testing.T) {
	var got []string
	s := newSecrets(func(text string) { got = append(got, text) }, func() [][]byte { return [][]byte{[]byte("on or"), []byte("disabled known")} })
	s.root(cty.StringVal("hunter2"))
	s.root(cty.TupleVal([]cty.Value{cty.StringVal("hunter2"), cty.StringVal("ab"), cty.StringVal(""), cty.True, cty.NumberIntVal(12), cty.NumberIntVal(123)}))
	s.derived(list("x hunter2 y", "disabled", "SEVEN", "SEVEN"))
	// Keys of maps are data; names of attributes, and keys that the template
	// spells out, are not.
	s.root(cty.MapVal(map[string]cty.Value{"account": cty.StringVal("pw1"), "known": cty.StringVal("pw2")}))
	s.root(cty.ObjectVal(map[string]cty.Value{"attribute": cty.ListVal([]cty.Value{cty.SetVal([]cty.Value{cty.StringVal("deep")})})}))
	want := []string{"hunter2", "123", "SEVEN", "pw1", "pw2", "account", "deep"}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestW44WhatCannotBeHidden: a value of which a part cannot be hidden is
// warned of, whatever holds it.
func TestW44WhatCannotBeHidden(t *testing.T) {
	for _, c := range []struct {
		value cty.Value
		want  string
	}{
		{cty.StringVal("long enough"), ""},
		{cty.StringVal(""), ""},
		{cty.StringVal("ab"), "a text of fewer than 3 characters"},
		{cty.NumberIntVal(42), "a text of fewer than 3 characters"},
		{cty.NumberIntVal(421), ""},
		{cty.NumberFloatVal(0.5), ""},
		{cty.True, "true or false"},
		{cty.NullVal(cty.String), ""},
		{cty.UnknownVal(cty.Bool), ""},
		{cty.ObjectVal(map[string]cty.Value{"a": cty.TupleVal([]cty.Value{cty.False, cty.StringVal("x")})}), "a text of fewer than 3 characters and true or false"},
	} {
		if got := unhidden(c.value.Mark(sensitive)); got != c.want {
			t.Errorf("%#v: %q, want %q", c.value, got, c.want)
		}
	}
}
