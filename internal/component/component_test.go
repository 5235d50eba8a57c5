package component

import (
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/zclconf/go-cty/cty"
)

type shared struct {
	Common string `cty:"common"`
}

type inner struct {
	Path string `cty:"path"`
}

type everything struct {
	shared
	Text     string            `cty:"text"`
	Yes      bool              `cty:"yes"`
	Maybe    *bool             `cty:"maybe"`
	Count    int               `cty:"count"`
	Wait     time.Duration     `cty:"wait"`
	List     []string          `cty:"list"`
	Map      map[string]string `cty:"map"`
	Block    *inner            `cty:"block"`
	Blocks   []inner           `cty:"blocks"`
	Raw      cty.Value         `cty:"text"`
	Bytes    []byte            `cty:"bytes"`
	Untagged string
}

func everySchema() Schema {
	in := Schema{Attributes: []Attribute{String("path", "")}}
	return Schema{
		Attributes: []Attribute{
			String("common", ""), String("text", ""), Bool("yes", ""), Bool("maybe", ""), Number("count", ""), DurationAttr("wait", "3s", ""),
			Strings("list", ""), StringMap("map", ""), {Name: "bytes", Type: cty.List(cty.Number)},
		},
		Blocks: []Block{{Name: "block", Schema: in}, {Name: "blocks", Schema: in, Repeated: true}},
	}
}

func TestDecode(t *testing.T) {
	s := everySchema()
	path := cty.ObjectVal(map[string]cty.Value{"path": cty.StringVal("p")})
	cfg := s.Object(map[string]cty.Value{
		"common": cty.StringVal("c"), "text": cty.StringVal("t").Mark("sensitive"), "yes": cty.True, "maybe": cty.False, "count": cty.NumberIntVal(7),
		"list": cty.ListVal([]cty.Value{cty.StringVal("a"), cty.StringVal("b")}), "map": cty.MapVal(map[string]cty.Value{"k": cty.StringVal("v")}),
		"block": path, "blocks": cty.ListVal([]cty.Value{path, path}), "bytes": cty.ListVal([]cty.Value{cty.NumberIntVal(255)}),
	})
	if !cfg.Type().Equals(s.ImpliedType()) {
		t.Fatalf("Object made %#v", cfg.Type())
	}
	var e everything
	if err := Decode(cfg, &e); err != nil {
		t.Fatal(err)
	}
	if e.Common != "c" || e.Text != "t" || !e.Yes || e.Maybe == nil || *e.Maybe || e.Count != 7 || e.Wait != 3*time.Second ||
		strings.Join(e.List, "") != "ab" || e.Map["k"] != "v" || e.Block == nil || e.Block.Path != "p" || len(e.Blocks) != 2 || e.Bytes[0] != 255 {
		t.Errorf("got %+v", e)
	}
}

func TestDecodeLeavesWhatIsNotThere(t *testing.T) {
	s := everySchema()
	cfg := s.Object(map[string]cty.Value{"text": cty.UnknownVal(cty.String), "wait": cty.NullVal(cty.String)})
	e := everything{Count: 3}
	if err := Decode(cfg, &e); err != nil {
		t.Fatal(err)
	}
	if e.Text != "" || e.Maybe != nil || e.Block != nil || e.Wait != 0 || e.Count != 3 || e.Raw.IsKnown() {
		t.Errorf("got %+v", e)
	}
	if Known(cfg, "text") || !Known(cfg, "yes") || !IsSet(cfg, "text") || IsSet(cfg, "yes") {
		t.Error("known and set are mixed up")
	}
}

func TestDecodeRefuses(t *testing.T) {
	s := everySchema()
	for name, v := range map[string]cty.Value{
		"wait":  cty.StringVal("soon"),
		"count": cty.NumberFloatVal(1.5),
		"bytes": cty.ListVal([]cty.Value{cty.NumberIntVal(256)}),
	} {
		if err := Decode(s.Object(map[string]cty.Value{name: v}), &everything{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Decode(cty.EmptyObjectVal, &everything{}); err == nil {
		t.Error("a schema without the attributes was taken")
	}
	if err := Decode(cty.EmptyObjectVal, everything{}); err == nil {
		t.Error("what is no pointer was taken")
	}
}

func TestConnectionSchemaFitsTheStruct(t *testing.T) {
	s := Schema{Attributes: ConnectionAttributes()}
	if err := Decode(s.Object(nil), &Connection{}); err != nil {
		t.Error(err)
	}
	for _, a := range s.Attributes {
		if a.Description == "" {
			t.Errorf("%s has no description", a.Name)
		}
		secret := strings.Contains(a.Name, "password") || a.Name == "ssh_private_key"
		if secret != a.Sensitive {
			t.Errorf("%s: sensitive is %t", a.Name, a.Sensitive)
		}
	}
}

func TestConnectionCheck(t *testing.T) {
	s := Schema{Attributes: ConnectionAttributes()}
	for _, c := range []struct {
		set  map[string]string
		want string
	}{
		{map[string]string{"communicator": "ssh"}, ""},
		{map[string]string{"communicator": "telnet"}, "Unknown communicator"},
		{map[string]string{"communicator": "winrm"}, "Unknown communicator"},
		{map[string]string{"communicator": "ssh", "ssh_certificate_file": "c"}, "Certificate without key"},
		{map[string]string{"communicator": "ssh", "ssh_bastion_host": "b"}, "No credentials for the bastion"},
		{map[string]string{"communicator": "ssh", "ssh_bastion_host": "b", "ssh_bastion_password": "p", "ssh_proxy_host": "x"}, "Conflicting settings"},
		{map[string]string{"communicator": "ssh", "ssh_proxy_type": "http", "ssh_proxy_host": "x"}, ""},
		{map[string]string{"communicator": "ssh", "ssh_proxy_type": "http"}, "Setting without effect"},
		{map[string]string{"communicator": "ssh", "temporary_key_pair_type": "rsa", "temporary_key_pair_bits": "2048"}, ""},
		{map[string]string{"communicator": "ssh", "temporary_key_pair_type": "dsa", "temporary_key_pair_bits": "1024"}, "Unusable key type"},
		{map[string]string{"communicator": "ssh", "temporary_key_pair_type": "rsa", "temporary_key_pair_bits": "512"}, "Unusable key size"},
		{map[string]string{"communicator": "ssh", "temporary_key_pair_type": "ecdsa", "temporary_key_pair_bits": "2048"}, "Unusable key size"},
		{map[string]string{"communicator": "ssh", "temporary_key_pair_bits": "-1"}, "Unusable key size"},
		{map[string]string{"communicator": "ssh", "temporary_key_pair_bits": "2048"}, "Size without meaning"},
	} {
		values := map[string]cty.Value{}
		for k, v := range c.set {
			values[k] = cty.StringVal(v)
			if a, _ := s.Attribute(k); a.Type == cty.Number {
				values[k] = cty.MustParseNumberVal(v)
			}
		}
		cfg := s.Object(values)
		var conn Connection
		if err := Decode(cfg, &conn); err != nil {
			t.Fatal(err)
		}
		got := ""
		if l := conn.Check(cfg, "ssh", "none"); len(l) > 0 {
			got = l[0].Summary
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.set, got, c.want)
		}
	}
}

// collect gathers the lines that a LineWriter emits.
func collect(write func(w *LineWriter)) []string {
	var lines []string
	w := NewLineWriter(SinkFunc(func(e Event) { lines = append(lines, e.(Output).Line) }), Stdout)
	write(w)
	w.Flush()
	return lines
}

func TestLineWriter(t *testing.T) {
	for in, want := range map[string][]string{
		"a\nb\n":           {"a", "b"},
		"a\nb":             {"a", "b"},
		"\n\n":             {"", ""},
		"":                 nil,
		"end \t\r\n":       {"end"},
		"10%\r50%\r100%\n": {"100%"},
	} {
		got := collect(func(w *LineWriter) { w.Write([]byte(in)) })
		if strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := collect(func(w *LineWriter) { w.Write([]byte(strings.Repeat("x", 3*maxLine+5))) }); len(got) != 4 {
		t.Errorf("a very long line came in %d pieces", len(got))
	}
}

// Ensure that it does not matter where the output was cut when it was written.
func TestLineWriterIgnoresCuts(t *testing.T) {
	same := func(text string, cuts []uint8) bool {
		whole := collect(func(w *LineWriter) { w.Write([]byte(text)) })
		pieces := collect(func(w *LineWriter) {
			rest := []byte(text)
			for _, c := range cuts {
				n := min(int(c), len(rest))
				w.Write(rest[:n])
				rest = rest[n:]
			}
			w.Write(rest)
		})
		return strings.Join(whole, "\x00") == strings.Join(pieces, "\x00")
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
}

func TestEachText(t *testing.T) {
	whole := cty.ObjectVal(map[string]cty.Value{
		"list": cty.TupleVal([]cty.Value{cty.StringVal("a"), cty.NumberFloatVal(1.5), cty.True, cty.NullVal(cty.String)}),
		"map":  cty.MapVal(map[string]cty.Value{"key": cty.StringVal("b")}),
		"set":  cty.SetVal([]cty.Value{cty.NullVal(cty.String)}),
	})
	var texts []string
	ok := EachText(whole, func(s string) { texts = append(texts, s) })
	slices.Sort(texts)
	if got := strings.Join(texts, " "); !ok || got != "1.5 a b key list map set" {
		t.Errorf("%v, %s", ok, got)
	}
	for _, v := range []cty.Value{
		cty.NilVal, cty.UnknownVal(cty.String), cty.TupleVal([]cty.Value{cty.UnknownVal(cty.String)}), cty.TupleVal([]cty.Value{cty.StringVal("x").Mark("m")}),
	} {
		if EachText(v, func(string) {}) {
			t.Errorf("%#v can be written down", v)
		}
	}
}
