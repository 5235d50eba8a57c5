package qemu

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/component/componenttest"
	"ingot/internal/procid"
	"ingot/internal/reap"
)

func TestTPM(t *testing.T) {
	if _, err := findTPM(); err != nil {
		t.Skip(err)
	}
	for name, old := range map[string]bool{"2.0": false, "1.2": true} {
		t.Run(name, func(t *testing.T) {
			r, j, _ := componenttest.NewRun(t)
			j.Reap = reap.Processes{}.Reap
			p, hw := &plan{config: config{VTPM: true, TPM1: old, TPMDeviceType: "tpm-tis"}}, &hardware{dir: t.TempDir()}
			if err := p.startTPM(t.Context(), r, hw); err != nil {
				t.Fatal(err)
			}
			if open := j.Open(); len(open) != 1 || open[0].Kind != procid.Kind {
				t.Errorf("held: %v", open)
			}
			c, err := net.Dial("unix", hw.tpm.socket)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			// The first command of the control protocol asks what it can do.
			if _, err := c.Write([]byte{0, 0, 0, 1}); err != nil {
				t.Fatal(err)
			}
			can := make([]byte, 8)
			if _, err := io.ReadFull(c, can); err != nil {
				t.Fatal(err)
			}
			if can[7]&1 == 0 {
				t.Errorf("it cannot be initialised: % x", can)
			}
			if err := j.ReleaseAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(can); err == nil {
				t.Errorf("it still runs and said %d bytes", n)
			}
		})
	}
}

func TestTPMIsNotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	r, j, _ := componenttest.NewRun(t)
	p := &plan{config: config{VTPM: true, QemuBinary: "qemu-system-x86_64", OutputDirectory: filepath.Join(t.TempDir(), "out")}}
	if err := p.startTPM(t.Context(), r, &hardware{dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "install the package swtpm") {
		t.Errorf("got %v", err)
	}
	if len(j.Open()) > 0 {
		t.Errorf("held: %v", j.Open())
	}
	if got := findings(p.preflight(r)); !strings.Contains(got, "Error vtpm: A program is missing") || !strings.Contains(got, "Error : A program is missing") {
		t.Errorf("preflight found %s", got)
	}
}

func TestTPMSocketPathTooLong(t *testing.T) {
	if _, err := findTPM(); err != nil {
		t.Skip(err)
	}
	r, _, _ := componenttest.NewRun(t)
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := &plan{config: config{VTPM: true}}
	if err := p.startTPM(t.Context(), r, &hardware{dir: dir}); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("got %v", err)
	}
}

func TestPreflightFindsAnOutputFolder(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	p := &plan{config: config{QemuBinary: "/bin/sh", OutputDirectory: t.TempDir()}}
	if got := findings(p.preflight(r)); !strings.Contains(got, "Error output_directory: The output folder cannot be used") {
		t.Errorf("preflight found %s", got)
	}
	r.Force = true
	if got := findings(p.preflight(r)); strings.Contains(got, "output_directory") {
		t.Errorf("preflight found %s with -force", got)
	}
}
