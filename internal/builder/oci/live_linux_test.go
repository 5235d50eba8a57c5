package oci

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"ingot/internal/component/componenttest"
	"ingot/internal/retry"
	"ingot/internal/testkit/live"
)

// docker runs the client against the private engine.
func docker(t testing.TB, env live.Env, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+env.DockerHost)
	text, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(text)), err
}

func mustDocker(t testing.TB, env live.Env, args ...string) string {
	t.Helper()
	text, err := docker(t, env, args...)
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return text
}

// load loads an archive and removes the image when the test ends.
func load(t testing.TB, env live.Env, archive, tag string) {
	t.Helper()
	mustDocker(t, env, "load", "-i", archive)
	t.Cleanup(func() {
		cmd := exec.Command("docker", "rmi", "-f", tag)
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+env.DockerHost)
		_ = cmd.Run()
	})
}

func TestDockerRunsTheImage(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	tag := "ingot-oci-test/runs:" + strings.ToLower(t.Name())
	archive, output := out(t, "image.docker.tar")
	a := simple(t, "", nil, attrs{
		"from": str("tar:" + env.TinyTar), "output": output, "tag": str(tag),
		"cmd": list("cat", "/srv/hello"), "workdir": str("/srv"),
	},
		"mkdir /srv && echo hello > /srv/hello",
		"rm /etc/os-release && rm -r /var && mkdir /var && echo new > /var/new",
		"true",
		"chown 12:34 /srv/hello && chmod 4755 /bin/busybox && ln /srv/hello /srv/again",
	)
	if len(a.Files) != 1 || !strings.HasPrefix(a.ID, "sha256:") {
		t.Errorf("artifact: %+v", a)
	}
	load(t, env, archive, tag)
	if got := mustDocker(t, env, "run", "--rm", tag); got != "hello" {
		t.Errorf("the command printed %q", got)
	}
	got := mustDocker(t, env, "run", "--rm", tag, "sh", "-c", "ls /etc/os-release; ls -A /var; stat -c '%u:%g %h' hello; stat -c %a /bin/busybox; pwd; ls -A /dev/null /etc/resolv.conf")
	t.Log(got)
	for _, want := range []string{"ls: /etc/os-release: No such file or directory", "\nnew\n", "12:34 2", "4755", "/srv"} {
		if !strings.Contains("\n"+got+"\n", want) { // the two streams come in any order
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	var inspected []struct {
		ID     string `json:"Id"`
		RootFS struct{ Layers []string }
	}
	if err := json.Unmarshal([]byte(mustDocker(t, env, "image", "inspect", tag)), &inspected); err != nil {
		t.Fatal(err)
	}
	if n := len(inspected[0].RootFS.Layers); n != 4 {
		t.Errorf("%d layers, want the base and 3 of the 4 steps, since one changed nothing", n)
	}
	t.Log(mustDocker(t, env, "history", "--no-trunc", tag))
}

func TestBaseFromRegistry(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	cache := t.TempDir()
	dir, output := out(t, "layout")
	simple(t, cache, nil, attrs{"from": str("docker://" + env.Registry + "/" + env.TinyImage), "output": output, "tag": str("app:1")}, "echo one > /one")
	// What was written is a base in its turn, in each of its forms.
	archive, archiveOut := out(t, "again.oci.tar")
	tag := "ingot-oci-test/again:1"
	saved, savedOut := out(t, "again.docker.tar.gz")
	simple(t, cache, nil, attrs{"from": str("oci:" + dir + ":app:1"), "output": archiveOut, "tag": str(tag),
		"export": exports(attrs{"path": savedOut, "tag": str(tag)})}, "echo two > /two; cat /one")
	load(t, env, saved, tag)
	if got := mustDocker(t, env, "run", "--rm", tag, "cat", "/one", "/two"); got != "one\ntwo" {
		t.Errorf("from the directory: %q", got)
	}
	rootfs, rootfsOut := out(t, "flat.rootfs.tar")
	simple(t, cache, nil, attrs{"from": str("docker-archive:" + saved), "output": rootfsOut}, "cat /one /two && rm /one && echo three > /three")
	names := tarNames(t, rootfs)
	if names["one"] || !names["two"] || !names["three"] || !names["bin/busybox"] || names["dev/null"] {
		t.Errorf("root file system: %v", names)
	}
	simple(t, cache, nil, attrs{"from": str("oci-archive:" + archive + ":1"), "output": str(t.TempDir() + "/x")}, "cat /one /two")
	// The image is in the cache now: no registry is needed.
	simple(t, cache, nil, attrs{"from": str("docker://" + env.Registry + "/" + env.TinyImage), "pull": str("missing"), "output": str(t.TempDir() + "/x")}, "true")
}

func TestRegistryLogin(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	repo := env.AuthRegistry + "/ingot-oci-test/private:1"
	login := remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: env.AuthUser, Password: env.AuthPassword}))
	ref, err := name.ParseReference(repo)
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, login); err != nil {
		t.Fatal(err)
	}
	a := attrs{"from": str("docker://" + repo), "output": str(t.TempDir() + "/x")}
	run, journal, _ := componenttest.NewRun(t)
	journal.Reap = NewReaper().Reap
	t.Cleanup(func() { _ = journal.ReleaseAll(context.Background()) })
	job, diags := New().Plan(t.Context(), schema().Object(a))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	err = job.Prepare(t.Context(), run)
	if err == nil || !strings.Contains(err.Error(), "login_username") || retry.ClassOf(err) != retry.Permission {
		t.Errorf("without credentials: %v", err)
	}
	a["login_username"], a["login_password"] = str(env.AuthUser), str(env.AuthPassword)
	simple(t, "", nil, a)
}
