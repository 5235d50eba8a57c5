package gotmpl

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var vars = Vars{
	BuildName: "web", BuildType: "docker", CoreVersion: "1.16.0", Start: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
	Build: map[string]string{"ID": "i-1"},
}

func TestRender(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                           "plain",
		"{{build_name}}-{{build_type}}":   "web-docker",
		"{{timestamp}}":                   "1770091506",
		"{{isotime}}":                     "2026-02-03T04:05:06Z",
		"{{isotime `2006-01-02`}}":        "2026-02-03",
		"{{strftime `%Y`}}":               "2026",
		"{{build `ID`}}":                  "i-1",
		"{{packer_version}}":              "1.16.0",
		"{{.Path}} {{upper .Path}}":       "p P",
		"{{split `a-b-c` `-` 1}}":         "b",
		"{{replace `a` `b` 1 `aa`}}":      "ba",
		"{{replace_all `a` `b` `aa`}}":    "bb",
		"{{clean_resource_name `a b:c`}}": "a-b-c",
		"{{ `{{` }}literal}}":             "{{literal}}",
	} {
		got, err := Render(in, vars, map[string]string{"Path": "p"})
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"{{.Pth}}":            ".Path",
		"{{.Path":             "template text",
		"{{user `x`}}":        "${var.NAME}",
		"{{template_dir}}":    "${path.root}",
		"{{nothing}}":         "nothing",
		"{{build `Nope`}}":    "ID",
		"{{split `a` `-` 3}}": "no part 3",
	} {
		got, err := Render(in, vars, map[string]string{"Path": "p"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v; want an error with %q", in, got, err, want)
		}
	}
}

// What Literal makes is rendered to the same text, whatever is in it.
func TestLiteral(t *testing.T) {
	for _, text := range []string{"", "plain", "{{", "{{.X}} `q` \"q\" \\\n}}", "\xff{{"} {
		got, err := Render(Literal(text), vars, nil)
		if err != nil || got != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}

// A text that would go on without end is refused.
func TestRenderIsBounded(t *testing.T) {
	doubling := "{{template `a0` .}}{{define `a40`}}{{end}}"
	for i := range 40 {
		doubling += fmt.Sprintf("{{define `a%d`}}{{template `a%d` .}}{{template `a%d` .}}{{end}}", i, i+1, i+1)
	}
	for in, want := range map[string]string{
		"{{range 9999999999}}{{end}}":                                  "go around more than",
		"{{range 9999}}{{if true}}{{range 9999}}{{end}}{{end}}{{end}}": "go around more than",
		"{{with 1}}{{range 9999999999}}{{else}}{{end}}{{end}}":         "go around more than",
		"{{range 999999}}{{printf `%9999d` 1}}{{end}}":                 "more than 16 MB",
		"{{define `x`}}{{template `x`}}{{end}}{{template `x`}}":        "go around more than",
		doubling: "go around more than",
	} {
		if _, err := Render(in, vars, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v", in, err)
		}
	}
	const fine = "{{range 3}}x{{end}}{{define `y`}}y{{end}}{{template `y`}}"
	if got, err := Render(fine, vars, nil); got != "xxxy" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestExternal(t *testing.T) {
	const text = "{{env `HOME` | upper}}"
	if _, err := Render(text, vars, nil); err == nil || !strings.Contains(err.Error(), "value of a variable") {
		t.Errorf("outside of variables: %v", err)
	}
	v := vars
	v.External = map[string]func(...string) (string, error){"env": func(a ...string) (string, error) { return "of " + a[0], nil }}
	if got, err := Render(text, v, nil); got != "OF HOME" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestBuildDataIsNotKnownAtFirst(t *testing.T) {
	v := vars
	v.Build = nil
	if _, err := Render("{{build `ID`}}", v, nil); !errors.Is(err, ErrNotYetKnown) {
		t.Errorf("got %v", err)
	}
}

func FuzzRender(f *testing.F) {
	f.Add("{{.Path}}{{build `ID`}}")
	f.Add("{{range")
	f.Add("{{ .Path }} {{.Missing}} {{- upper `x` | lower | clean_resource_name -}} {{`{{`}}")
	f.Add("{{timestamp}} {{isotime `2006`}} {{uuid}} {{build_name}} {{build_type}} {{packer_version}} {{user `x`}} {{template_dir}} {{pwd}}")
	f.Add("{{replace `a` `b` `ab` 1}} {{split `a-b` `-` 7}} {{env `X`}} {{strftime `%Y`}} {{build `PackerHTTPAddr`}}")
	f.Add("{{printf `%999999999d` 1}}{{define `x`}}{{template `x`}}{{end}}{{index .Path 9}}")
	early := vars
	early.Build = nil // as before there is a machine
	f.Fuzz(func(t *testing.T, text string) {
		// It must not crash, whatever is known.
		_, _ = Render(text, early, nil)
		got, err := Render(text, vars, map[string]string{"Path": "p"})
		if err == nil && !HasAction(text) && got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}

// Ensure that data which only some builders have does not fail the others, and
// that other data does.
func TestBuildDataThatIsNotSupplied(t *testing.T) {
	v := vars
	v.Build = map[string]string{"ID": "i-1"}
	got, err := Render("{{build `ID`}} {{build `PackerHTTPIP`}}", v, nil)
	if want := "i-1 ERR_HTTP_IP_NOT_IMPLEMENTED_BY_BUILDER"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := Render("{{build `Host`}}", v, nil); !errors.Is(err, ErrNotSupplied) {
		t.Errorf("got %v", err)
	}
}

func TestChanging(t *testing.T) {
	for text, want := range map[string]string{
		"plain build":                         "",
		"{{.Vars}} {{.Path}}":                 "",
		"{{ .build }} {{build_name}}":         "",
		"build {{ build `ID` }}":              "build",
		"{{ if eq (isotime) `x` }}a{{ end }}": "isotime",
		"{{upper uuid}}":                      "uuid",
		"{{.Path}}\n{{- pwd -}}":              "pwd",
	} {
		if got := Changing(text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
