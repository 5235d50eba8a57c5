package funcs

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"testing"
	"testing/quick"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
)

var encodingCases = map[string][]evalCase{
	"base64encode": {{`base64encode("héllo")`, `"aMOpbGxv"`}, {`base64encode("")`, `""`}},
	"base64decode": {
		{`base64decode("aMOpbGxv")`, `"héllo"`},
		{`base64decode("!")`, `error: "!" is not valid Base64`},
		{`base64decode(join("", [for i in range(99) : "é"]))`, `error: (198 bytes) is not valid Base64`},
		{`base64decode("YQ")`, `error: "YQ" is not valid Base64`},
		{`base64decode("//4=")`, `error: not valid UTF-8`},
	},
	"base64gzip": {{`base64gzip(null)`, `error: must not be null`}},
	"csvdecode": {
		{`csvdecode("a,b\n1,2\n3,4\n")`, `convert([{a = "1", b = "2"}, {a = "3", b = "4"}], list(object({a = string, b = string})))`},
		{`csvdecode("a,b")`, `convert([], list(object({a = string, b = string})))`},
		{`csvdecode("a\n\"x,\"\"y\"\n")`, `convert([{a = "x,\"y"}], list(object({a = string})))`},
		{`csvdecode("")`, `error: missing header line`},
		{`csvdecode("a,a\n1,2")`, `error: duplicate column name "a"`},
		{`csvdecode("a,b\n1")`, `error: wrong number of fields`},
	},
	"jsondecode": {
		{`jsondecode("{\"a\": [1, true, null, \"x\"]}")`, `{a = [1, true, null, "x"]}`},
		{`jsondecode("null")`, `null`},
		{`jsondecode("{")`, `error: EOF`},
		{`jsondecode("1 2")`, `error: extraneous data`},
	},
	"jsonencode": {
		{`jsonencode({b = [1, "x", true, null], a = "<&>"})`, `"{\"a\":\"\\u003c\\u0026\\u003e\",\"b\":[1,\"x\",true,null]}"`},
		{`jsonencode(null)`, `"null"`},
		{`jsonencode([unknown])`, `unknown_string`},
	},
	"textencodebase64": {
		{`textencodebase64("héllo", "UTF-16LE")`, `"aADpAGwAbABvAA=="`},
		{`textencodebase64("héllo", "windows-1252")`, `"aOlsbG8="`},
		{`textencodebase64("日", "windows-1252")`, `error: "日" has characters that windows-1252 cannot express`},
		{`textencodebase64("a", "bogus")`, `error: "bogus" is not the IANA name of a character encoding`},
		{`textencodebase64("a", "UTF-32")`, `error: character encoding "UTF-32" is not supported`},
	},
	"textdecodebase64": {
		{`textdecodebase64("aADpAGwAbABvAA==", "UTF-16LE")`, `"héllo"`},
		{`textdecodebase64("aOlsbG8=", "windows-1252")`, `"héllo"`},
		{`textdecodebase64("gQ==", "windows-1252")`, `error: some bytes are no characters in windows-1252`},
		{`textdecodebase64("YQ==", "UTF-16LE")`, `error: some bytes are no characters in UTF-16LE`},
		{`textdecodebase64("!", "UTF-8")`, `error: "!" is not valid Base64`},
		{`textdecodebase64("YQ==", "bogus")`, `error: "bogus" is not the IANA name`},
	},
	"urlencode": {{`urlencode("a b&c=d/é")`, `"a+b%26c%3Dd%2F%C3%A9"`}},
	"yamlencode": {
		{`yamlencode({a = [1, "x", true], b = null})`, `"\"a\":\n- 1\n- \"x\"\n- true\n\"b\": null\n"`},
		{`yamlencode(null)`, `"null\n...\n"`},
		{`yamlencode({a = unknown})`, `unknown_string`},
	},
	"yamldecode": {
		{`yamldecode("a: 1\nb: [x, true, ~]\n")`, `{a = 1, b = ["x", true, null]}`},
		{`yamldecode("a: &x 1\nb: *x\n")`, `{a = 1, b = 1}`},
		{`yamldecode("a: 1\n---\nb: 2\n")`, `error: unexpected extra content`},
		{`yamldecode("a: [")`, `error: on line 1`},
		{`yamldecode("a: *x")`, `error: undefined anchor "x"`},
	},
}

func TestBase64RoundTrip(t *testing.T) {
	table := Table(Env{})
	property := func(s string) bool {
		text := cty.StringVal(s)
		if !utf8.ValidString(s) {
			return true
		}
		packed, err := table["base64encode"].Call([]cty.Value{text})
		if err != nil {
			return false
		}
		back, err := table["base64decode"].Call([]cty.Value{packed})
		return err == nil && back.RawEquals(text)
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

func TestTextEncodingRoundTrip(t *testing.T) {
	table := Table(Env{})
	for _, charset := range []string{"UTF-8", "UTF-16LE", "UTF-16BE"} {
		property := func(s string) bool {
			text, name := cty.StringVal(s), cty.StringVal(charset)
			if !utf8.ValidString(s) || bytes.ContainsRune([]byte(s), utf8.RuneError) {
				return true
			}
			packed, err := table["textencodebase64"].Call([]cty.Value{text, name})
			if err != nil {
				return false
			}
			back, err := table["textdecodebase64"].Call([]cty.Value{packed, name})
			return err == nil && back.RawEquals(text)
		}
		if err := quick.Check(property, nil); err != nil {
			t.Errorf("%s: %v", charset, err)
		}
	}
}

func TestBase64GzipUnpacks(t *testing.T) {
	table := Table(Env{})
	for _, s := range []string{"", "héllo", string(bytes.Repeat([]byte("abc"), 10_000))} {
		got, err := table["base64gzip"].Call([]cty.Value{cty.StringVal(s)})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(got.AsString())
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(r); err != nil || string(back) != s {
			t.Errorf("%d bytes unpack to %d, error %v", len(s), len(back), err)
		}
	}
}

// Ensure what jsonencode and yamlencode write is read back as the same value.
func TestDocumentRoundTrip(t *testing.T) {
	table := Table(Env{})
	for _, kind := range []string{"json", "yaml"} {
		property := func(s string, n int64, b bool) bool {
			if !utf8.ValidString(s) {
				return true
			}
			v := cty.ObjectVal(map[string]cty.Value{
				"s": cty.StringVal(s), "l": cty.TupleVal([]cty.Value{cty.NumberIntVal(n), cty.BoolVal(b), cty.NullVal(cty.DynamicPseudoType)}),
			})
			text, err := table[kind+"encode"].Call([]cty.Value{v})
			if err != nil {
				return false
			}
			back, err := table[kind+"decode"].Call([]cty.Value{text})
			return err == nil && back.RawEquals(v)
		}
		if err := quick.Check(property, nil); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func FuzzYAMLDecode(f *testing.F) {
	fuzzDecoder(f, "yamldecode", "a: 1", "- &x [1]\n- *x", "a: |\n b\n", "? x\n: y", "!!binary YQ==", "<<: {a: 1}", "2001-01-01", "--- >\n\tx", "\"\\x")
}

func FuzzCSVDecode(f *testing.F) {
	fuzzDecoder(f, "csvdecode", "a,b\n1,2", "", "\"", "a,a", "\xef\xbb\xbfa\n1", "e\u0301,\u00e9\n1,2")
}

func FuzzJSONDecode(f *testing.F) {
	fuzzDecoder(f, "jsondecode", `{"a": 1}`, `[1e9999]`, `{"a":1,"a":2}`, "null", `"\ud800"`)
}

// fuzzDecoder checks that a decoder answers with a value or an error, whatever the text.
func fuzzDecoder(f *testing.F, name string, seeds ...string) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	decode := Table(Env{})[name]
	f.Fuzz(func(t *testing.T, s string) {
		got, err := decode.Call([]cty.Value{cty.StringVal(s)})
		if isPanic(err) {
			t.Fatalf("panic: %v", err)
		}
		if err == nil && !got.IsWhollyKnown() {
			t.Fatalf("a known text gave an unknown value: %#v", got)
		}
	})
}
