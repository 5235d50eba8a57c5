package funcs

import (
	"maps"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Group is functions of one kind, for reference documentation and help.
type Group struct {
	Title     string
	Functions []Entry
}

// Entry describes one function.
type Entry struct {
	Name string
	// Signature is how it is called: what is in brackets may be left out, and what is before an ellipsis may be repeated.
	Signature   string
	Description string
	Params      []function.Parameter
	Examples    []Example
}

// Example is a call and its result, both as templates write them. The result is empty where each call has its own.
type Example struct{ Call, Result string }

// Reference describes every function, those for the defaults of variables included.
func Reference() []Group {
	table := Table(Env{})
	maps.Copy(table, VariableDefaults(func(string) (string, bool) { return "", false }))
	var out []Group
	for _, g := range documentation() {
		group := Group{Title: g.title}
		for _, d := range g.functions {
			f := table[d.name]
			params := f.Params()
			if v := f.VarParam(); v != nil {
				params = append(params, *v)
			}
			group.Functions = append(group.Functions, Entry{
				Name: d.name, Signature: signature(d.name, f), Description: f.Description(), Params: params, Examples: d.examples,
			})
		}
		out = append(out, group)
	}
	return out
}

// signature writes how a function is called.
func signature(name string, f function.Function) string {
	var b strings.Builder
	b.WriteString(name + "(")
	for i, p := range f.Params() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.Name)
	}
	if v := f.VarParam(); v != nil {
		between := ""
		if len(f.Params()) > 0 {
			between = ", "
		}
		switch name {
		case "aws_parameterstore", "bcrypt", "legacy_isotime": // at most one
			b.WriteString("[" + between + v.Name + "]")
		default:
			b.WriteString(between + v.Name + "...")
		}
	}
	return b.String() + ")"
}

// TypeName is the name of a parameter's type, as a sentence has it.
func TypeName(t cty.Type) string {
	if t == cty.DynamicPseudoType {
		return "any"
	}
	return t.FriendlyNameForConstraint()
}

type documentedGroup struct {
	title     string
	functions []documented
}

type documented struct {
	name     string
	examples []Example
}

// documentation is the order and the examples of the reference. What the functions are and take, they say themselves.
func documentation() []documentedGroup {
	return []documentedGroup{
		{"Numbers", []documented{
			{"abs", []Example{{`abs(-12.5)`, `12.5`}}},
			{"ceil", []Example{{`ceil(4.1)`, `5`}}},
			{"floor", []Example{{`floor(4.9)`, `4`}}},
			{"log", []Example{{`log(1024, 2)`, `10`}}},
			{"max", []Example{{`max(5, 12, 9)`, `12`}}},
			{"min", []Example{{`min(5, 12, 9)`, `5`}}},
			{"parseint", []Example{{`parseint("ff", 16)`, `255`}, {`parseint("Zz", 62)`, `3817`}}},
			{"pow", []Example{{`pow(2, 10)`, `1024`}}},
			{"signum", []Example{{`signum(-3)`, `-1`}}},
			{"sum", []Example{{`sum([1, 2.5, "3"])`, `6.5`}}},
		}},
		{"Strings", []documented{
			{"chomp", []Example{{`chomp("text\r\n\n")`, `"text"`}}},
			{"endswith", []Example{{`endswith("image.qcow2", ".qcow2")`, `true`}}},
			{"format", []Example{{`format("%s-%03d", "web", 7)`, `"web-007"`}, {`format("%[2]s %[1]s", "b", "a")`, `"a b"`}}},
			{"formatlist", []Example{{`formatlist("%s:%d", ["a", "b"], [1, 2])`, `["a:1", "b:2"]`}}},
			{"indent", []Example{{`indent(2, "a:\nb")`, `"a:\n  b"`}}},
			{"join", []Example{{`join(", ", ["a", "b"], ["c"])`, `"a, b, c"`}}},
			{"length", []Example{{`length("héllo")`, `5`}, {`length([1, 2])`, `2`}, {`length({ a = 1 })`, `1`}}},
			{"lower", []Example{{`lower("HELLO")`, `"hello"`}}},
			{"regex", []Example{{`regex("[a-z]+", "53abc")`, `"abc"`}, {`regex("(?P<major>\\d+)\\.(?P<minor>\\d+)", "v1.16")`, `{
  major = "1"
  minor = "16"
}`}}},
			{"regex_replace", []Example{{`regex_replace("a-1 b-2", "(\\w)-(\\d)", "$2$1")`, `"1a 2b"`}}},
			{"regexall", []Example{{`regexall("\\d+", "a1b22")`, `["1", "22"]`}}},
			{"replace", []Example{{`replace("1.2.3", ".", "-")`, `"1-2-3"`}}},
			{"split", []Example{{`split(",", "a,b,c")`, `["a", "b", "c"]`}}},
			{"startswith", []Example{{`startswith("ubuntu-24.04", "ubuntu")`, `true`}}},
			{"strcontains", []Example{{`strcontains("hello", "ell")`, `true`}}},
			{"strrev", []Example{{`strrev("stressed")`, `"desserts"`}}},
			{"substr", []Example{{`substr("hello world", 0, 5)`, `"hello"`}, {`substr("hello", -3, -1)`, `"llo"`}}},
			{"title", []Example{{`title("hello world")`, `"Hello World"`}}},
			{"trim", []Example{{`trim("--a-b--", "-")`, `"a-b"`}}},
			{"trimprefix", []Example{{`trimprefix("v1.2", "v")`, `"1.2"`}}},
			{"trimspace", []Example{{`trimspace("  a \n")`, `"a"`}}},
			{"trimsuffix", []Example{{`trimsuffix("disk.img", ".img")`, `"disk"`}}},
			{"upper", []Example{{`upper("hello")`, `"HELLO"`}}},
		}},
		{"Collections", []documented{
			{"alltrue", []Example{{`alltrue([true, "true"])`, `true`}, {`alltrue([])`, `true`}}},
			{"anytrue", []Example{{`anytrue([false, true])`, `true`}, {`anytrue([])`, `false`}}},
			{"chunklist", []Example{{`chunklist(["a", "b", "c"], 2)`, `[["a", "b"], ["c"]]`}}},
			{"coalesce", []Example{{`coalesce("", null, "b")`, `"b"`}}},
			{"coalescelist", []Example{{`coalescelist([], ["b"])`, `["b"]`}}},
			{"compact", []Example{{`compact(["a", "", null, "b"])`, `["a", "b"]`}}},
			{"concat", []Example{{`concat(["a"], ["b", "c"])`, `["a", "b", "c"]`}}},
			{"contains", []Example{{`contains(["a", "b"], "b")`, `true`}}},
			{"distinct", []Example{{`distinct(["a", "b", "a"])`, `["a", "b"]`}}},
			{"element", []Example{{`element(["a", "b"], 3)`, `"b"`}}},
			{"flatten", []Example{{`flatten([["a"], [["b"], "c"]])`, `["a", "b", "c"]`}}},
			{"index", []Example{{`index(["a", "b"], "b")`, `1`}}},
			{"keys", []Example{{`keys({ b = 1, a = 2 })`, `["a", "b"]`}}},
			{"lookup", []Example{{`lookup({ a = 1 }, "b", 0)`, `0`}}},
			{"merge", []Example{{`merge({ a = 1, b = 1 }, { b = 2 })`, `{
  a = 1
  b = 2
}`}}},
			{"range", []Example{{`range(3)`, `[0, 1, 2]`}, {`range(1, 8, 3)`, `[1, 4, 7]`}}},
			{"reverse", []Example{{`reverse(["a", "b"])`, `["b", "a"]`}}},
			{"setintersection", []Example{{`setintersection(["a", "b"], ["b", "c"])`, `["b"]`}}},
			{"setproduct", []Example{{`setproduct(["a", "b"], [1, 2])`, `[["a", 1], ["a", 2], ["b", 1], ["b", 2]]`}}},
			{"setunion", []Example{{`setunion(["a"], ["b", "a"])`, `["a", "b"]`}}},
			{"slice", []Example{{`slice(["a", "b", "c"], 1, 3)`, `["b", "c"]`}}},
			{"sort", []Example{{`sort(["b", "a", "B"])`, `["B", "a", "b"]`}}},
			{"values", []Example{{`values({ b = 1, a = 2 })`, `[2, 1]`}}},
			{"zipmap", []Example{{`zipmap(["a", "b"], [1, 2])`, `{
  a = 1
  b = 2
}`}}},
		}},
		{"Encoding", []documented{
			{"base64decode", []Example{{`base64decode("aMOpbGxv")`, `"héllo"`}}},
			{"base64encode", []Example{{`base64encode("héllo")`, `"aMOpbGxv"`}}},
			{"base64gzip", []Example{{`base64gzip("hello")`, ""}}},
			{"csvdecode", []Example{{`csvdecode("name,size\nweb,2\ndb,4")`, `[{
  name = "web"
  size = "2"
  }, {
  name = "db"
  size = "4"
}]`}}},
			{"jsondecode", []Example{{`jsondecode("{\"a\": [1, true]}")`, `{
  a = [1, true]
}`}}},
			{"jsonencode", []Example{{`jsonencode({ a = [1, "<x>"] })`, `"{\"a\":[1,\"\\u003cx\\u003e\"]}"`}}},
			{"textdecodebase64", []Example{{`textdecodebase64("aABpAA==", "UTF-16LE")`, `"hi"`}}},
			{"textencodebase64", []Example{{`textencodebase64("hi", "UTF-16LE")`, `"aABpAA=="`}}},
			{"urlencode", []Example{{`urlencode("a b&c")`, `"a+b%26c"`}}},
			{"yamldecode", []Example{{`yamldecode("a: 1\nb: [x, y]")`, `{
  a = 1
  b = ["x", true]
}`}}},
			{"yamlencode", []Example{{`yamlencode({ a = [1, "x"] })`, `"\"a\":\n- 1\n- \"x\"\n"`}}},
		}},
		{"Files and paths", []documented{
			{"abspath", []Example{{`abspath("/a/../b")`, `"/b"`}}},
			{"basename", []Example{{`basename("scripts/setup.sh")`, `"setup.sh"`}}},
			{"dirname", []Example{{`dirname("scripts/setup.sh")`, `"scripts"`}}},
			{"file", []Example{{`file("hello.txt")`, `"héllo\n"`}}},
			{"filebase64", []Example{{`filebase64("hello.txt")`, `"aMOpbGxvCg=="`}}},
			{"fileexists", []Example{{`fileexists("hello.txt")`, `true`}, {`fileexists("missing.txt")`, `false`}}},
			{"fileset", []Example{{`fileset("scripts", "**/*.sh")`, `["a.sh", "b.sh", "deep/c.sh"]`}}},
			{"pathexpand", []Example{{`pathexpand("images/disk.img")`, `"images/disk.img"`}}},
			{"templatefile", []Example{{`templatefile("greet.tpl", { name = "you", ports = [80, 443] })`, `"Hello you! 80 443"`}}},
		}},
		{"Hashes, keys and identifiers", []documented{
			{"bcrypt", []Example{{`bcrypt("password", 4)`, ""}}},
			{"md5", []Example{{`md5("hello")`, `"5d41402abc4b2a76b9719d911017c592"`}}},
			{"rsadecrypt", []Example{{`rsadecrypt(rsa_ciphertext, rsa_key)`, `"grüße"`}}},
			{"sha1", []Example{{`sha1("hello")`, `"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"`}}},
			{"sha256", []Example{{`sha256("hello")`, `"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"`}}},
			{"sha512", []Example{{`sha512("hello")`, `"9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"`}}},
			{"uuidv4", []Example{{`uuidv4()`, ""}}},
			{"uuidv5", []Example{{`uuidv5("dns", "example.com")`, `"cfbff0d1-9375-5685-968c-48ce8b15ae17"`}}},
		}},
		{"IP networks", []documented{
			{"cidrhost", []Example{{`cidrhost("10.12.0.0/20", 16)`, `"10.12.0.16"`}, {`cidrhost("10.12.0.0/20", -1)`, `"10.12.15.255"`}}},
			{"cidrnetmask", []Example{{`cidrnetmask("172.16.0.0/12")`, `"255.240.0.0"`}}},
			{"cidrsubnet", []Example{{`cidrsubnet("172.16.0.0/12", 4, 2)`, `"172.18.0.0/16"`}}},
			{"cidrsubnets", []Example{{`cidrsubnets("10.1.0.0/16", 4, 4, 8)`, `["10.1.0.0/20", "10.1.16.0/20", "10.1.32.0/24"]`}}},
		}},
		{"Date and time", []documented{
			{"formatdate", []Example{{`formatdate("DD MMM YYYY hh:mm ZZZ", "2024-02-29T13:04:05Z")`, `"29 Feb 2024 13:04 UTC"`}}},
			{"legacy_isotime", []Example{{`legacy_isotime("2006-01-02")`, `"2024-02-29"`}, {`legacy_isotime()`, `"2024-02-29T12:04:05Z"`}}},
			{"legacy_strftime", []Example{{`legacy_strftime("%Y-%m-%d %H:%M")`, `"2024-02-29 12:04"`}}},
			{"rfc3339_parse", []Example{{`rfc3339_parse("2024-12-30T13:04:05+02:00").iso_week`, `1`}, {`rfc3339_parse("2024-12-30 13:04:05Z")`, `{
  day          = 30
  hour         = 13
  iso_week     = 1
  iso_year     = 2025
  minute       = 4
  month        = 12
  month_name   = "December"
  second       = 5
  unix         = 1735563845
  weekday      = 1
  weekday_name = "Monday"
  year         = 2024
  year_day     = 365
}`}}},
			{"timeadd", []Example{{`timeadd("2024-02-29T13:04:05Z", "-24h")`, `"2024-02-28T13:04:05Z"`}}},
			{"timestamp", []Example{{`timestamp()`, `"2024-02-29T12:04:05Z"`}}},
			{"unix_timestamp_parse", []Example{{`unix_timestamp_parse(1735556645).rfc3339`, `"2024-12-30T11:04:05Z"`}, {`unix_timestamp_parse("0").year`, `1970`}}},
		}},
		{"Values from elsewhere", []documented{
			{"aws_parameterstore", []Example{{`aws_parameterstore("/app/color")`, `"red"`}, {`aws_parameterstore("/app/secret", false)`, `"AQICA=="`}}},
			{"aws_secretsmanager", []Example{{`aws_secretsmanager("db", "user")`, `"admin"`}, {`aws_secretsmanager("one", null)`, `"only"`}}},
			{"aws_secretsmanager_raw", []Example{{`aws_secretsmanager_raw("one")`, `"{\"k\": \"only\"}"`}}},
			{"consul_key", []Example{{`consul_key("app/color")`, `"red"`}}},
			{"env", []Example{{`env("HOME")`, `"/home/user"`}}},
			{"vault", []Example{{`vault("secret/data/web", "user")`, `"admin"`}}},
		}},
		{"Control", []documented{
			{"can", []Example{{`can(file("missing.txt"))`, `false`}}},
			{"convert", []Example{{`convert("5", number)`, `5`}, {`convert(["b", "a", "b"], set(string))`, `["a", "b"]`}}},
			{"try", []Example{{`try({ a = 1 }.b, "none")`, `"none"`}}},
		}},
	}
}
