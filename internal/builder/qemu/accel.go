package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/hostproc"
)

// QEMU's names of accelerators.
const (
	accelNone = "none"
	accelTCG  = "tcg"
	accelKVM  = "kvm"
)

// host is what is known of this computer.
type host struct {
	os, arch string
	// kvm is the device that KVM is used through.
	kvm string
	// probes are the answers so far, by the path of QEMU and the accelerator.
	// They are asked for once, since nothing changes while we run.
	mu     sync.Mutex
	probes map[string]error // guarded by mu
}

func thisHost() *host {
	return &host{os: runtime.GOOS, arch: runtime.GOARCH, kvm: "/dev/kvm", probes: map[string]error{}}
}

// native is the accelerator that this system has; empty for none.
func (h *host) native() string {
	return map[string]string{"linux": accelKVM, "darwin": "hvf", "windows": "whpx", "netbsd": "nvmm"}[h.os]
}

// runs reports whether the processors that a QEMU program emulates are like those
// of this computer. A program whose name does not tell is made for it.
func (h *host) runs(binary string) bool {
	target, ok := strings.CutPrefix(strings.TrimSuffix(filepath.Base(binary), ".exe"), "qemu-system-")
	if !ok {
		return true
	}
	switch h.arch {
	case "amd64":
		return target == "x86_64" || target == "i386"
	case "arm64":
		return target == "aarch64"
	case "ppc64le", "ppc64":
		return target == "ppc64"
	}
	return target == h.arch
}

// choose returns the accelerator that works, and why it is that one.
func (h *host) choose(ctx context.Context, r component.Run, binary string) (accelerator, why string, err error) {
	native := h.native()
	switch {
	case native == "":
		return accelTCG, "this system has no other", nil
	case !h.runs(binary):
		return accelTCG, filepath.Base(binary) + " emulates processors of another kind than this computer's", nil
	}
	err = h.probe(ctx, r, binary, native)
	switch {
	case err == nil:
		return native, "a machine was started with it", nil
	case ctx.Err() != nil:
		return "", "", err
	}
	return accelTCG, fmt.Sprintf("%s cannot be used: %v", native, err), nil
}

// probe finds out whether an accelerator works, once for each program.
func (h *host) probe(ctx context.Context, r component.Run, binary, accelerator string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := binary + "\x00" + accelerator
	if err, known := h.probes[key]; known {
		return err
	}
	err := h.try(ctx, r, binary, accelerator)
	if ctx.Err() == nil {
		h.probes[key] = err
	}
	return err
}

func (h *host) try(ctx context.Context, r component.Run, binary, accelerator string) error {
	if accelerator == accelKVM {
		if err := h.openKVM(); err != nil {
			return err
		}
	}
	return runProbe(ctx, r, binary, accelerator, h.arch)
}

// openKVM says what stands in the way of KVM, as far as opening its device tells.
func (h *host) openKVM() error {
	f, err := os.OpenFile(h.kvm, os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no %s: the processor's virtualization is off in the firmware, or this computer is itself a virtual machine without it", h.kvm)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: add yourself to the group that owns it, which is usually called kvm", err)
	case err != nil:
		return err
	}
	return f.Close()
}

// probeTime is how long the machine of a probe may run; it needs a fraction of a
// second.
const probeTime = 10 * time.Second

// probeExit is what QEMU ends with when the program of probeFirmware has run: the
// device turns the value n into the exit code 2n+1.
const probeExit = 2*0x2a + 1

// runProbe starts a machine with the accelerator. That it could be made does not
// say that it works: on some computers that are virtual machines themselves, it
// then stands still.
func runProbe(ctx context.Context, r component.Run, binary, accelerator, arch string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, fmt.Errorf("a machine that was started with it did nothing for %s", probeTime))
	defer cancel()
	args := []string{"-accel", accelerator, "-nodefaults", "-no-user-config", "-display", "none"}
	runsCode := arch == "amd64"
	if runsCode {
		firmware := filepath.Join(r.WorkDir, "probe.bin")
		if err := os.WriteFile(firmware, probeFirmware(), 0o600); err != nil {
			return err
		}
		defer os.Remove(firmware)
		args = append(args, "-machine", "pc", "-m", "16M", "-bios", firmware, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04")
	} else {
		// Making the machine is all that can be tried without a program for
		// its processor.
		args = append(args, "-machine", "none", "-S", "-monitor", "stdio")
	}
	cmd := exec.Command(binary, args...)
	said := &tail{}
	cmd.Stderr = said
	if !runsCode {
		cmd.Stdin = strings.NewReader("quit\n")
	}
	err := hostproc.Run(ctx, r, cmd)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !runsCode && err == nil, runsCode && errors.As(err, &exit) && exit.ExitCode() == probeExit:
		return nil
	case said.text() != "":
		return errors.New(said.text())
	case err != nil:
		return err
	}
	return errors.New("a machine that was started with it ended at once")
}

// probeFirmware is the smallest firmware of a PC: 64 KiB whose last 16 bytes are
// where the processor starts. It writes 0x2a to the port 0xf4.
func probeFirmware() []byte {
	code := []byte{
		0xb0, 0x2a, // mov al, 0x2a
		0xba, 0xf4, 0x00, // mov dx, 0xf4
		0xee, // out dx, al
		0xf4, // hlt
	}
	image := make([]byte, 64<<10)
	copy(image[len(image)-16:], code)
	return image
}

// chooseAccelerator returns the accelerator of the template or the best one that
// works, and tells which one that is and why.
func (j *job) chooseAccelerator(ctx context.Context, r component.Run) (string, error) {
	if a := j.plan.Accelerator; a != "" {
		return a, nil
	}
	accelerator, why, err := j.host.choose(ctx, r, j.binary)
	if err != nil {
		return "", fmt.Errorf("find the accelerator: %w", err)
	}
	name := accelerator
	if accelerator == accelTCG {
		name = "tcg (emulation, which is slow)"
	}
	r.Say(fmt.Sprintf("Accelerator %s: %s", name, why))
	return accelerator, nil
}
