package oci

import (
	"context"
	"testing"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/live"
)

// BenchmarkEmptyBuild is what a build costs apart from its provisioners, with
// the base in the cache: sandbox, attach, capture to a layout, release.
func BenchmarkEmptyBuild(b *testing.B) {
	env := live.Require(b)
	cache := b.TempDir()
	for name, tar := range map[string]string{"tiny": env.TinyTar, "debian": env.DebianTar} {
		b.Run(name, func(b *testing.B) {
			simple(b, cache, nil, attrs{"from": str("tar:" + tar), "output": str(b.TempDir() + "/x")})
			for b.Loop() {
				run, journal, _ := componenttest.NewRun(b)
				journal.Reap, run.CacheDir = NewReaper().Reap, cache
				job, _ := New().Plan(b.Context(), schema().Object(attrs{"from": str("tar:" + tar), "output": str(b.TempDir() + "/x")}))
				if err := job.Prepare(b.Context(), run); err != nil {
					b.Fatal(err)
				}
				m, err := job.Boot(b.Context(), run)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := job.Capture(b.Context(), run, m); err != nil {
					b.Fatal(err)
				}
				if err := journal.ReleaseAll(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBoot is Prepare and Boot alone.
func BenchmarkBoot(b *testing.B) {
	env := live.Require(b)
	cache := b.TempDir()
	simple(b, cache, nil, attrs{"from": str("tar:" + env.DebianTar), "output": str(b.TempDir() + "/x")})
	for b.Loop() {
		run, journal, _ := componenttest.NewRun(b)
		journal.Reap, run.CacheDir = NewReaper().Reap, cache
		job, _ := New().Plan(b.Context(), schema().Object(attrs{"from": str("tar:" + env.DebianTar), "output": str(b.TempDir() + "/x")}))
		if err := job.Prepare(b.Context(), run); err != nil {
			b.Fatal(err)
		}
		if _, err := job.Boot(b.Context(), run); err != nil {
			b.Fatal(err)
		}
		if err := journal.ReleaseAll(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStep is a provisioner that changes one file, and its seal.
func BenchmarkStep(b *testing.B) {
	env := live.Require(b)
	m := boot(b, "", nil, attrs{"from": str("tar:" + env.TinyTar), "output": str(b.TempDir() + "/x")})
	b.Run("run", func(b *testing.B) {
		for b.Loop() {
			m.sh("echo x > /x")
		}
	})
	b.Run("seal", func(b *testing.B) {
		for i := 0; b.Loop() && i < 300; i++ {
			b.StopTimer()
			m.sh("echo x > /x")
			b.StartTimer()
			if err := m.machine.(component.StepSealer).SealStep(b.Context(), m.run, component.StepInfo{Type: "shell"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	m.capture()
}
