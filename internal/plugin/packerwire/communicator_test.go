//go:build unix

package packerwire_test

import (
	"bytes"
	"context"
	"errors"
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
	return comm
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
