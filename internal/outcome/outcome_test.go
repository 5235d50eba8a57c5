package outcome

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/stepcache"
)

func masked(text string) string { return strings.ReplaceAll(text, "hunter2", "***") }

func sample() Made {
	return Made{
		Build: "docker.web", Run: "r1", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Dir: "/work",
		Artifact: &component.Artifact{
			Producer: "packer.docker", ID: "sha256:1", Summary: "Imported", Files: []component.File{{Path: "a", Size: 1, Digest: "sha256:2"}},
			Images:    []component.Image{{Provider: "docker", ID: "sha256:1"}},
			Data:      map[string]cty.Value{"Tags": cty.ListVal([]cty.Value{cty.StringVal("a:1")}), "Size": cty.NumberIntVal(5)},
			Resources: []component.Resource{{Kind: "docker.image", ID: "sha256:1"}},
		},
		Facts:  map[string]cty.Value{"ID": cty.StringVal("c1"), "Port": cty.NumberIntVal(22)},
		Inputs: &Inputs{Digest: "sha256:3", Parts: []stepcache.Part{{Name: "argument image", Digest: "sha256:4"}}, Open: []string{"it is raining"}, Good: time.Hour},
		Marks:  Marks{"file /src/a": "1 2"},
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	b := NewBook(path, masked)
	made := sample()
	made.Facts["Password"] = cty.StringVal("sesame")
	made.Facts["Note"] = cty.StringVal("it is hunter2")
	made.Artifact.Data["Key"] = cty.MapVal(map[string]cty.Value{"hunter2": cty.True})
	made.Artifact.Data["a hunter2"] = cty.True
	made.Artifact.Data["Secret"] = cty.ObjectVal(map[string]cty.Value{"x": cty.StringVal("hunter2")})
	for _, err := range []error{
		b.Made(Made{Build: "docker.web", Artifact: &component.Artifact{Summary: "an attempt"}}), b.Made(made),
		b.Ended(Ended{Build: "docker.web", Failure: "hunter2 was wrong", Artifacts: []*component.Artifact{nil, made.Artifact}}), b.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || bytes.Contains(text, []byte("hunter2")) || bytes.Contains(text, []byte("sesame")) {
		t.Fatalf("the file holds a secret, or none: %s, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	got, err := Read(path)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := sample()
	for _, m := range []Made{got[0].Made, want} {
		// Numbers are equal, not the same.
		if !m.Facts["Port"].RawEquals(cty.NumberIntVal(22)) || !m.Artifact.Data["Size"].RawEquals(cty.NumberIntVal(5)) {
			t.Errorf("numbers: %#v, %#v", m.Facts, m.Artifact.Data)
		}
		delete(m.Facts, "Port")
		delete(m.Artifact.Data, "Size")
	}
	if !reflect.DeepEqual(got[0].Made, want) {
		t.Errorf("got  %+v\nwant %+v", got[0].Made, want)
	}
	if e := got[0].Ended; e == nil || e.Failure != "*** was wrong" || len(e.Artifacts) != 1 || e.Artifacts[0].ID != "sha256:1" {
		t.Errorf("ended %+v", got[0].Ended)
	}
	if none, err := Read(path + ".no"); none != nil || err != nil {
		t.Errorf("without a file: %v, %v", none, err)
	}
}

func TestSecretsInNamesAreNotWritten(t *testing.T) {
	for name, change := range map[string]func(*Made){
		"path":  func(m *Made) { m.Artifact.Files[0].Path = "out/hunter2" },
		"image": func(m *Made) { m.Artifact.Images[0].ID = "hunter2:1" },
		"attr":  func(m *Made) { m.Artifact.Resources[0].Attrs = map[string]string{"host": "tcp://hunter2"} },
		"id":    func(m *Made) { m.Artifact.ID = "hunter2" },
		"thing": func(m *Made) { m.Artifact.Resources[0].ID = "hunter2" },
		"dir":   func(m *Made) { m.Dir = "/hunter2" },
	} {
		path := filepath.Join(t.TempDir(), "x")
		b := NewBook(path, masked)
		m := sample()
		change(&m)
		if err := b.Made(m); !errors.Is(err, errSecret) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: something was written", name)
		}
	}
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("text\n")
	image, fails := "sha256:1", error(nil)
	probe := func(_ context.Context, r component.Resource) (string, bool, error) {
		return image, r.Kind == "docker.image", fails
	}
	a := &component.Artifact{
		Files:     []component.File{{Path: "f", Digest: "sha256:b9e68e1bea3e5b19ca6b2f98b73a54b73daafaa250484902e09982e07a12e733"}},
		Resources: []component.Resource{{Kind: "docker.image", ID: "web:1"}},
	}
	marks := Mark(t.Context(), []*component.Artifact{nil, a}, dir, probe)
	check := func(want string) {
		t.Helper()
		if got, err := Missing(t.Context(), a, dir, marks, probe); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	check("")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "f"), later, later); err != nil {
		t.Fatal(err)
	}
	check("") // by its digest
	write("texts")
	check("the file f was changed")
	a.Files[0].Digest = ""
	check("the file f was changed")
	marks = Mark(t.Context(), []*component.Artifact{a}, dir, probe)
	check("")
	image = "sha256:2"
	check("the image web:1 is another one now")
	image = ""
	check("the image web:1 is gone")
	fails = errors.New("no engine")
	if _, err := Missing(t.Context(), a, dir, marks, probe); !errors.Is(err, fails) {
		t.Errorf("got %v", err)
	}
	fails, a.Resources[0].Kind = nil, "cloud.image"
	if _, err := Missing(t.Context(), a, dir, marks, probe); err == nil || !strings.Contains(err.Error(), "cannot tell whether the cloud.image web:1") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	check("the file f is gone")
	a.Files, a.Resources = nil, []component.Resource{{Kind: component.DirKind, ID: filepath.Join(dir, "no")}}
	check("the folder " + filepath.Join(dir, "no") + " is gone")
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"type":"made","format":1,"build":"b","artifact":{"summary":"s","data":{"x":{"value":"v","type":"string"}}}}`))
	f.Add([]byte(`{"type":"ended","format":1,"build":"b","artifacts":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, o := range out {
			if o.Build == "" || o.Artifact == nil {
				t.Errorf("%+v", o)
			}
		}
	})
}
