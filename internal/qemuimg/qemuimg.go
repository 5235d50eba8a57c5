// Package qemuimg makes, converts and looks at images of disks with the qemu-img
// program.
package qemuimg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"ingot/internal/component"
	"ingot/internal/hostproc"
)

// ErrNotInstalled says that there is no qemu-img, and what to install.
var ErrNotInstalled = errors.New("qemu-img is not installed: install the package qemu-utils (Debian, Ubuntu), qemu-img (Fedora, RHEL, Alpine) or qemu (Homebrew, Arch, Windows)")

// Tool is an installed qemu-img. Its methods run it as a resource of the run's
// journal; when ctx ends they kill it and return the cause. Errors have what the
// program says in them.
type Tool struct{ path string }

// Find looks for qemu-img where programs are; the error is ErrNotInstalled.
func Find() (Tool, error) {
	path, err := exec.LookPath("qemu-img")
	if err != nil {
		return Tool{}, ErrNotInstalled
	}
	return Tool{path}, nil
}

// Info is what an image says of itself.
type Info struct {
	// Format is QEMU's name of the format: "qcow2", "raw", "vmdk".
	Format string
	// Size is what a machine sees, Allocated what the file takes; in bytes.
	Size, Allocated int64
	// Backing is the image that it refers to, as a path that can be opened
	// from here; empty when it stands alone.
	Backing string
	// BackingFormat is its format, as far as the image says.
	BackingFormat string
	// DataFile is the file that its contents are in; empty when they are in
	// the image itself.
	DataFile string
}

// Info looks at an image, which may be a path or a URL that qemu-img can read.
// Nothing is written.
func (t Tool) Info(ctx context.Context, r component.Run, image string) (Info, error) {
	out, err := t.run(ctx, r, nil, "info", "--output=json", "-U", "--", image)
	if err != nil {
		return Info{}, fmt.Errorf("look at the disk image %s: %w", image, err)
	}
	info, err := parseInfo(out)
	if err != nil {
		return Info{}, fmt.Errorf("look at the disk image %s: %w", image, err)
	}
	return info, nil
}

func parseInfo(out []byte) (Info, error) {
	var said struct {
		Format      string `json:"format"`
		VirtualSize int64  `json:"virtual-size"`
		ActualSize  int64  `json:"actual-size"`
		Backing     string `json:"backing-filename"`
		FullBacking string `json:"full-backing-filename"`
		BackingForm string `json:"backing-filename-format"`
		Specific    struct {
			Data struct {
				DataFile string `json:"data-file"`
			} `json:"data"`
		} `json:"format-specific"`
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return Info{}, fmt.Errorf("qemu-img info: answer not understood: %w", err)
	}
	if said.Format == "" || said.VirtualSize < 0 {
		return Info{}, fmt.Errorf("qemu-img info: answer without format or size: %.200q", out)
	}
	info := Info{Format: said.Format, Size: said.VirtualSize, Allocated: said.ActualSize, Backing: said.FullBacking, BackingFormat: said.BackingForm, DataFile: said.Specific.Data.DataFile}
	if info.Backing == "" {
		info.Backing = said.Backing
	}
	return info, nil
}

// Backing is an image that another one refers to for what has not been changed.
type Backing struct{ Image, Format string }

// Creation is an image to make.
type Creation struct {
	Path, Format string
	// Size is what a machine sees, in bytes; 0 takes the size of Backing.
	Size int64
	// Backing is empty when the image is to stand alone.
	Backing Backing
	// Args are further arguments.
	Args []string
}

// Create makes an image; what is at its path is replaced.
func (t Tool) Create(ctx context.Context, r component.Run, c Creation) error {
	args := []string{"create", "-q", "-f", c.Format}
	if c.Backing.Image != "" {
		args = append(args, "-b", c.Backing.Image, "-F", c.Backing.Format)
	}
	args = append(append(args, c.Args...), "--", c.Path)
	if c.Size > 0 {
		args = append(args, strconv.FormatInt(c.Size, 10))
	}
	if _, err := t.run(ctx, r, nil, args...); err != nil {
		return fmt.Errorf("make the disk %s: %w", c.Path, err)
	}
	return nil
}

// Resize gives an image another size, in bytes. An image is not made smaller
// unless args say so.
func (t Tool) Resize(ctx context.Context, r component.Run, path, format string, size int64, args ...string) error {
	all := append([]string{"resize", "-q", "-f", format}, args...)
	if _, err := t.run(ctx, r, nil, append(all, "--", path, strconv.FormatInt(size, 10))...); err != nil {
		return fmt.Errorf("resize the disk %s: %w", path, err)
	}
	return nil
}

// Conversion is an image to copy.
type Conversion struct {
	From, FromFormat string
	// FromProperties says that From is not a path, but the properties of a block
	// device; FromFormat is not used then.
	FromProperties bool
	To, ToFormat   string
	// Compress the copy; its format has to be qcow2.
	Compress bool
	// Backing is what the copy refers to for what has not been changed; empty
	// when it is to stand alone.
	Backing Backing
	// Args are further arguments.
	Args []string
	// Label is shown with the progress, and Size as what there is to copy, in
	// bytes; 0 when that is not known.
	Label string
	Size  int64
}

// Convert copies an image with all that it refers to; what is at the target's path
// is replaced. Progress is told with the Events of the run.
func (t Tool) Convert(ctx context.Context, r component.Run, c Conversion) error {
	args := []string{"convert", "-p", "-O", c.ToFormat}
	if c.FromProperties {
		args = append(args, "--image-opts")
	} else {
		args = append(args, "-f", c.FromFormat)
	}
	if c.Compress {
		args = append(args, "-c")
	}
	if c.Backing.Image != "" {
		args = append(args, "-B", c.Backing.Image, "-F", c.Backing.Format)
	}
	args = append(append(args, c.Args...), "--", c.From, c.To)
	p := &progress{report: func(percent int64, finished bool) {
		r.Emit(component.Progress{ID: c.To, Label: c.Label, Done: c.Size / 100 * percent, Total: c.total(), Finished: finished})
	}}
	_, err := t.run(ctx, r, p, args...)
	p.end()
	if err != nil {
		return fmt.Errorf("convert the disk %s to %s: %w", c.From, c.To, err)
	}
	return nil
}

// total is Size, so that whole percents of it add up.
func (c Conversion) total() int64 {
	if c.Size < 100 {
		return -1
	}
	return c.Size / 100 * 100
}

// run runs qemu-img and returns what it prints, which goes to progress instead
// when that is not nil.
func (t Tool) run(ctx context.Context, r component.Run, p *progress, args ...string) ([]byte, error) {
	cmd := exec.Command(t.path, args...)
	// Its words are shown to the user and compared in tests.
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	var out, errs capture
	cmd.Stdout, cmd.Stderr = &out, &errs
	if p != nil {
		cmd.Stdout = p
	}
	err := hostproc.Run(ctx, r, cmd)
	if err == nil || ctx.Err() != nil {
		return out.data, err
	}
	said := strings.TrimSpace(strings.ReplaceAll(string(errs.data), "qemu-img: ", ""))
	if said == "" {
		return nil, fmt.Errorf("qemu-img %s: %w", args[0], err)
	}
	return nil, fmt.Errorf("qemu-img %s: %s", args[0], said)
}

// capture keeps the beginning of what is written to it.
type capture struct{ data []byte }

const maxCapture = 1 << 20

func (c *capture) Write(p []byte) (int, error) {
	c.data = append(c.data, p[:min(len(p), maxCapture-len(c.data))]...)
	return len(p), nil
}
