package shellenv_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/gotmpl"
	"ingot/internal/shellenv"
)

func TestAssemble(t *testing.T) {
	s := shellenv.Settings{
		EnvironmentVars: []string{"B=list", "C=a=b", "PACKER_BUILD_NAME=mine"},
		Env:             map[string]string{"B": "map", "A": ""},
	}
	got := s.Assemble(shellenv.Supplied(gotmpl.Vars{BuildName: "n", BuildType: "t"}, "[::1]:8080"))
	want := []string{
		"A=", "B=map", "C=a=b", "PACKER_BUILDER_TYPE=t", "PACKER_BUILD_NAME=mine",
		"PACKER_HTTP_ADDR=[::1]:8080", "PACKER_HTTP_IP=::1", "PACKER_HTTP_PORT=8080",
	}
	if diff := cmp.Diff(want, got.Strings()); diff != "" {
		t.Error(diff)
	}
}

func TestFormat(t *testing.T) {
	env := shellenv.Env{{Name: "A", Value: "it's"}, {Name: "B", Value: "x y"}}
	if got, want := env.Format("%s='%s' "), `A='it'"'"'s' B='x y' `; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := env.FormatRaw("set %s=%s && "), `set A=it's && set B=x y && `; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCheck(t *testing.T) {
	schema := component.Schema{Attributes: shellenv.Attributes()}
	for name, c := range map[string]struct {
		values map[string]cty.Value
		wrong  string
	}{
		"good":           {map[string]cty.Value{"environment_vars": strs("A=b", "A=")}, ""},
		"no equal sign":  {map[string]cty.Value{"environment_vars": strs("A")}, "environment_vars"},
		"no name":        {map[string]cty.Value{"environment_vars": strs("=b")}, "environment_vars"},
		"no name in map": {map[string]cty.Value{"env": cty.MapVal(map[string]cty.Value{"": cty.StringVal("x")})}, "env"},
		"one verb":       {map[string]cty.Value{"env_var_format": cty.StringVal("%s ")}, "env_var_format"},
		"three verbs":    {map[string]cty.Value{"env_var_format": cty.StringVal("%s %s %s")}, "env_var_format"},
		"value first":    {map[string]cty.Value{"env_var_format": cty.StringVal("%[2]s %[1]s")}, ""},
		"unknown":        {map[string]cty.Value{"environment_vars": cty.ListVal([]cty.Value{cty.UnknownVal(cty.String)})}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := schema.Object(c.values)
			var s shellenv.Settings
			if err := component.Decode(cfg, &s); err != nil {
				t.Fatal(err)
			}
			diags := s.Check(cfg)
			if diags.HasErrors() != (c.wrong != "") {
				t.Fatalf("got %v", diags.Err())
			}
			if c.wrong != "" && diags[0].Path[0].(cty.GetAttrStep).Name != c.wrong {
				t.Errorf("the finding is about %v, want %s", diags[0].Path, c.wrong)
			}
		})
	}
}

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

// FuzzQuote checks against a real shell that a quoted word is one word.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "it's", "$HOME `id` \\", "a\nb", "-n", "~", "*", "ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			t.Skip("no shell can hold it")
		}
		out, err := exec.Command("sh", "-c", "printf %s "+shellenv.Quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q came back as %q, %v", s, out, err)
		}
		out, err = exec.Command("sh", "-c", shellenv.Env{{Name: "V", Value: s}}.Format("%s='%s' ")+" sh -c 'printf %s \"$V\"'").Output()
		if err != nil || string(out) != s {
			t.Errorf("variable %q came back as %q, %v", s, out, err)
		}
	})
}

func TestQuotePath(t *testing.T) {
	for path, want := range map[string]string{"": "''", "a/b": "a/b", "-rf": "./-rf", "-a b": "'./-a b'", "/-x": "/-x"} {
		if got := shellenv.QuotePath(path); got != want {
			t.Errorf("%q became %s, want %s", path, got, want)
		}
	}
}

func TestCheckTemplate(t *testing.T) {
	for text, bad := range map[string]bool{
		"{{.Vars}} {{.Path}}":      false,
		"{{build `ID`}} {{.Path}}": false,
		"{{.Host}}":                false, // may be data of the build
		"{{.Path":                  true,
		"{{nothing}}":              true,
	} {
		if got := shellenv.CheckTemplate("execute_command", text, "Vars", "Path"); got.HasErrors() != bad {
			t.Errorf("%q: %v", text, got.Err())
		}
	}
}
