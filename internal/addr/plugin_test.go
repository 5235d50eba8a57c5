package addr

import (
	"path/filepath"
	"strings"
	"testing"
)

// Ensure the rules for source addresses of plugins.
func TestParsePlugin(t *testing.T) {
	for in, want := range map[string][3]string{
		"github.com/hashicorp/docker":  {"github.com", "hashicorp", "docker"},
		"a/b/c":                        {"a", "b", "c"},
		"github.com/Acme/Probe":        {"github.com", "Acme", "Probe"},
		"localhost:5000/x/y/z/probe":   {"localhost:5000", "x/y/z", "probe"},
		"github.com/acme/a-1-b":        {"github.com", "acme", "a-1-b"},
		strings.Repeat("p/", 15) + "n": {"p", strings.TrimSuffix(strings.Repeat("p/", 14), "/"), "n"},
	} {
		got, err := ParsePlugin(in)
		if err != nil || got.Host() != want[0] || got.Namespace() != want[1] || got.Name() != want[2] || got.String() != in {
			t.Errorf("%q: %q %q %q, %v", in, got.Host(), got.Namespace(), got.Name(), err)
		}
	}
	for _, in := range []string{
		"", "docker", "hashicorp/docker", "/github.com/hashicorp/docker", "github.com/hashicorp/docker/", "github.com//docker",
		"https://github.com/hashicorp/docker", "github.com/hashicorp/docker?ref=v1", "github.com/hashicorp/docker#v1",
		strings.Repeat("p/", 16) + "n", "github.com/a/packer-plugin-docker", "github.com/a/packer-docker",
		"github.com/a/do.cker", "github.com/a/do--cker", "github.com/a/do_cker", "github.com/a/-docker", "github.com/a/docker-",
		"github.com/../docker", "github.com/./docker", `github.com/a\b/docker`, "github.com/a b/docker", "github.com/a\x00/docker",
		"github.com/a/" + strings.Repeat("n", 64),
	} {
		if got, err := ParsePlugin(in); err == nil {
			t.Errorf("%q was taken for %v", in, got)
		}
	}
}

func TestCheckPluginAccessor(t *testing.T) {
	for name, ok := range map[string]bool{
		"docker": true, "a1": true, "windows-update": true,
		"": false, "Docker": false, "a_b": false, "a--b": false, "-a": false, "a-": false, "a.b": false,
	} {
		if err := CheckPluginAccessor(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// FuzzParsePlugin looks for an address that leads out of the plugin folder.
func FuzzParsePlugin(f *testing.F) {
	f.Add("github.com/hashicorp/docker")
	f.Add("a/../../b")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePlugin(text)
		if err != nil {
			return
		}
		if !filepath.IsLocal(filepath.FromSlash(p.String())) || filepath.ToSlash(filepath.Clean(p.String())) != text {
			t.Errorf("%q is no folder below another", text)
		}
		if p.Host()+"/"+p.Namespace()+"/"+p.Name() != text {
			t.Errorf("%q does not survive being taken apart", text)
		}
	})
}
