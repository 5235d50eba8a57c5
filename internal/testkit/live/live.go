// Package live gives tests the engines that test/env/up starts: a private
// Docker engine, two registries and an SSH server, with the images and root
// file systems that go with them. It starts nothing itself.
//
// It also has [FaultProxy], which puts a bad network between a test and an
// engine.
//
// Only tests may import it.
package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Env says where the test engines are.
type Env struct {
	// DockerHost is the address of the private Docker engine, in the form the
	// DOCKER_HOST variable takes: "unix:///path/docker.sock".
	DockerHost string `json:"docker_host"`
	// ContainerNetwork says whether containers have a network of their own with
	// a way out. It is false where no bridge could be made.
	ContainerNetwork bool `json:"container_network"`

	// Registry is the "host:port" of a plain HTTP registry without login. It
	// holds TinyImage and DebianImage under their own names.
	Registry string `json:"registry"`

	// AuthRegistry is the "host:port" of a plain HTTP registry that asks for
	// AuthUser and AuthPassword.
	AuthRegistry string `json:"auth_registry"`
	AuthUser     string `json:"auth_user"`
	AuthPassword string `json:"auth_password"`

	// SSH is an OpenSSH server on this machine.
	SSH SSHHost `json:"ssh"`

	// TinyImage has busybox only.
	TinyImage string `json:"tiny_image"`
	// DebianImage is a minimal Debian 12 with a working apt.
	DebianImage string `json:"debian_image"`
	// SSHDImage is busybox with an SSH server (dropbear) on port 22, whose root
	// account takes the private key in the file SSHDImageKey.
	SSHDImage    string `json:"sshd_image"`
	SSHDImageKey string `json:"sshd_image_key"`
	// SSHDImageHostKey is that server's ed25519 host key, as an
	// authorized_keys line.
	SSHDImageHostKey string `json:"sshd_image_host_key"`

	// TinyTar and DebianTar are the root file systems of the two images, as
	// uncompressed tar files.
	TinyTar   string `json:"tiny_tar"`
	DebianTar string `json:"debian_tar"`

	// Guest is a small virtual machine for QEMU. It is nil on systems that have
	// no kernel package to make it of; see [RequireGuest].
	Guest *Guest `json:"guest"`

	// Scripts is the folder of the scripts that made all this.
	Scripts string `json:"scripts"`
}

// SSHHost is an SSH server and an unprivileged account on it, whose shell is
// /bin/sh. The account takes the key, and the password by both the password
// and the keyboard-interactive method.
type SSHHost struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	User string `json:"user"`
	// KeyFile holds the private key, unencrypted.
	KeyFile  string `json:"key_file"`
	Password string `json:"password"`
	// HostKey is the server's ed25519 host key, as an authorized_keys line. The
	// server has ecdsa and rsa ones too.
	HostKey string `json:"host_key"`
}

// Addr returns "host:port".
func (h SSHHost) Addr() string { return net.JoinHostPort(h.Host, strconv.Itoa(h.Port)) }

// DockerSocket returns the path of the Docker engine's socket.
func (e Env) DockerSocket() string { return strings.TrimPrefix(e.DockerHost, "unix://") }

// RequirePrograms skips the test where a program is not installed. With
// INGOT_LIVE=require it fails it.
func RequirePrograms(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("INGOT_LIVE") == "require" {
			t.Fatalf("INGOT_LIVE=require and %s is not installed", name)
		}
		t.Skipf("SKIPPED LIVE TEST %s: %s is not installed", t.Name(), name)
	}
}

// PowerShellGrammar is the folder of the modules with which node parses
// PowerShell; false when test/env/up could not install them.
func PowerShellGrammar() (string, bool) {
	if _, err := exec.LookPath("node"); err != nil || os.Getenv("INGOT_LIVE") == "off" {
		return "", false
	}
	dir := filepath.Join(stateDir(), "powershell")
	_, err := os.Stat(filepath.Join(dir, "installed"))
	return filepath.Join(dir, "node_modules"), err == nil
}

// Require returns the running test engines. When they are not up it skips the
// test and says how to start them.
//
// The variable INGOT_LIVE changes that: "require" makes absent engines a
// failure, for runs in which a skipped test would go unnoticed, and "off"
// skips without looking for them.
func Require(t testing.TB) Env {
	t.Helper()
	return require(t, os.Getenv("INGOT_LIVE"), running)
}

func require(t testing.TB, policy string, running func() (Env, error)) Env {
	t.Helper()
	switch policy {
	case "", "require":
	case "off":
		t.Skipf("INGOT_LIVE=off: skipping live test %s", t.Name())
	default:
		t.Fatalf("INGOT_LIVE=%s: want require, off or nothing", policy)
	}
	env, err := running()
	if err == nil {
		return env
	}
	if policy == "require" {
		t.Fatalf("INGOT_LIVE=require and the test engines are not usable: %v\nInstall what they need with `make deps` and start them with test/env/up.", err)
	}
	t.Skipf("SKIPPED LIVE TEST %s: %v\nInstall what it needs with `make deps` and start the engines with test/env/up.", t.Name(), err)
	return Env{}
}

// RequireRoot skips the test unless it runs as root. With INGOT_LIVE=require
// it fails it.
func RequireRoot(t testing.TB) {
	t.Helper()
	uid := os.Geteuid()
	if uid == 0 {
		return
	}
	if os.Getenv("INGOT_LIVE") == "require" {
		t.Fatalf("INGOT_LIVE=require and %s needs root, but runs as user %d", t.Name(), uid)
	}
	t.Skipf("SKIPPED LIVE TEST %s: it needs root and runs as user %d", t.Name(), uid)
}

// running looks once for each test binary: every test of a package asks, and
// the engines do not come and go under it.
var running = sync.OnceValues(func() (Env, error) {
	env, err := load(filepath.Join(stateDir(), "env.json"))
	if err != nil {
		return Env{}, err
	}
	if err := env.check(); err != nil {
		return Env{}, err
	}
	return env, nil
})

// stateDir follows the same rule as test/env/lib.sh.
func stateDir() string {
	if dir := os.Getenv("INGOT_TEST_ENV"); dir != "" {
		return dir
	}
	base := os.Getenv("XDG_RUNTIME_DIR")
	if base == "" {
		base = "/tmp"
	}
	return filepath.Join(base, "ingot-test-env")
}

func load(file string) (Env, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return Env{}, fmt.Errorf("the test engines are not up: there is no %s", file)
		}
		return Env{}, err
	}
	var env Env
	if err := json.Unmarshal(data, &env); err != nil {
		return Env{}, fmt.Errorf("%s: %w", file, err)
	}
	return env, nil
}

// checkLimit is long for engines on the same machine; it is there for one that
// has stopped and takes connections without answering.
const checkLimit = 5 * time.Second

// check asks every engine for a sign of life. They may have died, or the
// machine may have been restarted, since env.json was written.
func (e Env) check() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), checkLimit, errors.New("no answer"))
	defer cancel()

	probes := []func() error{
		func() error { return named("Docker engine at "+e.DockerHost, pingDocker(ctx, e.DockerSocket())) },
		func() error { return named("registry at "+e.Registry, pingRegistry(ctx, e.Registry, http.StatusOK)) },
		func() error {
			return named("registry with login at "+e.AuthRegistry, pingRegistry(ctx, e.AuthRegistry, http.StatusUnauthorized))
		},
		func() error { return named("SSH server at "+e.SSH.Addr(), pingSSH(ctx, e.SSH.Addr())) },
	}
	files := []string{e.SSH.KeyFile, e.SSHDImageKey, e.TinyTar, e.DebianTar}
	if e.Guest != nil {
		files = append(files, e.Guest.Disk, e.Guest.KeyFile)
	}
	for _, file := range files {
		probes = append(probes, func() error { return readable(file) })
	}

	errs := make([]error, len(probes))
	var wg sync.WaitGroup
	for i, probe := range probes {
		wg.Go(func() { errs[i] = probe() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s does not answer: %w", what, err)
}

func pingDocker(ctx context.Context, socket string) error {
	var dialer net.Dialer
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}
	defer transport.CloseIdleConnections()
	return get(ctx, transport, "http://docker/_ping", http.StatusOK)
}

func pingRegistry(ctx context.Context, addr string, want int) error {
	// A transport of its own, so that no proxy setting gets in between.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	return get(ctx, transport, "http://"+addr+"/v2/", want)
}

func get(ctx context.Context, transport http.RoundTripper, url string, want int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("answered %s instead of %d", resp.Status, want)
	}
	return nil
}

func pingSSH(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	banner, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(banner, "SSH-2.0-") {
		return fmt.Errorf("answered %q", banner)
	}
	return nil
}

func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return f.Close()
}
