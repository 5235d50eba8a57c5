package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/component"
	"ingot/internal/qemuimg"
)

// makeDisks makes the disks of the machine in the output folder, which it makes
// first.
func (p *plan) makeDisks(ctx context.Context, r component.Run, hw *hardware, out *output) error {
	img, err := qemuimg.Find()
	if err != nil {
		return err
	}
	m := diskMaker{plan: p, run: r, img: img, out: out}
	var origin qemuimg.Info
	if p.DiskImage {
		// An image that cannot be used is found before anything is replaced.
		if origin, err = m.examine(ctx, hw.image); err != nil {
			return err
		}
	}
	hw.imageFormat = origin.Format
	if err := out.make(ctx, r); err != nil {
		return err
	}
	system, err := m.system(ctx, hw.image, origin)
	if err != nil {
		return err
	}
	hw.disks = []disk{system}
	for i, size := range p.additional {
		d := disk{path: out.file(diskName(out.name, i+1)), format: p.Format, size: size}
		r.Say(fmt.Sprintf("Making disk %s (%s)", filepath.Base(d.path), showSize(size)))
		if err := m.create(ctx, d, qemuimg.Backing{}); err != nil {
			return err
		}
		hw.disks = append(hw.disks, d)
	}
	return nil
}

// diskMaker makes the disks of one machine.
type diskMaker struct {
	plan *plan
	run  component.Run
	img  qemuimg.Tool
	out  *output
}

// examine looks at the image that the machine is to start from.
func (m *diskMaker) examine(ctx context.Context, image string) (qemuimg.Info, error) {
	info, err := m.img.Info(ctx, m.run, image)
	if err != nil {
		return info, err
	}
	for what, other := range map[string]string{"refers to": info.Backing, "has its contents in": info.DataFile} {
		if other != "" && !m.plan.isLocal(image) {
			return info, fmt.Errorf("the disk image %s %s another file, %s: an image that comes from elsewhere must not read files of this computer; convert it with qemu-img convert first", image, what, other)
		}
	}
	if shrinks := slices.Contains(m.plan.QemuImgArgs.Resize, "--shrink"); m.plan.diskSizeSet && !m.plan.SkipResizeDisk && m.plan.diskSize < info.Size && !shrinks {
		return info, fmt.Errorf("disk_size is %s, but the disk image %s has %s: making it smaller would cut off what is at its end; set disk_size to at least %dM, or skip_resize_disk = true",
			showSize(m.plan.diskSize), image, showSize(info.Size), (info.Size+1<<20-1)>>20)
	}
	return info, nil
}

// isLocal reports whether an image is a file that the template names, which is
// used where it is.
func (p *plan) isLocal(image string) bool {
	return !p.ISOSkipCache && slices.ContainsFunc(p.Spec().URLs, func(u string) bool {
		return u == image || strings.HasPrefix(u, "file:") && strings.HasSuffix(u, filepath.ToSlash(image))
	})
}

// system makes the first disk.
func (m *diskMaker) system(ctx context.Context, image string, origin qemuimg.Info) (disk, error) {
	p := m.plan
	d := disk{path: m.out.file(m.out.name), format: p.Format, size: p.diskSize}
	if !p.DiskImage {
		m.run.Say(fmt.Sprintf("Making disk %s (%s)", m.out.name, showSize(d.size)))
		return d, m.create(ctx, d, qemuimg.Backing{})
	}
	switch {
	case p.SkipResizeDisk:
		d.size = origin.Size
	case !p.diskSizeSet:
		d.size = max(d.size, origin.Size)
	}
	backing, err := backingOf(image, origin.Format)
	if err != nil {
		return d, err
	}
	if p.overlays() {
		m.run.Say(fmt.Sprintf("Making disk %s (%s) on top of %s", m.out.name, showSize(d.size), image))
		first := d
		if len(p.QemuImgArgs.Resize) > 0 || d.size < origin.Size {
			first.size = origin.Size
		}
		if err := m.create(ctx, first, backing); err != nil {
			return d, err
		}
		return d, m.resize(ctx, d, first.size)
	}
	m.run.Say(fmt.Sprintf("Copying %s to disk %s (%s)", image, m.out.name, showSize(d.size)))
	if err := m.copy(ctx, backing, origin, d); err != nil {
		return d, err
	}
	return d, m.resize(ctx, d, origin.Size)
}

// backingOf is an image for others to refer to: by a path that does not depend on
// a folder.
func backingOf(image, format string) (qemuimg.Backing, error) {
	if !strings.Contains(image, "://") {
		abs, err := filepath.Abs(image)
		if err != nil {
			return qemuimg.Backing{}, err
		}
		image = abs
	}
	return qemuimg.Backing{Image: image, Format: format}, nil
}

// overlays reports whether the first disk begins as what differs from the image.
// When the disk is copied at the end anyway, copying the image at the beginning
// would be work for nothing.
func (p *plan) overlays() bool {
	return p.DiskImage && p.Format == "qcow2" && (p.UseBackingFile || p.DiskCompression || !p.SkipCompaction)
}

// copy makes a disk of an image: a clone, where the file system can share the
// blocks of both, else a conversion.
func (m *diskMaker) copy(ctx context.Context, image qemuimg.Backing, origin qemuimg.Info, d disk) error {
	plain := origin.Format == d.format && origin.Backing == "" && origin.DataFile == "" && len(m.plan.QemuImgArgs.Convert) == 0
	if plain && !strings.Contains(image.Image, "://") {
		err := cloneFile(image.Image, d.path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("copy the disk image: %w", err)
		}
	}
	return m.img.Convert(ctx, m.run, qemuimg.Conversion{
		From: image.Image, FromFormat: image.Format, To: d.path, ToFormat: d.format,
		Args: m.plan.QemuImgArgs.Convert, Label: filepath.Base(image.Image), Size: stored(image.Image),
	})
}

func (m *diskMaker) create(ctx context.Context, d disk, backing qemuimg.Backing) error {
	return m.img.Create(ctx, m.run, qemuimg.Creation{Path: d.path, Format: d.format, Size: d.size, Backing: backing, Args: m.plan.QemuImgArgs.Create})
}

// resize gives a disk its size, unless it has it.
func (m *diskMaker) resize(ctx context.Context, d disk, has int64) error {
	if m.plan.SkipResizeDisk || d.size == has {
		return nil
	}
	// The mode of a clone is that of the image, which may be protected.
	if err := os.Chmod(d.path, 0o644); err != nil {
		return err
	}
	return m.img.Resize(ctx, m.run, d.path, d.format, d.size, m.plan.QemuImgArgs.Resize...)
}

// showSize is a size for people, exactly.
func showSize(size int64) string {
	const units = "KMGTPE"
	unit := -1
	for size >= 1<<10 && size%(1<<10) == 0 && unit < len(units)-1 {
		size >>= 10
		unit++
	}
	if unit < 0 {
		return fmt.Sprintf("%d bytes", size)
	}
	return fmt.Sprintf("%d %ciB", size, units[unit])
}
