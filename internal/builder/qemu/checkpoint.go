package qemu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/qemuimg"
	"ingot/internal/qmp"
)

var (
	_ component.Checkpointer     = (*job)(nil)
	_ component.CheckpointHolder = builder{}
	_ component.Saver            = (*machine)(nil)
	_ component.Waker            = (*machine)(nil)
)

// A checkpoint is the state of the running machine and, of each disk, what it has
// written since the checkpoint before: the image stands on that of the same disk
// there, and the first one on the disk image of the template, if there is one.
const (
	stateFile = "machine"
	keyFile   = "login"

	// dataDisks is where a checkpoint has the formats of its disks.
	dataDisks = "disks"
)

// diskFile is a disk in the folder of a checkpoint.
func diskFile(n int) string { return "disk-" + strconv.Itoa(n) }

// BaseState implements component.Checkpointer.
func (j *job) BaseState(ctx context.Context, _ component.Run) (component.BaseState, error) {
	p := j.plan
	state := component.BaseState{
		Awake:  true,
		Inputs: map[string]string{"accelerator": j.accelerator},
		Later: []string{
			"shutdown_command", "shutdown_timeout", "skip_compaction", "disk_compression", "headless", "ssh_timeout", "winrm_timeout",
			"host_port_min", "host_port_max", "ssh_host_port_min", "ssh_host_port_max", "http_port_min", "http_port_max",
			"vnc_bind_address", "vnc_port_min", "vnc_port_max", "vnc_use_password", "vnc_password", "qmp_enable", "qmp_socket_path",
		},
		Volatile: p.unsaved(j.hw.image),
	}
	if state.Volatile != "" {
		return state, nil
	}
	if !p.usesField("OutputDir") {
		state.Later = append(state.Later, "output_directory")
	}
	if j.accelerator != accelTCG {
		state.Inputs["processor"] = processor()
	}
	// By their contents: another computer may have them in other places.
	for name, path := range map[string]string{"QEMU": j.binary, "image": j.hw.image} {
		var err error
		if state.Inputs[name], err = digest(ctx, path); err != nil {
			return state, fmt.Errorf("%s: %w", name, err)
		}
	}
	state.Files = p.filesOfArguments()
	if f := j.hw.firmware; f.code != "" {
		state.Files = append(state.Files, f.code)
		if f.vars != "" {
			vars, err := os.ReadFile(f.vars)
			if err != nil {
				return state, fmt.Errorf("EFI variables: %w", err)
			}
			state.Inputs["EFI variables"] = string(vars)
		}
	}
	for _, pattern := range slices.Concat(p.CDFiles, p.FloppyFiles, p.FloppyDirs) {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return state, fmt.Errorf("%s: %w", pattern, err)
		}
		state.Files = append(state.Files, found...)
	}
	if p.HTTPDirectory != "" {
		state.Files = append(state.Files, p.HTTPDirectory)
	}
	return state, nil
}

// digest is that of a file's contents.
func digest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	block := make([]byte, 1<<20)
	for {
		n, err := f.Read(block)
		h.Write(block[:n])
		if errors.Is(err, io.EOF) {
			return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
		}
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return "", err
		}
	}
}

// unsaved says what of the machine cannot be saved, or not be there twice.
func (p *plan) unsaved(image string) string {
	switch {
	case runtime.GOOS == "windows":
		return "QEMU does not hand over the state of a machine on Windows"
	case p.VTPM:
		return "it has a TPM (vtpm), whose contents are new in each build"
	case p.NetBridge != "":
		return "it is part of another network (net_bridge), where two machines would have the same addresses"
	case p.UseBackingFile:
		return "its disk is to refer to the disk image (use_backing_file), not to what is saved in between"
	case strings.Contains(image, "://"):
		return "QEMU reads its image over the network"
	}
	for _, a := range p.QemuArgs {
		switch name := strings.TrimLeft(a[0], "-"); name {
		case "drive", "blockdev", "hda", "hdb", "hdc", "hdd", "sd", "mtdblock", "pflash", "snapshot", "fsdev", "virtfs", "incoming", "loadvm", "S":
			return "qemuargs has -" + name + ", so that not all of its disks are known"
		}
	}
	return ""
}

// usesField reports whether an action in qemuargs or the boot command names a
// field.
func (p *plan) usesField(name string) bool {
	texts := slices.Concat(p.QemuArgs...)
	for _, s := range p.steps() {
		texts = append(texts, s.text)
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, name) })
}

// filesOfArguments are the files that qemuargs names: of a value such as
// "file=a,if=none" all that there is.
func (p *plan) filesOfArguments() []string {
	var out []string
	for _, word := range slices.Concat(p.QemuArgs...) {
		for _, part := range append(strings.Split(word, ","), word) {
			_, value, _ := strings.Cut(part, "=")
			for _, path := range []string{part, value} {
				if path != "" && isFile(path) {
					out = append(out, path)
				}
			}
		}
	}
	return out
}

// processor is the name of the computer's processor, which a machine that is not
// emulated may have found out.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOOS + "/" + runtime.GOARCH // there is one kind per system
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// HasCheckpoint implements component.CheckpointHolder.
func (builder) HasCheckpoint(_ context.Context, c component.Checkpoint) (bool, error) {
	return hasCheckpoint(c)
}

// HasCheckpoint implements component.CheckpointHolder.
func (j *job) HasCheckpoint(_ context.Context, c component.Checkpoint) (bool, error) {
	return hasCheckpoint(c)
}

func hasCheckpoint(c component.Checkpoint) (bool, error) {
	names := []string{stateFile}
	for i := range strings.Split(c.Data[dataDisks], ",") {
		names = append(names, diskFile(i))
	}
	for _, name := range names {
		_, err := os.Stat(filepath.Join(c.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// SaveCheckpoint implements component.Saver. The machine stands still until its
// memory has been read; its disks go on in new images.
func (m *machine) SaveCheckpoint(ctx context.Context, r component.Run, to component.CheckpointPlace) (component.SavedState, error) {
	none := component.SavedState{}
	if err := m.gone(); err != nil {
		return none, err
	}
	next, err := m.nextDisks(ctx, r)
	if err != nil {
		return none, err
	}
	var formats []string
	for _, d := range m.hw.disks {
		formats = append(formats, d.format)
	}
	if err := m.still(ctx, func(ctx context.Context) error {
		if err := m.freeze(ctx, next); err != nil {
			return err
		}
		return m.writeState(ctx, filepath.Join(to.Dir, stateFile))
	}); err != nil {
		return none, fmt.Errorf("save the machine: %w", err)
	}
	for i, d := range m.hw.disks {
		if err := linkOrCopy(d.below[0].path, filepath.Join(to.Dir, diskFile(i))); err != nil {
			return none, fmt.Errorf("save disk %d: %w", i+1, err)
		}
	}
	if m.plan.makesKeyPair() {
		if err := os.WriteFile(filepath.Join(to.Dir, keyFile), m.conn.SSHPrivateKey, 0o600); err != nil {
			return none, fmt.Errorf("save the key of the machine: %w", err)
		}
	}
	return component.SavedState{Data: map[string]string{dataDisks: strings.Join(formats, ",")}, OnBase: true}, nil
}

// nextDisks makes the images that the disks go on in. They have to keep their
// names for as long as QEMU has them open.
func (m *machine) nextDisks(ctx context.Context, r component.Run) ([]disk, error) {
	img, err := qemuimg.Find()
	if err != nil {
		return nil, err
	}
	m.frozen++
	var out []disk
	for i, d := range m.hw.disks {
		next, err := m.job.overlay(ctx, r, img, i, m.frozen, d.size, append([]layer{{d.path, d.format}}, d.below...))
		if err != nil {
			return nil, err
		}
		out = append(out, next)
	}
	return out, nil
}

// overlay makes an empty image for disk n on top of others.
func (j *job) overlay(ctx context.Context, r component.Run, img qemuimg.Tool, n, turn int, size int64, on []layer) (disk, error) {
	d := disk{path: j.out.file(fmt.Sprintf(".ingot-part-%d-%d.qcow2", n, turn)), format: "qcow2", size: size, below: on}
	return d, img.Create(ctx, r, qemuimg.Creation{
		Path: d.path, Format: d.format, Size: size, Backing: qemuimg.Backing{Image: on[0].path, Format: on[0].format}, Args: []string{"-u"},
	})
}

// still stops the machine while fn runs.
func (m *machine) still(ctx context.Context, fn func(context.Context) error) error {
	if err := m.qmp.Execute(ctx, "stop", nil, nil); err != nil {
		return err
	}
	err := fn(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), plugTime)
	defer cancel()
	return errors.Join(err, m.qmp.Execute(ctx, "cont", nil, nil))
}

// freeze makes all disks go on in other images at once.
func (m *machine) freeze(ctx context.Context, next []disk) error {
	type snapshot struct {
		Device string `json:"device"`
		File   string `json:"snapshot-file"`
		Format string `json:"format"`
		Mode   string `json:"mode"`
	}
	type action struct {
		Type string   `json:"type"`
		Data snapshot `json:"data"`
	}
	var actions []action
	for i, d := range next {
		actions = append(actions, action{"blockdev-snapshot-sync", snapshot{fmt.Sprintf("%s%d", driveID, i), d.path, d.format, "existing"}})
	}
	if err := m.qmp.Execute(ctx, "transaction", map[string]any{"actions": actions}, nil); err != nil {
		return err
	}
	m.hw.disks = next
	return nil
}

// Resume implements component.Checkpointer.
func (j *job) Resume(ctx context.Context, r component.Run, from component.Checkpoint) (component.Machine, error) {
	cold, conn := j.hw.disks, j.conn
	m, err := j.resume(ctx, r, from)
	if err == nil {
		for i, d := range cold {
			if i < len(j.hw.disks) && d.path != j.hw.disks[i].path {
				err = errors.Join(err, os.Remove(d.path))
			}
		}
		return m, err
	}
	// It may have to boot instead.
	for _, d := range j.hw.disks {
		if !slices.ContainsFunc(cold, func(c disk) bool { return c.path == d.path }) {
			_ = os.Remove(d.path) // the folder goes with the build
		}
	}
	j.hw.disks, j.conn = cold, conn
	if ctx.Err() == nil {
		r.Emit(component.Trace{Text: "qemu: " + err.Error()})
		err = fmt.Errorf("%w: %w", component.ErrCheckpointGone, err)
	}
	return nil, fmt.Errorf("qemu: start from a checkpoint: %w", err)
}

func (j *job) resume(ctx context.Context, r component.Run, from component.Checkpoint) (*machine, error) {
	if err := j.stack(ctx, r, from); err != nil {
		return nil, err
	}
	if j.plan.makesKeyPair() {
		key, err := os.ReadFile(filepath.Join(from.Dir, keyFile))
		if err != nil {
			return nil, err
		}
		j.conn.SSHPrivateKey, j.conn.SSHPublicKey = key, nil
	}
	m, err := j.start(ctx, r, true)
	if err != nil {
		return nil, err
	}
	err = m.readState(ctx, filepath.Join(from.Dir, stateFile))
	if err == nil {
		err = m.qmp.Execute(ctx, "cont", nil, nil)
	}
	if err != nil {
		if errors.Is(err, qmp.ErrClosed) {
			err = m.failure(err)
		}
		return nil, errors.Join(err, m.end(context.WithoutCancel(ctx)))
	}
	r.AtEnd(func() { m.leave(context.WithoutCancel(ctx)) })
	return m, m.showScreen(ctx, r)
}

// stack makes disks on top of those of a checkpoint.
func (j *job) stack(ctx context.Context, r component.Run, from component.Checkpoint) error {
	img, err := qemuimg.Find()
	if err != nil {
		return err
	}
	var disks []disk
	for i, d := range j.hw.disks {
		var on []layer
		for c := &from; c != nil; c = c.Base {
			formats := strings.Split(c.Data[dataDisks], ",")
			if len(formats) != len(j.hw.disks) {
				return fmt.Errorf("it has %d disks, not %d", len(formats), len(j.hw.disks))
			}
			path, err := filepath.Abs(filepath.Join(c.Dir, diskFile(i)))
			if err != nil {
				return err
			}
			on = append(on, layer{path, formats[i]})
		}
		if i == 0 && j.plan.overlays() {
			image, err := filepath.Abs(j.hw.image)
			if err != nil {
				return err
			}
			on = append(on, layer{image, j.hw.imageFormat})
		}
		next, err := j.overlay(ctx, r, img, i, 0, d.size, on)
		if err != nil {
			return err
		}
		disks = append(disks, next)
	}
	j.hw.disks = disks
	return nil
}

// wakeTime is how long setting the clock may take.
const wakeTime = 20 * time.Second

// Wake implements component.Waker: the clock has stood still since the machine was
// saved.
func (m *machine) Wake(ctx context.Context, r component.Run, comm component.Communicator) error {
	if !comm.Caps().Run {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wakeTime)
	defer cancel()
	exit, err := comm.Run(ctx, component.Command{Line: clockCommand(r.Clock.Now(), comm.Caps().Shell), Stdout: io.Discard, Stderr: io.Discard})
	if err == nil && exit.Code != 0 {
		err = &commandError{exit.Code}
	}
	if err != nil {
		return fmt.Errorf("it was saved some time ago, and its clock could not be set, which the user of the connection may have to be root for: %w", err)
	}
	return nil
}

// clockCommand sets a clock, as root or as somebody who may become root without a
// password.
func clockCommand(now time.Time, shell component.Shell) string {
	at := now.Unix()
	if shell.Windows() {
		set := fmt.Sprintf("Set-Date ([DateTimeOffset]::FromUnixTimeSeconds(%d).LocalDateTime)", at)
		if shell == component.PowerShell {
			return set
		}
		return "powershell -NoProfile -NonInteractive -Command \"" + set + "\""
	}
	var ways []string
	for _, become := range []string{"", "sudo -n ", "doas -n "} {
		for _, date := range []string{"date -u -s @%d", "date -u -f %%s %d"} {
			ways = append(ways, become+fmt.Sprintf(date, at)+" >/dev/null 2>&1")
		}
	}
	return strings.Join(ways, " || ")
}
