package qemu

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/fileserver"
	"ingot/internal/gotmpl"
	"ingot/internal/qemuimg"
)

var _ component.Bootable = (*job)(nil)

// Unbootable implements component.Bootable.
func (j *job) Unbootable() string {
	p := j.plan
	if p.Communicator == commNone {
		return "communicator = \"none\" gives the checks no way into the machine"
	}
	dir := gotmpl.Literal(p.OutputDirectory)
	inOutput := func(text string) bool { return dir != "" && strings.Contains(text, dir) }
	if slices.ContainsFunc(p.QemuArgs, func(arg []string) bool { return slices.ContainsFunc(arg, inOutput) }) {
		return "its qemuargs name the output_directory, so that the machine would write to the artifact: write {{ .OutputDir }} in them, which is another folder in a test"
	}
	return ""
}

// FromArtifact implements component.Bootable: the machine is the one that the builder
// starts, with overlays of the disks that were made, without the installer, and with
// nothing typed at it.
func (j *job) FromArtifact(a *component.Artifact) (component.Job, error) {
	paths, ok := a.Data[dataDiskPaths]
	if !ok || !paths.CanIterateElements() {
		return nil, errors.New("qemu: the artifact does not say which disks it has")
	}
	t := &tested{job: &job{plan: new(plan), host: j.host, conn: j.conn}}
	*t.plan = *j.plan
	for _, v := range paths.AsValueSlice() {
		if v.Type() != cty.String || v.IsNull() {
			return nil, errors.New("qemu: the artifact does not say which disks it has")
		}
		path, err := filepath.Abs(v.AsString())
		if err != nil {
			return nil, fmt.Errorf("qemu: %w", err)
		}
		t.disks = append(t.disks, path)
	}
	if len(t.disks) == 0 {
		return nil, errors.New("qemu: the artifact has no disk")
	}
	if j.plan.makesKeyPair() && len(j.conn.SSHPrivateKey) == 0 {
		return nil, errors.New("qemu: the key pair that was made for the build is not kept, so that nobody can log in: build the image again, or set ssh_private_key_file or ssh_password")
	}
	if len(t.conn.SSHPrivateKey) == 0 {
		t.conn = j.plan.Connection
	}
	p := t.plan
	p.DiskImage, p.BootCommand, p.BootSteps, p.BootExpect = true, nil, nil, ""
	p.QMPEnable = false // its socket is for the machine of the build
	return t, nil
}

// tested is a job whose machine has overlays of disks that were made.
type tested struct {
	*job
	disks []string
}

// Prepare implements component.Job.
func (t *tested) Prepare(ctx context.Context, r component.Run) error {
	t.hw = hardware{dir: r.WorkDir}
	p, hw := t.plan, &t.hw
	p.OutputDirectory = r.WorkDir
	var err error
	if t.binary, err = findBinary(p.QemuBinary); err != nil {
		return err
	}
	if err := t.overlay(ctx, r); err != nil {
		return err
	}
	if err := t.flash(); err != nil {
		return err
	}
	if err := p.makeMedia(ctx, r, hw); err != nil {
		return err
	}
	host, err := p.httpHost()
	if err != nil {
		return err
	}
	if hw.http, err = fileserver.Start(ctx, r, p.httpSettings, host); err != nil {
		return err
	}
	t.accelerator, err = t.chooseAccelerator(ctx, r)
	return err
}

// overlay makes disks that hold what the machine writes.
func (t *tested) overlay(ctx context.Context, r component.Run) error {
	img, err := qemuimg.Find()
	if err != nil {
		return err
	}
	for _, path := range t.disks {
		info, err := img.Info(ctx, r, path)
		if err != nil {
			return err
		}
		d := disk{path: filepath.Join(r.WorkDir, filepath.Base(path)), format: "qcow2", size: info.Size}
		err = img.Create(ctx, r, qemuimg.Creation{
			Path: d.path, Format: d.format, Size: d.size, Backing: qemuimg.Backing{Image: path, Format: t.plan.Format},
		})
		if err != nil {
			return err
		}
		t.hw.disks = append(t.hw.disks, d)
	}
	return nil
}

// flash gives the machine its firmware, with the variables of the artifact.
func (t *tested) flash() error {
	p, hw := t.plan, &t.hw
	switch {
	case p.Firmware != "" && p.UsePflash:
		hw.firmware = firmware{kind: firmwarePflash, code: p.Firmware, secure: secureName(p.Firmware)}
	case p.Firmware != "":
		hw.firmware = firmware{kind: firmwareBIOS, code: p.Firmware}
	case p.EFIBoot:
		f, err := p.chooseFlash()
		if err != nil {
			return err
		}
		from := filepath.Join(filepath.Dir(t.disks[0]), efiVarsName)
		if p.EFIDropEFIVars {
			from = f.vars // the artifact has none
		}
		store := filepath.Join(hw.dir, efiVarsName)
		if err := copyNew(from, store); err != nil {
			return fmt.Errorf("copy the EFI variables: %w", err)
		}
		hw.firmware = firmware{kind: firmwarePflash, code: f.code, vars: store, secure: f.secure}
	}
	return nil
}

// Capture implements component.Job.
func (*tested) Capture(context.Context, component.Run, component.Machine) (*component.Artifact, error) {
	return nil, errors.New("qemu: the machine of a test is not captured")
}
