package qemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/qemuimg"
)

// producer is what manifests and scripts know the builder as.
const producer = "transcend.qemu"

// capture makes the artifact of a machine that is off: the disks are compacted or
// compressed, and the folder is kept. Until then it is removed when anything goes
// wrong, so that no half of an image is ever taken for a whole one.
func (p *plan) capture(ctx context.Context, r component.Run, hw *hardware, accelerator string, out *output) (*component.Artifact, error) {
	for i, d := range hw.disks {
		if len(d.below) > 0 {
			if err := p.mergeDisk(ctx, r, d, out, i); err != nil {
				return nil, err
			}
			hw.disks[i] = disk{path: out.file(diskName(out.name, i)), format: p.Format, size: d.size}
			continue
		}
		image := ""
		if i == 0 && p.overlays() {
			image = hw.image
		}
		if err := p.finishDisk(ctx, r, d, image, out); err != nil {
			return nil, err
		}
	}
	files, err := out.files(hw.disks)
	if err != nil {
		return nil, fmt.Errorf("output_directory %s: %w", out.path, err)
	}
	if err := out.lease.Keep(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	var paths []cty.Value
	for i := range hw.disks {
		paths = append(paths, cty.StringVal(out.shown(diskName(out.name, i))))
	}
	return &component.Artifact{
		Producer: producer, ID: "VM", Summary: "VM files in directory: " + out.path, Files: files,
		Data: map[string]cty.Value{
			dataDiskName: cty.StringVal(out.name), dataDiskPaths: cty.ListVal(paths), dataDiskSize: cty.NumberIntVal(hw.disks[0].size),
			dataDiskType: cty.StringVal(p.Format), dataDomainType: cty.StringVal(accelerator),
		},
		Resources: []component.Resource{out.lease.Resource()},
	}, nil
}

// copies reports whether a disk is copied when the machine is off.
func (p *plan) copies(refers bool) bool {
	switch {
	case p.Format != "qcow2":
		return false // a raw image has no blocks to leave out but those of its holes
	case p.DiskCompression:
		return true
	case p.UseBackingFile && refers:
		return false // there is not more in it than what differs from the image
	}
	return !p.SkipCompaction
}

// finishDisk puts a copy in a disk's place when one is wanted, and brings it to
// the storage. image is what the disk refers to, if it does.
func (p *plan) finishDisk(ctx context.Context, r component.Run, d disk, image string, out *output) error {
	if !p.copies(image != "") {
		return syncFile(d.path)
	}
	img, err := qemuimg.Find()
	if err != nil {
		return err
	}
	doing := "Compacting"
	if p.DiskCompression {
		doing = "Compressing"
	}
	c := qemuimg.Conversion{
		From: d.path, FromFormat: d.format, To: out.file(".ingot-part-" + filepath.Base(d.path)), ToFormat: p.Format,
		Compress: p.DiskCompression, Args: p.QemuImgArgs.Convert, Label: doing + " " + filepath.Base(d.path), Size: stored(d.path) + stored(image),
	}
	if p.UseBackingFile && image != "" {
		info, err := img.Info(ctx, r, d.path)
		if err != nil {
			return err
		}
		c.Backing = qemuimg.Backing{Image: info.Backing, Format: info.BackingFormat}
	}
	if err := img.Convert(ctx, r, c); err != nil {
		return err
	}
	if err := syncFile(c.To); err != nil {
		return err
	}
	return os.Rename(c.To, d.path)
}

// mergeDisk makes one image of a disk that stands on what was saved of it, and
// removes what the build has of those.
func (p *plan) mergeDisk(ctx context.Context, r component.Run, d disk, out *output, n int) error {
	img, err := qemuimg.Find()
	if err != nil {
		return err
	}
	name := diskName(out.name, n)
	doing, size := "Compacting", stored(d.path)
	if p.DiskCompression {
		doing = "Compressing"
	}
	for _, l := range d.below {
		size += stored(l.path)
	}
	c := qemuimg.Conversion{
		From: fmt.Sprintf("driver=%s,file.filename=%s%s", d.format, escape(d.path), below(d.below)), FromProperties: true,
		To: out.file(".ingot-part-" + name), ToFormat: p.Format, Compress: p.DiskCompression, Args: p.QemuImgArgs.Convert,
		Label: doing + " " + name, Size: size,
	}
	if err := img.Convert(ctx, r, c); err != nil {
		return err
	}
	if err := errors.Join(syncFile(c.To), os.Rename(c.To, out.file(name))); err != nil {
		return err
	}
	for _, l := range append([]layer{{path: d.path}}, d.below...) {
		if filepath.Dir(l.path) != out.dir || l.path == out.file(name) {
			continue // it is in the step cache, or has been replaced
		}
		if err := os.Remove(l.path); err != nil {
			return err
		}
	}
	return nil
}

// stored is how much a local file holds, as far as that is known.
func stored(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// files are all files of the folder, the disks first. Sockets that QEMU has left
// are removed.
func (o *output) files(disks []disk) ([]component.File, error) {
	rank := func(name string) int {
		i := slices.IndexFunc(disks, func(d disk) bool { return filepath.Base(d.path) == name })
		if i < 0 {
			return len(disks)
		}
		return i
	}
	var out []component.File
	err := filepath.WalkDir(o.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Type()&fs.ModeSocket != 0:
			return os.Remove(path)
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(o.dir, path)
		if err != nil {
			return err
		}
		out = append(out, component.File{Path: o.shown(name), Size: info.Size()})
		return nil
	})
	slices.SortStableFunc(out, func(a, b component.File) int {
		return cmp.Compare(rank(filepath.Base(a.Path)), rank(filepath.Base(b.Path)))
	})
	return out, err
}
