package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
	"ingot/internal/retry"
	"ingot/internal/testkit/live"
)

func texts(s ...string) cty.Value {
	var out []cty.Value
	for _, v := range s {
		out = append(out, cty.StringVal(v))
	}
	return cty.ListVal(out)
}

// capture finishes a job and removes the image it makes when the test ends.
func (g *rig) capture(j *job, m component.Machine) *component.Artifact {
	g.t.Helper()
	art, err := j.Capture(g.t.Context(), g.run, m)
	if err != nil {
		g.t.Fatalf("capture: %v", err)
	}
	g.t.Cleanup(func() {
		for _, r := range art.Resources {
			if r.Kind == imageKind {
				if err := g.ledger.reaper.Reap(context.Background(), r); err != nil {
					g.t.Error(err)
				}
			}
		}
	})
	return art
}

func (g *rig) inspectImage(id string) client.ImageInspectResult {
	g.t.Helper()
	img, err := g.engine.ImageInspect(g.t.Context(), id)
	if err != nil {
		g.t.Fatal(err)
	}
	return img
}

func (g *rig) inspectContainer(m component.Machine) container.InspectResponse {
	g.t.Helper()
	in, err := g.engine.ContainerInspect(g.t.Context(), m.(*execMachine).id, client.ContainerInspectOptions{})
	if err != nil {
		g.t.Fatal(err)
	}
	return in.Container
}

func TestCommit(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	j, m, c := g.boot(g.tiny(map[string]cty.Value{
		"commit": cty.True, "message": cty.StringVal("as said"),
		"changes": texts("MAINTAINER A U Thor", "USER nobody", "WORKDIR /var/tmp", "ENV HOSTNAME www.example.com", "ENV two=2",
			"VOLUME /test1 /test2", "EXPOSE 80 443/udp", "LABEL version=1.0", "ONBUILD RUN date",
			`CMD ["nginx", "-g", "daemon off;"]`, "ENTRYPOINT /start.sh"),
	}))
	g.sh(c, "echo made >/made")
	art := g.capture(j, m)

	img := g.inspectImage(art.ID)
	if art.ID != img.ID || art.Producer != "packer.post-processor.docker-import" || art.Images[0].Parent != j.source.id {
		t.Errorf("artifact %+v", art)
	}
	if got := art.Data["ImageSha256"].AsString(); got != img.ID {
		t.Errorf("ImageSha256 %s", got)
	}
	if img.Author != "A U Thor" || img.Comment != "as said" {
		t.Errorf("author %q, comment %q", img.Author, img.Comment)
	}
	cfg := img.Config
	if cfg.User != "nobody" || cfg.WorkingDir != "/var/tmp" || cfg.Labels["version"] != "1.0" {
		t.Errorf("config %+v", cfg)
	}
	if !slices.Contains(cfg.Env, "HOSTNAME=www.example.com") || !slices.Contains(cfg.Env, "two=2") {
		t.Errorf("env %q", cfg.Env)
	}
	if !slices.Equal(cfg.Cmd, []string{"nginx", "-g", "daemon off;"}) || !slices.Equal(cfg.Entrypoint, []string{"/bin/sh", "-c", "/start.sh"}) {
		t.Errorf("cmd %q, entrypoint %q", cfg.Cmd, cfg.Entrypoint)
	}
	for _, v := range []string{"/test1", "/test2"} {
		if _, ok := cfg.Volumes[v]; !ok {
			t.Errorf("no volume %s", v)
		}
	}
	if len(cfg.ExposedPorts) != 2 || !slices.Equal(cfg.OnBuild, []string{"RUN date"}) {
		t.Errorf("ports %v, onbuild %v", cfg.ExposedPorts, cfg.OnBuild)
	}
}

func TestCommittedImageIsClean(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	j, m, c := g.boot(g.tiny(map[string]cty.Value{"commit": cty.True}))
	g.sh(c, "echo made >/made")
	art := g.capture(j, m)
	img := g.inspectImage(art.ID)
	for name := range img.Config.Labels {
		if strings.HasPrefix(name, "io.ingot") {
			t.Errorf("label %s", name)
		}
	}
	if len(img.RepoTags) > 0 {
		t.Errorf("tags %q", img.RepoTags)
	}
	if !slices.Equal(img.Config.Entrypoint, []string{"/bin/sh"}) {
		t.Errorf("entrypoint %q: the default run command sets /bin/sh", img.Config.Entrypoint)
	}
	// Only what the provisioner did is in the new layer.
	made, err := g.engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{Image: art.ID})
	if err != nil {
		t.Fatal(err)
	}
	defer g.engine.ContainerRemove(context.Background(), made.ID, client.ContainerRemoveOptions{Force: true})
	body, err := g.engine.ContainerExport(t.Context(), made.ID, client.ContainerExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	seen := map[string]bool{}
	for r := tar.NewReader(body); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		seen[strings.Trim(h.Name, "/")] = true
	}
	if !seen["made"] || seen["packer-files"] {
		t.Errorf("made %v, packer-files %v", seen["made"], seen["packer-files"])
	}
}

func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, m, c := g.boot(g.tiny(map[string]cty.Value{"run_command": texts("-d", "-i", "-t", "-v", "/anonymous", "--entrypoint=/bin/sh", "--", "{{.Image}}")}))
	g.sh(c, "echo x >/anonymous/x")
	in := g.inspectContainer(m)
	if len(in.Mounts) != 1 || in.Mounts[0].Name == "" {
		t.Fatalf("mounts %+v", in.Mounts)
	}
	g.ledger.release()
	if _, err := g.engine.ContainerInspect(t.Context(), in.ID, client.ContainerInspectOptions{}); !cerrdefs.IsNotFound(err) {
		t.Errorf("the container is still there: %v", err)
	}
	if _, err := g.engine.VolumeInspect(t.Context(), in.Mounts[0].Name, client.VolumeInspectOptions{}); !cerrdefs.IsNotFound(err) {
		t.Errorf("its volume is still there: %v", err)
	}
	for _, le := range g.ledger.leases {
		if err := g.ledger.reaper.Reap(t.Context(), le.res); err != nil {
			t.Errorf("a second time: %v", err)
		}
	}
}

func TestLostAnswers(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, message := range []string{"", "given by the user"} {
		g.ledger.lose = false
		j, m, _ := g.boot(g.tiny(map[string]cty.Value{"commit": cty.True, "message": cty.StringVal(message)}))
		g.ledger.lose = true
		art, err := j.commit(t.Context(), g.run, m.(*execMachine).id)
		if err != nil {
			t.Fatal(err)
		}
		if art.ID != "" {
			t.Fatalf("the ID was not lost: %s", art.ID)
		}
		last := g.ledger.leases[len(g.ledger.leases)-1]
		found, err := lostImage(t.Context(), g.engine, last.res)
		if err != nil || found == "" {
			t.Fatalf("message %q: image of %+v: %q, %v", message, last.res, found, err)
		}
		if err := g.ledger.reaper.Reap(t.Context(), last.res); err != nil {
			t.Error(err)
		}
		if _, err := g.engine.ImageInspect(t.Context(), found); !cerrdefs.IsNotFound(err) {
			t.Errorf("message %q: the image is still there: %v", message, err)
		}
		if err := g.ledger.reaper.Reap(t.Context(), last.res); err != nil {
			t.Errorf("a second time: %v", err)
		}
	}

	g.ledger.lose = true
	j := g.plan(g.tiny(nil))
	if err := j.Prepare(t.Context(), g.run); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Boot(t.Context(), g.run); err == nil {
		t.Fatal("a container without an ID was started")
	}
	token := g.ledger.leases[len(g.ledger.leases)-1].res.Token
	if _, err := g.engine.ContainerInspect(t.Context(), token, client.ContainerInspectOptions{}); err != nil {
		t.Fatalf("the container is not found by its token: %v", err)
	}
	g.ledger.release()
	if _, err := g.engine.ContainerInspect(t.Context(), token, client.ContainerInspectOptions{}); !cerrdefs.IsNotFound(err) {
		t.Errorf("the container is still there: %v", err)
	}
}

// A refusal is an answer: nobody waits for an image that the engine might yet make.
func TestRefusedCommitIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	j, m, _ := g.boot(g.tiny(map[string]cty.Value{"commit": cty.True}))
	j.config.Changes = []string{"BOGUS"}
	if _, err := j.commit(t.Context(), g.run, m.(*execMachine).id); err == nil {
		t.Fatal("the engine took an unknown instruction")
	}
	last := g.ledger.leases[len(g.ledger.leases)-1]
	if dockerengine.MayAppear(last.res.Attrs, true, time.Now()) {
		t.Errorf("an image is waited for: %+v", last.res)
	}
}

// A run may be gone while the engine still works at what it is to save. Then its
// image has a name only after it was looked for.
func TestLateCheckpointIsRemoved(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, m, _ := g.boot(g.tiny(nil))
	container := m.(*execMachine).id
	token := "ingot-test-" + strings.ToLower(rand.Text())
	res := component.Resource{Kind: imageKind, Token: token, Attrs: dockerengine.Asking(g.engine.Endpoint.Attrs(map[string]string{
		dockerengine.AttrContainer: container, dockerengine.AttrOwnTag: "1",
	}))}
	reaped := make(chan error, 1)
	go func() { reaped <- g.ledger.reaper.Reap(t.Context(), res) }()
	time.Sleep(300 * time.Millisecond) // the reaper has looked meanwhile
	made, err := g.engine.ContainerCommit(t.Context(), container, client.ContainerCommitOptions{Reference: dockerengine.OwnTag(token), Comment: token})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-reaped; err != nil {
		t.Error(err)
	}
	if _, err := g.engine.ImageInspect(t.Context(), made.ID); !cerrdefs.IsNotFound(err) {
		t.Errorf("the image is still there: %v", err)
		_, err := g.engine.ImageRemove(t.Context(), made.ID, client.ImageRemoveOptions{})
		t.Log(err)
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	file := filepath.Join(t.TempDir(), "new", "root.tar")
	j, m, c := g.boot(g.tiny(map[string]cty.Value{"export_path": cty.StringVal(file)}))
	g.sh(c, "echo exported >/exported")
	art := g.capture(j, m)
	if art.Producer != "packer.docker" || len(art.Files) != 1 || art.Files[0].Path != file || art.Resources[0].ID != file {
		t.Errorf("artifact %+v", art)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("no file exported in the archive: %v", err)
		}
		if h.Name == "exported" {
			break
		}
	}
	if left, _ := filepath.Glob(file + "?*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	last := g.events.snapshot()[len(g.events.snapshot())-1]
	if p, ok := last.(component.Progress); !ok || !p.Finished || p.Done != art.Files[0].Size {
		t.Errorf("last event %+v", last)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	j, m, _ := g.boot(g.tiny(nil))
	art := g.capture(j, m)
	if art.ID != "" || len(art.Files)+len(art.Resources) > 0 || art.Producer != "packer.docker" {
		t.Errorf("artifact %+v", art)
	}
}

func TestContainerSettings(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "f"), []byte("from the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	name := "ingot-named-" + strings.ToLower(rand.Text())
	_, m, c := g.boot(g.tiny(map[string]cty.Value{
		"run_command": texts("-d", "-it", "--name", name, "--entrypoint=/bin/sh", "-e", "GIVEN=a b", "--hostname", "box",
			"-w", "/var", "--memory", "64m", "--shm-size=8m", "--ulimit", "nofile=100:200", "--add-host", "db:10.1.2.3",
			"--dns=10.9.9.9", "--label", "l=1", "--init", "--network", "none", "--", "{{ .Image }}"),
		"volumes":       cty.MapVal(map[string]cty.Value{host: cty.StringVal("/host:ro")}),
		"tmpfs":         texts("/mem:size=1m"),
		"container_dir": cty.StringVal("/scratch"),
		"cap_add":       texts("NET_ADMIN"), "cap_drop": texts("CHOWN"),
		"device": texts("/dev/zero:/dev/nothing:r"),
	}))
	in := g.inspectContainer(m)
	if u := in.HostConfig.Ulimits; len(u) != 1 || u[0].Name != "nofile" || u[0].Soft != 100 || u[0].Hard != 200 {
		t.Errorf("ulimits %v", u)
	}
	if in.Name != "/"+name || in.HostConfig.Memory != 64<<20 || in.HostConfig.ShmSize != 8<<20 || in.Config.Labels["l"] != "1" {
		t.Errorf("container %+v, host %+v", in.Name, in.HostConfig)
	}
	if !slices.Equal(in.HostConfig.CapAdd, []string{"CAP_NET_ADMIN"}) || !slices.Equal(in.HostConfig.CapDrop, []string{"CAP_CHOWN"}) {
		t.Errorf("caps %q %q", in.HostConfig.CapAdd, in.HostConfig.CapDrop)
	}
	for line, want := range map[string]string{
		"cat /host/f": "from the host", `echo "$GIVEN"`: "a b", "hostname": "box", "pwd": "/var",
		"grep -c 10.1.2.3 /etc/hosts": "1", "grep -o 10.9.9.9 /etc/resolv.conf": "10.9.9.9",
		"touch /host/x 2>/dev/null || echo ro": "ro", "head -c 3 /dev/nothing | wc -c": "3",
		"grep -c '/mem tmpfs' /proc/mounts": "1", "test -d /scratch && grep -c ' /scratch ' /proc/mounts": "1",
	} {
		if got := g.sh(c, line); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	g.ledger.release()
	if _, err := g.engine.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{}); !cerrdefs.IsNotFound(err) {
		t.Errorf("the named container is still there: %v", err)
	}
}

// Privileged containers cannot be started everywhere, so that none is.
func TestPrivileged(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	j := g.plan(g.tiny(map[string]cty.Value{"privileged": cty.True}))
	if err := j.Prepare(t.Context(), g.run); err != nil {
		t.Fatal(err)
	}
	spec, err := j.runSpec(g.run)
	if err != nil {
		t.Fatal(err)
	}
	id, err := j.create(t.Context(), g.run, spec)
	if err != nil {
		t.Fatal(err)
	}
	in, err := g.engine.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
	if err != nil || !in.Container.HostConfig.Privileged {
		t.Errorf("not privileged, %v", err)
	}
}

func TestNameConflict(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	run := texts("-d", "-i", "-t", "--name", "ingot-twice-"+strings.ToLower(rand.Text()), "--entrypoint=/bin/sh", "{{.Image}}")
	g.boot(g.tiny(map[string]cty.Value{"run_command": run}))
	j := g.plan(g.tiny(map[string]cty.Value{"run_command": run}))
	if err := j.Prepare(t.Context(), g.run); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Boot(t.Context(), g.run); err == nil || !strings.Contains(err.Error(), "name") {
		t.Errorf("got %v", err)
	}
}

func TestContainerThatEnds(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, _, c := g.boot(g.tiny(map[string]cty.Value{"run_command": texts("-d", "--entrypoint=/bin/sh", "{{.Image}}", "-c", "echo reason; exit 3")}))
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, err := c.Run(t.Context(), component.Command{Line: "true"})
		if err != nil {
			if !strings.Contains(err.Error(), "exit code 3") || !strings.Contains(err.Error(), "reason") || !strings.Contains(err.Error(), "run_command") {
				t.Errorf("got %v", err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("commands still work")
		}
	}
}

func TestMissingImage(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	j := g.plan(map[string]cty.Value{"image": cty.StringVal("ingot-test/none:1"), "pull": cty.False, "discard": cty.True})
	err := j.Prepare(t.Context(), g.run)
	if err == nil || !strings.Contains(err.Error(), "pull = true") || retry.ClassOf(err) != retry.User {
		t.Errorf("got %v, class %v", err, retry.ClassOf(err))
	}
}

func TestPlatformMismatch(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	j := g.plan(g.tiny(map[string]cty.Value{"platform": cty.StringVal("linux/s390x")}))
	err := j.Prepare(t.Context(), g.run)
	if err == nil {
		_, err = j.Boot(t.Context(), g.run)
	}
	if err == nil || !strings.Contains(err.Error(), "s390x") {
		t.Errorf("got %v", err)
	}
}

func TestPull(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	name := g.live.Registry + "/" + g.live.TinyImage
	j := g.plan(map[string]cty.Value{"image": cty.StringVal(name), "discard": cty.True})
	if err := j.Prepare(t.Context(), g.run); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = g.engine.ImageRemove(context.Background(), name, client.ImageRemoveOptions{}) // shared with other tests
	})
	if !strings.HasPrefix(j.source.digest, "sha256:") {
		t.Errorf("digest %q", j.source.digest)
	}
	for _, missing := range []string{g.live.Registry + "/ingot-test/tiny:none", g.live.Registry + "/none/none:1"} {
		j := g.plan(map[string]cty.Value{"image": cty.StringVal(missing), "discard": cty.True})
		err := j.Prepare(t.Context(), g.run)
		if err == nil || !strings.Contains(err.Error(), "check the name") || retry.ClassOf(err) != retry.User {
			t.Errorf("%s: got %v, class %v", missing, err, retry.ClassOf(err))
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	name := g.live.AuthRegistry + "/ingot-test/tiny:login-" + strings.ToLower(rand.Text())
	if _, err := g.engine.ImageTag(t.Context(), client.ImageTagOptions{Source: g.live.TinyImage, Target: name}); err != nil {
		t.Fatal(err)
	}
	remove := func() { _, _ = g.engine.ImageRemove(context.Background(), name, client.ImageRemoveOptions{}) }
	t.Cleanup(remove)
	login := map[string]cty.Value{"image": cty.StringVal(name), "discard": cty.True, "login": cty.True,
		"login_username": cty.StringVal(g.live.AuthUser), "login_password": cty.StringVal(g.live.AuthPassword)}
	j := g.plan(login)
	auth, err := j.config.Login.Header(t.Context(), g.env, mustNamed(t, name))
	if err != nil {
		t.Fatal(err)
	}
	push, err := g.engine.ImagePush(t.Context(), name, client.ImagePushOptions{RegistryAuth: auth})
	if err != nil {
		t.Fatal(err)
	}
	if err := push.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	remove()

	without := g.plan(map[string]cty.Value{"image": cty.StringVal(name), "discard": cty.True})
	if err := without.Prepare(t.Context(), g.run); err == nil || !strings.Contains(err.Error(), "login_username") || retry.ClassOf(err) != retry.Permission {
		t.Errorf("without login: %v, class %v", err, retry.ClassOf(err))
	}
	if err := j.Prepare(t.Context(), g.run); err != nil {
		t.Errorf("with login: %v", err)
	}
	if entries, _ := os.ReadDir(g.env("DOCKER_CONFIG")); len(entries) > 0 {
		t.Errorf("the login was written down: %v", entries)
	}
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	for name, dockerfile := range map[string]string{
		"classic":  "FROM %s\nARG SAID\nCOPY . /ctx/\nRUN echo \"$SAID\" >/said\nUSER nobody\n",
		"buildkit": "FROM %s\nARG SAID\nCOPY . /ctx/\nRUN --mount=type=tmpfs,target=/m echo \"$SAID\" >/said\nUSER nobody\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			dir := t.TempDir()
			files := map[string]string{
				"Dockerfile": strings.Replace(dockerfile, "%s", g.live.TinyImage, 1), "ctx/kept": "k", "ctx/dropped": "d", "ctx/.dockerignore": "dropped\n",
			}
			for name, text := range files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b := builder{env: g.env}
			s := b.Schema().Blocks[0].Schema
			j, m, c := g.boot(map[string]cty.Value{
				"discard": cty.True,
				"build": s.Object(map[string]cty.Value{
					"path": cty.StringVal(filepath.Join(dir, "Dockerfile")), "build_dir": cty.StringVal(filepath.Join(dir, "ctx")),
					"arguments": cty.MapVal(map[string]cty.Value{"SAID": cty.StringVal("argued")}),
					"pull":      cty.False, "compress": cty.True,
				}),
			})
			if got := g.sh(c, "cat /said; ls /ctx; id -un"); got != "argued\nkept\nnobody" {
				t.Errorf("got %q", got)
			}
			if !strings.HasPrefix(j.source.ref, "ingot-build:") || m.Facts()["ID"].AsString() == "" {
				t.Errorf("source %+v", j.source)
			}
			if err := c.Put(t.Context(), "/tmp/up", strings.NewReader("x"), component.FileMeta{Size: 1}); err != nil {
				t.Fatal(err)
			}
			if got := g.sh(c, "stat -c %U /tmp/up"); got != "nobody" {
				t.Errorf("the upload belongs to %s, not to the image's user", got)
			}
			g.ledger.release()
			if _, err := g.engine.ImageInspect(t.Context(), j.source.ref); !cerrdefs.IsNotFound(err) {
				t.Errorf("the built image is still there: %v", err)
			}
		})
	}
}

func TestDockerfileThatFails(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	file := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(file, []byte("FROM "+g.live.TinyImage+"\nRUN echo telling; exit 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := builder{env: g.env}
	j := g.plan(map[string]cty.Value{"discard": cty.True, "build": b.Schema().Blocks[0].Schema.Object(map[string]cty.Value{
		"path": cty.StringVal(file), "build_dir": cty.StringVal(filepath.Dir(file)), "pull": cty.False,
	})})
	if err := j.Prepare(t.Context(), g.run); err == nil || !strings.Contains(err.Error(), "7") {
		t.Errorf("got %v", err)
	}
	if !slices.ContainsFunc(g.events.snapshot(), func(e component.Event) bool {
		o, ok := e.(component.Output)
		return ok && o.Line == "telling"
	}) {
		t.Error("the output of the build is missing")
	}
}

func TestExecUserAndOwner(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, k := range []struct {
		user string
		fix  bool
		want string
	}{
		{"", true, "0:0"}, {"nobody", true, "65534:65534"}, {"nobody", false, "0:0"}, {"1234:5678", true, "1234:5678"},
		{"nobody:root", true, "65534:0"}, {"1234", true, "1234:0"},
	} {
		values := map[string]cty.Value{"fix_upload_owner": cty.BoolVal(k.fix)}
		if k.user != "" {
			values["exec_user"] = cty.StringVal(k.user)
		}
		_, m, c := g.boot(g.tiny(values))
		if err := c.Put(t.Context(), "/tmp/file", strings.NewReader("x"), component.FileMeta{Size: -1, Mode: 0o640}); err != nil {
			t.Fatalf("%+v: %v", k, err)
		}
		var tree bytes.Buffer
		w := tar.NewWriter(&tree)
		if err := w.WriteHeader(&tar.Header{Name: "f", Size: 1, Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte("y"))
		_ = w.Close()
		if err := c.PutTree(t.Context(), "/tmp/tree", &tree); err != nil {
			t.Fatal(err)
		}
		root := newComm(t.Context(), &execMachine{machine: m.(*execMachine).machine}, g.run)
		got := g.sh(root, "stat -c %u:%g /tmp/file /tmp/tree /tmp/tree/f")
		if got != strings.Join([]string{k.want, k.want, k.want}, "\n") {
			t.Errorf("%+v: got %q", k, got)
		}
		if k.user != "" {
			want, _, _ := strings.Cut(k.user, ":")
			if got := strings.Fields(g.sh(c, "id -u; id -un 2>/dev/null; :")); !slices.Contains(got, want) {
				t.Errorf("%+v: commands run as %v", k, got)
			}
		}
	}
	_, _, c := g.boot(g.tiny(map[string]cty.Value{"exec_user": cty.StringVal("stranger")}))
	if err := c.Put(t.Context(), "/tmp/f", strings.NewReader("x"), component.FileMeta{Size: 1}); err == nil || !strings.Contains(err.Error(), "stranger") {
		t.Errorf("an unknown user: %v", err)
	}
}

func TestFilesOnMemoryMounts(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, user := range []string{"root", "nobody"} {
		_, _, c := g.boot(g.tiny(map[string]cty.Value{"tmpfs": texts("/mem:mode=1777"), "exec_user": cty.StringVal(user)}))
		big := bytes.Repeat([]byte("0123456789abcde\n"), 10_000)
		for name, body := range map[string][]byte{"small": []byte("s\x00\\"), "big": big} {
			at := "/mem/" + name
			if err := c.Put(t.Context(), at, bytes.NewReader(body), component.FileMeta{Size: int64(len(body)), Mode: 0o750}); err != nil {
				t.Fatal(err)
			}
			if got := g.sh(c, "stat -c '%U %a' "+at+"; wc -c <"+at); got != user+" 750\n"+g.sh(c, "wc -c <"+at) {
				t.Errorf("%s %s: %q", user, name, got)
			}
			var out bytes.Buffer
			if err := c.Get(t.Context(), at, &out); err != nil || !bytes.Equal(out.Bytes(), body) {
				t.Errorf("%s %s: got %d bytes, %v", user, name, out.Len(), err)
			}
		}
		if err := c.Put(t.Context(), "/mem/none/f", strings.NewReader("x"), component.FileMeta{Size: 1}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing folder: %v", err)
		}
		if err := c.Get(t.Context(), "/mem/none", io.Discard); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing file: %v", err)
		}
		var tree bytes.Buffer
		if err := c.GetTree(t.Context(), "/mem", &tree); err != nil {
			t.Fatal(err)
		}
		if err := c.PutTree(t.Context(), "/mem/copy/of", &tree); err != nil {
			t.Fatal(err)
		}
		if got := g.sh(c, "cd /mem/copy/of && ls && stat -c %U big"); got != "big\nsmall\n"+user {
			t.Errorf("copied tree: %q", got)
		}
		if err := c.GetTree(t.Context(), "/mem/none", io.Discard); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing tree: %v", err)
		}
	}
}

// What a command leaves running must not end up in the output of another one,
// nor stop the shell from being used.
func TestLeftoversOfCommands(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, _, c := g.boot(g.tiny(nil))
	g.sh(c, "(while :; do echo noise; sleep 0.05 || sleep 1; done) & echo first")
	for range 5 {
		if got := g.sh(c, "sleep 0.1 || sleep 1; echo clean"); got != "clean" {
			t.Fatalf("got %q", got)
		}
	}
	// A command may signal its process group and take the shell down.
	if exit, err := c.Run(t.Context(), component.Command{Line: "kill -9 0"}); err == nil && exit.Code != 137 {
		t.Errorf("kill -9 0: %v", exit)
	}
	if exit, err := c.Run(t.Context(), component.Command{Line: "trap '' TERM; kill 0; exit 5"}); err != nil || exit.Code != 5 {
		t.Errorf("kill 0: %v, %v", exit, err)
	}
	if got := g.sh(c, "echo alive"); got != "alive" {
		t.Errorf("got %q", got)
	}
}

func TestTerminalByAttribute(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, _, c := g.boot(g.tiny(map[string]cty.Value{"pty": cty.True}))
	if got := strings.ReplaceAll(g.sh(c, "test -t 0 && test -t 1 && cat && echo terminal"), "\r", ""); !strings.HasSuffix(got, "terminal") {
		t.Errorf("got %q", got)
	}
	if !c.Caps().AlwaysPTY {
		t.Error("AlwaysPTY is not declared")
	}
}

func TestEndpointsWithoutExec(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	j := g.plan(g.tiny(map[string]cty.Value{"communicator": cty.StringVal("none")}))
	m := g.start(j)
	if _, dials := m.(component.SelfDialer); dials {
		t.Error("communicator none has a dialer")
	}
	if e, err := m.Endpoint(t.Context()); err != nil || e.Transport != "none" {
		t.Errorf("endpoint %+v, %v", e, err)
	}
	if !g.live.ContainerNetwork {
		t.Skip("containers have no network here")
	}
	j = g.plan(g.tiny(map[string]cty.Value{
		"image": cty.StringVal(g.live.SSHDImage), "communicator": cty.StringVal("ssh"), "ssh_username": cty.StringVal("root"),
		"ssh_private_key_file": cty.StringVal(g.live.SSHDImageKey), "run_command": texts("-d", "{{.Image}}"),
	}))
	m = g.start(j)
	e, err := m.Endpoint(t.Context())
	if err != nil || e.Transport != "ssh" || e.Port != 22 || e.Connection.SSHUsername != "root" {
		t.Fatalf("endpoint %+v, %v", e, err)
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	for {
		conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(e.Host, "22"))
		if err == nil {
			conn.Close()
			break
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// engineProxy is a way to the engine that can be cut.
func engineProxy(t *testing.T, socket string) (host string, cut func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex
		conns []net.Conn
	)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", socket)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, in, out)
			mu.Unlock()
			go func() { _, _ = io.Copy(out, in); _ = out.(*net.UnixConn).CloseWrite() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
	cut = func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	}
	t.Cleanup(cut)
	return "tcp://" + l.Addr().String(), cut
}

func TestEngineGoesAway(t *testing.T) {
	t.Parallel()
	l := live.Require(t)
	for _, user := range []string{"root", "nobody"} {
		host, cut := engineProxy(t, l.DockerSocket())
		g := newRigAt(t, l, host)
		_, m, c := g.boot(g.tiny(map[string]cty.Value{"exec_user": cty.StringVal(user)}))
		id := m.(*execMachine).id
		out := writerFunc(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte("started")) {
				cut()
			}
			return len(p), nil
		})
		_, err := c.Run(t.Context(), component.Command{Line: "echo started; sleep 60", Stdout: out})
		if !errors.Is(err, component.ErrDisconnected) {
			t.Errorf("%s: run: %v", user, err)
		}
		err = c.Put(t.Context(), "/tmp/f", strings.NewReader("x"), component.FileMeta{Size: 1})
		if !errors.Is(err, component.ErrDisconnected) || !strings.Contains(err.Error(), "DOCKER_HOST") {
			t.Errorf("%s: put: %v", user, err)
		}
		// The lease points to the proxy, which is gone; remove it directly.
		direct := newRig(t)
		for _, le := range g.ledger.leases {
			le.res.Attrs["docker_host"] = l.DockerHost
		}
		if err := direct.ledger.reaper.Reap(context.Background(), component.Resource{Kind: containerKind, ID: id, Attrs: direct.engine.Endpoint.Attrs(nil)}); err != nil {
			t.Error(err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestNoEngine(t *testing.T) {
	t.Parallel()
	b := builder{env: func(name string) string {
		return map[string]string{"DOCKER_HOST": "unix:///nonexistent/docker.sock", "DOCKER_CONFIG": t.TempDir()}[name]
	}}
	j, diags := b.Plan(t.Context(), b.Schema().Object(map[string]cty.Value{"image": cty.StringVal("x"), "discard": cty.True, "pull": cty.False}))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	err := j.Prepare(t.Context(), component.Run{Events: &events{}})
	if err == nil || retry.ClassOf(err) != retry.Transient || !strings.Contains(err.Error(), "DOCKER_HOST") || !strings.Contains(err.Error(), "running") {
		t.Errorf("got %v, class %v", err, retry.ClassOf(err))
	}
}

func TestCancelledBoot(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	j := g.plan(g.tiny(nil))
	if err := j.Prepare(t.Context(), g.run); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("the user stops")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := j.Boot(ctx, g.run); err == nil {
		t.Error("no error")
	}
	g.ledger.release()
	for _, le := range g.ledger.leases {
		if _, err := g.engine.ContainerInspect(t.Context(), le.res.Token, client.ContainerInspectOptions{}); !cerrdefs.IsNotFound(err) {
			t.Errorf("a container is left: %v", err)
		}
	}
}
