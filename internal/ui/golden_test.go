package ui

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestPlain(t *testing.T) {
	for name, opts := range map[string]PlainOptions{
		"plain":       {Header: true},
		"plain-color": {Header: true, Color: true},
		"plain-times": {Timestamps: true},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut, both bytes.Buffer
			if err := play(NewPlain(&out, &errOut, opts), script()); err != nil {
				t.Fatal(err)
			}
			if err := play(NewPlain(&both, &both, opts), script()); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", both.Bytes())
			if name == "plain" {
				golden(t, "plain-stderr.txt", errOut.Bytes())
				golden(t, "plain-stdout.txt", out.Bytes())
			}
		})
	}
}

func TestJSONGolden(t *testing.T) {
	var out bytes.Buffer
	if err := play(NewJSON(&out), script()); err != nil {
		t.Fatal(err)
	}
	golden(t, "events.jsonl", out.Bytes())
}

func TestMachineGolden(t *testing.T) {
	var out bytes.Buffer
	m := NewMachine(&out)
	if err := play(m, script()); err != nil {
		t.Fatal(err)
	}
	golden(t, "machine.txt", out.Bytes())
}

func TestMachineRecord(t *testing.T) {
	var out bytes.Buffer
	m := NewMachine(&out)
	m.Record("null.a", "template-builder", "a,b", "c\r\nd")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(out.Bytes(), []byte(","))
	if got, want := string(rest), "null.a,template-builder,a%!(PACKER_COMMA)b,c\\r\\nd\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for name, env := range map[string]map[string]string{
		"log-file.txt":   {"PACKER_LOG_PATH": path, "INGOT_LOG": "1"},
		"log-screen.txt": {"PACKER_LOG": "1"},
		"none":           {"PACKER_LOG": "0"},
	} {
		t.Run(name, func(t *testing.T) {
			var screen bytes.Buffer
			secrets := NewRedactor()
			secrets.Add("c0ffee")
			l, err := OpenLog(func(k string) string { return env[k] }, &screen, secrets)
			if err != nil {
				t.Fatal(err)
			}
			if err := play(l, script()); err != nil {
				t.Fatal(err)
			}
			switch {
			case env["PACKER_LOG_PATH"] != "":
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				golden(t, name, text)
				if screen.Len() > 0 {
					t.Errorf("written to the screen too: %q", &screen)
				}
			case env["PACKER_LOG"] == "1":
				golden(t, name, screen.Bytes())
			default:
				if screen.Len() > 0 {
					t.Errorf("a log that nobody asked for: %q", &screen)
				}
			}
		})
	}
}
