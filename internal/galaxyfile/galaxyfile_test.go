package galaxyfile

import "testing"

func TestKinds(t *testing.T) {
	for text, want := range map[string][3]bool{
		"- src: a.b\n- name: c":              {true, false, true},
		"[]":                                 {true, false, true},
		"roles: []":                          {true, false, true},
		"---\ncollections:\n  - name: a.b":   {false, true, true},
		"roles: [a]\ncollections: [b]\nx: 1": {true, true, true},
		"x: 1":                               {false, false, false},
		"":                                   {false, false, false},
		"text":                               {false, false, false},
		"a: [":                               {false, false, false},
	} {
		roles, collections, err := Kinds([]byte(text))
		if got := [3]bool{roles, collections, err == nil}; got != want {
			t.Errorf("%q: %v, want %v (%v)", text, got, want, err)
		}
	}
}

func FuzzKinds(f *testing.F) {
	for _, s := range []string{"- a", "roles: []", "collections: [x]", "a: &a [*a]", "{", "? x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		roles, collections, err := Kinds(text)
		if (err == nil) != (roles || collections) {
			t.Errorf("%q: %v, %v, %v", text, roles, collections, err)
		}
	})
}
