package oci

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/testkit/live"
)

// imageOf opens the one image of a layout directory.
func imageOf(t testing.TB, dir string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	im, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(im.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func configOf(t testing.TB, img v1.Image) *v1.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfiguration(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	dir, output := out(t, "layout")
	cache := t.TempDir()
	a := simple(t, cache, nil, attrs{
		"from": str("docker://" + env.Registry + "/" + env.TinyImage), "output": output, "tag": str("registry.example/app:2"),
		"entrypoint": list("/bin/sh", "-c"), "env": cty.MapVal(map[string]cty.Value{"B": str("2"), "A": str("1"), "PATH": str("/bin")}),
		"labels": cty.MapVal(map[string]cty.Value{"org.example": str("yes")}), "workdir": str("/srv"), "user": str("12:34"),
		"ports": list("80", "53/udp"), "volumes": list("/data"), "stop_signal": str("SIGINT"), "author": str("me"), "compression": str("zstd"),
	}, `test "$A$B" = 12`, "echo x > /x")
	img := imageOf(t, dir)
	c := configOf(t, img)
	got, _ := json.Marshal(c.Config)
	for _, want := range []string{
		`"Entrypoint":["/bin/sh","-c"]`, `"Env":["PATH=/bin","A=1","B=2"]`, `"org.example":"yes"`, `"WorkingDir":"/srv"`, `"User":"12:34"`,
		`"ExposedPorts":{"53/udp":{},"80/tcp":{}}`, `"Volumes":{"/data":{}}`, `"StopSignal":"SIGINT"`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
	// The base's command would be an argument of the new entry point.
	if len(c.Config.Cmd) > 0 || c.Author != "me" || c.Architecture == "" {
		t.Errorf("configuration: %+v", c)
	}
	var new []v1.History
	for _, h := range c.History {
		if strings.HasPrefix(h.CreatedBy, "ingot provisioner") {
			new = append(new, h)
		}
	}
	if len(new) != 2 || !new[0].EmptyLayer || new[1].EmptyLayer {
		t.Errorf("history: %+v", c.History)
	}
	m, err := img.Manifest()
	if err != nil || m.Layers[len(m.Layers)-1].MediaType != "application/vnd.oci.image.layer.v1.tar+zstd" {
		t.Errorf("manifest: %+v, %v", m, err)
	}
	if name, _ := img.ConfigName(); name.String() != a.ID {
		t.Errorf("the artifact is %s, the image %s", a.ID, name)
	}
	// Nothing set: the base's configuration stays.
	dir2, output2 := out(t, "layout")
	simple(t, cache, nil, attrs{"from": str("oci:" + dir), "output": output2, "cmd": list("ls")}, "pwd; test \"$(pwd)\" = /; id -u | grep -x 0")
	c2 := configOf(t, imageOf(t, dir2))
	if !slices.Equal(c2.Config.Entrypoint, c.Config.Entrypoint) || !slices.Equal(c2.Config.Cmd, []string{"ls"}) || c2.Config.User != "12:34" {
		t.Errorf("inherited: %+v", c2.Config)
	}
}

// TestReproducible: with SOURCE_DATE_EPOCH two builds at different times are
// the same to the byte, in every format.
func TestReproducible(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	digests := map[string][]string{}
	for range 2 {
		dir := t.TempDir()
		a := simple(t, "", map[string]string{"SOURCE_DATE_EPOCH": "1700000001"}, attrs{
			"from": str("tar:" + env.TinyTar), "output": str(dir + "/a.oci.tar"), "tag": str("a:1"),
			"export": exports(attrs{"path": str(dir + "/b.docker.tar"), "tag": str("a:1")}, attrs{"path": str(dir + "/c.rootfs.tar.gz")}, attrs{"path": str(dir + "/layout")}),
		}, "mkdir -p /srv/a/b; date > /dev/null; for i in 3 1 2; do echo $i > /srv/a/$i; ln /srv/a/$i /srv/a/b/$i; done; rm -r /var; mkdir /var; chmod 700 /", "test $SOURCE_DATE_EPOCH = 1700000001; ln -s x /y; mkfifo /fifo")
		for _, f := range a.Files {
			digests[filepath.Base(f.Path)] = append(digests[filepath.Base(f.Path)], f.Digest)
		}
		digests["id"] = append(digests["id"], a.ID)
		if err := validate.Image(imageOf(t, dir+"/layout")); err != nil {
			t.Error(err)
		}
		// Layers are stamped in whole seconds, so the next ones differ.
		_ = component.SystemClock{}.Sleep(t.Context(), 1100*time.Millisecond)
	}
	for name, d := range digests {
		if len(d) != 2 || d[0] != d[1] {
			t.Errorf("%s differs: %v", name, d)
		}
	}
	if len(digests) < 8 {
		t.Errorf("digests of %v", digests)
	}
}

// TestSandboxOptions: each option does what it says, and none of it is in the image.
func TestSandboxOptions(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "file"), []byte("from the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	rootfs, output := out(t, "x.rootfs.tar")
	b := boot(t, "", nil, attrs{
		"from": str("tar:" + env.TinyTar), "output": output, "network": str("none"), "hostname": str("forge"),
		"tmpfs": list("/scratch"), "cap_add": list("cap_sys_admin"), "exec_user": str("nobody"),
		"mount": mounts(attrs{"source": str(src), "target": str("/mnt/host")}, attrs{"source": str(src + "/file"), "target": str("/one"), "read_only": cty.False}),
	})
	for line, want := range map[string]string{
		"hostname":                     "forge",
		"id -un":                       "nobody",
		"echo $HOME":                   "/tmp",
		"cat /mnt/host/file":           "from the host",
		"cat /one":                     "from the host",
		"ip -o link | wc -l":           "1",
		"wc -c < /etc/resolv.conf":     "0",
		"echo x > /scratch/x; echo $?": "0",
		"grep -c CapBnd.*a82425fb /proc/self/status":       "1",
		"touch /mnt/host/x 2> /dev/null || echo read-only": "read-only",
	} {
		if got := strings.TrimSpace(b.sh(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	if err := b.machine.(component.StepSealer).SealStep(t.Context(), b.run, component.StepInfo{Type: "shell"}); err != nil {
		t.Fatal(err)
	}
	// A new step starts with an empty tmpfs.
	if got := strings.TrimSpace(b.sh("ls -A /scratch; cat /one")); got != "from the host" {
		t.Errorf("after the step: %q", got)
	}
	b.capture()
	for n := range tarNames(t, rootfs) {
		if strings.HasPrefix(n, "scratch") || strings.HasPrefix(n, "mnt") || n == "one" || n == "etc/hosts" || n == "etc/resolv.conf" {
			t.Errorf("%s is in the image", n)
		}
	}
}

func mounts(blocks ...attrs) cty.Value {
	for _, b := range schema().Blocks {
		if b.Name == "mount" {
			var out []cty.Value
			for _, values := range blocks {
				out = append(out, b.Schema.Object(values))
			}
			return cty.ListVal(out)
		}
	}
	panic("the schema has no mount block")
}

// TestNoEscape: links in an image lead nowhere but into the image, whatever is
// done with them.
func TestNoEscape(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	host := t.TempDir()
	base := filepath.Join(t.TempDir(), "evil.tar")
	evil(t, env.TinyTar, base,
		&tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: host},
		&tar.Header{Name: "link/planted", Typeflag: tar.TypeReg, Mode: 0o644},
		&tar.Header{Name: "../../../../../.." + host + "/climbed", Typeflag: tar.TypeReg, Mode: 0o644},
		&tar.Header{Name: "etc/resolv.conf", Typeflag: tar.TypeSymlink, Linkname: host + "/resolv"},
		&tar.Header{Name: "init", Typeflag: tar.TypeSymlink, Linkname: "/proc/1/root" + host},
		&tar.Header{Name: "proc", Typeflag: tar.TypeSymlink, Linkname: host},
	)
	b := boot(t, "", nil, attrs{"from": str("tar:" + base), "output": str(t.TempDir() + "/x"), "tmpfs": list("/link/tmpfs")})
	for _, name := range []string{"/link/put", "/init/put", "/proc/self/root/../put", "/../.." + host + "/put"} {
		err := b.comm.Put(t.Context(), name, strings.NewReader("x"), component.FileMeta{Size: 1})
		t.Logf("put %s: %v", name, err)
		_ = b.comm.Get(t.Context(), name, io.Discard)
		_ = b.comm.PutTree(t.Context(), filepath.Dir(name), tarOf(t, &tar.Header{Name: "tree/x", Typeflag: tar.TypeReg, Mode: 0o644}, &tar.Header{Name: "../up", Typeflag: tar.TypeReg, Mode: 0o644}))
	}
	b.step("ls -la / /proc/1/root/ 2>&1; echo changed > /link/changed; true")
	b.capture()
	if left, _ := os.ReadDir(host); len(left) > 0 {
		t.Errorf("on the host: %v", left)
	}
}

func tarOf(t testing.TB, headers ...*tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range headers {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// evil appends entries to a copy of a tar.
func evil(t testing.TB, from, to string, headers ...*tar.Header) {
	t.Helper()
	ownedTar(t, from, to)
	text, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	more, err := io.ReadAll(tarOf(t, headers...))
	if err != nil {
		t.Fatal(err)
	}
	// The end of an archive is two empty blocks.
	if err := os.WriteFile(to, append(text[:len(text)-1024], more...), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestExistingOutput(t *testing.T) {
	live.RequireRoot(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "x.oci.tar")
	precious := filepath.Join(dir, "precious")
	if err := os.Mkdir(precious, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{file, filepath.Join(precious, "letter")} {
		if err := os.WriteFile(f, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plain, _ := newOutput("output", exportBlock{Path: file})
	folder, _ := newOutput("output", exportBlock{Path: precious})
	if err := plain.vacant(false); err == nil || !strings.Contains(err.Error(), "-force") {
		t.Errorf("an existing file: %v", err)
	}
	if err := plain.vacant(true); err != nil {
		t.Errorf("with force: %v", err)
	}
	for _, force := range []bool{false, true} {
		if err := folder.vacant(force); err == nil {
			t.Errorf("a folder of other things would be replaced, force=%v", force)
		}
	}
	image := filepath.Join(dir, "image")
	for range 2 {
		b := boot(t, "", nil, attrs{"from": str("scratch"), "output": str(dir + "/new.oci.tar")})
		b.run.Force = true
		b.job.(*job).p.outputs[0], _ = newOutput("output", exportBlock{Path: image})
		b.job.(*job).p.outputs = append(b.job.(*job).p.outputs, plain)
		b.capture()
		if err := os.Remove(filepath.Join(dir, "new.oci.tar")); err == nil {
			t.Error("wrote an output that was not asked for")
		}
		if err := validate.Image(imageOf(t, image)); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) == "old" {
		t.Errorf("the file was not replaced: %v", err)
	}
	if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
