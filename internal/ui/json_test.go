package ui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
)

// sections returns the text below each heading of docs/events.md.
func sections(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	at := heading.FindAllStringSubmatchIndex(string(text), -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		out[string(text[m[2]:m[3]])] = string(text[m[1]:end])
	}
	return out
}

// nested are the sections that describe the objects inside events.
var nested = map[string]string{"artifact": "Artifacts", "artifacts": "Artifacts", "resource": "Resources", "resources": "Resources"}

// TestEventsDocumented: docs/events.md has a section for every type of event,
// which names every field that occurs.
func TestEventsDocumented(t *testing.T) {
	docs := sections(t)
	var out bytes.Buffer
	j := NewJSON(&out)
	for _, e := range everyEvent("x") {
		j.Handle(component.Stamped{Origin: component.Origin{Build: beta, Step: shell}, At: scriptStart, Event: e})
	}
	where := hcl.Range{Filename: "a.pkr.hcl", Start: hcl.Pos{Line: 3, Column: 4}}
	j.Diagnostics(diag.List{{Severity: diag.Error, Summary: "No", Detail: "Not so.", Subject: &where}})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		var fields map[string]any
		if err := json.Unmarshal(lines.Bytes(), &fields); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		typ, _ := fields["type"].(string)
		seen[typ] = true
		text, ok := docs[typ]
		if !ok || typ == "unknown" {
			t.Errorf("no section about %q", typ)
		}
		checkFields(t, docs, typ, text+docs["Fields of every event"], fields)
	}
	if len(seen) != 25 {
		t.Errorf("%d types of event, want the 23 of component, diagnostic and stream_started: %v", len(seen), seen)
	}
}

func checkFields(t *testing.T, docs map[string]string, where, text string, fields map[string]any) {
	t.Helper()
	for name, value := range fields {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("%s: field %q is not documented", where, name)
		}
		if name == "attrs" || name == "data" {
			continue
		}
		inner := text
		if s, ok := nested[name]; ok {
			inner = docs[s]
		}
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for _, v := range list {
			if o, ok := v.(map[string]any); ok {
				checkFields(t, docs, where+"."+name, inner, o)
			}
		}
	}
}

// TestEveryFieldPrinted: each field of each event makes a difference to what
// is printed.
func TestEveryFieldPrinted(t *testing.T) {
	for _, e := range everyEvent("x") {
		typ := reflect.TypeOf(e)
		full := component.Stamped{Origin: component.Origin{Build: beta, Step: shell}, Event: e}
		var o object
		with := string(appendJSON(&o, nil, &full))
		for i := range typ.NumField() {
			v := reflect.New(typ).Elem()
			v.Set(reflect.ValueOf(e))
			v.Field(i).SetZero()
			s := full
			s.Event = v.Interface().(component.Event)
			// 7ns and 0ns are the same in milliseconds.
			if typ.Field(i).Type == reflect.TypeFor[time.Duration]() {
				v.Field(i).SetInt(int64(time.Minute))
				s.Event = v.Interface().(component.Event)
			}
			if string(appendJSON(&o, nil, &s)) == with {
				t.Errorf("%s: field %s is not printed", typ, typ.Field(i).Name)
			}
		}
	}
	if n := reflect.TypeFor[addr.Step]().NumField(); n != 5 {
		t.Errorf("addr.Step has %d fields: are they all in its id or in step_started?", n)
	}
}

func TestJSONFirstLine(t *testing.T) {
	var out bytes.Buffer
	j := NewJSON(&out)
	for range 2 {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var first struct {
		Type    string
		Version int
		Time    time.Time
	}
	if err := json.Unmarshal(out.Bytes(), &first); err != nil {
		t.Fatal(err)
	}
	if first.Type != "stream_started" || first.Version != JSONVersion || time.Since(first.Time) > time.Hour {
		t.Errorf("got %s", &out)
	}
}

func FuzzJSONString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\x00\x1f\x7f\n\t\r", "\xff\xc3", "日本\u2028\u2029\ufffd\U0001F600", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := appendJSONString(nil, s)
		var got string
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var want strings.Builder
		for _, r := range s {
			want.WriteRune(r)
		}
		if got != want.String() {
			t.Errorf("%q became %q", s, got)
		}
		if !utf8.Valid(text) || bytes.ContainsAny(text, "\n\u2028\u2029") {
			t.Errorf("%q is not one line of UTF-8", text)
		}
	})
}
