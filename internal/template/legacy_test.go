package template_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/template"
)

// loadLegacy loads a legacy template from a file.
func loadLegacy(t *testing.T, text string) *template.Template {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	tmpl, diags := template.Load("t.json", template.Options{WorkDir: dir, CoreVersion: "1.16.0"})
	if diags != nil {
		t.Fatal(diags.Err())
	}
	if tmpl.Dir != dir {
		t.Errorf("Dir is %q, want %q", tmpl.Dir, dir)
	}
	return tmpl
}

// builderBody is the body of a builder with the members given.
func builderBody(t *testing.T, members string) hcl.Body {
	t.Helper()
	return loadLegacy(t, `{"builders": [{"type": "null", `+members+`}]}`).SourceBlocks[0].Body
}

// expression is the value of the member x.
func expression(t *testing.T, json string) hcl.Expression {
	t.Helper()
	attrs, diags := builderBody(t, `"x": `+json).JustAttributes()
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return attrs["x"].Expr
}

var legacyContext = &hcl.EvalContext{Variables: map[string]cty.Value{
	"var": cty.ObjectVal(map[string]cty.Value{
		"a": cty.StringVal("A"), "with space": cty.StringVal("s"), "n": cty.NumberIntVal(7),
		"action": cty.StringVal("{{.X}}"), "quotes": cty.StringVal("\"`\n\\}}"),
		"secret": cty.StringVal("S").Mark("secret"), "later": cty.UnknownVal(cty.String),
		"both": cty.UnknownVal(cty.String).Mark("secret"), "null": cty.NullVal(cty.String),
	}),
	"path": cty.ObjectVal(map[string]cty.Value{"root": cty.StringVal("/dir")}),
}}

func TestLegacyExpression(t *testing.T) {
	text := cty.StringVal
	for _, c := range []struct {
		json string
		want cty.Value
	}{
		{`"plain"`, text("plain")},
		{`"${var.a} %{if} $${x}"`, text("${var.a} %{if} $${x}")},
		{`true`, cty.True},
		{`12.50`, cty.MustParseNumberVal("12.5")},
		{`12345678901234567890`, cty.MustParseNumberVal("12345678901234567890")},
		{`1e-999999999`, cty.Zero},
		{`null`, cty.NullVal(cty.DynamicPseudoType)},
		{`[]`, cty.EmptyTupleVal},
		{`["a", 1]`, cty.TupleVal([]cty.Value{text("a"), cty.NumberIntVal(1)})},
		{`{"k{{user}}": {"l": "{{user ` + "`a`" + `}}"}}`, cty.ObjectVal(map[string]cty.Value{"k{{user}}": cty.ObjectVal(map[string]cty.Value{"l": text("A")})})},
		// References are put in; constants are written out.
		{"\"{{user `a`}}\"", text("A")},
		{"\"{{ user `with space` -}} x{{user \\\"n\\\"}}\"", text("sx7")},
		{"\"{{`a` | user}}{{template_dir}}\"", text("A/dir")},
		// Other actions stay.
		{"\"{{timestamp}}\"", text("{{timestamp}}")},
		{"\"{{user `a`}}-{{timestamp}}\"", text(`{{"A"}}-{{timestamp}}`)},
		{"\"{{user `a` | upper}}{{if eq (user `a`) `A`}}y{{end}}\"", text("{{\"A\" | upper}}{{if eq (\"A\") `A`}}y{{end}}")},
		// A value is never taken for an action.
		{"\"{{user `action`}}\"", text(`{{"{{.X}}"}}`)},
		{"\"{{user `action`}}-{{timestamp}}\"", text(`{{"{{.X}}"}}-{{timestamp}}`)},
		{"\"{{user `quotes`}}\"", text("\"`\n\\}}")},
		{"\"{{user `quotes`}}{{uuid}}\"", text("{{\"\\\"`\\n\\\\}}\"}}{{uuid}}")},
		// What is secret or not known makes the whole so.
		{"\"{{user `a`}}{{user `secret`}}\"", text("AS").Mark("secret")},
		{"\"x{{user `later`}}\"", cty.UnknownVal(cty.String)},
		{"\"x{{user `both`}}\"", cty.UnknownVal(cty.String).Mark("secret")},
		{"\"x{{user `null`}}\"", cty.UnknownVal(cty.String)},
	} {
		got, diags := expression(t, c.json).Value(legacyContext)
		if diags.HasErrors() {
			t.Errorf("%s: %v", c.json, diags)
			continue
		}
		if !got.RawEquals(c.want) {
			t.Errorf("%s is %#v, want %#v", c.json, got, c.want)
		}
	}
}

func TestLegacyExpressionMistakes(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`1e999`, "1:37 Number out of range"},
		{"\"{{user `a`\"", "1:37 Invalid template action"},
		{"\"ab {{user}}\"", "1:43 Invalid call"},
		{"\"{{user .X}}\"", "1:40 Invalid call"},
		{"\"{{user `a` `b`}}\"", "1:40 Invalid call"},
		{"\"{{template_dir `a`}}\"", "1:40 Invalid call"},
		{"[\"x\", \"\\u00e9{{user `nope`}}\"]", "1:52 Unsupported attribute"},
	} {
		_, diags := expression(t, c.json).Value(legacyContext)
		if len(diags) != 1 {
			t.Errorf("%s: %v", c.json, diags)
			continue
		}
		if got := place(diags[0]); got != c.want {
			t.Errorf("%s: %s, want %s", c.json, got, c.want)
		}
	}
}

func place(d *hcl.Diagnostic) string {
	at := d.Subject.Start
	return strings.Join([]string{itoa(at.Line) + ":" + itoa(at.Column), d.Summary}, " ")
}

func itoa(n int) string { return cty.NumberIntVal(int64(n)).AsBigFloat().Text('f', 0) }

// The parts of a value are reached as those of an HCL expression are.
func TestLegacyExpressionParts(t *testing.T) {
	e := expression(t, "{\"list\": [\"x\", \"{{user `a`}}\"], \"o\": {\"k\": 1}}")
	pairs, diags := hcl.ExprMap(e)
	if diags.HasErrors() || len(pairs) != 2 {
		t.Fatalf("%d pairs, %v", len(pairs), diags)
	}
	if k, _ := pairs[0].Key.Value(nil); k.AsString() != "list" {
		t.Errorf("the first key is %#v", k)
	}
	list, diags := hcl.ExprList(pairs[0].Value)
	if diags.HasErrors() || len(list) != 2 {
		t.Fatalf("%d elements, %v", len(list), diags)
	}
	var refs []string
	for _, tr := range e.Variables() {
		refs = append(refs, diag.TraversalString(tr))
	}
	if strings.Join(refs, " ") != "var.a" {
		t.Errorf("refers to %q", refs)
	}
	if at := list[1].Range(); at.Start.Column != 52 || at != list[1].StartRange() {
		t.Errorf("the second element is at %v", at)
	}
	if _, diags := hcl.ExprList(e); !diags.HasErrors() {
		t.Error("an object is a list")
	}
	if _, diags := hcl.ExprMap(list[0]); !diags.HasErrors() {
		t.Error("a string is an object")
	}
}

var bodySchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "a"}, {Name: "b"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "one"}, {Type: "many"}},
}

func TestLegacyBody(t *testing.T) {
	body := builderBody(t, `"a": 1, "one": {"x": 1}, "many": [{"x": 2}, {"y": 3}], "b": null`)
	content, diags := body.Content(bodySchema)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if len(content.Attributes) != 2 || len(content.Blocks) != 3 {
		t.Fatalf("%d arguments, %d blocks", len(content.Attributes), len(content.Blocks))
	}
	var got []string
	for _, b := range content.Blocks {
		attrs, _ := b.Body.JustAttributes()
		for name := range attrs {
			got = append(got, b.Type+"."+name)
		}
	}
	if strings.Join(got, " ") != "one.x many.x many.y" {
		t.Errorf("blocks %q", got)
	}
	if template.HasDynamic(body) {
		t.Error("has dynamic blocks")
	}

	// The same members are arguments when the schema says so.
	content, rest, diags := body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "one"}, {Name: "many"}}})
	if diags.HasErrors() || len(content.Attributes) != 2 {
		t.Fatalf("%v, %v", content.Attributes, diags)
	}
	left, diags := rest.Content(bodySchema)
	if diags.HasErrors() || len(left.Attributes) != 2 || len(left.Blocks) != 0 {
		t.Errorf("the rest has %v, %v, %v", left.Attributes, left.Blocks, diags)
	}
	if attrs, _ := rest.JustAttributes(); len(attrs) != 2 {
		t.Errorf("the rest has %v", attrs)
	}
}

func TestLegacyBodyMistakes(t *testing.T) {
	required := &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "needed", Required: true}}}
	for _, c := range []struct {
		members string
		schema  *hcl.BodySchema
		want    string
	}{
		{`"c": 1`, bodySchema, "1:32 Unsupported argument"},
		{`"one": 1`, bodySchema, "1:39 Wrong type"},
		{`"many": [{}, "x"]`, bodySchema, "1:45 Wrong type"},
		{`"needed": 1, "x": 1`, required, "1:45 Unsupported argument"},
		{`"one": null`, bodySchema, ""},
	} {
		_, diags := builderBody(t, c.members).Content(c.schema)
		got := ""
		if len(diags) == 1 {
			got = place(diags[0])
		}
		if got != c.want || len(diags) > 1 {
			t.Errorf("%s: %v, want %s", c.members, diags, c.want)
		}
	}
	_, diags := builderBody(t, `"a": 1`).Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "a"}, {Name: "needed", Required: true}}})
	if len(diags) != 1 || place(diags[0]) != "1:15 Missing argument" {
		t.Errorf("a missing argument: %v", diags)
	}
}

// FuzzLegacy feeds arbitrary text to the reader of legacy templates and of
// their var files.
func FuzzLegacy(f *testing.F) {
	for _, seed := range []string{
		`{"builders": [{"type": "null", "x": ["{{user ` + "`a`" + `}}"], "y": 1e9}], "variables": {"a": "{{env ` + "`B`" + `}}"}}`,
		`{"builders": [{"type": "a", "name": "b"}], "post-processors": ["x", ["y", {"type": "z"}]], "provisioners": [{"type": "s", "override": {"b": {}}}]}`,
		"source {}", "", `{"min_packer_version": "x"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "t.json"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		tmpl, diags := template.Load("t.json", template.Options{WorkDir: dir, CoreVersion: "1.16.0"})
		check(t, tmpl, diags)
		for _, s := range tmpl.SourceBlocks {
			attrs, _ := s.Body.JustAttributes()
			for _, a := range attrs {
				a.Expr.Variables()
				_, _ = a.Expr.Value(legacyContext)
			}
		}
		if tmpl.Legacy != nil {
			_, diags = tmpl.ReadVarFile("t.json")
			check(t, tmpl, diags)
		}
	})
}
