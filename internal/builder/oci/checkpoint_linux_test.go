package oci

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/component"
	"ingot/internal/testkit/live"
)

// resumed prepares a build and starts it from a checkpoint.
func resumed(t *testing.T, cache string, env map[string]string, a attrs, from component.Checkpoint) (*build, error) {
	t.Helper()
	b := prepare(t, cache, env, a)
	m, err := b.job.(component.Checkpointer).Resume(t.Context(), b.run, from)
	if err == nil {
		b.connect(m)
	}
	return b, err
}

// save saves the machine; what is saved stands on the checkpoint before.
func (b *build) save(before *component.Checkpoint) *component.Checkpoint {
	b.Helper()
	c := &component.Checkpoint{Key: "key", Dir: b.TempDir(), Base: before}
	saved, err := b.machine.(component.Saver).SaveCheckpoint(b.Context(), b.run, component.CheckpointPlace{Key: c.Key, Dir: c.Dir, Base: before})
	if err != nil {
		b.Fatal(err)
	}
	if !saved.OnBase || len(saved.Leases) > 0 {
		b.Errorf("saved %+v", saved)
	}
	c.Data = saved.Data
	return c
}

// An image that is made from a checkpoint is the one that is made without, to the
// last bit.
func TestImageFromCheckpoints(t *testing.T) {
	cache := t.TempDir()
	env := map[string]string{"SOURCE_DATE_EPOCH": "1700000000"}
	steps := []string{
		"mkdir -p /d/sub /e; echo one > /d/one; echo gone > /d/gone; echo x > /e/x; ln /d/one /d/hard; ln -s one /d/soft; chmod 4755 /d/one",
		"true", // changes nothing
		"rm /d/gone; rm -r /e; mkdir /e; echo y > /e/y; mv /d/one /d/two; chmod 700 /d/sub",
		"cat /d/two /e/y; test ! -e /e/x; test ! -e /d/gone; rm -r /d/sub /d/soft; echo last > /d/gone",
	}
	config := func() attrs {
		_, path := out(t, "image.tar")
		return attrs{"from": str("tar:" + live.Require(t).TinyTar), "output": path, "network": str("none")}
	}
	b := boot(t, cache, env, config())
	var saved []*component.Checkpoint
	var last *component.Checkpoint
	for i, line := range steps {
		b.step(line)
		if i != 1 { // two steps in one
			last = b.save(last)
		}
		saved = append(saved, last)
	}
	want := b.capture()

	for _, from := range []int{0, 2, 3} {
		b, err := resumed(t, cache, env, config(), *saved[from])
		if err != nil {
			t.Fatal(err)
		}
		for range from + 1 {
			b.machine.(component.StepSkipper).SkipStep(component.StepInfo{Type: "shell", Index: b.steps})
			b.steps++
		}
		for _, line := range steps[from+1:] {
			b.step(line)
		}
		got := b.capture()
		if got.ID != want.ID || !got.Data["ManifestDigest"].RawEquals(want.Data["ManifestDigest"]) {
			t.Errorf("after %d steps: image %s, want %s", from+1, got.ID, want.ID)
		}
	}

	// One that is damaged is not used, and the build can boot instead.
	layer := filepath.Join(saved[0].Dir, "layer-0")
	data, err := os.ReadFile(layer)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.Remove(layer); err != nil { // the first build has it, too
		t.Fatal(err)
	}
	if err := os.WriteFile(layer, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err = resumed(t, cache, env, config(), *saved[3]); !errors.Is(err, component.ErrCheckpointGone) {
		t.Fatalf("a damaged checkpoint: %v", err)
	}
	b.boot()
	for _, line := range steps {
		b.step(line)
	}
	if got := b.capture(); got.ID != want.ID {
		t.Errorf("without the checkpoint: image %s, want %s", got.ID, want.ID)
	}
}

func TestBaseStateOfAnImage(t *testing.T) {
	state := func(a attrs) component.BaseState {
		_, path := out(t, "image.tar")
		a["from"], a["output"] = str("tar:"+live.Require(t).TinyTar), path
		b := prepare(t, "", nil, a)
		s, err := b.job.(component.Checkpointer).BaseState(t.Context(), b.run)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := state(attrs{})
	if s.Volatile != "" || len(s.Inputs["base image"]) < 64 || len(s.Files) != 0 {
		t.Errorf("got %+v", s)
	}
	known := map[string]bool{}
	for _, a := range schema().Attributes {
		known[a.Name] = true
	}
	for _, b := range schema().Blocks {
		known[b.Name] = true
	}
	for _, name := range s.Later {
		if !known[name] {
			t.Errorf("there is no attribute %s", name)
		}
	}
}
