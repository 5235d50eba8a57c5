package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"ingot/internal/component"
	"ingot/internal/hostproc"
)

// errNoTPM says what to install.
var errNoTPM = errors.New("swtpm is not installed, which vtpm = true needs: install the package swtpm (Linux distributions, Homebrew)")

func findTPM() (string, error) {
	path, err := exec.LookPath("swtpm")
	if err != nil {
		return "", errNoTPM
	}
	return path, nil
}

// startTPM starts the emulator of the machine's TPM, if it has one. It ends by
// itself when the machine does, or with the build's resources. The TPM is new: what it holds goes with it.
func (p *plan) startTPM(ctx context.Context, r component.Run, hw *hardware) error {
	if !p.VTPM {
		return nil
	}
	program, err := findTPM()
	if err != nil {
		return err
	}
	state := filepath.Join(hw.dir, "tpm")
	socket := filepath.Join(hw.dir, "tpm.sock")
	// There may have been one before, for a QEMU that did not start.
	if err := errors.Join(os.RemoveAll(state), os.RemoveAll(socket), os.Mkdir(state, 0o700)); err != nil {
		return fmt.Errorf("vtpm: %w", err)
	}
	if len(socket) > maxSocketPath {
		return fmt.Errorf("vtpm: the path of a socket has at most %d characters, %s has %d: set TMPDIR to a shorter path", maxSocketPath, socket, len(socket))
	}
	listener, err := listenFor(socket)
	if err != nil {
		return fmt.Errorf("vtpm: %w", err)
	}
	defer listener.Close()
	args := []string{"socket", "--tpmstate", "dir=" + state, "--ctrl", "type=unixio,fd=3", "--terminate"}
	if !p.TPM1 {
		args = append(args, "--tpm2")
	}
	cmd := exec.Command(program, args...)
	cmd.ExtraFiles = []*os.File{listener}
	// It prints only what has gone wrong.
	said := component.NewLineWriter(r.Events, component.Stderr)
	cmd.Stdout, cmd.Stderr = said, said
	if _, err := hostproc.Start(ctx, r, cmd); err != nil {
		return fmt.Errorf("vtpm: start %s: %w", program, err)
	}
	hw.tpm = &tpm{socket: socket, device: p.TPMDeviceType}
	return nil
}

// listenFor opens a socket for another process, so that clients can connect to it
// even before that process runs.
func listenFor(path string) (*os.File, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	return f, errors.Join(err, l.Close())
}
