package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func env(kv ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == name {
				return kv[i+1]
			}
		}
		return ""
	}
}

func TestDirs(t *testing.T) {
	for _, c := range []struct {
		name                 string
		env                  []string
		state, cache, config string
	}{
		{"home", []string{"HOME", "/h"}, "/h/.local/state/ingot", "/h/.cache/ingot", "/h/.config/ingot"},
		{"xdg", []string{"HOME", "/h", "XDG_STATE_HOME", "/s", "XDG_CACHE_HOME", "/c", "XDG_CONFIG_HOME", "/f"}, "/s/ingot", "/c/ingot", "/f/ingot"},
		{"a relative xdg folder does not count", []string{"HOME", "/h", "XDG_STATE_HOME", "s"}, "/h/.local/state/ingot", "/h/.cache/ingot", "/h/.config/ingot"},
		{"packer", []string{"HOME", "/h", "XDG_CACHE_HOME", "/c", "PACKER_CACHE_DIR", "/pc", "PACKER_CONFIG_DIR", "/pf"}, "/h/.local/state/ingot", "/pc", "/pf/.packer.d"},
		{"ingot wins", []string{"HOME", "/h", "PACKER_CACHE_DIR", "/pc", "INGOT_CACHE_DIR", "/ic", "INGOT_STATE_DIR", "/is", "INGOT_CONFIG_DIR", "/if"}, "/is", "/ic", "/if"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := findDirs(env(c.env...))
			if err != nil || d.State != c.state || d.Cache != c.cache || d.Config != c.config {
				t.Errorf("got %+v, %v", d, err)
			}
		})
	}
}

func TestPackerSettings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, ".packerconfig")
	for _, c := range []struct{ text, wrong string }{
		{`{"disable_checkpoint": true}`, ""},
		{`{"builders": {}}`, ""},
		{`{"provisioners": {"x": "y"}}`, "no longer supported"},
		{`{`, file},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := checkPackerSettings(env("PACKER_CONFIG_DIR", dir))
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.text, err, c.wrong)
		}
	}
	if err := checkPackerSettings(env("HOME", t.TempDir())); err != nil {
		t.Errorf("no file: %v", err)
	}
	if err := checkPackerSettings(env("PACKER_PLUGIN_PATH", "/a:/b")); err == nil && os.PathListSeparator == ':' {
		t.Error("a list was taken for a folder")
	}
}

func TestNormaliseFlags(t *testing.T) {
	root := (&app{}).rootCommand("ingot")
	for in, want := range map[string]string{
		"build -var a=b .":                 "build --var a=b .",
		"build -var=a=b -force x":          "build --var=a=b --force x",
		"build --var a=b":                  "build --var a=b",
		"build -var -force x":              "build --var -force x",
		"build -only=a -except b -h":       "build --only=a --except b -h",
		"build -nonsense=1":                "build --nonsense=1",
		"build -- -var x":                  "build -- -var x",
		"build -color=false -on-error=ask": "build --color=false --on-error=ask",
		"build -help":                      "build --help",
		"-version":                         "--version",
		"build -":                          "build -",
	} {
		if got := strings.Join(normaliseFlags(root, strings.Fields(in)), " "); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
