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
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/retry"
)

func redactor(secrets ...string) *Redactor {
	r := NewRedactor()
	for _, s := range secrets {
		r.Add(s)
	}
	return r
}

func TestRedact(t *testing.T) {
	pem := "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ==\n-----END KEY-----\n"
	for _, c := range []struct {
		name    string
		secrets []string
		in, out string
	}{
		{"raw", []string{"hunter2"}, "pw=hunter2;", "pw=<sensitive>;"},
		{"twice", []string{"hunter2"}, "hunter2hunter2", "<sensitive><sensitive>"},
		{"longest first", []string{"pass", "password"}, "password pass", "<sensitive> <sensitive>"},
		{"overlap", []string{"abcdef", "defghi"}, "xabcdefghiy", "x<sensitive>y"},
		{"self overlap", []string{"aaaa"}, "aaaaaa", "<sensitive>"},
		{"number", []string{"8443"}, "port 8443", "port <sensitive>"},
		{"short inside", []string{"42"}, "4242 and 42", "4242 and 42"},
		{"short alone", []string{"42"}, " 42\n", "<sensitive>"},
		{"boolean inside", []string{"true"}, "it is true", "it is true"},
		{"boolean alone", []string{"true"}, "true", "<sensitive>"},
		{"empty", []string{"", " \n"}, "a b\n", "a b\n"},
		{"three characters", []string{"日本語"}, "x日本語y", "x<sensitive>y"},
		{"one wide character", []string{"日"}, "日本", "日本"},
		{"lines", []string{pem}, "got MIIEvQIBADANBg and kqhkiG9w0BAQ==!", "got <sensitive> and <sensitive>!"},
		{"all lines", []string{pem}, "[" + pem + "]", "[<sensitive>]"},
		{"carriage returns", []string{"one1\r\ntwo2"}, "one1\ntwo2 one1\r\ntwo2", "<sensitive> <sensitive>"},
		{"braces do not count", []string{"{{{\nvalue1\n}}}"}, "func() {{{ value1", "func() {{{ <sensitive>"},
		{"json", []string{"a\"b\\c"}, `{"k":"a\"b\\c"}`, `{"k":"<sensitive>"}`},
		{"json of lines", []string{"ab\"c\ndef"}, `"ab\"c\ndef"`, `"<sensitive>"`},
		{"shell quotes", []string{"it's $5"}, `echo 'it'"'"'s $5' 'it'\''s $5'`, `echo '<sensitive>' '<sensitive>'`},
		{"shell escapes", []string{"a b$c"}, `a\ b\$c`, `<sensitive>`},
		{"powershell", []string{"a'b$c"}, "'a''b$c' \"a'b`$c\"", "'<sensitive>' \"<sensitive>\""},
		{"url", []string{"a b&c/d"}, "a+b%26c%2Fd a%20b&c%2Fd a%20b%26c%2fd", "<sensitive> <sensitive> <sensitive>"},
		{"xml", []string{"a<b&c"}, "a&lt;b&amp;c", "<sensitive>"},
		{"hcl", []string{"x${y}z"}, `"x$${y}z"`, `"<sensitive>"`},
		{"hex", []string{"secret"}, "736563726574 " + strings.ToUpper(hex.EncodeToString([]byte("secret"))), "<sensitive> <sensitive>"},
		{"basic auth", []string{"Sup3rS3cret!"}, base64.StdEncoding.EncodeToString([]byte("admin:Sup3rS3cret!")), "YWRtaW46<sensitive>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := redactor(c.secrets...).Redact(c.in); got != c.out {
				t.Errorf("got %q, want %q", got, c.out)
			}
		})
	}
	if got := new(Redactor).Redact("x"); got != "x" {
		t.Errorf("without secrets: %q", got)
	}
}

func randomSecret(r *rand.Rand) string {
	alphabet := []rune("abcXYZ0189 '\"\\$`%&<>+/=-_{}~\n日é")
	n := 6 + r.IntN(60)
	var b strings.Builder
	b.WriteByte('q')
	for range n {
		b.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	b.WriteByte('Z')
	return b.String()
}

// TestRedactEncodings hides random secrets in texts in every promised form,
// with other text around them.
func TestRedactEncodings(t *testing.T) {
	enc := func(b64 *base64.Encoding, s string, before, after int) string {
		return b64.EncodeToString([]byte(strings.Repeat("#", before) + s + strings.Repeat("#", after)))
	}
	quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	encodings := map[string]func(string) string{
		"raw":     func(s string) string { return s },
		"go":      strconv.Quote,
		"ascii":   strconv.QuoteToASCII,
		"json":    quoted,
		"ours":    func(s string) string { return string(appendJSONString(nil, s)) },
		"shell":   func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" },
		"shell2":  func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" },
		"query":   url.QueryEscape,
		"path":    url.PathEscape,
		"hex":     func(s string) string { return hex.EncodeToString([]byte(s)) },
		"std":     func(s string) string { return enc(base64.StdEncoding, s, 0, 0) },
		"rawstd":  func(s string) string { return enc(base64.RawStdEncoding, s, 0, 0) },
		"url64":   func(s string) string { return enc(base64.URLEncoding, s, 0, 0) },
		"utf16":   func(s string) string { return base64.StdEncoding.EncodeToString(utf16LE(s)) },
		"newline": func(s string) string { return enc(base64.StdEncoding, s+"\n", 0, 0) },
	}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		secret := randomSecret(r)
		red := redactor(secret)
		for name, f := range encodings {
			text := f(secret)
			got := red.Redact("<<" + text + ">>")
			if n := leak(got, text); n > 4 {
				t.Fatalf("seed %d: %s of %q leaves %d characters in a row: %q", seed, name, secret, n, got)
			}
		}
		for shift := range 3 {
			for tail := range 3 {
				text := enc(base64.StdEncoding, secret, shift, tail)
				got := red.Redact(text)
				inner := inside(base64.StdEncoding, []byte(secret), shift)
				if n := leak(got, inner); n > 4 {
					t.Fatalf("seed %d: base64 at offset %d leaves %d characters: %q", seed, shift, n, got)
				}
			}
		}
	}
}

// leak returns the length of the longest stretch of text that is in got.
func leak(got, text string) int {
	got = strings.ReplaceAll(got, mask, "\x00")
	longest := 0
	for i := range text {
		for j := i + longest + 1; j <= len(text) && strings.Contains(got, text[i:j]); j++ {
			longest = j - i
		}
	}
	return longest
}

// TestRedactAsDefined compares with the plain definition: mark what any
// pattern covers, put one mask for each run of matches that overlap.
func TestRedactAsDefined(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		patterns := map[string]bool{}
		for range 1 + r.IntN(6) {
			patterns[randomText(r, 3+r.IntN(6))] = true
		}
		text := randomText(r, r.IntN(80))
		m := newMatcher(patterns, nil)
		var want []span
		for i := range text {
			longest := 0
			for p := range patterns {
				if strings.HasPrefix(text[i:], p) {
					longest = max(longest, len(p))
				}
			}
			if longest > 0 {
				want = join(want, span{i, i + longest})
			}
		}
		if got := m.find(text); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %q with %v: got %v, want %v", seed, text, patterns, got, want)
		}
	}
}

func randomText(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abc\n"[r.IntN(4)]
	}
	return string(b)
}

// TestWriterBorders cuts texts at random: the result is the same as in one
// piece.
func TestWriterBorders(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		red := NewRedactor()
		for range 1 + r.IntN(4) {
			red.Add(randomText(r, 3+r.IntN(8)))
		}
		text := randomText(r, 200)
		var out bytes.Buffer
		w := red.Writer(&out)
		for rest := text; rest != ""; {
			n := min(len(rest), 1+r.IntN(9))
			if k, err := io.WriteString(w, rest[:n]); err != nil || k != n {
				t.Fatal(k, err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		c := red.current()
		if want := replace(text, c.find(text)); out.String() != want {
			t.Fatalf("seed %d: %q in pieces: got %q, want %q", seed, text, out.String(), want)
		}
	}
}

func output(s Sink, lines ...string) {
	for _, l := range lines {
		s.Handle(component.Stamped{Origin: component.Origin{Build: beta, Step: shell},
			Event: component.Output{Stream: component.Stdout, Line: l}})
	}
}

func lines(r *Recorder) []string {
	var out []string
	for _, e := range r.Events() {
		if o, ok := e.Event.(component.Output); ok {
			out = append(out, o.Line)
		}
	}
	return out
}

func TestWrapOutput(t *testing.T) {
	big := strings.Repeat("x", 64<<10)
	for _, c := range []struct {
		name    string
		secrets []string
		in, out []string
	}{
		{"none", nil, []string{"a", "b"}, []string{"a", "b"}},
		{"whole line", []string{"42"}, []string{"42", "421"}, []string{mask, "421"}},
		{"several lines", []string{"first\nsecond\n"}, []string{"> first", "second<"}, []string{"> " + mask, mask + "<"}},
		{"short lines in order", []string{"first\nab\nc"}, []string{"ab", "x first", "ab", "c", "ab"},
			[]string{"ab", "x " + mask, mask, mask, "ab"}},
		{"short line with more behind it", []string{"first\nab"}, []string{"first", "ab, and"}, []string{mask, mask + ", and"}},
		{"cut line", []string{"password"}, []string{big + "pass", "word, then"}, []string{big, mask + ", then"}},
		{"cut line without a secret", []string{"password"}, []string{big + "pass", "age"}, []string{big, "passage"}},
		{"cut line at the end", []string{"password"}, []string{big + "pass"}, []string{big, "pass"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := &Recorder{}
			s := redactor(c.secrets...).Wrap(rec)
			output(s, c.in...)
			s.Handle(component.Stamped{Origin: component.Origin{Build: beta, Step: shell}, Event: component.StepEnded{}})
			if got := lines(rec); !reflect.DeepEqual(got, c.out) {
				t.Errorf("got %.100q, want %.100q", got, c.out)
			}
			events := rec.Events()
			if _, ok := events[len(events)-1].Event.(component.StepEnded); !ok {
				t.Error("text after the step's end")
			}
		})
	}
	// Two streams do not mix, and Close hands on what is held.
	rec := &Recorder{}
	s := redactor("password").Wrap(rec)
	output(s, big+"pass")
	s.Handle(component.Stamped{Origin: component.Origin{Build: beta, Step: shell},
		Event: component.Output{Stream: component.Stderr, Line: "word"}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := lines(rec); !reflect.DeepEqual(got, []string{big, "word", "pass"}) {
		t.Errorf("got %.100q", got)
	}
}

// everyEvent returns one event of each type, all texts set to text.
func everyEvent(text string) []component.Event {
	artifact := &component.Artifact{}
	events := []component.Event{
		component.RunStarted{}, component.RunEnded{}, component.BuildStarted{},
		component.BuildEnded{Artifacts: []*component.Artifact{artifact, nil}},
		component.PhaseStarted{Phase: component.PhaseBoot}, component.PhaseEnded{Phase: component.PhaseBoot},
		component.StepStarted{}, component.StepEnded{}, component.StepSkipped{}, component.CacheChecked{}, component.Message{}, component.Problem{}, component.Trace{},
		component.Warning{}, component.Output{}, component.Progress{}, component.Waiting{}, component.WaitEnded{Stages: make([]component.WaitStage, 1)}, component.Retrying{},
		component.ResourceHeld{}, component.ResourceReleased{}, component.ResourceKept{},
		component.ArtifactMade{Artifact: artifact},
	}
	for i, e := range events {
		v := reflect.New(reflect.TypeOf(e)).Elem()
		v.Set(reflect.ValueOf(e))
		fill(v, text)
		events[i] = v.Interface().(component.Event)
	}
	return events
}

func fill(v reflect.Value, text string) {
	switch {
	case v.Type() == reflect.TypeFor[component.Phase]() || v.Type() == reflect.TypeFor[component.StageState]() || v.Type() == reflect.TypeFor[retry.Class]():
	case v.Type() == reflect.TypeFor[error]():
		v.Set(reflect.ValueOf(retry.As(retry.Throttled, fmt.Errorf("%s: %w", text, io.ErrUnexpectedEOF))))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(7)
	case v.CanUint():
		v.SetUint(2)
	case v.Kind() == reflect.Pointer && !v.IsNil():
		fill(v.Elem(), text)
	case v.Kind() == reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			fill(v.Index(i), text)
		}
	case v.Type() == reflect.TypeFor[map[string]string]():
		v.Set(reflect.ValueOf(map[string]string{text: text}))
	case v.Type() == reflect.TypeFor[map[string]cty.Value]():
		v.Set(reflect.ValueOf(map[string]cty.Value{
			text: cty.True, "text": cty.StringVal(text), "list": cty.TupleVal([]cty.Value{cty.StringVal("x"), cty.StringVal(text)}),
			"object": cty.ObjectVal(map[string]cty.Value{text: cty.Zero}), "map": cty.MapVal(map[string]cty.Value{text: cty.Zero}),
		}))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), text)
		}
	}
}

// TestWrapEveryField: no text of any event gets through, in any sink.
func TestWrapEveryField(t *testing.T) {
	const secret = "Tr0ub4dor&3"
	rec := &Recorder{}
	s := redactor(secret).Wrap(rec)
	events := everyEvent("a " + secret + " b")
	for i, e := range events {
		if r, ok := e.(component.RunStarted); ok {
			r.Builds = nil // names from the template are not masked
			events[i] = r
		}
		s.Handle(component.Stamped{Event: events[i]})
	}
	var all bytes.Buffer
	j := NewJSON(&all)
	for i, e := range rec.Events() {
		// %+v goes through pointers by hand and prints errors as text.
		fmt.Fprintf(&all, "%+v\n", e.Event)
		for _, a := range artifactsOf(e.Event) {
			fmt.Fprintf(&all, "%+v\n", *a)
		}
		j.Handle(e)
		if reflect.TypeOf(e.Event) != reflect.TypeOf(events[i]) {
			t.Errorf("%T became %T", events[i], e.Event)
		}
		if x, ok := e.Event.(component.StepEnded); ok {
			if !errors.Is(x.Err, io.ErrUnexpectedEOF) || retry.ClassOf(x.Err) != retry.Throttled || errors.Unwrap(x.Err) != nil {
				t.Errorf("the error lost its kind or kept its chain: %#v", x.Err)
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if i := strings.Index(all.String(), "Tr0ub"); i >= 0 {
		t.Errorf("printed: %s", all.String()[max(0, i-200):i+50])
	}
	if n := strings.Count(all.String(), mask); n < 60 {
		t.Errorf("only %d masks", n)
	}
	for _, a := range artifactsOf(events[3]) {
		if !strings.Contains(a.Summary, secret) {
			t.Error("the original artifact was changed")
		}
	}
}

func artifactsOf(e component.Event) []*component.Artifact {
	var out []*component.Artifact
	switch e := e.(type) {
	case component.BuildEnded:
		out = e.Artifacts
	case component.ArtifactMade:
		out = []*component.Artifact{e.Artifact}
	}
	for i, a := range out {
		if a == nil {
			out = append(out[:i:i], out[i+1:]...)
			break
		}
	}
	return out
}

// TestRedactRace adds secrets while others are printed; it is for -race. A
// secret is masked as soon as Add has returned.
func TestRedactRace(t *testing.T) {
	red := NewRedactor()
	rec := &Recorder{}
	sink := red.Wrap(rec)
	log := red.Writer(io.Discard)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				secret := fmt.Sprintf("secret-%d-%d\nline\nx", w, i)
				red.Add(secret)
				if got := red.Redact("is " + secret); got != "is "+mask {
					t.Errorf("got %q", got)
				}
				output(sink, secret)
				fmt.Fprintln(log, secret)
			}
		})
	}
	wg.Wait()
	for _, l := range lines(rec) {
		if strings.Contains(l, "secret") {
			t.Errorf("printed %q", l)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("secret", "a secret thing", uint8(3))
	f.Add("a\nb", "a\nb", uint8(1))
	f.Fuzz(func(t *testing.T, secret, text string, at uint8) {
		red := redactor(secret)
		cut := min(int(at), len(text))
		whole := text[:cut] + secret + text[cut:]
		got := red.Redact(whole)
		long := utf8.RuneCountInString(strings.TrimSpace(secret)) >= shortest && !commonplace[strings.ToLower(strings.TrimSpace(secret))]
		if long && !strings.Contains(mask, secret) && strings.Contains(strings.ReplaceAll(got, mask, "\x00\x01\x02"), secret) &&
			!strings.ContainsAny(secret, "\x00\x01\x02") {
			t.Errorf("%q is left in %q", secret, got)
		}
		var out bytes.Buffer
		w := red.Writer(&out)
		_, _ = io.WriteString(w, whole[:cut])
		_, _ = io.WriteString(w, whole[cut:])
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if c := red.current(); c != nil && out.String() != replace(whole, c.find(whole)) {
			t.Errorf("in two pieces %q, in one %q", out.String(), got)
		}
	})
}

func TestRedactDiagnostics(t *testing.T) {
	l := diag.List{{Severity: diag.Error, Summary: "bad hunter2", Detail: "value hunter2 is bad",
		Values: []diag.Value{{Name: "var.pw", Text: `"hunter2"`}}}}
	if got := NewRedactor().Diagnostics(l); !reflect.DeepEqual(got, l) {
		t.Errorf("changed without secrets: %v", got)
	}
	want := diag.List{{Severity: diag.Error, Summary: "bad <sensitive>", Detail: "value <sensitive> is bad",
		Values: []diag.Value{{Name: "var.pw", Text: `"<sensitive>"`}}}}
	if got := redactor("hunter2").Diagnostics(l); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", *got[0])
	}
	if !strings.Contains(l[0].Detail, "hunter2") {
		t.Error("the list itself was changed")
	}
}
