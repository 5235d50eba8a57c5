package funcs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		{`filebase64("hello.txt")`, `error: it exists in the directory of the template, which is "${path.root}/hello.txt" here`},
		{`filebase64("nothing.txt")`, `error: cannot read "nothing.txt"`},
		{`filebase64("~/at-home.txt")`, `error: no such file`},
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
	if err := os.WriteFile(filepath.Join(dir, "t.tpl"), []byte(`${timestamp()}`), 0o644); err != nil {
		t.Fatal(err)
	}
	env := testEnv(t)
	env.TemplateDir = dir
	now, calls := env.Now(), 0
	env.Now = func() time.Time { calls++; return now }
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
