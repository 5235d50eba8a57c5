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
