// Package gotmpl renders the Go text/template actions that string attributes
// of components may hold ("{{.Path}}", "{{timestamp}}", "{{build `ID`}}").
// Names and meanings follow Packer 1.16; unlike there, a field that the
// component does not supply is an error and not the text "<no value>".
package gotmpl

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/google/uuid"
	"github.com/ncruces/go-strftime"
)

// ErrNotYetKnown is returned (wrapped) by Render when the text asks for
// build data before the machine exists.
var ErrNotYetKnown = errors.New("known only once the machine is running")

// ErrNotSupplied is returned (wrapped) by Render when the text asks for build
// data that is not in Vars.Build.
var ErrNotSupplied = errors.New("not supplied by this builder")

// Vars is what the functions of a template action can see.
type Vars struct {
	BuildName   string
	BuildType   string
	CoreVersion string
	// Start is the start of the run: what timestamp and isotime print.
	Start time.Time
	// Build is the data behind the build function (ID, Host, ...); nil
	// while it is not known.
	Build map[string]string
	// External are functions besides the usual ones, by name: those that
	// read values from outside, which only the variables of a legacy
	// template may call.
	External map[string]func(args ...string) (string, error)
}

// HasAction reports whether text needs rendering at all.
func HasAction(text string) bool { return strings.Contains(text, "{{") }

// Literal is a text that Render turns into text.
func Literal(text string) string {
	if !HasAction(text) {
		return text
	}
	return "{{" + strconv.Quote(text) + "}}"
}

// Render evaluates the actions in text. Fields of data are reachable as
// {{.Name}}; asking for another field is an error that lists those that
// exist. Text without actions comes back as it is.
func Render(text string, v Vars, data map[string]string) (string, error) {
	if !HasAction(text) {
		return text, nil
	}
	var turns counter
	t, err := template.New("").Option("missingkey=error").Funcs(v.funcs()).Funcs(template.FuncMap{turnFunc: turns.turn}).Parse(text)
	if err != nil {
		return "", fmt.Errorf("template text %q: %w", text, trim(err))
	}
	if err := watch(t, text); err != nil {
		return "", err
	}
	if data == nil {
		data = map[string]string{}
	}
	var out output
	if err := t.Execute(&out, data); err != nil {
		if strings.Contains(err.Error(), "map has no entry for key") {
			return "", fmt.Errorf("template text %q: %w; %s (write a literal {{ as {{ `{{` }})", text, trim(err), fieldList(data))
		}
		return "", fmt.Errorf("template text %q: %w", text, trim(err))
	}
	return out.String(), nil
}

func fieldList(data map[string]string) string {
	if len(data) == 0 {
		return "no fields are available here"
	}
	names := make([]string, 0, len(data))
	for n := range data {
		names = append(names, "."+n)
	}
	sort.Strings(names)
	return "fields available here: " + strings.Join(names, ", ")
}

// trimmed hides text/template's own prefix but keeps the cause reachable.
type trimmed struct {
	error
	text string
}

func (t trimmed) Error() string { return t.text }
func (t trimmed) Unwrap() error { return t.error }

func trim(err error) error {
	text := err.Error()
	for _, prefix := range []string{"template: :", "template: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return trimmed{err, text}
}

func (v Vars) funcs() template.FuncMap {
	all := template.FuncMap{
		"build":               v.build,
		"build_name":          func() string { return v.BuildName },
		"build_type":          func() string { return v.BuildType },
		"packer_version":      func() string { return v.CoreVersion },
		"timestamp":           func() string { return fmt.Sprint(v.Start.Unix()) },
		"isotime":             v.isotime,
		"strftime":            func(f string) string { return strftime.Format(f, v.Start.UTC()) },
		"uuid":                func() (string, error) { u, err := uuid.NewUUID(); return u.String(), err },
		"pwd":                 os.Getwd,
		"upper":               strings.ToUpper,
		"lower":               strings.ToLower,
		"replace":             func(from, to string, n int, s string) string { return strings.Replace(s, from, to, n) },
		"replace_all":         func(from, to, s string) string { return strings.ReplaceAll(s, from, to) },
		"split":               split,
		"clean_resource_name": CleanResourceName,
		"user":                refused("user does not exist in HCL templates: write ${var.NAME}"),
		"template_dir":        refused("template_dir does not exist in HCL templates: write ${path.root}"),
		"sed":                 refused("sed was removed: use replace_all or an HCL function"),
	}
	for _, name := range []string{"env", "consul_key", "vault", "aws_secretsmanager", "aws_secretsmanager_raw"} {
		all[name] = refused(name + " can be called only for the value of a variable")
	}
	for name, f := range v.External {
		all[name] = f
	}
	return all
}

func refused(why string) func(...string) (string, error) {
	return func(...string) (string, error) { return "", errors.New(why) }
}

func (v Vars) build(key string) (string, error) {
	if v.Build == nil {
		return "", fmt.Errorf("build %q: %w", key, ErrNotYetKnown)
	}
	val, ok := v.Build[key]
	if !ok {
		val, ok = NotSupplied(key)
	}
	if !ok {
		names := make([]string, 0, len(v.Build))
		for n := range v.Build {
			names = append(names, n)
		}
		sort.Strings(names)
		return "", fmt.Errorf("build %q: %w, which has %s", key, ErrNotSupplied, strings.Join(names, ", "))
	}
	return val, nil
}

func (v Vars) isotime(layout ...string) (string, error) {
	switch len(layout) {
	case 0:
		return v.Start.UTC().Format(time.RFC3339), nil
	case 1:
		return v.Start.UTC().Format(layout[0]), nil
	}
	return "", fmt.Errorf("isotime takes at most one layout, got %d", len(layout))
}

func split(s, sep string, i int) (string, error) {
	parts := strings.Split(s, sep)
	if i < 0 || i >= len(parts) {
		return "", fmt.Errorf("split %q by %q gives %d parts: there is no part %d", s, sep, len(parts), i)
	}
	return parts[i], nil
}

// CleanResourceName replaces every character that image names commonly
// refuse with a dash. Letters, digits and ( ) [ ] . - ' @ _ and / stay.
func CleanResourceName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("()[].-'@_/", r):
			return r
		}
		return '-'
	}, s)
}

// Changing names a function that text seems to call and whose value is another in
// the next run, or depends on the machine; "" when there is none. A word in a
// literal counts as well.
func Changing(text string) string {
	action := regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	call := regexp.MustCompile(`(?:^|[^.\w])(build|timestamp|isotime|strftime|uuid|pwd)\b`)
	for _, a := range action.FindAllString(text, -1) {
		if m := call.FindStringSubmatch(a); m != nil {
			return m[1]
		}
	}
	return ""
}
