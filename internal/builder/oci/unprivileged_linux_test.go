package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ingot/internal/builder/oci/base"
	"ingot/internal/builder/oci/sandbox"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/live"
)

// asUser is set for the tests that another user runs; it is the base's path.
const asUser = "INGOT_TEST_AS_USER"

// TestUnprivileged runs the test below as a user who has no range of ids.
func TestUnprivileged(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	runAs(t, env, 65534, 65534, "single", false)
}

// TestNested runs it as root of a user namespace, as in a rootless container.
func TestNested(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	runAs(t, env, 65534, 65534, "single", true)
}

// TestRefused has the kernel refuse namespaces, by a limit that holds in a
// user namespace made for it.
func TestRefused(t *testing.T) {
	live.RequireRoot(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestAsRefused$", "-test.v")
	cmd.Env = append(os.Environ(), asUser+"=refused")
	cmd.SysProcAttr = nested(0, 0)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// TestAsRefused is what TestRefused runs.
func TestAsRefused(t *testing.T) {
	if os.Getenv(asUser) != "refused" {
		t.Skip("runs as part of TestRefused")
	}
	const setting = "user.max_mnt_namespaces"
	if err := os.WriteFile("/proc/sys/user/max_mnt_namespaces", []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	run, journal, _ := componenttest.NewRun(t)
	journal.Reap = NewReaper().Reap
	job, diags := New().Plan(t.Context(), schema().Object(attrs{"from": str("scratch"), "output": str(t.TempDir() + "/x")}))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	err := job.Prepare(t.Context(), run)
	var refusal *sandbox.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "sysctl -w "+setting) {
		t.Errorf("got %v", err)
	}
	if err := journal.ReleaseAll(context.Background()); err != nil {
		t.Error(err)
	}
}

// nested starts a process as root of a new user namespace of one user.
func nested(uid, gid int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: gid, Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true},
	}
}

// TestUnprivilegedRange runs it as a user who has one.
func TestUnprivilegedRange(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	u, err := user.Lookup(env.SSH.User)
	if err != nil {
		t.Skip(err)
	}
	if _, err := exec.LookPath("newuidmap"); err != nil {
		t.Skip("newuidmap is not installed (package uidmap)")
	}
	subuid, _ := os.ReadFile("/etc/subuid")
	if !strings.Contains(string(subuid), u.Username+":") {
		t.Skipf("user %s has no range in /etc/subuid", u.Username)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	runAs(t, env, uid, gid, "range", false)
}

func runAs(t *testing.T, env live.Env, uid, gid int, kind string, asRoot bool) {
	dir, err := os.MkdirTemp("", "ingot-oci-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	program := filepath.Join(dir, "test")
	copyFile(t, "/proc/self/exe", program, 0o755)
	ownedTar(t, env.TinyTar, filepath.Join(dir, "base.tar"))
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"", "tmp", "base.tar"} {
		if err := os.Chown(filepath.Join(dir, p), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestAsUser$", "-test.v")
	cmd.Dir = dir
	cmd.Env = []string{
		asUser + "=" + kind, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + filepath.Join(dir, "tmp"), "HOME=" + dir,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if asRoot {
		cmd.SysProcAttr = nested(uid, gid)
	}
	text, err := cmd.CombinedOutput()
	t.Logf("%s", text)
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	tag := "ingot-oci-test/user:" + kind
	load(t, env, filepath.Join(dir, "image.docker.tar"), tag)
	got := mustDocker(t, env, "run", "--rm", tag, "stat", "-c", "%n %u:%g %a", "/", "/new", "/home/u", "/home/u/file", "/bin/busybox")
	want := "/ 0:0 755\n/new 0:0 644\n/home/u 1000:1000 750\n/home/u/file 1000:1000 640\n/bin/busybox 0:0 755"
	if got != want {
		t.Errorf("owners and modes are\n%s\nwant\n%s", got, want)
	}
}

func copyFile(t testing.TB, from, to string, mode os.FileMode) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// ownedTar is a copy of a tar with files of another user added, and a device.
func ownedTar(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	tr := tar.NewReader(in)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(tw, tr); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []*tar.Header{
		{Name: "home/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "home/u/", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 1000, Gid: 1000},
		{Name: "home/u/file", Typeflag: tar.TypeReg, Mode: 0o640, Uid: 1000, Gid: 1000},
		{Name: "device", Typeflag: tar.TypeChar, Mode: 0o600, Devmajor: 1, Devminor: 3},
	} {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestAsUser is what runAs runs.
func TestAsUser(t *testing.T) {
	kind := os.Getenv(asUser)
	if kind == "" {
		t.Skip("runs as part of TestUnprivileged")
	}
	if single := sandbox.CurrentIDMap().Single(); single != (kind == "single") {
		t.Fatalf("single user: %v, want %s", single, kind)
	}
	cache := t.TempDir()
	a := attrs{"from": str("tar:base.tar"), "output": str("image.docker.tar"), "tag": str("ingot-oci-test/user:" + kind)}
	b := boot(t, cache, nil, a)
	said := b.events.Said()
	if warned := strings.Contains(said, "newuidmap"); warned != (kind == "single") {
		t.Errorf("warnings: %s", said)
	}
	if !strings.Contains(said, "1 device nodes") {
		t.Errorf("nothing is said about the device: %s", said)
	}
	// Root only inside: what belongs to others can be used all the same.
	b.step("id -u; echo new > /new; echo more >> /home/u/file; test -w /home/u; test ! -e /device")
	b.step("test $(cat /home/u/file) = more; echo x > /dev/null; tty -s < /dev/tty; ls /sys/class > /dev/null; rm /etc/os-release; rm -r /var; mkdir /var; touch /var/new; ps")
	if kind == "range" {
		b.step("touch /theirs; chown 1000:1000 /theirs; stat -c %u:%g /home/u/file | grep 1000:1000")
	} else if exit, err := b.comm.Run(t.Context(), component.Command{Line: "touch /tmp/x; chown 1000 /tmp/x 2>/dev/null; e=$?; rm /tmp/x; exit $e"}); err != nil || exit.Code == 0 {
		t.Errorf("chown in a sandbox of one user: %v, %v", exit, err)
	}
	b.capture()
	names := map[string]bool{}
	for _, blob := range layersOf(t, "image.docker.tar")[1:] {
		for n := range blob {
			names[n] = true
		}
	}
	for _, want := range []string{"new", "home/u/file", "etc/.wh.os-release", "var/.wh..wh..opq", "var/new"} {
		if !names[want] {
			t.Errorf("%s is missing in the layers: %v", want, names)
		}
	}
	if err := b.journal.ReleaseAll(context.Background()); err != nil {
		t.Error(err)
	}
	// The cache too may hold files that only the sandbox's root can remove.
	token := "clean-" + kind
	old := filepath.Join(cache, "oci")
	if err := os.Rename(old, filepath.Join(cache, dirName(token))); err != nil {
		t.Fatal(err)
	}
	res := component.Resource{Kind: DirKind, Token: token, ID: filepath.Join(cache, dirName(token))}
	if err := NewReaper().Reap(t.Context(), res); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(res.ID); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

// layersOf lists the entries of each layer of a docker archive.
func layersOf(t testing.TB, archive string) []map[string]*tar.Header {
	t.Helper()
	store := &base.Store{Root: t.TempDir(), Tmp: t.TempDir(), Clock: component.SystemClock{}}
	img, err := store.Load(t.Context(), base.Request{Kind: "docker-archive", Ref: archive, Compression: base.Compression{Name: base.Gzip}})
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]*tar.Header
	for _, l := range img.Layers {
		in, err := l.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		entries := map[string]*tar.Header{}
		tr := tar.NewReader(in)
		for {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(fmt.Errorf("layer: %w", err))
			}
			entries[strings.TrimSuffix(h.Name, "/")] = h
		}
		_ = in.Close()
		out = append(out, entries)
	}
	return out
}
