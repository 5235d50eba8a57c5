//go:build unix

package packerwire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/comm/local"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/plugin/packerwire"
)

// throughWire serves a machine's communicator and returns it as it is seen from the
// other side.
func throughWire(t testing.TB, machine component.Communicator, o packerwire.CommunicatorOptions) component.Communicator {
	t.Helper()
	comm, _ := served(t, machine, o)
	return comm
}

// served is throughWire with the machine's side of the connection.
func served(t testing.TB, machine component.Communicator, o packerwire.CommunicatorOptions) (component.Communicator, *packerwire.Conn) {
	t.Helper()
	a, b := net.Pipe()
	owner, err := packerwire.NewServer(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	user, err := packerwire.NewClient(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	services := packerwire.Services{}
	wait := services.AddCommunicator(owner, machine)
	id := owner.NextID()
	done := make(chan error, 1)
	go func() { done <- services.ServeOn(context.Background(), owner, id) }()
	stream, err := user.Dial(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	comm := packerwire.NewCommunicator(user, packerwire.NewCaller(stream), o)
	t.Cleanup(func() {
		_ = comm.Close()
		if err := <-done; err != nil {
			t.Errorf("serving ended with %v", err)
		}
		wait()
		_ = user.Close()
		_ = owner.Close()
		_ = machine.Close()
	})
	return comm, owner
}

func localMachine(t testing.TB) component.Communicator {
	run, _, _ := componenttest.NewRun(t)
	return local.New(run.Journal)
}

// TestContract: a communicator keeps its promises through the wire.
func TestContract(t *testing.T) {
	componenttest.Communicator(t, componenttest.CommunicatorConfig{
		Dir: t.TempDir(),
		New: func(t testing.TB) component.Communicator {
			return throughWire(t, localMachine(t), packerwire.CommunicatorOptions{Transport: "local", Shell: component.POSIX, TempDir: t.TempDir()})
		},
	})
}

// TestContractWithoutShell: without a known shell, trees go through UploadDir and
// DownloadDir.
func TestTreesWithoutShell(t *testing.T) {
	comm := throughWire(t, localMachine(t), packerwire.CommunicatorOptions{Transport: "local", TempDir: t.TempDir()})
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	if err := os.MkdirAll(filepath.Join(from, "sub"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "sub", "file"), []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	var tree bytes.Buffer
	if err := comm.GetTree(t.Context(), from, &tree); err != nil {
		t.Fatal(err)
	}
	if err := comm.PutTree(t.Context(), to, &tree); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(to, "sub", "file"))
	if err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
	if err := comm.GetTree(t.Context(), filepath.Join(from, "none"), &tree); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there gave %v", err)
	}
}

// crashing is a machine whose connection ends in the middle of everything.
type crashing struct {
	component.Communicator
	end func()
}

func (c *crashing) Run(_ context.Context, cmd component.Command) (component.Exit, error) {
	if cmd.Line == "no status" {
		return component.Exit{}, errors.New("the shell is missing")
	}
	_, _ = cmd.Stdout.Write([]byte("some output"))
	c.end()
	return component.Exit{}, nil
}

func (c *crashing) Put(_ context.Context, _ string, src io.Reader, _ component.FileMeta) error {
	_, _ = src.Read(make([]byte, 10))
	c.end()
	return nil
}

func (c *crashing) Get(_ context.Context, _ string, dst io.Writer) error {
	_, _ = dst.Write([]byte("some content"))
	c.end()
	return nil
}

func (*crashing) Close() error { return nil }

// endless is a file that goes on.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestConnectionEnds: whoever notices first that the other side is gone, the machine is
// lost. A command of which a living one cannot tell how it ended is another matter.
func TestConnectionEnds(t *testing.T) {
	run := func(line string) func(component.Communicator) error {
		return func(c component.Communicator) error {
			_, err := c.Run(t.Context(), component.Command{Line: line, Stdin: endless{}, Stdout: io.Discard})
			return err
		}
	}
	for name, c := range map[string]struct {
		do   func(component.Communicator) error
		lost bool
	}{
		"run": {run("anything"), true},
		"put": {func(c component.Communicator) error {
			return c.Put(t.Context(), "/x", endless{}, component.FileMeta{Size: -1})
		}, true},
		"get":       {func(c component.Communicator) error { return c.Get(t.Context(), "/x", io.Discard) }, true},
		"no status": {run("no status"), false},
	} {
		t.Run(name, func(t *testing.T) {
			machine := &crashing{}
			comm, owner := served(t, machine, packerwire.CommunicatorOptions{})
			machine.end = func() { go func() { _ = owner.Close() }(); <-owner.Done() }
			if err := c.do(comm); err == nil || errors.Is(err, component.ErrDisconnected) != c.lost {
				t.Errorf("error %v", err)
			}
		})
	}
}
