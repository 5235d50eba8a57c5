package funcs

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// specified are the names that Packer's templates may call.
const specified = `
abs ceil floor log max min parseint pow signum sum
chomp format formatlist indent join lower upper title replace regex regexall regex_replace split strrev substr
trim trimprefix trimsuffix trimspace startswith endswith strcontains length
alltrue anytrue chunklist coalesce coalescelist compact concat contains convert distinct element flatten index keys
values lookup merge range reverse setintersection setunion setproduct slice sort zipmap
base64encode base64decode base64gzip csvdecode jsonencode jsondecode textencodebase64 textdecodebase64 urlencode
yamlencode yamldecode
abspath basename dirname file filebase64 fileexists fileset pathexpand templatefile
md5 sha1 sha256 sha512 bcrypt rsadecrypt uuidv4 uuidv5
cidrhost cidrnetmask cidrsubnet cidrsubnets
formatdate timeadd timestamp legacy_isotime legacy_strftime rfc3339_parse unix_timestamp_parse
vault consul_key aws_secretsmanager aws_secretsmanager_raw try can
`

// added are the names that Packer does not have.
const added = `aws_parameterstore`

func TestTableHasTheSpecifiedNames(t *testing.T) {
	want := strings.Fields(specified + added)
	slices.Sort(want)
	got := slices.Sorted(maps.Keys(Table(Env{})))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names in the table (-want +got):\n%s", diff)
	}
	if n := len(strings.Fields(specified)); n != 103 {
		t.Errorf("%d names are specified, want 103", n)
	}
}

// Ensure the reference documentation can be generated: one sentence for each function and each parameter.
func TestEveryFunctionIsDescribed(t *testing.T) {
	all := Table(Env{})
	maps.Copy(all, VariableDefaults(os.LookupEnv))
	for name, f := range all {
		params := f.Params()
		if v := f.VarParam(); v != nil {
			params = append(params, *v)
		}
		if d := f.Description(); !strings.HasSuffix(d, ".") || strings.Contains(d, "\n") {
			t.Errorf("%s: description %q is not a sentence", name, d)
		}
		for _, p := range params {
			if p.Name == "" || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: parameter %q: description %q is not a sentence", name, p.Name, p.Description)
			}
		}
	}
}

func TestTableIsTheCallersOwn(t *testing.T) {
	env := Env{}
	delete(Table(env), "abs")
	if _, ok := Table(env)["abs"]; !ok {
		t.Error("a change to one table shows in another")
	}
}

func TestVariableDefaults(t *testing.T) {
	table := VariableDefaults(func(name string) (string, bool) {
		v, ok := map[string]string{"SET": "x", "EMPTY": ""}[name]
		return v, ok
	})
	if len(table) != 1 {
		t.Errorf("%d functions, want env alone", len(table))
	}
	runCases(t, table, map[string][]evalCase{"env": {
		{`env("SET")`, `"x"`},
		{`env("EMPTY")`, `""`},
		{`env("UNSET")`, `""`},
		{`env(null)`, `error: must not be null`},
		{`env(unknown_string)`, `unknown_string`},
		{`env()`, `error: Not enough function arguments`},
	}})
}

// An evalCase is an expression and what it gives: an expression of the wanted value, or "error: " and a part of the
// wanted message.
type evalCase struct{ expr, want string }

// testVariables are known to every expression of a test.
func testVariables() map[string]cty.Value {
	keys := rsaFixtures()
	return map[string]cty.Value{
		"rsa_key":        cty.StringVal(keys.pkcs1),
		"rsa_key_pkcs8":  cty.StringVal(keys.pkcs8),
		"rsa_key_locked": cty.StringVal(keys.locked),
		"ec_key":         cty.StringVal(keys.ec),
		"rsa_ciphertext": cty.StringVal(keys.ciphertext),
		"rsa_binary":     cty.StringVal(keys.binary),
		"unknown":        cty.DynamicVal,
		"unknown_string": cty.UnknownVal(cty.String),
		"unknown_number": cty.UnknownVal(cty.Number),
		"unknown_bool":   cty.UnknownVal(cty.Bool),
		"unknown_list":   cty.UnknownVal(cty.List(cty.String)),
		"null_string":    cty.NullVal(cty.String),
		"null_list":      cty.NullVal(cty.List(cty.String)),
		"null_map":       cty.NullVal(cty.Map(cty.String)),
		"infinity":       cty.PositiveInfinity,
	}
}

func eval(table map[string]function.Function, expr string) (cty.Value, error) {
	parsed, diags := hclsyntax.ParseExpression([]byte(expr), "test.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	value, diags := parsed.Value(&hcl.EvalContext{Variables: testVariables(), Functions: table})
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	return value, nil
}

func runCases(t *testing.T, table map[string]function.Function, cases map[string][]evalCase) {
	t.Helper()
	onlyConvert := map[string]function.Function{"convert": controlFuncs()["convert"]}
	for name, list := range cases {
		t.Run(name, func(t *testing.T) {
			for _, c := range list {
				got, err := eval(table, c.expr)
				if message, isError := strings.CutPrefix(c.want, "error: "); isError {
					if err == nil || !strings.Contains(err.Error(), message) {
						t.Errorf("%s\n got %#v, error %v\nwant an error with %q", c.expr, got, err, message)
					}
					continue
				}
				want, wantErr := eval(onlyConvert, c.want)
				if wantErr != nil {
					t.Fatalf("wanted value %s: %v", c.want, wantErr)
				}
				if err != nil {
					t.Errorf("%s\n got error %v\nwant %#v", c.expr, err, want)
				} else if !sameValue(got, want) {
					t.Errorf("%s\n got %#v\nwant %#v", c.expr, got, want)
				}
			}
		})
	}
}

// sameValue compares types and values. What is known about an unknown value beyond its type is not compared.
func sameValue(a, b cty.Value) bool {
	if !a.IsKnown() || !b.IsKnown() {
		return a.IsKnown() == b.IsKnown() && a.Type().Equals(b.Type())
	}
	return a.RawEquals(b)
}

// testEnv is a world of fakes: a template directory and a working directory with files, a fixed clock, stores in memory.
func testEnv(t *testing.T) Env {
	t.Helper()
	root := t.TempDir()
	for name, content := range testFiles {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(root, "template/scripts/dangling.sh")); err != nil {
		t.Fatal(err)
	}
	return Env{
		TemplateDir: filepath.Join(root, "template"),
		WorkDir:     filepath.Join(root, "work"),
		Home:        func() (string, error) { return filepath.Join(root, "home"), nil },
		Start:       time.Date(2024, 2, 29, 13, 4, 5, 678_000_000, time.FixedZone("", 3600)),
		Vault:       fakeVault,
		Consul:      fakeConsul,
		Secrets:     fakeSecrets,
		Parameters:  fakeParameters,
	}
}

var testFiles = map[string]string{
	"template/hello.txt":           "héllo\n",
	"template/binary.dat":          "\xff\xfe\x00",
	"template/greet.tpl":           "Hello ${name}!%{ for p in ports } ${p}%{ endfor }",
	"template/list.tpl":            "${[for s in names : upper(s)]}",
	"template/null.tpl":            "${maybe}",
	"template/nested.tpl":          `${templatefile("greet.tpl", {name = "x", ports = []})}`,
	"template/syntax.tpl":          "line one\n${oops",
	"template/fails.tpl":           "line one\n${file(\"nothing.txt\")}",
	"template/lazy.tpl":            "${false ? other : name}",
	"template/tried.tpl":           "${try(name.missing, can(name), \"no\")}",
	"template/scripts/a.sh":        "a",
	"template/scripts/b.sh":        "b",
	"template/scripts/deep/c.sh":   "c",
	"template/scripts/notes.txt":   "n",
	"template/[odd] dir/inside.sh": "i",
	"work/here.txt":                "here",
	"home/at-home.txt":             "home",
	"sibling/s.sh":                 "s",
}

type vaultFunc func(ctx context.Context, path string) (map[string]any, error)

func (f vaultFunc) Read(ctx context.Context, path string) (map[string]any, error) {
	return f(ctx, path)
}

type consulFunc func(ctx context.Context, key string) (string, error)

func (f consulFunc) Value(ctx context.Context, key string) (string, error) { return f(ctx, key) }

type parametersFunc func(ctx context.Context, name string, decrypt bool) (string, error)

func (f parametersFunc) Parameter(ctx context.Context, name string, decrypt bool) (string, error) {
	return f(ctx, name, decrypt)
}

type secretsFunc func(ctx context.Context, name string) (string, error)

func (f secretsFunc) Secret(ctx context.Context, name string) (string, error) { return f(ctx, name) }

var errFakeMissing = errors.New("not found")

func allCases() map[string][]evalCase {
	all := map[string][]evalCase{}
	for _, group := range []map[string][]evalCase{
		numberCases, stringCases, collectionCases, encodingCases, filesystemCases, cryptoCases, networkCases,
		datetimeCases, externalCases, controlCases,
	} {
		maps.Copy(all, group)
	}
	return all
}

func TestFunctions(t *testing.T) {
	table := Table(testEnv(t))
	cases := allCases()
	for name := range table {
		if len(cases[name]) == 0 {
			t.Errorf("%s has no cases", name)
		}
	}
	runCases(t, table, cases)
}

// samples hold, for each function, arguments of a call that works. Those of the control functions are expressions, not
// values, so that they are left to their cases.
var samples = map[string][]string{
	"abs": {`1`}, "ceil": {`1`}, "floor": {`1`}, "log": {`8`, `2`}, "max": {`1`, `2`}, "min": {`1`, `2`},
	"parseint": {`"1"`, `10`}, "pow": {`1`, `2`}, "signum": {`1`}, "sum": {`[1]`},

	"chomp": {`"a"`}, "format": {`"%s"`, `"a"`}, "formatlist": {`"%s"`, `["a"]`}, "indent": {`1`, `"a"`},
	"join": {`","`, `["a"]`}, "lower": {`"a"`}, "upper": {`"a"`}, "title": {`"a"`}, "replace": {`"a"`, `"b"`, `"c"`},
	"regex": {`"a"`, `"a"`}, "regexall": {`"a"`, `"a"`}, "regex_replace": {`"a"`, `"a"`, `"b"`}, "split": {`","`, `"a"`},
	"strrev": {`"a"`}, "substr": {`"a"`, `0`, `1`}, "trim": {`"a"`, `"a"`}, "trimprefix": {`"a"`, `"a"`},
	"trimsuffix": {`"a"`, `"a"`}, "trimspace": {`"a"`}, "startswith": {`"a"`, `"a"`}, "endswith": {`"a"`, `"a"`},
	"strcontains": {`"a"`, `"a"`}, "length": {`"a"`},

	"alltrue": {`[true]`}, "anytrue": {`[true]`}, "chunklist": {`["a"]`, `1`}, "coalesce": {`"a"`},
	"coalescelist": {`["a"]`}, "compact": {`["a"]`}, "concat": {`["a"]`, `["b"]`}, "contains": {`["a"]`, `"a"`},
	"distinct": {`["a"]`}, "element": {`["a"]`, `0`}, "flatten": {`[["a"]]`}, "index": {`["a"]`, `"a"`},
	"keys": {`convert({a = 1}, map(number))`}, "values": {`{a = 1}`}, "lookup": {`{a = 1}`, `"a"`, `2`}, "merge": {`{a = 1}`},
	"range": {`3`}, "reverse": {`["a"]`}, "setintersection": {`["a"]`, `["a"]`}, "setunion": {`["a"]`, `["a"]`},
	"setproduct": {`["a"]`, `["a"]`}, "slice": {`["a"]`, `0`, `1`}, "sort": {`["a"]`},
	"zipmap": {`["a"]`, `[1]`},

	"base64encode": {`"a"`}, "base64decode": {`"YQ=="`}, "base64gzip": {`"a"`}, "csvdecode": {`"a\nb"`},
	"jsonencode": {`1`}, "jsondecode": {`"1"`}, "textencodebase64": {`"a"`, `"UTF-8"`},
	"textdecodebase64": {`"YQ=="`, `"UTF-8"`}, "urlencode": {`"a"`}, "yamlencode": {`1`}, "yamldecode": {`"1"`},

	"abspath": {`"a"`}, "basename": {`"a"`}, "dirname": {`"a"`}, "file": {`"hello.txt"`}, "filebase64": {`"here.txt"`},
	"fileexists": {`"hello.txt"`}, "fileset": {`"."`, `"*"`}, "pathexpand": {`"a"`},
	"templatefile": {`"null.tpl"`, `{maybe = "x"}`},

	"md5": {`"a"`}, "sha1": {`"a"`}, "sha256": {`"a"`}, "sha512": {`"a"`}, "bcrypt": {`"a"`, `4`},
	"uuidv4": {}, "uuidv5": {`"dns"`, `"a"`},
	"rsadecrypt": {`rsa_ciphertext`, `rsa_key`},

	"cidrhost": {`"10.0.0.0/8"`, `1`}, "cidrnetmask": {`"10.0.0.0/8"`}, "cidrsubnet": {`"10.0.0.0/8"`, `8`, `1`},
	"cidrsubnets": {`"10.0.0.0/8"`, `8`},

	"formatdate": {`"YYYY"`, `"2024-01-01T00:00:00Z"`}, "timeadd": {`"2024-01-01T00:00:00Z"`, `"1h"`}, "timestamp": {},
	"legacy_isotime": {`"2006"`}, "legacy_strftime": {`"%Y"`}, "rfc3339_parse": {`"2024-01-01T00:00:00Z"`},
	"unix_timestamp_parse": {`0`},

	"vault": {`"secret/data/web"`, `"user"`}, "consul_key": {`"app/color"`},
	"aws_secretsmanager": {`"db"`, `"user"`}, "aws_secretsmanager_raw": {`"plain"`},
	"aws_parameterstore": {`"/app/color"`, `true`},
}

// forEachSample calls a function once for each argument of each sample, with that argument changed.
func forEachSample(t *testing.T, change func(cty.Value) cty.Value, check func(t *testing.T, name string, arg int, got cty.Value, err error)) {
	table := Table(testEnv(t))
	for name, f := range table {
		exprs, ok := samples[name]
		if _, isControl := controlFuncs()[name]; isControl {
			continue
		}
		if !ok {
			t.Errorf("%s has no sample", name)
		}
		args := sampleArgs(t, table, f, exprs)
		if _, err := f.Call(args); err != nil {
			t.Errorf("the sample of %s fails: %v", name, err)
			continue
		}
		for i := range args {
			changed := slices.Clone(args)
			// The language converts arguments too, which turns a value of unknown type into one of the wanted type.
			changed[i] = must(convert.Convert(change(args[i]), parameter(f, i).Type))
			got, err := f.Call(changed)
			check(t, name, i, got, err)
		}
	}
}

// sampleArgs evaluates arguments and converts them to what the function wants, as the language does.
func sampleArgs(t *testing.T, table map[string]function.Function, f function.Function, exprs []string) []cty.Value {
	t.Helper()
	args := make([]cty.Value, len(exprs))
	for i, expr := range exprs {
		v, err := eval(table, expr)
		if err != nil {
			t.Fatalf("sample %s: %v", expr, err)
		}
		if args[i], err = convert.Convert(v, parameter(f, i).Type); err != nil {
			t.Fatalf("sample %s: %v", expr, err)
		}
	}
	return args
}

// parameter is what a function says of its argument i.
func parameter(f function.Function, i int) function.Parameter {
	if params := f.Params(); i < len(params) {
		return params[i]
	}
	return *f.VarParam()
}

func TestUnknownArgumentGivesUnknown(t *testing.T) {
	check := func(t *testing.T, name string, arg int, got cty.Value, err error) {
		if err != nil || got.IsWhollyKnown() {
			t.Errorf("%s with argument %d unknown: got %#v, error %v", name, arg, got, err)
		}
	}
	forEachSample(t, func(v cty.Value) cty.Value { return cty.UnknownVal(v.Type()) }, check)
	forEachSample(t, func(cty.Value) cty.Value { return cty.DynamicVal }, check)
}

func TestNullArgumentIsAnError(t *testing.T) {
	allowed := map[string]bool{
		"contains 1": true, "jsonencode 0": true, "yamlencode 0": true, "merge 0": true,
		"aws_secretsmanager 1": true,
	}
	forEachSample(t, func(v cty.Value) cty.Value { return cty.NullVal(v.Type()) },
		func(t *testing.T, name string, arg int, got cty.Value, err error) {
			id := name + " " + string(rune('0'+arg))
			// The secret of the sample has two fields, so that a null key is a different error.
			if isPanic(err) || err == nil != allowed[id] && name != "aws_secretsmanager" {
				t.Errorf("%s with argument %d null: got %#v, error %v", name, arg, got, err)
			}
		})
}

// Ensure that a secret does not lose its mark on the way through a function.
func TestMarksPassOn(t *testing.T) {
	forEachSample(t, func(v cty.Value) cty.Value { return v.Mark("sensitive") },
		func(t *testing.T, name string, arg int, got cty.Value, err error) {
			// A default that lookup does not need says nothing about its result.
			if name == "lookup" && arg == 2 {
				return
			}
			if err != nil || !got.ContainsMarked() {
				t.Errorf("%s with argument %d marked: got %#v, error %v", name, arg, got, err)
			}
		})
}

func isPanic(err error) bool {
	var panicked function.PanicError
	return errors.As(err, &panicked)
}
