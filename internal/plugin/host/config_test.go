package host

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/plugin/process"
)

// TestFindings: every item of a plugin's list is a finding of its own, at the attribute
// that it names.
func TestFindings(t *testing.T) {
	schema := component.Schema{Attributes: []component.Attribute{component.String("ami_name", ""), component.String("region", ""), component.String("name", "")}}
	cfg := schema.Object(map[string]cty.Value{"ami_name": cty.StringVal("x"), "region": cty.StringVal("y")})
	type found struct{ Detail, Path string }
	for _, c := range []struct {
		name, text string
		want       []found
	}{
		{"one", "ami_name must be between 3 and 128 characters", []found{{"ami_name must be between 3 and 128 characters", "ami_name"}}},
		{"list with stars", "2 error(s) occurred:\n\n* ami_name is short\n* a key is missing", []found{{"ami_name is short", "ami_name"}, {"a key is missing", ""}}},
		{"list with tabs", "2 errors occurred:\n\t* region \"y\" is unknown\n\t* two\n  lines\n\n", []found{{`region "y" is unknown`, "region"}, {"two\n  lines", ""}}},
		{"one of them not set", "name has to be set", []found{{"name has to be set", ""}}},
		{"two attributes", "ami_name and region exclude each other", []found{{"ami_name and region exclude each other", ""}}},
		{"an empty list", "1 error occurred:\n", []found{{"1 error occurred:", ""}}},
		{"no UTF-8", "bad \xff", []found{{"bad �", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []found
			for _, d := range findings(cfg, schema, errors.New(c.text)) {
				f := found{Detail: d.Detail}
				if len(d.Path) > 0 {
					f.Path = d.Path[0].(cty.GetAttrStep).Name
				}
				got = append(got, f)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestLists: what the components of each kind are given, in the order of the protocol.
func TestLists(t *testing.T) {
	h := New(Plugin{Core: Core{Version: "1.16.0", OnError: "ask", SensitiveVariables: []string{"pw"}}})
	build := addr.Build{Source: addr.Source{Type: "probe-b", Name: "one"}}
	cfg := cty.ObjectVal(map[string]cty.Value{"a": cty.UnknownVal(cty.String)})
	const doc = `{"value":{"a":"\u003cunknown\u003e"},"type":["object",{"a":"string"}]}`
	core := map[string]any{
		"packer_build_name": "one", "packer_builder_type": "probe-b", "packer_core_version": "1.16.0", "packer_on_error": "ask",
		"packer_debug": "false", "packer_force": "true",
	}
	steps := map[string]any{"packer_sensitive_variables": []any{"pw"}}
	for k, v := range core {
		steps[k] = v
	}
	for _, c := range []struct {
		name   string
		kind   process.Kind
		legacy bool
		want   []any
	}{
		{"builder", process.Builder, false, []any{core, []byte(doc)}},
		{"builder of a JSON template", process.Builder, true, []any{core, []byte(doc)}},
		{"provisioner", process.Provisioner, false, []any{steps, []byte(doc), nil}},
		{"post-processor", process.PostProcessor, false, []any{steps, []byte(doc)}},
		{"data source", process.DataSource, false, []any{[]byte(doc)}},
		{"provisioner of a JSON template", process.Provisioner, true, []any{steps, []byte(doc), nil, placeholders(nil)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := h.list(settings{cfg, component.Planning{Build: build, Legacy: c.legacy}}, use{c.kind, "x"}, build, true, false)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	if p := placeholders([]string{"Own"}); p["Own"] == nil || p["PackerRunUUID"] != "Build_PackerRunUUID. To set this dynamically in the Packer template, you must use the `build` function" || p["WinRMPassword"] != "{{.WinRMPassword}}" {
		t.Errorf("plugins look for other placeholders than %v", p)
	}
}

// TestData: values of a machine keep their types on the way to other plugins, and all that
// plugins look for is there.
func TestData(t *testing.T) {
	in := map[string]any{
		"ID": "i-1", "Port": int64(2222), "Ok": true, "Half": 0.5, "List": []any{"a", int64(1)}, "Map": map[string]any{"k": "v"}, "Nothing": nil,
	}
	out := data(facts(in))
	for name, want := range map[string]any{
		"ID": "i-1", "Port": int64(2222), "Ok": true, "Half": 0.5, "List": []any{"a", int64(1)}, "Map": map[string]any{"k": "v"},
		"Host": "", "SSHAgentAuth": false, "PackerHTTPAddr": "ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER",
	} {
		if d := cmp.Diff(want, out[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if _, ok := out["Nothing"]; ok {
		t.Error("nothing is a value")
	}
	if none := data(nil); none["Port"] != int64(0) || none["ID"] != "ERR_ID_NOT_IMPLEMENTED_BY_BUILDER" {
		t.Errorf("a machine that tells nothing has %v", none)
	}
}

func TestShells(t *testing.T) {
	for said, want := range map[string]component.Shell{
		"sh %OS%\n": component.POSIX, "/bin/ash %OS%\n": component.POSIX, "": component.POSIX,
		"\"$0\" Windows_NT\r\n": component.Cmd, "\r\n%OS%\r\n": component.PowerShell,
	} {
		if got := shellOf(said); got != want {
			t.Errorf("%q: %d, want %d", said, got, want)
		}
	}
}

func TestSecretNames(t *testing.T) {
	for name, want := range map[string]bool{"password": true, "ssh_password": true, "client_secret": true, "token": true, "ssh_private_key_file": false, "secretary": false, "token_file": false} {
		if secretName(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
