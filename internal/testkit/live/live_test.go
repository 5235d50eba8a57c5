package live

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// verdict is a testing.TB that remembers how the test was ended.
type verdict struct {
	testing.TB
	outcome, message string
}

func (v *verdict) Helper()      {}
func (v *verdict) Name() string { return "TestSomething" }
func (v *verdict) Skipf(format string, args ...any) {
	v.end("skip", fmt.Sprintf(format, args...))
}
func (v *verdict) Fatalf(format string, args ...any) {
	v.end("fail", fmt.Sprintf(format, args...))
}
func (v *verdict) end(outcome, message string) {
	v.outcome, v.message = outcome, message
	runtime.Goexit()
}

func TestRequireFollowsThePolicy(t *testing.T) {
	up := func() (Env, error) { return Env{Registry: "here"}, nil }
	down := func() (Env, error) { return Env{}, errors.New("engine gone") }
	unasked := func() (Env, error) { panic("looked for the engines") }

	for _, tc := range []struct {
		policy  string
		running func() (Env, error)
		outcome string
		says    []string
	}{
		{"", up, "run", nil},
		{"require", up, "run", nil},
		{"", down, "skip", []string{"TestSomething", "engine gone", "make deps", "test/env/up"}},
		{"require", down, "fail", []string{"engine gone", "make deps"}},
		{"off", unasked, "skip", []string{"TestSomething", "INGOT_LIVE=off"}},
		{"yes", unasked, "fail", []string{"INGOT_LIVE=yes"}},
	} {
		v := &verdict{TB: t, outcome: "run"}
		var env Env
		done := make(chan struct{})
		go func() {
			defer close(done)
			env = require(v, tc.policy, tc.running)
		}()
		<-done
		if v.outcome != tc.outcome {
			t.Errorf("policy %q: outcome %s (%s), want %s", tc.policy, v.outcome, v.message, tc.outcome)
		}
		if tc.outcome == "run" && env.Registry != "here" {
			t.Errorf("policy %q: got %+v", tc.policy, env)
		}
		for _, word := range tc.says {
			if !strings.Contains(v.message, word) {
				t.Errorf("policy %q: message %q does not say %q", tc.policy, v.message, word)
			}
		}
	}
}

func TestStateDirFollowsTheScripts(t *testing.T) {
	for _, tc := range []struct{ own, runtime, want string }{
		{"", "", "/tmp/ingot-test-env"},
		{"", "/run/user/7", "/run/user/7/ingot-test-env"},
		{"/elsewhere", "/run/user/7", "/elsewhere"},
	} {
		t.Setenv("INGOT_TEST_ENV", tc.own)
		t.Setenv("XDG_RUNTIME_DIR", tc.runtime)
		if got := stateDir(); got != tc.want {
			t.Errorf("INGOT_TEST_ENV=%s XDG_RUNTIME_DIR=%s: %s, want %s", tc.own, tc.runtime, got, tc.want)
		}
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env.json")
	if _, err := load(file); err == nil || !strings.Contains(err.Error(), "not up") {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(file, []byte(`{"registry"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("with half a file: %v", err)
	}
}

// An engine that has died since env.json was written must be named.
func TestCheckNamesEveryDeadEngine(t *testing.T) {
	env := fakeEngines(t)
	if err := env.check(); err != nil {
		t.Fatalf("with all engines up: %v", err)
	}

	gone := filepath.Join(t.TempDir(), "gone")
	for name, breakIt := range map[string]func(*Env){
		"Docker engine":       func(e *Env) { e.DockerHost = "unix://" + gone },
		"registry at":         func(e *Env) { e.Registry = e.AuthRegistry },
		"registry with login": func(e *Env) { e.AuthRegistry = e.Registry },
		"SSH server":          func(e *Env) { e.SSH.Port = closedPort(t) },
		gone:                  func(e *Env) { e.DebianTar = gone },
	} {
		broken := env
		breakIt(&broken)
		if err := broken.check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("broken %s: error %v does not name it", name, err)
		}
	}
}

// fakeEngines answers the way the real engines do when they are asked for a
// sign of life.
func fakeEngines(t *testing.T) Env {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "docker.sock")
	docker, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(docker, answer(http.StatusOK))
	t.Cleanup(func() { docker.Close() })

	registry := httptest.NewServer(answer(http.StatusOK))
	t.Cleanup(registry.Close)
	authRegistry := httptest.NewServer(answer(http.StatusUnauthorized))
	t.Cleanup(authRegistry.Close)

	sshd, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sshd.Close() })
	go func() {
		for {
			conn, err := sshd.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "SSH-2.0-fake\r\n")
			conn.Close()
		}
	}()

	return Env{
		DockerHost:   "unix://" + socket,
		Registry:     registry.Listener.Addr().String(),
		AuthRegistry: authRegistry.Listener.Addr().String(),
		SSH:          SSHHost{Host: "127.0.0.1", Port: portOf(t, sshd.Addr().String()), KeyFile: file},
		SSHDImageKey: file,
		TinyTar:      file,
		DebianTar:    file,
	}
}

func answer(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return portOf(t, listener.Addr().String())
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return tcp.Port
}

// The account must let clients in by each method the communicator offers.
func TestSSHServerTakesEveryLoginMethod(t *testing.T) {
	host := Require(t).SSH
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(host.HostKey))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(host.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	answerAll := func(_, _ string, questions []string, _ []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i := range answers {
			answers[i] = host.Password
		}
		return answers, nil
	}

	for name, method := range map[string]ssh.AuthMethod{
		"publickey":            ssh.PublicKeys(key),
		"password":             ssh.Password(host.Password),
		"keyboard-interactive": ssh.KeyboardInteractive(answerAll),
	} {
		t.Run(name, func(t *testing.T) {
			client, err := ssh.Dial("tcp", host.Addr(), &ssh.ClientConfig{
				User:              host.User,
				Auth:              []ssh.AuthMethod{method},
				HostKeyCallback:   ssh.FixedHostKey(hostKey),
				HostKeyAlgorithms: []string{hostKey.Type()},
				Timeout:           10 * time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			session, err := client.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			out, err := session.Output("id -un; echo $SHELL")
			if err != nil {
				t.Fatal(err)
			}
			if want := host.User + "\n/bin/sh\n"; string(out) != want {
				t.Errorf("got %q, want %q", out, want)
			}
		})
	}
}
