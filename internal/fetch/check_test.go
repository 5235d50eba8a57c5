package fetch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

func summaries(l diag.List) string {
	var out []string
	for _, d := range l {
		out = append(out, d.Severity.String()+" "+d.Summary)
	}
	return strings.Join(out, ", ")
}

func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "SUMS")
	if err := os.WriteFile(list, []byte(strings.Repeat("a", 64)+" *disc.iso\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := cty.StringVal
	sum := text("sha256:" + strings.Repeat("0", 64))
	urls := func(u ...string) cty.Value {
		var out []cty.Value
		for _, s := range u {
			out = append(out, text(s))
		}
		return cty.ListVal(out)
	}
	schema := component.Schema{Attributes: Attributes()}
	for name, c := range map[string]struct {
		values map[string]cty.Value
		want   string
	}{
		"fine":                     {map[string]cty.Value{"iso_url": text("https://a/disc.iso"), "iso_checksum": sum}, ""},
		"nothing":                  {nil, "Error Missing image, Error Missing checksum"},
		"both":                     {map[string]cty.Value{"iso_url": text("a"), "iso_urls": urls("b")}, "Error Attributes exclude each other"},
		"unknown":                  {map[string]cty.Value{"iso_url": cty.UnknownVal(cty.String), "iso_checksum": cty.UnknownVal(cty.String)}, ""},
		"no checksum":              {map[string]cty.Value{"iso_url": text("http://a/b"), "iso_checksum": text("none")}, "Warning No checksum"},
		"skipped":                  {map[string]cty.Value{"iso_url": text("http://a/b"), "iso_skip_cache": cty.True}, ""},
		"image for a list":         {map[string]cty.Value{"iso_url": text("http://a/b"), "iso_checksum": text("file:http://a/b.iso")}, "Error Invalid checksum"},
		"in a list":                {map[string]cty.Value{"iso_url": text("http://a/disc.iso"), "iso_checksum": text("file:" + list)}, ""},
		"not in a list":            {map[string]cty.Value{"iso_url": text("http://a/other.iso"), "iso_checksum": text("file:" + list)}, "Error Invalid checksum"},
		"no list":                  {map[string]cty.Value{"iso_url": text("http://a/other.iso"), "iso_checksum": text("file:/nowhere")}, "Error Invalid checksum"},
		"missing file":             {map[string]cty.Value{"iso_url": text("/nowhere.iso"), "iso_checksum": sum}, "Warning File not found"},
		"target without effect":    {map[string]cty.Value{"iso_url": text(list), "iso_checksum": sum, "iso_target_path": text("x")}, "Warning Attribute has no effect"},
		"share":                    {map[string]cty.Value{"iso_urls": urls("smb://a/b", "ftp://a/b", "foo::bar", "http://", "s3://bucket", "git::https://a/b", "git::a//../b"), "iso_checksum": sum}, strings.Repeat("Error Invalid URL, ", 6) + "Error Invalid URL"},
		"other systems":            {map[string]cty.Value{"iso_urls": urls("s3://b/k", "gs://b/k", "git::https://a/b//c?ref=d", "hg::ssh://a/b//c", "s3::https://b.s3.eu-west-1.amazonaws.com/k"), "iso_checksum": sum}, ""},
		"half a checksum":          {map[string]cty.Value{"iso_url": text("http://a/b"), "iso_checksum": text("sha256:abc")}, "Error Invalid checksum"},
		"unknown type":             {map[string]cty.Value{"iso_url": text("http://a/b"), "iso_checksum": text("crc:00000000")}, "Error Invalid checksum"},
		"number of unknown digits": {map[string]cty.Value{"iso_url": text("http://a/b"), "iso_checksum": text("00000000")}, "Error Invalid checksum"},
	} {
		cfg := schema.Object(c.values)
		var decoded Config
		if err := component.Decode(cfg, &decoded); err != nil {
			t.Fatal(err)
		}
		if got := summaries(decoded.Check(cfg)); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

func TestBuckets(t *testing.T) {
	for text, want := range map[string]string{
		"s3::https://s3.amazonaws.com/bucket/a/b":                   "bucket a/b ",
		"s3::https://s3-eu-west-1.amazonaws.com/bucket/a/b":         "bucket a/b eu-west-1",
		"s3::https://s3.eu-west-1.amazonaws.com/bucket/a":           "bucket a eu-west-1",
		"s3::https://my.bucket.s3.amazonaws.com/a":                  "my.bucket a ",
		"s3::https://bucket.s3.us-west-2.amazonaws.com/a?region=x":  "bucket a x",
		"s3::http://127.0.0.1:9000/bucket/a":                        "bucket a ",
		"s3://bucket/a":                                             "bucket a ",
		"gcs::https://www.googleapis.com/storage/v1/bucket/a/b":     "bucket a/b ",
		"gs://bucket/a/b":                                           "bucket a/b ",
		"https://bucket.s3.amazonaws.com/a?aws_access_key_id=x&b=c": "bucket a ",
	} {
		s, err := parseSource(text)
		if got := s.bucket + " " + s.key + " " + s.region; err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestLists(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 128)
	for name, c := range map[string]struct{ list, want string }{
		"GNU":             {a + "  disc.iso\n", "sha256:" + a},
		"binary":          {a + " *./x/disc.iso\r\n", "sha256:" + a},
		"BSD":             {"SHA256 (disc.iso) = " + a, "sha256:" + a},
		"the strongest":   {"SHA512 (disc.iso) = " + b + "\nSHA256 (disc.iso) = " + a, "sha512:" + b},
		"alone":           {a, "sha256:" + a},
		"signed":          {"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# disc.iso: 1 bytes\nSHA256 (disc.iso) = " + a + "\n-----BEGIN PGP SIGNATURE-----\nabc\n", "sha256:" + a},
		"two alone":       {a + "\n" + b, ""},
		"another":         {a + "  disc.iso.torrent", ""},
		"two that differ": {a + "  disc.iso\n" + strings.Repeat("c", 64) + "  x/disc.iso", ""},
		"the same twice":  {a + "  disc.iso\n" + a + "  x/disc.iso", "sha256:" + a},
		"nothing":         {"<html>", ""},
		"upper case, tab": {strings.ToUpper(a) + "\tdisc.iso", "sha256:" + a},
	} {
		got, err := findInList([]byte(c.list), "disc.iso")
		if (err == nil) != (c.want != "") || err == nil && got.String() != c.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// FuzzFindInList: whatever is in a list, what is found is a whole checksum.
func FuzzFindInList(f *testing.F) {
	f.Add("SHA256 (disc.iso) = "+strings.Repeat("a", 64), "disc.iso")
	f.Add(strings.Repeat("a", 32)+"  disc.iso", "disc.iso")
	f.Fuzz(func(t *testing.T, list, name string) {
		if c, err := findInList([]byte(list), name); err == nil {
			if _, err := parseChecksum(c.String()); err != nil {
				t.Errorf("%v", err)
			}
		}
	})
}

// FuzzParseSource: what can be read as a source can be shown and named.
func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"a", "http://u:p@h/f?checksum=x", "git::h:p//f?ref=r", "s3::https://s3.amazonaws.com/b/k", "file:///a", "C:\\x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseSource(text); err == nil && s.String() == "" {
			t.Errorf("%q has no name", text)
		}
	})
}
