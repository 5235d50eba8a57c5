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
	t.plan.OutputDirectory = r.WorkDir
	var err error
	if t.binary, err = findBinary(t.plan.QemuBinary); err != nil {
		return err
	}
	if err := t.overlay(ctx, r); err != nil {
		return err
	}
	vars := ""
	if !t.plan.EFIDropEFIVars { // else the artifact has none
		vars = filepath.Join(filepath.Dir(t.disks[0]), efiVarsName)
	}
	if err := t.plan.prepareFirmware(r, &t.hw, vars); err != nil {
		return err
	}
	return t.prepareSurroundings(ctx, r)
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

// Capture implements component.Job.
func (*tested) Capture(context.Context, component.Run, component.Machine) (*component.Artifact, error) {
	return nil, errors.New("qemu: the machine of a test is not captured")
}
