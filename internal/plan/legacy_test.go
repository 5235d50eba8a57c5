package plan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/lang/funcs"
	"ingot/internal/plan"
	"ingot/internal/template"
)

// makePlan plans the template in a file of that name. There must be no
// findings.
func makePlan(t *testing.T, name, text string, in plan.Inputs) *plan.Plan {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	tmpl, diags := template.Load(name, template.Options{WorkDir: dir, CoreVersion: "1.16.0"})
	in.Provider, in.CoreVersion, in.WorkDir = provider{}, "1.16.0", dir
	in.Start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if diags == nil {
		var p *plan.Plan
		if p, diags = plan.Make(context.Background(), tmpl, in); diags == nil {
			return p
		}
	}
	t.Fatalf("%s: %v", name, diags[0])
	return nil
}

// outline writes a plan down, with all that was computed.
func outline(p *plan.Plan) string {
	var out strings.Builder
	for _, b := range p.Builds {
		fmt.Fprintf(&out, "%s %q %s %#v\n", b.Addr, b.Description, b.Template.BuildName, b.Config.Value)
		steps := append([]*plan.Step(nil), b.Provisioners...)
		if b.ErrorCleanup != nil {
			steps = append(steps, b.ErrorCleanup)
		}
		for _, s := range steps {
			fmt.Fprintf(&out, "  %s %v %v %d %#v\n", s.Addr, s.PauseBefore, s.Timeout, s.MaxRetries, s.Config.Value)
		}
		for _, c := range b.Chains {
			for _, s := range c {
				keep := "default"
				if s.KeepInput != nil {
					keep = fmt.Sprint(*s.KeepInput)
				}
				fmt.Fprintf(&out, "  %s %s %s %#v\n", s.Addr, s.Addr.Name, keep, s.Config.Value)
			}
		}
	}
	return out.String()
}

// A legacy template has the plan of the HCL template that says the same.
func TestLegacyPlanIsThatOfHCL(t *testing.T) {
	const legacy = `{
  "description": "Both.",
  "variables": {"image": "img", "size": "0x10", "secret": "s3cret!", "on": "", "list": "a,b"},
  "sensitive-variables": ["secret"],
  "builders": [
    {
      "type": "fake", "name": "a-{{user ` + "`image`" + `}}",
      "image": "{{user ` + "`image`" + `}}:{{isotime ` + "`2006`" + `}}", "size": "{{user ` + "`size`" + `}}", "pull": "{{user ` + "`on`" + `}}",
      "tags": "{{user ` + "`list`" + `}}", "labels": {"k": "${literal}"}, "timeout": 1500000000,
      "disk": [{"size": "1"}, {"size": 2, "label": "l"}], "network": {"name": "n"},
      "command": "{{.Vars}} {{user ` + "`secret`" + `}}"
    },
    {"type": "fake", "name": "b", "pull": 1, "size": true, "disk": {"size": 3}}
  ],
  "provisioners": [
    {"type": "shell", "inline": ["x {{build ` + "`ID`" + `}}"], "only": ["b"], "except": [], "pause_before": "1m", "timeout": 60000000000, "max_retries": "2"},
    {"type": "shell", "inline": ["y"], "only": [], "override": {"b": {"inline": ["z {{build_name}}"], "script": "s"}}}
  ],
  "error-cleanup-provisioner": {"type": "shell", "inline": ["{{build_type}}"], "except": ["b"]},
  "post-processors": [
    {"type": "manifest", "output": "m"},
    [{"type": "compress", "name": "c", "output": "o", "keep_input_artifact": true}, {"type": "manifest", "output": "n", "only": ["a-{{user ` + "`image`" + `}}"]}]
  ]
}`
	const native = `
variable "secret" {
  default   = "s3cret!"
  sensitive = true
}
source "fake" "a-img" {
  image   = "img:2026"
  size    = 16
  pull    = false
  tags    = ["a", "b"]
  labels  = { k = "$${literal}" }
  timeout = "1500000000ns"
  disk {
    size = 1
  }
  disk {
    size  = 2
    label = "l"
  }
  network {
    name = "n"
  }
  command = "{{.Vars}} {{\"${var.secret}\"}}"
}
source "fake" "b" {
  pull = true
  size = 1
  disk {
    size = 3
  }
}
build {
  description = "Both."
  sources     = ["fake.a-img", "fake.b"]
  provisioner "shell" {
    inline       = ["x {{build ` + "`ID`" + `}}"]
    only         = ["fake.b"]
    pause_before = "1m"
    timeout      = "1m"
    max_retries  = 2
  }
  provisioner "shell" {
    inline = ["y"]
    override = {
      b = { inline = ["z b"], script = "s" }
    }
  }
  error-cleanup-provisioner "shell" {
    inline = ["fake"]
    except = ["fake.b"]
  }
  post-processor "manifest" {
    output = "m"
  }
  post-processors {
    post-processor "compress" {
      name                = "c"
      output              = "o"
      keep_input_artifact = true
    }
    post-processor "manifest" {
      output = "n"
      only   = ["fake.a-img"]
    }
  }
}
`
	var told, toldNative []string
	got := outline(makePlan(t, "t.json", legacy, plan.Inputs{Secrets: func(s string) { told = append(told, s) }}))
	want := outline(makePlan(t, "t.pkr.hcl", native, plan.Inputs{Secrets: func(s string) { toldNative = append(toldNative, s) }}))
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-HCL +legacy)\n%s", d)
	}
	if d := cmp.Diff(toldNative, told); d != "" {
		t.Errorf("secrets (-HCL +legacy)\n%s", d)
	}
}

// outside answers for Vault, Consul and Secrets Manager.
type outside struct{}

func (outside) Read(_ context.Context, path string) (map[string]any, error) {
	return map[string]any{"key": "vault:" + path + "{{"}, nil
}

func (outside) Value(_ context.Context, key string) (string, error) { return "consul:" + key, nil }

func (outside) Secret(_ context.Context, name string) (string, error) {
	return `{"only": "aws:` + name + `"}`, nil
}

// The values of variables may come from outside, by names that are computed,
// and are not taken for template texts.
func TestLegacyExternalValues(t *testing.T) {
	const text = `{
  "variables": {
    "env": "{{env ` + "`X`" + ` | upper}}{{env ` + "`NOT_SET`" + `}}",
    "vault": "{{vault (printf ` + "`%s/p` (user `prefix`)" + `) ` + "`key`" + `}}",
    "consul": "{{consul_key ` + "`k`" + `}}",
    "aws": "{{aws_secretsmanager ` + "`n` `only`" + `}} {{aws_secretsmanager ` + "`n`" + `}}",
    "raw": "{{aws_secretsmanager_raw ` + "`n`" + `}}",
    "prefix": "{{user ` + "`given`" + `}}/q",
    "given": null
  },
  "builders": [
    {"type": "fake", "tags": ["{{user ` + "`env`" + `}}", "{{user ` + "`vault`" + `}}", "{{user ` + "`consul`" + `}}", "{{user ` + "`aws`" + `}}", "{{user ` + "`raw`" + `}}"]}
  ]
}`
	p := makePlan(t, "t.json", text, plan.Inputs{
		Environ: []string{"X=env"}, Vars: []string{"given={{env `X`}}"},
		Functions: funcs.Env{Vault: outside{}, Consul: outside{}, Secrets: outside{}},
	})
	want := cty.ListVal([]cty.Value{
		cty.StringVal("ENV"), cty.StringVal("vault:env/q/p{{"), cty.StringVal("consul:k"), cty.StringVal("aws:n aws:n"), cty.StringVal(`{"only": "aws:n"}`),
	})
	if got := p.Builds[0].Config.Value.GetAttr("tags"); !got.RawEquals(want) {
		t.Errorf("got %#v", got)
	}
}
