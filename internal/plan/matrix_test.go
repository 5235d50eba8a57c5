package plan_test

import (
	"context"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/plan"
)

// Ensure that a build block runs in every combination, and that matrix can be
// used all over it.
func TestMatrix(t *testing.T) {
	p := planned(t, `
locals {
  arch = ["x64", "arm"]
}
source "fake" "a" {}
build {
  name    = "app"
  sources = ["fake.a"]
  matrix {
    os   = ["deb", "rpm"]
    arch = local.arch
    n    = [1]
    fast = [true]
    exclude = [{ os = "rpm", arch = "arm" }, { arch = "arm", n = "1", os = "deb" }]
    include = [{ os = "apk", arch = "riscv", n = 22, fast = false }]
  }
  source "fake.a" {
    name  = "with-${matrix.os}"
    image = "${matrix.os}/${matrix.arch}"
    size  = matrix.n
    pull  = matrix.fast
    dynamic "disk" {
      for_each = range(matrix.n)
      content {
        size = disk.value + 1
      }
    }
  }
  provisioner "shell" {
    name   = matrix.os
    inline = [matrix.arch, build.ID]
    only   = ["fake.with-${matrix.os}"]
  }
}
`)
	want(t, "builds", names(p), []string{
		"app-deb-x64-1-true.fake.a", "app-deb-x64-1-true.fake.with-deb", "app-rpm-x64-1-true.fake.a", "app-rpm-x64-1-true.fake.with-rpm",
		"app-apk-riscv-22-false.fake.a", "app-apk-riscv-22-false.fake.with-apk",
	})
	last := p.Builds[5]
	wantValue(t, "image", attr(t, last.Job, "image"), cty.StringVal("apk/riscv"))
	wantValue(t, "size", attr(t, last.Job, "size"), cty.NumberIntVal(22))
	wantValue(t, "pull", attr(t, last.Job, "pull"), cty.False)
	want(t, "disks", attr(t, last.Job, "disk").LengthInt(), 22)
	want(t, "steps of the listed use", len(p.Builds[4].Provisioners), 0)
	want(t, "step", last.Provisioners[0].Addr.Name, "apk")
	s, _ := last.Provisioners[0].Bind(context.Background(), map[string]cty.Value{"ID": cty.StringVal("i")})
	wantValue(t, "inline", s.(*fakeStep).cfg.GetAttr("inline"), list("riscv", "i"))
}

// Ensure that a name is completed by what it does not say itself, and that a
// matrix is made for each key of for_each.
func TestNamesOfInstances(t *testing.T) {
	for _, c := range []struct {
		name, head string
		want       []string
	}{
		{"plain", `name = "n"`, []string{"n-k-1", "n-k-2", "n-l-1", "n-l-2"}},
		{"without a name", ``, []string{"k-1", "k-2", "l-1", "l-2"}},
		{"with the key", `name = "${each.key}.n"`, []string{"k.n-1", "k.n-2", "l.n-1", "l.n-2"}},
		{"with the matrix", `name = "m${matrix.m}"`, []string{"m1-k", "m2-k", "m1-l", "m2-l"}},
		{"with both", `name = "${matrix.m}${each.value}"`, []string{"1k", "2k", "1l", "2l"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := planned(t, `
source "fake" "a" {}
build {
  `+c.head+`
  for_each = ["k", "l"]
  sources  = ["fake.a"]
  matrix {
    m = each.key == "k" ? ["1", "2"] : ["1", 2]
  }
}
`)
			var got []string
			for _, b := range p.Builds {
				got = append(got, b.Addr.Block)
			}
			want(t, "names", got, c.want)
		})
	}
}

// Ensure that an empty list makes nothing but what is included.
func TestEmptyMatrix(t *testing.T) {
	p := planned(t, `
source "fake" "a" {}
build {
  sources = ["fake.a"]
  matrix {
    a       = []
    b       = ["x"]
    include = [{ a = "1", b = "2" }]
  }
}
`, func(*plan.Inputs) {})
	want(t, "builds", names(p), []string{"1-2.fake.a"})
}
