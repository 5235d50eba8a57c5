package schemadoc

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

func TestStatedDefault(t *testing.T) {
	for description, want := range map[string]string{
		"The port. Default 22.":                       "22",
		"The tag. Default: latest.":                   "latest",
		"How. Default `gzip`.":                        "gzip",
		"Codes. Default 0. 2300218 is another.":       "0",
		"Shell. Default /bin/sh -e; none on Windows.": "/bin/sh -e; none on Windows",
		"Run. Default \"a; . b && c\".":               "\"a; . b && c\"",
		"Copy: scp (default) or sftp.":                "scp",
		"From `a` to `b`. Default `a` and `b`.":       "`a` and `b`",
		"A file. Default a.b.c":                       "a.b.c",
		"Default command of the image.":               "",
		"There is none by default: it is not needed.": "",
	} {
		if got := StatedDefault(description); got != want {
			t.Errorf("%q: %q, want %q", description, got, want)
		}
	}
}

// example has everything that an attribute and a block can have.
func example() component.Schema {
	return component.Schema{
		Description: "Makes a thing. It is useful.",
		Since:       "0.2.0",
		Attributes: []component.Attribute{
			{Name: "size", Type: cty.Number, Description: "How large.", Required: true},
			{Name: "mode", Type: cty.String, Description: "How | where.", OneOf: []string{"fast", "slow"}, Default: cty.StringVal("fast")},
			{Name: "wait", Type: cty.String, Format: component.Duration, Description: "How long. Default 5m.", Since: "0.3.0"},
			{Name: "file", Type: cty.List(cty.String), Format: component.Path, Description: "Which.", Late: true},
			{Name: "password", Type: cty.String, Description: "A secret.", Sensitive: true, Deprecated: "Use token."},
		},
		Blocks: []component.Block{{Name: "part", Repeated: true, Schema: component.Schema{
			Description: "A part.",
			Attributes:  []component.Attribute{{Name: "tags", Type: cty.Map(cty.String), Description: "Its tags."}},
			Blocks:      []component.Block{{Name: "inner", Required: true, Schema: component.Schema{Description: "Inside."}}},
		}}},
		Manual: &component.Manual{
			Example:  "source \"thing\" \"x\" {\n  size = 1\n}\n",
			Facts:    []component.Term{{Name: "ID", Description: "The ID."}},
			Data:     []component.Term{{Name: "Sum", Description: "The sum."}},
			Artifact: "A thing.",
		},
	}
}

func exampleDocument() *Document {
	d := &Document{FormatVersion: FormatVersion}
	d.add(Builder, "thing", example(), cty.NilType)
	return d
}

func TestText(t *testing.T) {
	var got strings.Builder
	if err := exampleDocument().Components[0].WriteText(&got, 60); err != nil {
		t.Fatal(err)
	}
	want := `builder "thing"

Makes a thing. It is useful.

Example:

  source "thing" "x" {
    size = 1
  }

Arguments:

  size      number        Required. How large.
  mode      string        How | where. Default fast. One of:
                          fast, slow.
  wait      string        How long. Default 5m. A duration
                          such as "30s" or "5m".
  file      list(string)  Which.
  password  string        A secret. Sensitive: hidden in all
                          output. Deprecated: Use token.

Block part (may be repeated):

A part.

Arguments of part:

  tags  map(string)  Its tags.

Block part inner (exactly once):

Inside.

What templates see as build.NAME:

  ID   The ID.
  Sum  The sum.

Artifact:

A thing.
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestPage(t *testing.T) {
	d := exampleDocument()
	want := `# Builder thing

` + generated + `
Makes a thing. It is useful.

Since version 0.2.0.

## Example

` + "```hcl\nsource \"thing\" \"x\" {\n  size = 1\n}\n```" + `

## Arguments

| argument | type |  |
| --- | --- | --- |
| ` + "`size` | `number`" + ` | **Required.** How large. |
| ` + "`mode` | `string`" + ` | How \| where. Default fast. One of: fast, slow. |
| ` + "`wait` | `string`" + ` | How long. Default 5m. A duration such as "30s" or "5m". Since version 0.3.0. |
| ` + "`file` | `list(string)`" + ` | Which. |
| ` + "`password` | `string`" + ` | A secret. Sensitive: hidden in all output. Deprecated: Use token. |

### Block part

A part. May be repeated.

| argument | type |  |
| --- | --- | --- |
| ` + "`tags` | `map(string)`" + ` | Its tags. |

### Block part inner

Inside. Exactly one.

## What templates see

Provisioners and post-processors can use these values, beside those that
[every build](../blocks.md#values) has.

| value |  |
| --- | --- |
| ` + "`build.ID`" + ` | The ID. |
| ` + "`build.Sum`" + ` | The sum. |

## Artifact

A thing.
`
	if diff := cmp.Diff(want, d.Pages()["builders/thing.md"]); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	var out strings.Builder
	if err := WriteJSON(&out, exampleDocument().Components[0]); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	attributes := got["attributes"].([]any)
	want := []any{
		map[string]any{"name": "size", "type": "number", "description": "How large.", "required": true, "since": "0.1.0"},
		map[string]any{"name": "mode", "type": "string", "description": "How | where.", "required": false, "default": "fast", "one_of": []any{"fast", "slow"}, "since": "0.1.0"},
		map[string]any{"name": "wait", "type": "string", "description": "How long. Default 5m.", "required": false, "default_text": "5m", "format": "duration", "since": "0.3.0"},
		map[string]any{"name": "file", "type": "list(string)", "description": "Which.", "required": false, "format": "path", "late": true, "since": "0.1.0"},
		map[string]any{"name": "password", "type": "string", "description": "A secret.", "required": false, "sensitive": true, "deprecated": "Use token.", "since": "0.1.0"},
	}
	if diff := cmp.Diff(want, attributes); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got["since"] != "0.2.0" || got["kind"] != "builder" {
		t.Errorf("since %v, kind %v", got["since"], got["kind"])
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"one two three", []string{"one two", "three"}},
		{"a-very-long-word and", []string{"a-very-long-word", "and"}},
		{"äöü äöü", []string{"äöü äöü"}},
	} {
		if diff := cmp.Diff(tt.want, wrap(tt.text, 8)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", tt.text, diff)
		}
	}
}
