//go:build unix

package host_test

import (
	"strings"
	"testing"
)

// BenchmarkRelay sends 200 MB from a plugin's provisioner through the host to the machine
// of another plugin.
func BenchmarkRelay(b *testing.B) {
	b.Setenv("ROGUE", "transfer")
	b.Setenv("ROGUE_MB", "400")
	b.Setenv("TMPDIR", b.TempDir())
	b.SetBytes(400e6)
	for b.Loop() {
		r := newRig(b, program(b, "rogue", "."), nil)
		res := r.build(b.Context(), `
source "probe-b" "b" {
}
build {
  sources = ["source.probe-b.b"]
  provisioner "probe-p" {
  }
}
`)
		if res.Failed() > 0 {
			b.Fatal(res.Builds[0].Err)
		}
		_ = r.host.Close() // it is closed again, and checked, at the end
	}
}

// BenchmarkPlan200 plans a template with 200 sources of a plugin.
func BenchmarkPlan200(b *testing.B) {
	var t, refs strings.Builder
	for i := range 200 {
		name := "s" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + string(rune('a'+i/26))
		t.WriteString("source \"probe-b\" \"" + name + "\" {\n  greeting = \"hello\"\n}\n")
		refs.WriteString("\"source.probe-b." + name + "\",\n")
	}
	t.WriteString("build {\n  sources = [\n" + refs.String() + "]\n}\n")
	for b.Loop() {
		r := newRig(b, probe(b), nil)
		if _, diags := r.plan(t.String(), false); diags.HasErrors() {
			b.Fatal(diags.Err())
		}
		_ = r.host.Close() // as above
	}
}
