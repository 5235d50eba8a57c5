package report

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/history"
	"ingot/internal/ui"
)

// encodings are forms in which a script may print a secret.
var encodings = []func(string) string{
	func(s string) string { return s },
	func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	func(s string) string { return base64.URLEncoding.EncodeToString([]byte("x:" + s + "\n")) },
	func(s string) string { return hex.EncodeToString([]byte(s)) },
	url.QueryEscape,
	func(s string) string { b, _ := json.Marshal(s); return strings.Trim(string(b), `"`) }, // a string always has a form
}

func randomSecret(r *rand.Rand) string {
	const letters = `abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789/+&%"<=`
	out := make([]byte, 12+r.IntN(40))
	for i := range out {
		out[i] = letters[r.IntN(len(letters))]
	}
	return string(out)
}

// TestNoSinkPrintsASecret: a step prints a secret in every form, in pieces that are cut
// anywhere, also where a line is so long that it is cut by us; events name it in their
// texts. Nothing of it is in any output, in the history on disk, or in the report that
// is made of that.
func TestNoSinkPrintsASecret(t *testing.T) {
	const runID = "9f0c1d6e-0000-4000-8000-000000000001"
	build := addr.Build{Source: addr.Source{Type: "null", Name: "a"}}
	step := addr.Step{Kind: addr.Provisioner, Type: "shell"}
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 5))
		secret := randomSecret(r)
		red := ui.NewRedactor()
		red.Add(secret)
		dir := t.TempDir()
		record := &history.Recorder{}
		store := history.Store{Dir: filepath.Join(dir, "history")}
		if err := record.Begin(store, history.Header{RunID: runID, Started: time.Now(), Template: "a.pkr.hcl"}, red.Redact); err != nil {
			t.Fatal(err)
		}
		human, err := os.Create(filepath.Join(dir, "human"))
		if err != nil {
			t.Fatal(err)
		}
		var lines, records bytes.Buffer
		sink := red.Wrap(ui.Fanout(ui.NewJSON(&lines), ui.NewMachine(&records),
			ui.NewHuman(human, human, ui.HumanOptions{Color: ui.ColorNever, NoLive: true, Getenv: func(string) string { return "" }}), record))
		at := time.Now()
		emit := func(e component.Event) {
			sink.Handle(component.Stamped{Origin: component.Origin{Build: build, Step: step}, At: at, Event: e})
		}
		emit(component.RunStarted{RunID: runID, Builds: []addr.Build{build}})
		emit(component.BuildStarted{})
		emit(component.StepStarted{})
		out := component.NewLineWriter(component.SinkFunc(emit), component.Stdout)
		var printed []string
		for _, encode := range encodings {
			form := encode(secret)
			printed = append(printed, form)
			// Lines are cut at 64 KiB: somewhere in the secret, often.
			before := strings.Repeat(".", []int{0, r.IntN(100), 64<<10 - r.IntN(len(form)+1)}[r.IntN(3)])
			for text := before + form + " after\n"; text != ""; {
				n := min(len(text), 1+r.IntN(40)*r.IntN(2000))
				if _, err := io.WriteString(out, text[:n]); err != nil {
					t.Fatal(err)
				}
				text = text[n:]
			}
		}
		out.Flush()
		failure := fmt.Errorf("login with %s failed", secret)
		emit(component.Message{Text: "using " + secret})
		emit(component.Retrying{What: "call " + url.QueryEscape(secret), Class: "transient", Attempt: 1, Delay: time.Second, Err: failure})
		emit(component.ResourceHeld{Resource: component.Resource{Kind: "k", Token: "t", ID: secret, Attrs: map[string]string{"a": secret}}})
		emit(component.StepEnded{Err: failure, Attempts: 1})
		emit(component.BuildEnded{Err: failure})
		emit(component.RunEnded{Failed: 1})
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		if err := human.Close(); err != nil {
			t.Fatal(err)
		}
		saved, err := os.ReadFile(store.Path(runID))
		if err != nil {
			t.Fatal(err)
		}
		shown, err := os.ReadFile(human.Name())
		if err != nil {
			t.Fatal(err)
		}
		for where, text := range map[string]string{
			"JSON lines": lines.String(), "records": records.String(), "screen": string(shown), "history": string(saved),
			"report": pageOf(t, string(saved), false),
		} {
			if !strings.Contains(text, "sensitive") {
				t.Errorf("seed %d: the %s has nothing that was masked", seed, where)
			}
			for i, form := range printed {
				// Around base64 some letters depend on what stands beside the secret.
				if part := form[4 : len(form)-6]; len(part) > 5 && strings.Contains(text, part) {
					t.Errorf("seed %d: the %s has form %d of %q: %s", seed, where, i, secret, part)
				}
			}
		}
	}
}
