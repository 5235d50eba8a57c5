package jsondoc

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const sample = `{
  "b": [1, 2.50, "ü<&>", null, true, {}, []],
  "a": {"x": "y"}
}
`

func TestParseKeepsOrderTextAndPlace(t *testing.T) {
	n, diags := Parse([]byte(sample), "t.json")
	if diags != nil {
		t.Fatal(diags)
	}
	if n.Members[0].Name != "b" || n.Members[1].Name != "a" {
		t.Errorf("order: %v", n.Members)
	}
	list := n.Get("b")
	if got := list.Elements[1]; got.Kind != Number || got.Text != "2.50" {
		t.Errorf("number: %+v", got)
	}
	for _, c := range []struct {
		node      *Node
		line, col int
		text      string
	}{
		{n, 1, 1, strings.TrimSpace(sample)},
		{list, 2, 8, `[1, 2.50, "ü<&>", null, true, {}, []]`},
		{list.Elements[2], 2, 18, `"ü<&>"`},
		{list.Elements[3], 2, 26, `null`},
		{list.Elements[5], 2, 38, `{}`},
		{n.Get("a").Get("x"), 3, 14, `"y"`},
	} {
		r := c.node.Range
		if r.Start.Line != c.line || r.Start.Column != c.col || sample[r.Start.Byte:r.End.Byte] != c.text {
			t.Errorf("%q stands at %v", c.text, r)
		}
	}
	if at := n.Members[1].NameRange; sample[at.Start.Byte:at.End.Byte] != `"a"` {
		t.Errorf("name at %v", at)
	}
}

func TestPrint(t *testing.T) {
	n, _ := Parse([]byte(sample), "")
	want := `{
  "b": [
    1,
    2.50,
    "ü<&>",
    null,
    true,
    {},
    []
  ],
  "a": {
    "x": "y"
  }
}
`
	if got := string(n.Print()); got != want {
		t.Errorf("got %s", got)
	}
}

func TestParseFindsMistakes(t *testing.T) {
	for src, want := range map[string]string{
		`{"a": 1, "b": 2, "a": 3}`: "t.json:1,18-21: Duplicate key",
		"{\n  \"a\": 1,\n}":        "t.json:3,1-2: Invalid JSON",
		"{\n  \"a\": [1 2]}":       "t.json:2,11-12: Invalid JSON",
		`{"a": `:                   "t.json:1,6-6: Invalid JSON",
		``:                         "t.json:1,1-1: Invalid JSON",
		`{} {}`:                    "Invalid JSON",
		`{"a": "x` + "\n" + `"}`:   "Invalid JSON",
		strings.Repeat("[", 2000) + strings.Repeat("]", 2000): "Invalid JSON",
	} {
		_, diags := Parse([]byte(src), "t.json")
		if len(diags) != 1 || !strings.Contains(diags[0].Subject.String()+": "+diags[0].Summary, want) {
			t.Errorf("%.30q: %v, want %s", src, diags.Err(), want)
		}
	}
}

func TestEdit(t *testing.T) {
	n, _ := Parse([]byte(`{"a":1,"b":2,"c":3}`), "")
	copied := n.Clone()
	n.Rename("b", "z")
	n.Rename("c", "a")
	n.Set("n", NewArray(NewString("s"), NewBool(true), NewNumber("1")))
	n.Delete("absent")
	if got := strings.Join(strings.Fields(string(n.Print())), ""); got != `{"a":1,"z":2,"n":["s",true,1]}` {
		t.Errorf("edited: %s", got)
	}
	if got := strings.Join(strings.Fields(string(copied.Print())), ""); got != `{"a":1,"b":2,"c":3}` {
		t.Errorf("the copy changed: %s", got)
	}
	var absent *Node
	if absent.Get("x") != nil || absent.Has("x") || absent.Is(Null) {
		t.Error("nil has something")
	}
}

// What is read is printed as the same JSON, and every place is inside the text.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("\ufeff{\"a\":\"\\u00e9\"}"))
	f.Add([]byte(`[{"a":[]},1e5,-0]`))
	f.Fuzz(func(t *testing.T, src []byte) {
		n, diags := Parse(src, "f")
		if n == nil {
			if !diags.HasErrors() {
				t.Fatal("nothing was read and nothing was said")
			}
			return
		}
		n.Walk(func(n *Node) {
			if n.Range.Start.Byte < 0 || n.Range.End.Byte > len(src) || n.Range.Start.Byte >= n.Range.End.Byte {
				t.Fatalf("place %v of %d bytes", n.Range, len(src))
			}
		})
		if diags != nil {
			return
		}
		var a, b any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(string(src), "\ufeff")), &a); err != nil {
			t.Skip() // encoding/json refuses more numbers than its own decoder
		}
		if err := json.Unmarshal(n.Print(), &b); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%q became %q", src, n.Print())
		}
	})
}
