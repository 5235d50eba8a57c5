package oci

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

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
		if !strings.Contains(got, want) {
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
