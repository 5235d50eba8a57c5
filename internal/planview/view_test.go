package planview_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/plan"
	"ingot/internal/planview"
)

var update = flag.Bool("update", false, "rewrite the expected forms in testdata")

// declared is in front of every body of TestValues.
const declared = `
variable "token" {
  default   = "hunter2"
  sensitive = true
}
variable "number" {
  default   = 4444
  sensitive = true
}
variable "flag" {
  default   = true
  sensitive = true
}
variable "object" {
  default   = { a = "inner-secret", b = 7 }
  sensitive = true
}
variable "plain" {
  default = ["x", "y"]
}
locals {
  derived = upper(var.token)
}
data "fake" "d" {}
`

func TestValues(t *testing.T) {
	tests := map[string]struct {
		body, text, json string
	}{
		"kinds": {
			"text = \"a \\\"b\\\" é\\t\"\nsize = 1.5\nflag = false\nlist = [\"a\", \"b\"]\nmap = { b = 1, \"a b\" = \"2\" }\nobject = null",
			`text = "a \"b\" é\t"
size = 1.5
flag = false
list = ["a", "b"]
map = { "a b" = "2", b = "1" }
object = null`,
			`{"flag":{"value":false},"list":{"value":["a","b"]},"map":{"value":{"a b":"2","b":"1"}},"object":{"value":null},"size":{"value":1.5},"text":{"value":"a \"b\" é\t"}}`,
		},
		"empty":        {"list = []\nmap = {}", "list = []\nmap = {}", `{"list":{"value":[]},"map":{"value":{}}}`},
		"large number": {"size = 123456789012345678901234567890", "size = 123456789012345678901234567890", `{"size":{"value":123456789012345678901234567890}}`},
		"lines": {
			"text = \"a\\nb\\u0007\\n\"\nlist = [\"x\\ny\"]",
			"text = <<EOT\n  a\n  b\\a\nEOT\nlist = [\n  <<EOT\n    x\n    y\n  EOT,\n]",
			`{"list":{"value":["x\ny"]},"text":{"value":"a\nb\u0007\n"}}`,
		},
		"long list": {
			`list = [for i in range(20) : "element ${i}"]`, "list = [\n" + strings.Join(elements(20), "\n") + "\n]", "",
		},
		"secret text":            {`text = var.token`, `text = <sensitive>`, `{"text":{"sensitive":true,"value":null}}`},
		"secret number":          {`size = var.number`, `size = <sensitive>`, `{"size":{"sensitive":true,"value":null}}`},
		"secret bool":            {`flag = var.flag`, `flag = <sensitive>`, `{"flag":{"sensitive":true,"value":null}}`},
		"number that holds one":  {`size = 144445`, `size = <sensitive>`, `{"size":{"sensitive":true,"value":null}}`},
		"part of a text":         {`text = "a-${var.token}-b"`, `text = <sensitive>`, `{"text":{"sensitive":true,"value":null}}`},
		"the text without mark":  {`text = "a-hunter2-b"`, `text = "a-<sensitive>-b"`, `{"text":{"sensitive":true,"value":"a-\u003csensitive\u003e-b"}}`},
		"derived":                {`text = local.derived`, `text = <sensitive>`, `{"text":{"sensitive":true,"value":null}}`},
		"element":                {`list = ["a", var.token]`, `list = ["a", <sensitive>]`, `{"list":{"sensitive":[null,true],"value":["a",null]}}`},
		"map value":              {`map = { a = var.token, b = "x" }`, `map = { a = <sensitive>, b = "x" }`, `{"map":{"sensitive":{"a":true},"value":{"a":null,"b":"x"}}}`},
		"map key":                {`map = { (var.token) = "x" }`, `map = <sensitive>`, `{"map":{"sensitive":true,"value":null}}`},
		"map key without a mark": {`map = { hunter2 = "x" }`, `map = <sensitive>`, `{"map":{"sensitive":true,"value":null}}`},
		"object":                 {`object = { a = var.token, b = 1 }`, `object = { a = <sensitive>, b = 1 }`, `{"object":{"sensitive":{"a":true},"value":{"a":null,"b":1}}}`},
		"whole object":           {`object = var.object`, `object = <sensitive>`, `{"object":{"sensitive":true,"value":null}}`},
		"set":                    {`set = ["b", var.token]`, `set = <sensitive>`, `{"set":{"sensitive":true,"value":null}}`},
		"list of one text":       {`list = var.token`, `list = <sensitive>`, `{"list":{"sensitive":true,"value":null}}`},
		"by the schema":          {`password = "pass-word"`, `password = <sensitive>`, `{"password":{"sensitive":true,"value":null}}`},
		"unread data":            {`text = data.fake.d.value`, `text = (known after reading data sources)`, `{"text":{"unknown":"data","value":null}}`},
		"unread element":         {`list = ["a", data.fake.d.value]`, `list = ["a", (known after reading data sources)]`, `{"list":{"unknown":[null,"data"],"value":["a",null]}}`},
		"unread and secret":      {`text = "${data.fake.d.value}${var.token}"`, `text = (known after reading data sources)`, `{"text":{"sensitive":true,"unknown":"data","value":null}}`},
		"unread map":             {`map = { a = data.fake.d.value }`, `map = { a = (known after reading data sources) }`, `{"map":{"unknown":{"a":"data"},"value":{"a":null}}}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := declared + "source \"fake\" \"s\" {\n" + tt.body + "\n}\nbuild {\n  sources = [\"fake.s\"]\n}\n"
			v := show(t, src, planview.Options{})
			if diff := cmp.Diff(tt.text, bodyText(t, v)); diff != "" {
				t.Errorf("text (-want +got)\n%s", diff)
			}
			if tt.json == "" {
				return
			}
			if diff := cmp.Diff(tt.json, argumentsJSON(t, v)); diff != "" {
				t.Errorf("JSON (-want +got)\n%s", diff)
			}
		})
	}
}

func elements(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("  \"element %d\",", i)
	}
	return out
}

// bodyText is the text form of the first build's arguments, without the
// indentation and the columns.
func bodyText(t *testing.T, v *planview.View) string {
	t.Helper()
	var out []string
	for _, line := range strings.Split(text(t, v), "\n") {
		if body, ok := strings.CutPrefix(line, "      "); ok && !strings.HasPrefix(body, "creates ") {
			name, rest, found := strings.Cut(body, "= ")
			if found && !strings.HasPrefix(body, " ") {
				body = strings.TrimRight(name, " ") + " = " + rest
			}
			out = append(out, body)
		}
	}
	return strings.Join(out, "\n")
}

func text(t *testing.T, v *planview.View) string {
	t.Helper()
	var out strings.Builder
	if err := v.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func argumentsJSON(t *testing.T, v *planview.View) string {
	t.Helper()
	var out strings.Builder
	if err := v.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Builds []struct {
			Arguments map[string]map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &doc); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(doc.Builds[0].Arguments)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// whole has everything that a plan can show.
const whole = declared + `
source "fake" "one" {
  text         = "x"
  makes        = "image-one"
  disk {
    size = 1
    key  = var.token
    label {
      text = "inner"
    }
  }
  dynamic "disk" {
    for_each = var.plain
    content {
      key = disk.value
    }
  }
  net {
    name = "n-${var.token}"
  }
}
source "fake" "two" {
  communicator = data.fake.d.value
  makes        = data.fake.d.value
  dynamic "disk" {
    for_each = data.fake.d.list
    content {
      key = disk.value
    }
  }
}
build {
  name        = "all"
  description = "First.\nSecond hunter2."
  sources     = ["fake.one"]
  source "fake.two" {
    name = "second"
    size = 3
  }
  provisioner "fake" {
    name              = "a \"name\""
    pause_before      = "90s"
    timeout           = "5m"
    max_retries       = 2
    continue_on_error = true
    text              = build.ID
    list              = ["{{ build ` + "`Host`" + ` }}", "name: ${build.name}"]
    override = {
      second = { disk = [{ size = 1, key = var.token }], text = "overridden" }
    }
  }
  provisioner "fake" {
    only = ["fake.one"]
    makes = "<tag> & \"#1\""
  }
  error-cleanup-provisioner "fake" {
    flag = true
  }
  post-processor "fake" {
    except = ["fake.second"]
  }
  post-processors {
    post-processor "fake" {
      keep_input_artifact = false
      makes               = "tag:1"
    }
    post-processor "fake" {
      name = "last"
    }
  }
}
build {
  name    = "after"
  sources = ["fake.one"]
  provisioner "fake" {
    text = "${build.all.artifacts["fake.one"].id} ${data.fake.d.value}"
    list = [build.all.artifacts["fake.second"].id, build.ID]
  }
}
`

// TestGolden compares every form of a plan with everything in it with the
// files of testdata. "go test ./internal/planview -update" rewrites them.
func TestGolden(t *testing.T) {
	for name, o := range map[string]planview.Options{"plan": {}, "all": {All: true}} {
		v := show(t, whole, o)
		for ext, write := range map[string]func(io.Writer) error{
			"txt": v.WriteText, "json": v.WriteJSON, "mmd": v.WriteMermaid, "dot": v.WriteDOT,
		} {
			t.Run(name+"."+ext, func(t *testing.T) {
				var got strings.Builder
				if err := write(&got); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(got.String(), "hunter2") {
					t.Error("a secret is shown")
				}
				file := filepath.Join("testdata", name+"."+ext)
				if *update {
					if err := os.WriteFile(file, []byte(got.String()), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got.String()); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			})
		}
	}
}

// TestEvaluatedData: what was read is shown, and only the machine is left to
// wait for.
func TestEvaluatedData(t *testing.T) {
	got := text(t, showWith(t, whole, planview.Options{}, func(in *plan.Inputs) { in.EvaluateData = true }))
	if strings.Contains(got, "data sources") {
		t.Errorf("something is said to wait for a data source:\n%s", got)
	}
	for _, want := range []string{`communicator = "read"`, "(known when the machine runs)", `key = "one"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
