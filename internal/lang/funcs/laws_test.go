package funcs

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// draws makes arbitrary values for laws, the same ones in every run.
type draws struct{ *rand.Rand }

func (d draws) number(from, to int) cty.Value {
	return cty.NumberIntVal(int64(from + d.IntN(to-from+1)))
}

// alphabet has what separators, encodings and graphemes can stumble over.
var alphabet = []string{
	"a", "b", "Z", "0", "9", " ", "\n", "\t", ",", "\"", "'", "\\", "/", "+", "=", "%", "&", "<", "$", "{", "}", "#", ":", "-", ".",
	"é", "ß", "日", "𝄞", "e\u0301", "👩‍👩‍👧", "\u00a0", "\u0001",
}

func (d draws) textOf(letters []string, most int) string {
	var b strings.Builder
	for range d.IntN(most + 1) {
		b.WriteString(letters[d.IntN(len(letters))])
	}
	return b.String()
}

func (d draws) text() cty.Value { return cty.StringVal(d.textOf(alphabet, 12)) }

// word is a short text of few letters, so that words repeat.
func (d draws) word() cty.Value {
	return cty.StringVal(string(rune('a'+d.IntN(4))) + d.textOf([]string{"x", "y"}, 1))
}

func (d draws) words(least int) cty.Value {
	var list []cty.Value
	for range least + d.IntN(8) {
		list = append(list, d.word())
	}
	if len(list) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	return cty.ListVal(list)
}

func (d draws) dictionary() cty.Value {
	m := map[string]cty.Value{}
	for range d.IntN(6) {
		m[d.word().AsString()] = d.word()
	}
	if len(m) == 0 {
		return cty.MapValEmpty(cty.String)
	}
	return cty.MapVal(m)
}

// document is anything that JSON and YAML can hold.
func (d draws) document(depth int) cty.Value {
	kind := d.IntN(6)
	if depth == 0 {
		kind = d.IntN(4)
	}
	switch kind {
	case 0:
		return d.text()
	case 1:
		return cty.NumberFloatVal(math.Round(d.NormFloat64()*1e6) / 1024)
	case 2:
		return cty.BoolVal(d.IntN(2) == 0)
	case 3:
		return cty.NullVal(cty.DynamicPseudoType)
	case 4:
		list := make([]cty.Value, d.IntN(4))
		for i := range list {
			list[i] = d.document(depth - 1)
		}
		return cty.TupleVal(list)
	}
	m := map[string]cty.Value{}
	for range d.IntN(4) {
		m[d.textOf(alphabet, 5)] = d.document(depth - 1)
	}
	return cty.ObjectVal(m)
}

func (d draws) time() cty.Value {
	zone := time.FixedZone("", (d.IntN(27)-13)*3600+d.IntN(2)*1800)
	return cty.StringVal(time.Unix(d.Int64N(4e9), 0).In(zone).Format(time.RFC3339))
}

func (d draws) prefix() cty.Value {
	if d.IntN(2) == 0 {
		return cty.StringVal(fmt.Sprintf("%d.%d.%d.%d/%d", d.IntN(256), d.IntN(256), d.IntN(256), d.IntN(256), d.IntN(23)))
	}
	return cty.StringVal(fmt.Sprintf("%x:%x::%x/%d", d.IntN(1<<16), d.IntN(1<<16), d.IntN(1<<16), d.IntN(65)))
}

// variables of laws: s, t, u are texts; w, v words; a, b, c lists of words; e a list with at least one; m, n maps; d a
// document; i, j small numbers, k one that may be negative; at a time; p a prefix.
func (d draws) variables() map[string]cty.Value {
	return map[string]cty.Value{
		"s": d.text(), "t": d.text(), "u": d.text(), "w": d.word(), "v": d.word(),
		"a": d.words(0), "b": d.words(0), "c": d.words(0), "e": d.words(1),
		"m": d.dictionary(), "n": d.dictionary(), "d": d.document(3),
		"i": d.number(0, 9), "j": d.number(1, 9), "k": d.number(-1000, 1000), "x": cty.NumberFloatVal(d.Float64()*2000 - 1000),
		"at": d.time(), "p": d.prefix(),
	}
}

// laws are expressions that are true whatever their variables are.
var laws = []string{
	// Encodings are undone by their decodings.
	`base64decode(base64encode(s)) == s`,
	`jsondecode(jsonencode(d)) == d`,
	`yamldecode(yamlencode(d)) == d`,
	`yamldecode(jsonencode(d)) == d`,
	`jsonencode(jsondecode(jsonencode(d))) == jsonencode(d)`,
	`textdecodebase64(textencodebase64(s, "UTF-8"), "UTF-8") == s`,
	`textdecodebase64(textencodebase64(s, "UTF-16LE"), "UTF-16LE") == s`,
	`textencodebase64(s, "UTF-8") == base64encode(s)`,
	`length(regexall("[^A-Za-z0-9%+._~-]", urlencode(s))) == 0`,
	`urlencode("${s}${t}") == "${urlencode(s)}${urlencode(t)}"`,
	`csvdecode("h,g\n${join("", [for y in a : "${y},\"${y},${v}\"\n"])}") == convert([for y in a : {h = y, g = "${y},${v}"}], list(object({h = string, g = string})))`,

	// Strings.
	`split("|", join("|", e)) == e`,
	`join(t == "" ? "|" : t, split(t == "" ? "|" : t, s)) == s`,
	`strrev(strrev(s)) == s`,
	`length(strrev(s)) == length(s)`,
	`substr(s, 0, -1) == s`,
	`"${substr(s, 0, i)}${substr(s, min(i, length(s)), -1)}" == s`,
	`length(substr(s, min(i, length(s)), j)) == min(j, length(s) - min(i, length(s)))`,
	`i == 0 || i > length(s) ? true : substr(s, -i, -1) == substr(s, length(s) - i, -1)`,
	`replace(s, "§", t) == s`,
	`w == v ? true : replace(replace("1${w}2", w, "§"), "§", w) == "1${w}2"`,
	`strcontains(replace(s, "a", ""), "a") == false`,
	`replace(s, ".", "-") == regex_replace(s, "\\.", "-")`,
	`startswith("${s}${t}", s) && endswith("${s}${t}", t) && strcontains("${s}${t}${u}", t)`,
	`trimprefix("${w}${t}", w) == t`,
	`trimsuffix("${s}${w}", w) == s`,
	`trimspace(" \t${s}\n ") == trimspace(s)`,
	`trimspace(trimspace(s)) == trimspace(s)`,
	`trim(trim(s, "ab"), "ab") == trim(s, "ab")`,
	`chomp("${chomp(s)}\n\r\n\n") == chomp(s)`,
	`lower(upper(w)) == w && upper(lower(upper(s))) == upper(s)`,
	`indent(0, s) == s`,
	`join("\n", split("\n${join("", [for y in range(i) : " "])}", indent(i, s))) == s || i == 0 || strcontains(s, "\n ")`,
	`length(regexall("[ab]", s)) == length(split("a", replace(s, "b", "a"))) - 1`,
	`can(regex("^[0-9]+$", s)) == (length(regexall("^[0-9]+$", s)) > 0)`,
	`format("%s", s) == s && format("%s%%%s", s, t) == "${s}%${t}"`,
	`format("%[2]s%[1]s", s, t) == "${t}${s}"`,
	`format("%d!", k) == "${k}!" && parseint(format("%d", k), 10) == k`,
	`parseint(format("%x", i * j), 16) == i * j && parseint(format("%b", i * j), 2) == i * j && parseint(format("%o", i * j), 8) == i * j`,
	`jsondecode(format("%q", w)) == w`,
	`formatlist("%s-%s", e, w) == convert([for y in e : "${y}-${w}"], list(string))`,

	// Collections.
	`reverse(reverse(a)) == a`,
	`length(reverse(a)) == length(a)`,
	`sort(reverse(a)) == sort(a) && sort(sort(a)) == sort(a)`,
	`sort(concat(a, b)) == sort(concat(b, a))`,
	`concat(concat(a, b), c) == concat(a, concat(b, c))`,
	`length(concat(a, b)) == length(a) + length(b)`,
	`distinct(distinct(a)) == distinct(a)`,
	`alltrue([for y in a : contains(distinct(a), y)])`,
	`length(distinct(a)) == length(convert(a, set(string)))`,
	`alltrue([for y in distinct(a) : index(a, y) == [for q, z in a : q if z == y][0]])`,
	`flatten([for y in chunklist(a, j) : [for z in y : [z]]]) == [for y in a : y]`,
	`alltrue([for y in chunklist(a, j) : length(y) <= j])`,
	`flatten([[a], [[b]], c]) == [for y in concat(a, b, c) : y]`,
	`compact(concat(a, ["", ""], b)) == concat(a, b)`,
	`concat(slice(a, 0, min(i, length(a))), slice(a, min(i, length(a)), length(a))) == a`,
	`element(e, i) == e[i % length(e)]`,
	`contains(a, w) == anytrue([for y in a : y == w])`,
	`contains(a, w) == can(index(a, w))`,
	`alltrue([for y in a : y == a[index(a, y)]])`,
	`setunion(a, b) == setunion(b, a)`,
	`setunion(a, setunion(b, c)) == setunion(setunion(a, b), c)`,
	`setintersection(a, b) == setintersection(b, a)`,
	`setintersection(a, setunion(a, b)) == convert(a, set(string))`,
	`setintersection(a, setunion(b, c)) == setunion(setintersection(a, b), setintersection(a, c))`,
	`length(setunion(a, b)) + length(setintersection(a, b)) == length(distinct(a)) + length(distinct(b))`,
	`length(setproduct(a, b, e)) == length(a) * length(b) * length(e)`,
	`zipmap(keys(m), values(m)) == m`,
	`keys(m) == sort(keys(m)) && length(keys(m)) == length(m)`,
	`[for y in keys(m) : m[y]] == [for y in values(m) : y]`,
	`merge(m, m) == m && length(merge(m, {})) == length(m)`,
	`merge(merge(m, n), m) == merge(n, m)`,
	`keys(merge(m, n)) == sort(distinct(concat(keys(m), keys(n))))`,
	`alltrue([for y in keys(merge(m, n)) : merge(m, n)[y] == lookup(n, y, lookup(m, y, "§"))])`,
	`lookup(m, "§", w) == w`,
	`coalesce("", s, "§") == (s == "" ? "§" : s)`,
	`coalescelist(a, e) == (length(a) > 0 ? a : e)`,
	`length(range(i)) == i && sum(concat([0], range(i))) == i * max(i - 1, 0) / 2`,
	`range(i, i + j) == convert([for y in range(j) : y + i], list(number))`,
	`reverse(range(j)) == range(j - 1, -1)`,
	`alltrue([for y in a : true]) && anytrue([for y in a : false]) == false`,
	`convert(convert(k, string), number) == k`,

	// Numbers.
	`abs(x) == abs(-x) && abs(x) >= 0`,
	`abs(k) * signum(k) == k`,
	`floor(x) <= x && x < floor(x) + 1 && ceil(x) - 1 < x && x <= ceil(x)`,
	`ceil(x) == -floor(-x)`,
	`max(x, k, i) == -min(-x, -k, -i)`,
	`sum([x, k, i]) == x + k + i`,
	`pow(j, 2) == j * j && pow(j, 0) == 1`,
	`abs(log(pow(j + 1, i), j + 1) - i) < 0.000000001`,
	`abs(pow(2, log(j, 2)) - j) < 0.000000001`,
	`try(1 / 0, 0) > 1e300`,

	// Hashes have their length, and the same name has the same identifier.
	`length(md5(s)) == 32 && length(sha1(s)) == 40 && length(sha256(s)) == 64 && length(sha512(s)) == 128`,
	`(sha256(s) == sha256(t)) == (s == t)`,
	`uuidv5("dns", s) == uuidv5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", s)`,
	`can(regex("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", uuidv4()))`,

	// Networks.
	`cidrhost(p, 0) == cidrhost(cidrsubnet(p, j, 0), 0)`,
	`cidrhost(p, -1) == cidrhost(cidrsubnet(p, j, pow(2, j) - 1), -1)`,
	`cidrsubnets(p, j, j) == convert([cidrsubnet(p, j, 0), cidrsubnet(p, j, 1)], list(string))`,
	`cidrsubnet(cidrsubnet(p, 3, 5), 2, 1) == cidrsubnet(p, 5, 21)`,
	`cidrnetmask(p) == cidrnetmask(cidrsubnet(p, 0, 0))`,

	// Times.
	`timeadd(timeadd(at, "${k}m"), "${-k}m") == at`,
	`rfc3339_parse(timeadd(at, "${k}s")).unix == rfc3339_parse(at).unix + k`,
	`formatdate("YYYY-MM-DD'T'hh:mm:ssZ", at) == at`,
	`formatdate("YYYY", at) == format("%04d", rfc3339_parse(at).year)`,
	`formatdate("EEEE, MMMM", at) == "${rfc3339_parse(at).weekday_name}, ${rfc3339_parse(at).month_name}"`,
	`unix_timestamp_parse(rfc3339_parse(at).unix).year_day == rfc3339_parse(unix_timestamp_parse(rfc3339_parse(at).unix).rfc3339).year_day`,

	// Paths.
	`basename("/${w}/${v}") == v && dirname("/${w}/${v}") == "/${w}"`,
	`abspath(abspath("${w}/../${v}")) == abspath(v)`,
	`can(try(nothing_of_this_name, s)) && try(nothing_of_this_name, s) == s`,
}

// TestLaws checks every law with values drawn from a fixed seed.
func TestLaws(t *testing.T) {
	table := Table(testEnv(t))
	const rounds = 100
	for n, law := range laws {
		expr, diags := hclsyntax.ParseExpression([]byte(law), "law", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatalf("%s: %v", law, diags)
		}
		d := draws{rand.New(rand.NewPCG(1, uint64(n)))}
		for range rounds {
			vars := d.variables()
			got, diags := expr.Value(&hcl.EvalContext{Variables: vars, Functions: table})
			if diags.HasErrors() || !got.RawEquals(cty.True) {
				t.Errorf("%s\n does not hold: %#v %v\n for %s", law, got, diags, used(expr, vars))
				break
			}
		}
	}
}

// used lists the variables of an expression.
func used(expr hcl.Expression, vars map[string]cty.Value) string {
	var b strings.Builder
	for _, tr := range expr.Variables() {
		fmt.Fprintf(&b, "%s = %#v; ", tr.RootName(), vars[tr.RootName()])
	}
	return b.String()
}

// TestFormatAgreesWithStrconv compares verbs for numbers with the standard library.
func TestFormatAgreesWithStrconv(t *testing.T) {
	f := Table(Env{})["format"]
	call := func(verb string, v cty.Value) string {
		t.Helper()
		got, err := f.Call([]cty.Value{cty.StringVal(verb), v})
		if err != nil {
			t.Fatal(err)
		}
		return got.AsString()
	}
	d := draws{rand.New(rand.NewPCG(1, 2))}
	for range 500 {
		n, x := d.Int64()-d.Int64(), d.NormFloat64()*math.Pow(10, float64(d.IntN(20)-10))
		for verb, want := range map[string]string{
			"%d": strconv.FormatInt(n, 10), "%x": strconv.FormatInt(n, 16), "%X": strings.ToUpper(strconv.FormatInt(n, 16)),
			"%o": strconv.FormatInt(n, 8), "%b": strconv.FormatInt(n, 2),
			"%08d": fmt.Sprintf("%08d", n), "%+d": fmt.Sprintf("%+d", n), "%-22d|": fmt.Sprintf("%-22d|", n),
		} {
			if got := call(verb, cty.NumberIntVal(n)); got != want {
				t.Errorf("%s of %d: %q, want %q", verb, n, got, want)
			}
		}
		for verb, want := range map[string]string{
			"%.3f": strconv.FormatFloat(x, 'f', 3, 64), "%.5e": strconv.FormatFloat(x, 'e', 5, 64), "%9.2f": fmt.Sprintf("%9.2f", x),
		} {
			if got := call(verb, cty.NumberFloatVal(x)); got != want {
				t.Errorf("%s of %g: %q, want %q", verb, x, got, want)
			}
		}
	}
}

// TestParseIntAgreesWithStrconv in every base that both know.
func TestParseIntAgreesWithStrconv(t *testing.T) {
	f := Table(Env{})["parseint"]
	d := draws{rand.New(rand.NewPCG(3, 4))}
	for range 500 {
		n, base := d.Int64()-d.Int64(), 2+d.IntN(35)
		for _, digits := range []string{strconv.FormatInt(n, base), strings.ToUpper(strconv.FormatInt(n, base))} {
			got, err := f.Call([]cty.Value{cty.StringVal(digits), cty.NumberIntVal(int64(base))})
			if err != nil || !got.RawEquals(cty.NumberIntVal(n)) {
				t.Errorf("%s in base %d: %#v, error %v, want %d", digits, base, got, err, n)
			}
		}
	}
}
