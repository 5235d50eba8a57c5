package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/cli"
)

var (
	hclFence = regexp.MustCompile("(?ms)^```hcl\n(.*?)^```")
	fileLine = regexp.MustCompile(`^# FILE (\S+)\n`)
)

// templatesOf gives the templates that a document shows: the HCL of each
// section, by the names of its files.
func templatesOf(text string) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, section := range strings.Split(text, "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		for _, m := range hclFence.FindAllStringSubmatch(body, -1) {
			name := "main.pkr.hcl"
			if f := fileLine.FindStringSubmatch(m[1]); f != nil {
				name = f[1]
			}
			if out[title] == nil {
				out[title] = map[string]string{}
			}
			out[title][name] += m[1]
		}
	}
	return out
}

// TestLanguageExamples builds every template of language.md.
func TestLanguageExamples(t *testing.T) {
	text, err := os.ReadFile("language.md")
	if err != nil {
		t.Fatal(err)
	}
	templates := templatesOf(string(text))
	if len(templates) == 0 {
		t.Fatal("no templates were found")
	}
	for title, files := range templates {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			t.Chdir(dir)
			for _, name := range []string{"INGOT_STATE_DIR", "INGOT_CACHE_DIR", "INGOT_CONFIG_DIR"} {
				t.Setenv(name, filepath.Join(t.TempDir(), strings.ToLower(name)))
			}
			for _, command := range []string{"validate", "build"} {
				if code, said := ingot(t, command, "."); code != 0 {
					t.Errorf("ingot %s: exit code %d\n%s", command, code, said)
				}
			}
		})
	}
}

// ingot runs a command line and returns its exit code and what it printed.
func ingot(t *testing.T, args ...string) (int, string) {
	t.Helper()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer nothing.Close()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	code := cli.Main(append([]string{"ingot"}, args...), cli.Streams{In: nothing, Out: out, Err: out})
	said, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return code, string(said)
}
