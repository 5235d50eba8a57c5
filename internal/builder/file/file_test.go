package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestContract(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	componenttest.Builder(t, componenttest.BuilderConfig{
		New: New,
		Valid: func(t testing.TB) componenttest.Configs {
			target := func() cty.Value { return cty.StringVal(filepath.Join(t.TempDir(), "new", "target")) }
			return componenttest.Configs{
				"content": {"target": target(), "content": cty.StringVal("x")},
				"source":  {"target": target(), "source": cty.StringVal(source)},
				"empty":   {"target": target()},
			}
		},
		Invalid: componenttest.Configs{
			"nothing": {"target": cty.StringVal("")},
			"both":    {"target": cty.StringVal("/x"), "content": cty.StringVal("x"), "source": cty.StringVal("y")},
		},
	})
}

func boot(t *testing.T, j job) (component.Machine, *componenttest.MemoryJournal, error) {
	t.Helper()
	r, journal, _ := componenttest.NewRun(t)
	m, err := j.Boot(t.Context(), r)
	return m, journal, err
}

// TestFile: it is there while provisioners run, and stays as they have
// changed it.
func TestFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("t", []byte("an older and longer one"), 0o644); err != nil {
		t.Fatal(err)
	}
	m, journal, err := boot(t, job{Target: "t", Content: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat("t")
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 5 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := os.WriteFile("t", []byte("hello you"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := job{Target: "t"}.Capture(t.Context(), component.Run{}, m)
	if err != nil {
		t.Fatal(err)
	}
	if a.ID != "File" || a.Producer != "packer.file" || a.Summary != "Stored file: t" || a.Files[0].Size != 9 || !strings.HasPrefix(a.Files[0].Digest, "sha256:") {
		t.Errorf("got %+v", a)
	}
	if err := journal.ReleaseAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile("t"); err != nil || string(data) != "hello you" {
		t.Errorf("got %q, %v", data, err)
	}
}

// TestFailedBuild: without Capture nothing stays.
func TestFailedBuild(t *testing.T) {
	t.Chdir(t.TempDir())
	_, journal, err := boot(t, job{Target: "t", Content: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.ReleaseAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("t"); !os.IsNotExist(err) {
		t.Errorf("the target: %v", err)
	}
}

// TestRefusals: what cannot be done leaves the old target alone.
// TestSameTarget: of two builds that write the same file one fails, and the
// other one's file stays.
func TestSameTarget(t *testing.T) {
	dir := t.TempDir()
	target, first, second := filepath.Join(dir, "t"), filepath.Join(dir, "1"), filepath.Join(dir, "2")
	for _, tmp := range []string{first, second} {
		if err := os.WriteFile(tmp, []byte(tmp), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := moveIntoFree(first, target); err != nil {
		t.Fatal(err)
	}
	if err := moveIntoFree(second, target); err == nil {
		t.Error("the second one took the name")
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != first {
		t.Errorf("the target holds %q, %v", text, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.WriteFile("t", []byte("old"), 0o600), os.Mkdir("d", 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, j := range map[string]job{
		"no source":  {Target: "t", Source: "gone"},
		"itself":     {Target: "t", Source: "./t"},
		"a folder":   {Target: "d", Content: "x"},
		"below file": {Target: "t/x", Content: "x"},
	} {
		if _, journal, err := boot(t, j); err == nil || len(journal.Open()) > 0 {
			t.Errorf("%s: got %v", name, err)
		}
		if data, err := os.ReadFile("t"); err != nil || string(data) != "old" {
			t.Errorf("%s: the old target is %q, %v", name, data, err)
		}
	}
}

// TestNoMachine: nothing pretends to work.
func TestNoMachine(t *testing.T) {
	comm, err := machine{}.Dial(t.Context(), component.Run{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, err = comm.Run(ctx, component.Command{Line: "true"})
	for what, err := range map[string]error{
		"Run": err, "Put": comm.Put(ctx, "/x", nil, component.FileMeta{}), "Get": comm.Get(ctx, "/x", nil),
		"PutTree": comm.PutTree(ctx, "/x", nil), "GetTree": comm.GetTree(ctx, "/x", nil),
	} {
		if !errors.Is(err, component.ErrUnsupported) || !strings.Contains(err.Error(), "shell-local") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if caps := comm.Caps(); caps.Run || caps.Put || caps.Get || caps.Tree || caps.Transport == "" {
		t.Errorf("got %+v", caps)
	}
}

func TestWarnsOfEmptyFile(t *testing.T) {
	_, diags := New().Plan(t.Context(), New().Schema().Object(map[string]cty.Value{"target": cty.StringVal("/x")}))
	if len(diags.Warnings()) != 1 || diags.HasErrors() {
		t.Errorf("got %v", diags)
	}
}
