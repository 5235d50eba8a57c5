package ui

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// encodings are the ways in which a program may print a secret. Each returns a
// text with the secret in it, and the stretches of it that must not be seen.
var encodings = map[string]func(r *rand.Rand, secret string) (text string, hidden []string){
	"raw":         func(_ *rand.Rand, s string) (string, []string) { return s, []string{s} },
	"go quoted":   quotedBy(strconv.Quote),
	"json quoted": quotedBy(func(s string) string { b, _ := json.Marshal(s); return string(b) }), // a string can be marshalled
	"query":       quotedBy(url.QueryEscape),
	"path":        quotedBy(url.PathEscape),
	"shell":       quotedBy(func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }),
	"hex":         quotedBy(func(s string) string { return hex.EncodeToString([]byte(s)) }),
	"base64":      inBase64(base64.StdEncoding),
	"base64 url":  inBase64(base64.URLEncoding),
	"base64 raw":  inBase64(base64.RawStdEncoding),
}

func quotedBy(quote func(string) string) func(*rand.Rand, string) (string, []string) {
	return func(_ *rand.Rand, s string) (string, []string) {
		q := quote(s)
		return q, []string{strings.Trim(q, `"'`)}
	}
}

// inBase64 encodes the secret as a part of something longer, at any offset.
func inBase64(enc *base64.Encoding) func(*rand.Rand, string) (string, []string) {
	return func(r *rand.Rand, s string) (string, []string) {
		shift := r.IntN(6)
		before, after := strings.Repeat("u", shift), strings.Repeat("v", r.IntN(4))
		return enc.EncodeToString([]byte(before + s + after)), []string{inside(enc.WithPadding(base64.StdPadding), []byte(s), shift%3)}
	}
}

// sinks are all places where text goes, each with a function that gives what
// was written.
func sinks(t *testing.T, secrets *Redactor) map[string]struct {
	sink Sink
	text func() string
} {
	t.Helper()
	var plain, jsonLines, records, terminal bytes.Buffer
	path := filepath.Join(t.TempDir(), "log")
	log, err := OpenLog(func(name string) string { return map[string]string{"INGOT_LOG_PATH": path}[name] }, io.Discard, secrets)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]struct {
		sink Sink
		text func() string
	}{
		"plain":    {NewPlain(&plain, &plain, PlainOptions{}), plain.String},
		"json":     {NewJSON(&jsonLines), jsonLines.String},
		"machine":  {NewMachine(&records), records.String},
		"terminal": {NewTerminal(&terminal, TerminalOptions{Size: func() (int, int) { return 200, 50 }}), terminal.String},
		"log": {log, func() string {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}},
	}
}

// secretOf draws a secret that is long enough to be masked in every form.
func secretOf(r *rand.Rand) string {
	alphabet := []rune("abcdXYZ0189 '\"\\$`%&<>+/=-_{}~日é")
	var b strings.Builder
	b.WriteString("s3")
	for range 6 + r.IntN(20) {
		b.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	b.WriteString("t7")
	return b.String()
}

// TestW44SecretsInEverySink: whatever the encoding, and wherever the text comes
// from, no sink shows a secret.
func TestW44SecretsInEverySink(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 44))
		secret := secretOf(r)
		red := redactor(secret)
		var hidden []string
		var events []component.Event
		for _, name := range sorted(encodings) {
			text, secretPart := encodings[name](r, secret)
			hidden = append(hidden, secretPart...)
			around := "before " + text + " after"
			events = append(events,
				component.Output{Stream: component.Stdout, Line: around}, component.Output{Stream: component.Stderr, Line: text},
				component.Message{Text: around}, component.Warning{Summary: around, Detail: text}, component.Problem{Text: around}, component.Trace{Text: around},
				component.StepEnded{Err: errors.New(around)})
		}
		for name, s := range sinks(t, red) {
			wrapped := red.Wrap(s.sink)
			for _, e := range events {
				wrapped.Handle(component.Stamped{At: time.Unix(0, 0), Origin: component.Origin{Build: beta, Step: shell}, Event: e})
			}
			if err := wrapped.Close(); err != nil {
				t.Fatal(err)
			}
			wantHidden(t, fmt.Sprintf("seed %d, sink %s", seed, name), s.text(), hidden)
			if n := strings.Count(s.text(), "sensitive"); n < len(encodings) {
				t.Errorf("seed %d, sink %s: only %d masks", seed, name, n)
			}
		}
	}
}

// wantHidden also looks for the forms that JSON and records give a text.
func wantHidden(t *testing.T, where, text string, hidden []string) {
	t.Helper()
	for _, h := range hidden {
		q, _ := json.Marshal(h) // a string can be marshalled
		for _, form := range []string{h, strings.Trim(string(q), `"`), strings.ReplaceAll(h, ",", "%!(PACKER_COMMA)")} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s: %q is seen: %q", where, form, text[max(0, i-60):min(len(text), i+len(form)+20)])
				return
			}
		}
	}
}

// TestW44SecretsAcrossChunks: a stream is masked wherever it is cut, and so are
// diagnostics.
func TestW44SecretsAcrossChunks(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 45))
		secret := secretOf(r)
		if seed%3 == 0 {
			secret += "\n" + secretOf(r) // each line is a secret too
		}
		red := redactor(secret)
		for _, name := range sorted(encodings) {
			text, hidden := encodings[name](r, secret)
			if name == "raw" {
				hidden = append(hidden, strings.Split(secret, "\n")...)
			}
			text = "before " + text + " after\n"
			for size := 1; size <= 7; size += 3 {
				var out bytes.Buffer
				w := red.Writer(&out)
				for rest := text; rest != ""; {
					n := min(len(rest), size+r.IntN(5))
					if _, err := io.WriteString(w, rest[:n]); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				wantHidden(t, fmt.Sprintf("seed %d, %s in pieces of %d", seed, name, size), out.String(), hidden)
			}
			for _, d := range red.Diagnostics(diag.List{{Summary: text, Detail: text, Values: []diag.Value{{Name: "x", Text: text}}}}) {
				wantHidden(t, fmt.Sprintf("seed %d, diagnostic with %s", seed, name), d.Summary+d.Detail+d.Values[0].Text, hidden)
			}
		}
	}
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
