// Package shellenv assembles the environment variables of scripts, for the
// provisioners and post-processors that run them, and writes them in the
// forms that shells read.
//
// It does not run anything and knows nothing of communicators.
package shellenv

import (
	"fmt"
	"net"
	"sort"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
)

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// Env is a set of variables, sorted by name, each name once.
type Env []Variable

// Settings are what a user may say about a script's environment. They can be
// embedded in a configuration whose schema has Attributes.
type Settings struct {
	EnvironmentVars []string          `cty:"environment_vars"`
	Env             map[string]string `cty:"env"`
	Format          string            `cty:"env_var_format"`
}

// Attributes describes Settings for a schema.
func Attributes() []component.Attribute {
	return []component.Attribute{
		component.Strings("environment_vars", "Environment variables for the script, each as NAME=value."),
		component.StringMap("env", "Environment variables for the script. A name that environment_vars has too is taken from here."),
		component.String("env_var_format", "How one variable is written into the command or the variables file: a printf format with the name and the value, such as \"%s='%s' \"."),
	}
}

// Check finds mistakes in s. Unknown values in cfg, from which s was decoded,
// are passed over.
func (s Settings) Check(cfg cty.Value) diag.List {
	var out diag.List
	if component.Known(cfg, "environment_vars") {
		for _, kv := range s.EnvironmentVars {
			out = append(out, CheckVariable("environment_vars", kv)...)
		}
	}
	if component.Known(cfg, "env") {
		for name := range s.Env {
			if name == "" || strings.Contains(name, "=") {
				out = append(out, diag.At("env", "Not an environment variable",
					"%q cannot be the name of an environment variable.", name)...)
			}
		}
	}
	return append(out, CheckFormat(cfg, "env_var_format", s.Format)...)
}

// CheckVariable finds mistakes in an element of an attribute, which is to be
// NAME=value. It may be secret, and is not shown.
func CheckVariable(attribute, element string) diag.List {
	if name, _, ok := strings.Cut(element, "="); ok && name != "" {
		return nil
	}
	return diag.At(attribute, "Not an environment variable",
		"An element of %s has no name with a = behind it. Write each as NAME=value.", attribute)
}

// CheckFormat finds mistakes in a printf format for variables, which is the
// attribute of cfg of that name.
func CheckFormat(cfg cty.Value, attribute, format string) diag.List {
	if !component.IsSet(cfg, attribute) || !component.Known(cfg, attribute) {
		return nil
	}
	if text := fmt.Sprintf(format, "NAME", "VALUE"); strings.Contains(text, "%!") || !strings.Contains(text, "NAME") || !strings.Contains(text, "VALUE") {
		return diag.At(attribute, "Unusable format for variables",
			"%q must take exactly two strings, the name and the value, such as \"%%s='%%s' \".", format)
	}
	return nil
}

// Assemble merges the variables that the run itself supplies with the user's.
// The user's win, and of those the ones from the map.
func (s Settings) Assemble(supplied Env) Env {
	merged := map[string]string{}
	for _, v := range supplied {
		merged[v.Name] = v.Value
	}
	for _, kv := range s.EnvironmentVars {
		if name, value, ok := strings.Cut(kv, "="); ok {
			merged[name] = value
		}
	}
	for name, value := range s.Env {
		merged[name] = value
	}
	out := make(Env, 0, len(merged))
	for name, value := range merged {
		out = append(out, Variable{name, value})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Supplied returns the variables that every script gets: PACKER_BUILD_NAME
// and PACKER_BUILDER_TYPE, and the PACKER_HTTP_ ones when httpAddr, a
// host:port, is not empty.
func Supplied(v gotmpl.Vars, httpAddr string) Env {
	env := Env{
		{"PACKER_BUILDER_TYPE", v.BuildType},
		{"PACKER_BUILD_NAME", v.BuildName},
	}
	if httpAddr != "" {
		env = append(env, Variable{"PACKER_HTTP_ADDR", httpAddr})
		if host, port, err := net.SplitHostPort(httpAddr); err == nil {
			env = append(env, Variable{"PACKER_HTTP_IP", host}, Variable{"PACKER_HTTP_PORT", port})
		}
	}
	return env
}

// Format writes every variable with a printf format that takes the name and
// the value. Values are escaped for a place between single quotes.
func (e Env) Format(format string) string { return e.FormatWith(format, escapeSingle) }

// FormatRaw is Format without escaping, for shells that have no single
// quotes.
func (e Env) FormatRaw(format string) string {
	return e.FormatWith(format, func(value string) string { return value })
}

// FormatWith is Format with another way to escape values.
func (e Env) FormatWith(format string, escape func(value string) string) string {
	var b strings.Builder
	for _, v := range e {
		fmt.Fprintf(&b, format, v.Name, escape(v.Value))
	}
	return b.String()
}

// Strings returns the variables as NAME=value, as processes take them.
func (e Env) Strings() []string {
	out := make([]string, len(e))
	for i, v := range e {
		out[i] = v.Name + "=" + v.Value
	}
	return out
}

// Quote makes one word of s for a POSIX shell. Plain words stay as they are.
func Quote(s string) string {
	if s != "" && strings.IndexFunc(s, needsQuote) < 0 {
		return s
	}
	return "'" + escapeSingle(s) + "'"
}

// QuotePath is Quote for a file name that is an operand of a command: a leading
// dash does not make it an option.
func QuotePath(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return Quote(path)
}

func escapeSingle(s string) string { return strings.ReplaceAll(s, "'", `'"'"'`) }

func needsQuote(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("_-./:@,+", r):
		return false
	}
	return true
}
