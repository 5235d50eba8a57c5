package stepcache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestFilesCountByContentModeAndName(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("d/a", "one")
	write("d/b", "two")
	write("x", "x")
	if err := os.Symlink("../x", "d/link"); err != nil {
		t.Fatal(err)
	}
	key := func() string {
		t.Helper()
		parts, err := Files(t.Context(), []string{"d", "x"})
		if err != nil {
			t.Fatal(err)
		}
		return Begin("test", parts).Key()
	}
	first := key()
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes("d/a", later, later); err != nil || key() != first {
		t.Errorf("the key depends on the time, %v", err)
	}
	for what, change := range map[string]func() error{
		"content":          func() error { return os.WriteFile("d/a", []byte("other"), 0o644) },
		"mode":             func() error { return os.Chmod("d/a", 0o600) },
		"name":             func() error { return os.Rename("d/b", "d/c") },
		"target of a link": func() error { return os.WriteFile("x", []byte("y"), 0o644) },
		"folder":           func() error { return os.Mkdir("d/empty", 0o755) },
	} {
		before := key()
		if err := change(); err != nil || key() == before {
			t.Errorf("the key does not depend on the %s, %v", what, err)
		}
	}
	one, _ := Files(t.Context(), []string{"d", "x"})
	two, _ := Files(t.Context(), []string{"x", "d"})
	if Begin("test", one).Key() == Begin("test", two).Key() {
		t.Error("the key does not depend on the order")
	}
	if _, err := Files(t.Context(), []string{"missing"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	stopped, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := Files(stopped, []string{"x"}); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
}

// Parts whose texts run into each other are different parts.
func TestKeysKeepTextsApart(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []Chain{
		Begin("a", nil), Begin("b", nil), Begin("a", []Part{{"x", "y"}}), Begin("a", []Part{{"x\" \"y", ""}}), Begin("a", []Part{{"x", "y"}, {"x", "z"}}),
		Begin("a", nil).Next("a", nil), Begin("a", nil).Next("a", []Part{{"x", "y"}}), Begin("a", []Part{{"x", "y"}}).Next("a", nil),
		Begin("a", nil).Next("a", nil).Next("a", nil),
	} {
		if seen[c.Key()] {
			t.Errorf("%+v has the key of another", c)
		}
		seen[c.Key()] = true
	}
	if Begin("a", []Part{{"x", "1"}, {"y", "2"}}).Key() != Begin("a", []Part{{"y", "2"}, {"x", "1"}}).Key() {
		t.Error("the order of parts counts")
	}
}

func TestArguments(t *testing.T) {
	cfg := cty.ObjectVal(map[string]cty.Value{
		"plain": cty.StringVal("v"), "secret": cty.MapVal(map[string]cty.Value{"k": cty.StringVal("hunter2")}),
		"unset": cty.NullVal(cty.String), "later": cty.True,
	})
	secrets := []cty.Path{cty.GetAttrPath("secret").IndexString("k")}
	parts, err := Arguments(cfg, secrets, Secret("one"), []string{"later"})
	if err != nil || len(parts) != 2 {
		t.Fatalf("%+v, %v", parts, err)
	}
	other, err := Arguments(cfg, secrets, Secret("two"), []string{"later"})
	if err != nil {
		t.Fatal(err)
	}
	if parts[0] != other[0] || parts[0].Name != "argument plain" || !strings.HasPrefix(parts[0].Digest, "sha256:") {
		t.Errorf("plain: %+v", parts[0])
	}
	if parts[1] == other[1] || !strings.HasPrefix(parts[1].Digest, "hmac-sha256:") {
		t.Errorf("secret: %+v", parts[1])
	}
	if _, err := Arguments(cty.ObjectVal(map[string]cty.Value{"x": cty.UnknownVal(cty.String)}), nil, nil, nil); err == nil {
		t.Error("an unknown value has a key")
	}
}

func TestLoadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "key")
	keys := make([]string, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, err := LoadSecret(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = string(key)
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || len(k) != secretSize {
			t.Fatal("several processes have several keys")
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecret(path); err == nil {
		t.Error("a short key was taken")
	}
}

// bench is a store with a journal in memory.
type bench struct {
	t       *testing.T
	store   *Store
	journal *componenttest.MemoryJournal
}

func newBench(t *testing.T) *bench {
	return &bench{
		t:       t,
		store:   &Store{Dir: t.TempDir(), Clock: component.SystemClock{}, Remove: func(context.Context, component.Resource) error { return nil }},
		journal: &componenttest.MemoryJournal{},
	}
}

// save saves a checkpoint with one file on top of another.
func (b *bench) save(c Chain, base string) (bool, *Draft) {
	b.t.Helper()
	d, err := b.store.Begin(b.t.Context(), b.journal, "t"+c.Key()[:8]+time.Now().Format("150405.000000000"))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir(), "disk"), make([]byte, 1000), 0o600); err != nil {
		b.t.Fatal(err)
	}
	done, err := d.Publish(b.t.Context(), Entry{Build: "a", Builder: "test", Chain: c, Times: make([]time.Time, len(c)), Base: base}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return done, d
}

func (b *bench) open(key string) *Held {
	b.t.Helper()
	h, err := b.store.Open(key)
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

func (b *bench) keys() int {
	b.t.Helper()
	entries, err := b.store.List()
	if err != nil {
		b.t.Fatal(err)
	}
	return len(entries)
}

func TestStore(t *testing.T) {
	b := newBench(t)
	one := Begin("test", nil)
	two := one.Next("step", nil)
	if b.open(one.Key()) != nil {
		t.Fatal("a checkpoint that was not saved was opened")
	}
	b.save(one, "")
	b.save(two, one.Key())
	again, draft := b.save(two, one.Key())
	if again {
		t.Fatal("saved twice")
	}
	if err := draft.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	if open := b.journal.Open(); len(open) > 0 {
		t.Errorf("the journal holds %v", open)
	}

	h := b.open(two.Key())
	if h == nil || h.Checkpoint.Base == nil || h.Checkpoint.Base.Key != one.Key() {
		t.Fatalf("opened %+v", h)
	}
	entries, err := b.store.List()
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if err := b.store.Drop(t.Context(), e); !errors.Is(err, ErrInUse) {
			t.Errorf("drop of what is in use: %v", err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	// Without its base it cannot be used.
	for _, e := range entries {
		if e.Key() == one.Key() {
			if err := b.store.Drop(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if b.open(two.Key()) != nil {
		t.Error("a checkpoint was opened without its base")
	}
	entries, err = b.store.List()
	if err != nil || len(entries) != 1 || !strings.Contains(b.store.Verify(entries[0]), "what it stands on is gone") {
		t.Errorf("%+v, %v", entries, err)
	}
}

// The limit takes from the end of what stands on one another.
func TestShrinkKeepsBases(t *testing.T) {
	b := newBench(t)
	one := Begin("test", nil)
	two := one.Next("step", nil)
	three := two.Next("step", nil)
	b.save(one, "")
	b.save(two, one.Key())
	b.save(three, two.Key())
	b.store.Limit = 2500
	if err := b.store.Shrink(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h := b.open(two.Key()); h == nil {
		t.Error("a base was removed before what stands on it")
	} else if err := h.Close(); err != nil {
		t.Error(err)
	}
	if b.open(three.Key()) != nil || b.keys() != 2 {
		t.Errorf("%d left", b.keys())
	}
	b.store.Limit = 1
	if err := b.store.Shrink(t.Context()); err != nil || b.keys() != 0 {
		t.Errorf("%d left, %v", b.keys(), err)
	}
}

// Whatever is wrong with an entry, it is not used; it is listed, and can be removed
// and saved anew.
func TestDamagedEntries(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"no meta":    func(dir string) error { return os.Remove(filepath.Join(dir, metaFile)) },
		"torn meta":  func(dir string) error { return os.Truncate(filepath.Join(dir, metaFile), 20) },
		"empty meta": func(dir string) error { return os.Truncate(filepath.Join(dir, metaFile), 0) },
		"other version": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, metaFile), []byte(`{"format": 99}`), 0o600)
		},
		"another's chain": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, metaFile), []byte(`{"format": 1}`), 0o600)
		},
		"file is gone":  func(dir string) error { return os.Remove(filepath.Join(dir, dataFolder, "disk")) },
		"file is short": func(dir string) error { return os.Truncate(filepath.Join(dir, dataFolder, "disk"), 10) },
		"nothing in it": func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := Begin("test", nil)
			b.save(c, "")
			if err := damage(b.store.path(c.Key())); err != nil {
				t.Fatal(err)
			}
			if b.open(c.Key()) != nil {
				t.Error("it was opened")
			}
			entries, err := b.store.List()
			if err != nil || len(entries) != 1 || b.store.Verify(entries[0]) == "" {
				t.Fatalf("listed as %+v, %v", entries, err)
			}
			if done, _ := b.save(c, ""); !done {
				t.Error("it could not be saved anew")
			}
			if h := b.open(c.Key()); h == nil {
				t.Error("what was saved anew cannot be used")
			} else if err := h.Close(); err != nil {
				t.Error(err)
			}
			if err := damage(b.store.path(c.Key())); err != nil {
				t.Fatal(err)
			}
			if entries, err = b.store.List(); err != nil || len(entries) != 1 {
				t.Fatal(entries, err)
			}
			if err := b.store.Drop(t.Context(), entries[0]); err != nil || b.keys() != 0 {
				t.Errorf("%d left, %v", b.keys(), err)
			}
		})
	}
}

func TestSweep(t *testing.T) {
	b := newBench(t)
	root := b.store.root()
	long := time.Now().Add(-2 * abandoned)
	for _, name := range []string{newPrefix + "young", newPrefix + "old", oldPrefix + "x"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(root, newPrefix+"old"), long, long); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Shrink(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 1 || left[0].Name() != newPrefix+"young" {
		t.Errorf("left %v, %v", left, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format":1,"chain":[{"key":"k"}],"times":["2026-01-02T03:04:05Z"]}`))
	f.Add([]byte(`{"format":1,"base":"../../x","files":{"../y":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &Store{Dir: t.TempDir(), Clock: component.SystemClock{}}
		if err := errors.Join(os.MkdirAll(s.path("k"), 0o700), os.WriteFile(filepath.Join(s.path("k"), metaFile), data, 0o600),
			os.WriteFile(filepath.Join(s.path("k"), lockFile), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		h, err := s.Open("k")
		if err != nil {
			t.Fatal(err)
		}
		if h != nil {
			if h.Entry.Chain.Key() != "k" {
				t.Error("an entry of another name was opened")
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestChainsAreRemembered(t *testing.T) {
	s := &Store{Dir: t.TempDir(), Clock: component.SystemClock{}}
	part := func(text string) []Part { return []Part{Text("argument", text)} }
	base := Begin("docker", nil)
	one := base.Next("shell", part("1"))
	for i, c := range []struct {
		build string
		chain Chain
		want  int
	}{
		{"a", one.Next("shell", part("2")), 0},
		{"a", one.Next("shell", part("2")), 0},
		{"a", one.Next("shell", part("3")), 2},
		{"b", one.Next("shell", part("2")), 0},
		{"a", one, 0},
		{"a", base.Next("shell", part("9")).Next("shell", part("3")), 1},
		{"a", Begin("qemu", nil), 0},
	} {
		if got, err := s.Remember(c.build, c.chain); err != nil || got != c.want {
			t.Errorf("%d: link %d, %v", i, got, err)
		}
	}
	if err := s.Shrink(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Remember("b", one.Next("file", nil)); err != nil || got != 2 {
		t.Errorf("after a clean-up: link %d, %v", got, err)
	}
}
