package funcs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

var filesystemCases = map[string][]evalCase{
	"abspath": {
		{`startswith(abspath("x/../y"), "/")`, `true`},
		{`endswith(abspath("x/../y"), "work/y")`, `true`},
		{`abspath("/a/./b")`, `"/a/b"`},
	},
	"basename": {{`basename("a/b.txt")`, `"b.txt"`}, {`basename("")`, `"."`}, {`basename("a/")`, `"a"`}},
	"dirname":  {{`dirname("a/b.txt")`, `"a"`}, {`dirname("b.txt")`, `"."`}},
	"file": {
		{`file("hello.txt")`, `"héllo\n"`},
		{`file("scripts/../hello.txt")`, `"héllo\n"`},
		{`file(abspath("../template/hello.txt"))`, `"héllo\n"`},
		{`file("~/at-home.txt")`, `"home"`},
		{`file("here.txt")`, `error: cannot read "here.txt"`},
		{`file("scripts")`, `error: is a directory`},
		{`file("binary.dat")`, `error: cannot use "binary.dat": the content is not valid UTF-8`},
		{`file("~bob/x")`, `error: cannot expand "~bob/x"`},
	},
	"filebase64": {
		{`filebase64("here.txt")`, `"aGVyZQ=="`},
		{`filebase64("../template/binary.dat")`, `"//4A"`},
		{`filebase64("hello.txt") == base64encode(file("hello.txt"))`, `true`},
		{`filebase64("binary.dat")`, `"//4A"`},
		{`filebase64("~/at-home.txt") == base64encode(file("~/at-home.txt"))`, `true`},
		{`filebase64("~literal/x")`, `error: cannot expand "~literal/x"`},
		{`filebase64("nothing.txt")`, `error: cannot read "nothing.txt"`},
		{`filebase64("scripts")`, `error: is a directory`},
	},
	"fileexists": {
		{`fileexists("hello.txt")`, `true`},
		{`fileexists("here.txt")`, `false`},
		{`fileexists("~/at-home.txt")`, `true`},
		{`fileexists("scripts")`, `error: "scripts" is not a regular file but a directory`},
		{`fileexists("/dev/null")`, `error: "/dev/null" is not a regular file but a special one`},
		{`fileexists("scripts/dangling.sh")`, `false`},
		{`fileexists("hello.txt/x")`, `error: cannot look at "hello.txt/x"`},
		{`fileexists("~bob/x")`, `error: cannot expand "~bob/x"`},
	},
	"fileset": {
		{`fileset("scripts", "*.sh")`, `convert(["a.sh", "b.sh"], set(string))`},
		{`fileset(".", "scripts/**/*.sh")`, `convert(["scripts/a.sh", "scripts/b.sh", "scripts/deep/c.sh"], set(string))`},
		{`fileset("scripts", "**")`, `convert(["a.sh", "b.sh", "deep/c.sh", "notes.txt"], set(string))`},
		{`fileset("scripts", "{a,notes}.*")`, `convert(["a.sh", "notes.txt"], set(string))`},
		{`fileset("scripts", "[ab].sh")`, `convert(["a.sh", "b.sh"], set(string))`},
		{`fileset("[odd] dir", "*")`, `convert(["inside.sh"], set(string))`},
		{`fileset("scripts", "../../sibling/*.sh")`, `convert(["../../sibling/s.sh"], set(string))`},
		{`fileset("scripts", "./deep//*.sh")`, `convert(["deep/c.sh"], set(string))`},
		{`fileset("scripts", "/a.sh")`, `convert(["a.sh"], set(string))`},
		{`fileset("~", "*.txt")`, `convert(["at-home.txt"], set(string))`},
		{`fileset("scripts", "deep")`, `convert([], set(string))`},
		{`fileset("scripts", "none/*.sh")`, `convert([], set(string))`},
		{`fileset("nowhere", "*")`, `convert([], set(string))`},
		{`fileset("scripts", "[a")`, `error: "[a" is not a valid pattern`},
		{`fileset("~bob", "*")`, `error: cannot expand "~bob"`},
	},
	"pathexpand": {
		{`endswith(pathexpand("~/x"), "/home/x")`, `true`},
		{`endswith(pathexpand("~"), "/home")`, `true`},
		{`pathexpand("a/~")`, `"a/~"`},
		{`pathexpand("~bob/x")`, `error: cannot expand "~bob/x"`},
	},
	"templatefile": {
		{`templatefile("greet.tpl", {name = "you", ports = [80, 443]})`, `"Hello you! 80 443"`},
		{`templatefile("list.tpl", {names = ["a", "b"]})`, `["A", "B"]`},
		{`templatefile("null.tpl", {maybe = null})`, `null`},
		{`templatefile("null.tpl", convert({maybe = "x"}, map(string)))`, `"x"`},
		{`templatefile("hello.txt", {})`, `"héllo\n"`},
		{`templatefile("tried.tpl", {name = "x"})`, `true`},
		{`templatefile("greet.tpl", {name = "you"})`, `error: variable "ports", which greet.tpl:1,`},
		{`templatefile("lazy.tpl", {name = "you"})`, `error: variable "other"`},
		{`templatefile("nested.tpl", {})`, `error: a template file cannot call templatefile`},
		{`templatefile("syntax.tpl", {})`, `error: template file "syntax.tpl" is not valid: syntax.tpl:1,`},
		{`templatefile("fails.tpl", {})`, `error: fails.tpl:2,`},
		{`templatefile("none.tpl", {})`, `error: cannot read "none.tpl"`},
		{`templatefile("binary.dat", {})`, `error: not valid UTF-8`},
		{`templatefile("greet.tpl", ["x"])`, `error: the variables must be a map or an object, not tuple`},
		{`templatefile("greet.tpl", {"1x" = 2})`, `error: "1x" cannot be the name of a variable`},
		{`templatefile("greet.tpl", null)`, `error: must not be null`},
		{`templatefile("null.tpl", {maybe = unknown_string})`, `unknown_string`},
		{`templatefile("greet.tpl", {name = unknown_string, ports = []})`, `unknown_string`},
		{`templatefile(unknown_string, {})`, `unknown`},
	},
}

// TestW58FileAndFilebase64LookInOnePlace: both read from the directory of the template. Where Packer's filebase64 would
// have read another file, from the working directory, it is an error and not the wrong one of the two.
func TestW58FileAndFilebase64LookInOnePlace(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"template/one": "t", "template/same": "s", "work/same": "s", "template/two": "t", "work/two": "w", "work/only": "o",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := Env{TemplateDir: filepath.Join(root, "template"), WorkDir: filepath.Join(root, "work")}
	runCases(t, Table(env), map[string][]evalCase{"places": {
		{`[file("one"), base64decode(filebase64("one"))]`, `["t", "t"]`},
		{`[file("same"), base64decode(filebase64("same"))]`, `["s", "s"]`},
		{`file("two")`, `"t"`},
		{`filebase64("two")`, `error: write abspath("two") for the one in the current directory`},
		{`base64decode(filebase64(abspath("two")))`, `"w"`},
		{`base64decode(filebase64("only"))`, `"o"`},
	}})
}

func TestHomeThatCannotBeFound(t *testing.T) {
	table := Table(Env{Home: func() (string, error) { return "", errors.New("no home") }})
	runCases(t, table, map[string][]evalCase{"no home": {
		{`pathexpand("~/x")`, `error: cannot expand "~/x": no home`},
		{`file("~/x")`, `error: cannot expand "~/x": no home`},
		{`pathexpand("x")`, `"x"`},
	}})
}

// Ensure that an empty Env stands for the directories of the process.
func TestEmptyEnvUsesTheProcess(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", filepath.Join(dir, "home"))
	if err := os.WriteFile("f.txt", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	runCases(t, Table(Env{}), map[string][]evalCase{"process": {
		{`file("f.txt")`, `"x"`},
		{`filebase64("f.txt")`, `"eA=="`},
		{`endswith(pathexpand("~"), "/home")`, `true`},
		{`abspath("f.txt") == "` + filepath.ToSlash(filepath.Join(dir, "f.txt")) + `"`, `true`},
	}})
}

// Ensure a call inside a template happens once: a second rendering would show as a second request.
func TestTemplateFileRendersOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.tpl"), []byte(`${consul_key("k")}`), 0o644); err != nil {
		t.Fatal(err)
	}
	env := testEnv(t)
	env.TemplateDir = dir
	calls := 0
	env.Consul = consulFunc(func(context.Context, string) (string, error) { calls++; return "x", nil })
	if _, err := eval(Table(env), `templatefile("t.tpl", {})`); err != nil || calls != 1 {
		t.Errorf("%d calls, want 1; error %v", calls, err)
	}
}

func FuzzTemplate(f *testing.F) {
	for name, content := range testFiles {
		if filepath.Ext(name) == ".tpl" {
			f.Add(content)
		}
	}
	table := collectionFuncs()
	for name, g := range stringFuncs() {
		// A template may ask these for gigabytes, which is its author's affair.
		if name != "format" && name != "formatlist" && name != "indent" {
			table[name] = g
		}
	}
	for name := range table {
		f.Add("${" + name + "(names, ports, maybe)}${" + name + "(name)}${" + name + "(name, other, -1)}")
	}
	f.Add("%{ if true }x%{ else }y%{ endif ~}")
	f.Add("${a[*].b}$${x}%%{y}${<<E\nx\nE\n}")
	vars := map[string]cty.Value{
		"name":  cty.StringVal("you"),
		"names": cty.ListVal([]cty.Value{cty.StringVal("a")}),
		"ports": cty.TupleVal([]cty.Value{cty.NumberIntVal(80)}),
		"maybe": cty.NullVal(cty.String),
		"other": cty.UnknownVal(cty.String),
	}
	f.Fuzz(func(t *testing.T, source string) {
		_, err := renderTemplate(source, "fuzz.tpl", vars, table)
		// HCL turns the error of a function into a diagnostic, which keeps its text alone.
		if err != nil && strings.Contains(err.Error(), "panic in function") {
			t.Fatalf("panic: %v", err)
		}
	})
}
