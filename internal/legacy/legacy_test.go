package legacy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/diag"
	"ingot/internal/legacy/jsondoc"
)

func read(t *testing.T, src string) (*Template, diag.List) {
	t.Helper()
	root, diags := jsondoc.Parse([]byte(src), "t.json")
	if diags != nil {
		t.Fatal(diags.Err())
	}
	return Read(root)
}

const whole = `{
  "min_packer_version": "1.2.0",
  "description": "All {{of}} it.",
  "_note": "a note",
  "comments": [{"who": "me"}],
  "variables": {"a": "1", "b": null, "c": "{{env ` + "`C`" + `}}"},
  "sensitive-variables": ["b"],
  "builders": [
    {"type": "null", "communicator": "none"},
    {"name": "{{user ` + "`a`" + `}}-x", "type": "file", "target": "t"}
  ],
  "provisioners": [
    {"type": "shell", "inline": ["a"], "only": ["null"], "pause_before": "1s", "max_retries": 2},
    {"type": "shell", "script": "s", "override": {"null": {"script": "t"}}, "except": null}
  ],
  "error-cleanup-provisioner": {"type": "shell-local", "inline": ["b"]},
  "post-processors": ["compress", {"type": "manifest", "name": "m", "keep_input_artifact": true}, [], ["a", {"type": "b", "x": 1}]]
}`

func TestRead(t *testing.T) {
	tmpl, diags := read(t, whole)
	if diags != nil {
		t.Fatal(diags.Err())
	}
	var got strings.Builder
	fmt.Fprintf(&got, "min %s, %q\n", tmpl.MinVersion.Text, tmpl.Description)
	for _, c := range tmpl.Comments {
		fmt.Fprintf(&got, "comment %s %q\n", c.Name, c.Text)
	}
	for _, v := range tmpl.Variables {
		fmt.Fprintf(&got, "variable %s %v %v\n", v.Name, v.Default != nil, v.Sensitive)
	}
	for _, b := range tmpl.Builders {
		fmt.Fprintf(&got, "builder %s %s:%d %s\n", b.Type, b.Name, b.TypeRange.Start.Line, members(b.Config))
	}
	steps := append(tmpl.Provisioners, tmpl.ErrorCleanup)
	for _, c := range tmpl.Chains {
		steps = append(steps, nil)
		steps = append(steps, c...)
	}
	for _, s := range steps {
		if s == nil {
			fmt.Fprintln(&got, "chain")
			continue
		}
		fmt.Fprintf(&got, "%s %s:", s.Kind, s.Type)
		for _, m := range s.Meta {
			fmt.Fprintf(&got, " %s", m.Name)
		}
		fmt.Fprintf(&got, " | %s\n", members(s.Config))
	}
	want := `min 1.2.0, "All {{of}} it."
comment _note "a note"
comment who "me"
variable a true false
variable b false true
variable c true false
builder null null:9 communicator
builder file {{user ` + "`a`" + `}}-x:10 target
provisioner shell: only pause_before max_retries | inline
provisioner shell: override | script
error-cleanup-provisioner shell-local: | inline
chain
post-processor compress: | 
chain
post-processor manifest: name keep_input_artifact | 
chain
post-processor a: | 
post-processor b: | x
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func members(n *jsondoc.Node) string {
	names := make([]string, len(n.Members))
	for i, m := range n.Members {
		names[i] = m.Name
	}
	return strings.Join(names, " ")
}

// Each mistake is found, alone, at its place.
func TestMistakes(t *testing.T) {
	with := func(rest string) string { return `{"builders": [{"type": "null"}], ` + rest + `}` }
	for _, c := range []struct{ src, want string }{
		{`[]`, "1:1 Invalid template"},
		{`{}`, "1:1 No builders"},
		{`{"builders": []}`, "1:1 No builders"},
		{`{"builders": {}}`, "1:14 Wrong type"},
		{`{"builders": ["null"]}`, "1:15 Wrong type"},
		{`{"builders": [{"name": "a"}]}`, "1:15 Missing type"},
		{`{"builders": [{"type": 1}]}`, "1:24 Wrong type"},
		{`{"builders": [{"type": ""}]}`, "1:24 Missing type"},
		{`{"builders": [{"type": "null", "name": 1}]}`, "1:40 Wrong type"},
		{`{"builders": [{"type": "null"}, {"type": "null"}]}`, "1:42 Declared twice"},
		{`{"builders": [{"type": "null"}, {"type": "file", "name": "null"}]}`, "1:58 Declared twice"},
		{with(`"builder": []`), "1:34 Unknown key"},
		{with(`"source": {}`), "1:34 Unknown key"},
		{with(`"_x": 1`), "1:40 Wrong type"},
		{with(`"comments": ["x"]`), "1:47 Wrong type"},
		{with(`"comments": [{"a": "b", "c": "d"}]`), "1:47 Wrong type"},
		{with(`"description": []`), "1:49 Wrong type"},
		{with(`"min_packer_version": 1`), "1:56 Wrong type"},
		{with(`"push": {}`), "1:34 push has no effect"},
		{with(`"variables": []`), "1:47 Wrong type"},
		{with(`"variables": {"a": 1}`), "1:53 Wrong type"},
		{with(`"sensitive-variables": ["a"]`), "1:58 Undeclared variable"},
		{with(`"sensitive-variables": [1]`), "1:58 Wrong type"},
		{with(`"provisioners": [1]`), "1:51 Wrong type"},
		{with(`"provisioners": [{}]`), "1:51 Missing type"},
		{with(`"provisioners": [{"type": "shell", "only": "null"}]`), "1:77 Wrong type"},
		{with(`"provisioners": [{"type": "shell", "only": [1]}]`), "1:78 Wrong type"},
		{with(`"provisioners": [{"type": "shell", "only": ["nul"]}]`), "1:78 Unknown builder in only"},
		{with(`"provisioners": [{"type": "shell", "only": ["null"], "except": ["null"]}]`), "1:97 Both only and except"},
		{with(`"provisioners": [{"type": "shell", "only": ["null"], "except": []}]`), ""},
		{with(`"provisioners": [{"type": "shell", "override": []}]`), "1:81 Wrong type"},
		{with(`"provisioners": [{"type": "shell", "override": {"null": 1}}]`), "1:90 Wrong type"},
		{with(`"provisioners": [{"type": "shell", "override": {"x": {}}}]`), "1:82 Unknown builder in override"},
		{with(`"provisioners": [{"type": "shell", "pause_before": true}]`), "1:85 Wrong type"},
		{with(`"provisioners": [{"type": "shell", "timeout": []}]`), "1:80 Wrong type"},
		{with(`"provisioners": [{"type": "shell", "max_retries": {}}]`), "1:84 Wrong type"},
		{with(`"error-cleanup-provisioner": []`), "1:63 Wrong type"},
		{with(`"error-cleanup-provisioner": {"type": "shell", "only": ["x"]}`), "1:90 Unknown builder in only"},
		{with(`"post-processors": "manifest"`), "1:53 Wrong type"},
		{with(`"post-processors": [1]`), "1:54 Wrong type"},
		{with(`"post-processors": [""]`), "1:54 Missing type"},
		{with(`"post-processors": [["a", ["b"]]]`), "1:60 Wrong type"},
		{with(`"post-processors": [{"type": "a", "name": 1}]`), "1:76 Wrong type"},
		{with(`"post-processors": [{"type": "a", "keep_input_artifact": []}]`), "1:91 Wrong type"},
		{with(`"post-processors": [{"type": "a", "except": ["x"]}]`), "1:79 Unknown builder in except"},
	} {
		_, diags := read(t, c.src)
		var got []string
		for _, d := range diags {
			got = append(got, fmt.Sprintf("%d:%d %s", d.Subject.Start.Line, d.Subject.Start.Column, d.Summary))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.src, strings.Join(got, ", "), c.want)
		}
	}
}

func TestCalls(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"plain", ""},
		{"{{user `a`}}-{{ user \"b\" }}", "user[a] \"user `a`\", user[b] \"user \\\"b\\\"\""},
		{"{{user `a` | upper}}{{`b` | user}}", "user[a] \"user `a`\", user[b] \"`b` | user\""},
		{"{{if eq (user `a`) `x`}}{{range $i, $e := user `b`}}{{template_dir}}{{else}}{{user `c`}}{{end}}{{end}}", "user[a] \"user `a`\", user[b] \"user `b`\", template_dir[] \"template_dir\", user[c] \"user `c`\""},
		{"{{- $x := user `a` -}} {{$x}}", "user[a] \"user `a`\""},
		{"{{define `t`}}{{user `a`}}{{end}}{{template `t` (user `b`)}}", "user[a] \"user `a`\", user[b] \"user `b`\""},
		{"{{user .X}}", "user? \"user\""},
		{"{{printf `a` | upper | user}}", "user? \"user\""},
		{"{{upper user}}", "user[] \"user\""},
		{"{{(user `a`).X}}", "user[a] \"user `a`\""},
	} {
		text, err := ParseText(c.src)
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		var got []string
		for _, call := range text.Calls("user", "template_dir") {
			args := "?"
			if call.Literal {
				args = fmt.Sprint(call.Args)
			}
			got = append(got, fmt.Sprintf("%s%s %q", call.Name, args, c.src[call.Start:call.End]))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.src, strings.Join(got, ", "), c.want)
		}
	}
}

func TestParts(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"plain", `"plain"`},
		{"a {{- user `b` -}} c", "\"a\" user[b] \"c\""},
		{"{{`b` | user}}{{user `b` | upper}}{{.X}}{{build (user `x`)}}", "user[b] <{{user `b` | upper}}> <{{.X}}> <{{build (user `x`)}}>"},
		{"{{if .X}}{{end}}", "not ok"},
		{"{{$x := 1}}", "not ok"},
	} {
		text, err := ParseText(c.src)
		if err != nil {
			t.Fatal(err)
		}
		parts, ok := text.Parts()
		got := []string{}
		for _, p := range parts {
			switch {
			case p.Pipe == nil:
				got = append(got, fmt.Sprintf("%q", p.Text))
			case p.Call == nil:
				got = append(got, "<"+p.Text+">")
			default:
				got = append(got, fmt.Sprintf("%s%v", p.Call.Name, p.Call.Args))
			}
		}
		if !ok {
			got = []string{"not ok"}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.src, strings.Join(got, " "), c.want)
		}
	}
	if _, err := ParseText("{{user `a`"); err == nil || strings.Contains(err.Error(), "template:") {
		t.Errorf("an open action: %v", err)
	}
}

// Any text is parsed or refused, and calls lie inside it.
func FuzzParseText(f *testing.F) {
	f.Add("{{user `a` | upper}}{{define `x`}}{{`b` | user}}{{end}}")
	f.Add("{{- /* c */ -}}{{with $x := user \"a\"}}{{.}}{{end}}")
	f.Fuzz(func(t *testing.T, src string) {
		text, err := ParseText(src)
		if err != nil {
			return
		}
		text.Parts()
		last := 0
		for _, c := range text.Calls("user", "a", "b") {
			if c.Start < last || c.End <= c.Start || c.End > len(src) {
				t.Fatalf("%q: call %+v", src, c)
			}
			last = c.Start
		}
	})
}

// Any JSON is read or refused, with words.
func FuzzRead(f *testing.F) {
	f.Add([]byte(whole))
	f.Fuzz(func(t *testing.T, src []byte) {
		root, diags := jsondoc.Parse(src, "t.json")
		if root == nil {
			return
		}
		_, more := Read(root)
		for _, d := range append(diags, more...) {
			if d.Summary == "" || d.Subject == nil {
				t.Fatalf("%+v", d)
			}
		}
	})
}
