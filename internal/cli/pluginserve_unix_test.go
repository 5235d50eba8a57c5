//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/wirespec"
)

// servedProcess is a plugin process of this program with its host.
type servedProcess struct {
	cmd  *exec.Cmd
	conn *packerwire.Conn
	main *packerwire.Caller
	log  *bytes.Buffer
	// state and temp are its folders.
	state, temp string
}

// startServed starts a component as Packer does.
func startServed(t *testing.T, kind, name string) *servedProcess {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	plugin := filepath.Join(t.TempDir(), "packer-plugin-ingot_v0.1.0-dev_x5.0")
	if err := os.Symlink(program, plugin); err != nil {
		t.Fatal(err)
	}
	s := &servedProcess{log: &bytes.Buffer{}, state: t.TempDir(), temp: t.TempDir()}
	s.cmd = exec.Command(plugin, "start", kind, "--protobuf", name)
	s.cmd.Env = append(os.Environ(), packerwire.CookieVariable+"="+packerwire.CookieValue,
		"INGOT_STATE_DIR="+s.state, "INGOT_CACHE_DIR="+t.TempDir(), "TMPDIR="+s.temp)
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	h, err := packerwire.ParseHandshake(line)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial(h.Network, h.Address)
	if err != nil {
		t.Fatal(err)
	}
	if s.conn, err = packerwire.NewClient(c, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	stream, err := s.conn.Dial(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.main = packerwire.NewCaller(stream)
	return s
}

// hold prepares a builder without a machine, runs it, and calls inside while the host
// provisions.
func (s *servedProcess) hold(t *testing.T, inside func()) error {
	t.Helper()
	doc, err := wirespec.EncodeConfig(cty.ObjectVal(map[string]cty.Value{"communicator": cty.StringVal("none")}))
	if err != nil {
		t.Fatal(err)
	}
	b := packerwire.Builder{Caller: s.main}
	if _, err := b.Prepare(t.Context(), []any{map[string]any{"packer_build_name": "x"}, doc}); err != nil {
		t.Fatal(err)
	}
	services := packerwire.Services{}
	services.AddHook(hookFunc(inside))
	services.AddUI(quietUI{})
	id := s.conn.NextID()
	done := make(chan error, 1)
	go func() { done <- services.ServeOn(context.Background(), s.conn, id) }()
	_, err = b.Run(t.Context(), id, time.Minute, nil)
	<-done
	return err
}

type hookFunc func()

func (f hookFunc) Run(context.Context, string, map[string]any, uint32) error {
	f()
	return nil
}

type quietUI struct{}

func (quietUI) Say(string)                                      {}
func (quietUI) Error(string)                                    {}
func (quietUI) Machine(string, []string)                        {}
func (quietUI) Ask(context.Context, string) (string, error)     { return "", io.EOF }
func (quietUI) Track(string, int64, int64) packerwire.BarServer { return quietBar{} }

type quietBar struct{}

func (quietBar) Add(int64) {}
func (quietBar) Close()    {}

// held is what there is of the run: its folder and its journal.
func (s *servedProcess) held(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(s.temp, "ingot-*"))
	if err != nil {
		t.Fatal(err)
	}
	runs, err := filepath.Glob(filepath.Join(s.state, "runs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(folders, runs...)
}

// waitGone waits until nothing is held any more.
func (s *servedProcess) waitGone(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		left := s.held(t)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %q\n%s", left, s.log)
		}
	}
}

func TestServedBuildLeavesNothing(t *testing.T) {
	s := startServed(t, "builder", "null")
	if err := s.hold(t, func() {
		if len(s.held(t)) < 2 {
			t.Errorf("held while it runs: %q", s.held(t))
		}
		// The terminal sends this to the whole group.
		_ = s.cmd.Process.Signal(os.Interrupt)
	}); err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	// When the call has been answered, the host may kill the process.
	if left := s.held(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if err := s.conn.Close(); err != nil {
		t.Error(err)
	}
	if err := s.cmd.Wait(); err != nil || strings.Contains(s.log.String(), "Error") {
		t.Errorf("ended with %v\n%s", err, s.log)
	}
}

func TestKilledPluginLeavesNothing(t *testing.T) {
	s := startServed(t, "builder", "null")
	if err := s.hold(t, func() { _ = s.cmd.Process.Kill() }); err == nil {
		t.Error("the call has succeeded")
	}
	s.waitGone(t)
}

func TestPluginWhoseHostVanishesLeavesNothing(t *testing.T) {
	s := startServed(t, "builder", "null")
	if err := s.hold(t, func() { go s.conn.Close() }); err == nil {
		t.Error("the call has succeeded")
	}
	s.waitGone(t)
	_ = s.cmd.Wait() // it says that the host is gone
}

// TestScriptsAreNoPlugins: what a script starts does not find that it is in a plugin.
func TestScriptsAreNoPlugins(t *testing.T) {
	s := startServed(t, "provisioner", "shell-local")
	seen := filepath.Join(t.TempDir(), "seen")
	doc, err := wirespec.EncodeConfig(cty.ObjectVal(map[string]cty.Value{"inline": cty.ListVal([]cty.Value{cty.StringVal("env > " + seen)})}))
	if err != nil {
		t.Fatal(err)
	}
	p := packerwire.Provisioner{Caller: s.main}
	if err := p.Prepare(t.Context(), []any{map[string]any{}, doc, nil}); err != nil {
		t.Fatal(err)
	}
	services := packerwire.Services{}
	services.AddUI(quietUI{})
	id := s.conn.NextID()
	done := make(chan error, 1)
	go func() { done <- services.ServeOn(context.Background(), s.conn, id) }()
	if err := p.Provision(t.Context(), map[string]any{"ConnType": "winrm", "ID": "i-7"}, id, time.Minute, nil); err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	<-done
	env, err := os.ReadFile(seen)
	if err != nil || !strings.Contains(string(env), "INGOT_STATE_DIR=") || strings.Contains(string(env), "PACKER_PLUGIN_") {
		t.Errorf("%v\n%s", err, env)
	}
}
