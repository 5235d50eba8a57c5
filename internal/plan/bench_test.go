package plan_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ingot/internal/plan"
	"ingot/internal/template"
)

// large is a template of n locals in a chain, n sources and a provisioner
// with a local in it.
func large(n int) string {
	var b strings.Builder
	b.WriteString("variable \"v\" {\n  default = \"x\"\n}\nlocals {\n  l0 = var.v\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "  l%d = \"${local.l%d != \"\" ? %d : 0}-${path.root}\"\n", i, i-1, i)
	}
	b.WriteString("}\n")
	for i := range n {
		fmt.Fprintf(&b, "source \"fake\" \"s%d\" {\n  image = local.l%d\n  tags = [\"a\", \"${local.l%d}-{{timestamp}}\"]\n  disk {\n    size = %d\n  }\n}\n", i, i, i/2, i+1)
	}
	b.WriteString("build {\n  sources = [\n")
	for i := range n {
		fmt.Fprintf(&b, "    \"source.fake.s%d\",\n", i)
	}
	b.WriteString("  ]\n  provisioner \"shell\" {\n    inline = [\"echo ${local.l1} ${source.name} ${build.ID}\"]\n  }\n}\n")
	return b.String()
}

func benchmark(b *testing.B, n int) {
	b.Helper()
	src := large(n)
	b.ReportAllocs()
	for b.Loop() {
		t, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(src), CoreVersion: "1.16.0"})
		p, more := plan.Make(context.Background(), t, plan.Inputs{Provider: provider{}, CoreVersion: "1.16.0"})
		if diags = append(diags, more...); len(diags) > 0 || len(p.Builds) != n {
			b.Fatalf("%d builds; %v", len(p.Builds), diags.Err())
		}
	}
}

func Benchmark400(b *testing.B)   { benchmark(b, 400) }
func Benchmark10000(b *testing.B) { benchmark(b, 10000) }
