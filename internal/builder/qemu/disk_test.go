package qemu

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/qemuimg"
)

// run runs a program of QEMU's and returns what it prints.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// bench is a place to make disks at, with an image to start from.
type bench struct {
	run     component.Run
	journal *componenttest.MemoryJournal
	events  *componenttest.Events
	img     qemuimg.Tool
	dir     string
	// image is a qcow2 image of 8 MiB, and contents what is in it.
	image    string
	contents []byte
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir(), contents: make([]byte, 8<<20)}
	var err error
	if b.img, err = qemuimg.Find(); err != nil {
		t.Skip(err)
	}
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip("qemu-io is not installed")
	}
	b.run, b.journal, b.events = componenttest.NewRun(t)
	copy(b.contents[1<<20:], bytes.Repeat([]byte("what was there before "), 100_000))
	raw := filepath.Join(b.dir, "image.raw")
	if err := os.WriteFile(raw, b.contents, 0o444); err != nil {
		t.Fatal(err)
	}
	b.image = filepath.Join(b.dir, "image.qcow2")
	run(t, "qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, b.image)
	return b
}

// next is a bench with the same image and otherwise new.
func (b *bench) next(t *testing.T) *bench {
	n := &bench{img: b.img, image: b.image, contents: b.contents, dir: t.TempDir()}
	n.run, n.journal, n.events = componenttest.NewRun(t)
	return n
}

// plan is a configuration for the output folder "out" of the bench.
func (b *bench) plan(t *testing.T, own map[string]cty.Value) *plan {
	t.Helper()
	all := map[string]cty.Value{
		"output_directory": cty.StringVal(filepath.Join(b.dir, "out")), "iso_url": cty.StringVal(b.image), "iso_checksum": cty.StringVal("none"),
		"vm_name": cty.StringVal("system"),
	}
	for name, v := range own {
		all[name] = v
	}
	p, diags := readConfig(settings(all))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return p
}

// make makes the disks.
func (b *bench) make(ctx context.Context, p *plan) (*hardware, *output, error) {
	out, err := p.openOutput(ctx, b.run)
	if err != nil {
		return nil, nil, err
	}
	hw := &hardware{dir: b.run.WorkDir, image: p.Spec().URLs[0]}
	return hw, out, p.makeDisks(ctx, b.run, hw, out)
}

func TestDisksFromPrepareToArtifact(t *testing.T) {
	first := newBench(t)
	yes := cty.True
	type set = map[string]cty.Value
	for name, c := range map[string]struct {
		set set
		// before and after are the system disk's format and size in MiB, with
		// "+" when it refers to the image.
		before, after string
		disks         int
	}{
		"installer":              {set{"disk_size": cty.StringVal("16M")}, "qcow2 16", "qcow2 16", 1},
		"installer, raw":         {set{"disk_size": cty.StringVal("16M"), "format": cty.StringVal("raw"), "disk_additional_size": list("3M", "4M")}, "raw 16", "raw 16", 3},
		"installer, compressed":  {set{"disk_size": cty.StringVal("16M"), "disk_compression": yes, "disk_additional_size": list("3M")}, "qcow2 16", "qcow2 16", 2},
		"installer, as it is":    {set{"disk_size": cty.StringVal("16M"), "skip_compaction": yes}, "qcow2 16", "qcow2 16", 1},
		"image":                  {set{"disk_image": yes, "disk_size": cty.StringVal("16M")}, "qcow2 16+", "qcow2 16", 1},
		"image of its size":      {set{"disk_image": yes, "skip_resize_disk": yes}, "qcow2 8+", "qcow2 8", 1},
		"image of default size":  {set{"disk_image": yes}, "qcow2 40960+", "qcow2 40960", 1},
		"image, raw":             {set{"disk_image": yes, "disk_size": cty.StringVal("16M"), "format": cty.StringVal("raw")}, "raw 16", "raw 16", 1},
		"image, as it is":        {set{"disk_image": yes, "disk_size": cty.StringVal("16M"), "skip_compaction": yes}, "qcow2 16", "qcow2 16", 1},
		"image, compressed":      {set{"disk_image": yes, "disk_size": cty.StringVal("16M"), "disk_compression": yes}, "qcow2 16+", "qcow2 16", 1},
		"image, compressed only": {set{"disk_image": yes, "disk_size": cty.StringVal("16M"), "disk_compression": yes, "skip_compaction": yes}, "qcow2 16+", "qcow2 16", 1},
		"backing":                {set{"disk_image": yes, "disk_size": cty.StringVal("16M"), "use_backing_file": yes, "disk_additional_size": list("3M")}, "qcow2 16+", "qcow2 16+", 2},
		"backing, compressed":    {set{"disk_image": yes, "disk_size": cty.StringVal("16M"), "use_backing_file": yes, "disk_compression": yes}, "qcow2 16+", "qcow2 16+", 1},
		"image, with arguments":  {set{"disk_image": yes, "disk_size": cty.StringVal("4M"), "qemu_img_args": imgArgs("-o", "lazy_refcounts=on", "-o", "cluster_size=128k", "--shrink", "-q")}, "qcow2 4+", "qcow2 4", 1},
		"image without clone":    {set{"disk_image": yes, "skip_resize_disk": yes, "skip_compaction": yes, "qemu_img_args": imgArgs("", "", "-o", "cluster_size=128k", "", "")}, "qcow2 8", "qcow2 8", 1},
		"name with odd letters":  {set{"disk_size": cty.StringVal("16M"), "vm_name": cty.StringVal("-a: b%=c")}, "qcow2 16", "qcow2 16", 1},
		"image smaller than one": {set{"disk_image": yes, "disk_size": cty.StringVal("8M")}, "qcow2 8+", "qcow2 8", 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := first.next(t)
			p := b.plan(t, c.set)
			hw, out, err := b.make(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.describe(t, hw.disks[0].path); got != c.before || len(hw.disks) != c.disks {
				t.Errorf("%d disks, the first is %s, want %s", len(hw.disks), got, c.before)
			}
			// What the machine does.
			contents := make([]byte, min(hw.disks[0].size, 16<<20))
			if p.DiskImage {
				copy(contents, b.contents)
			}
			for i, d := range hw.disks {
				run(t, "qemu-io", "-f", d.format, "-c", "write -P 0x61 2M 64k", d.path)
				if i == 0 {
					copy(contents[2<<20:], bytes.Repeat([]byte{0x61}, 64<<10))
				}
			}
			a, err := p.capture(t.Context(), b.run, hw, "tcg", out)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.describe(t, hw.disks[0].path); got != c.after {
				t.Errorf("the artifact's disk is %s, want %s", got, c.after)
			}
			b.checkContents(t, hw.disks[0], contents)
			b.checkArtifact(t, p, hw, a)
		})
	}
}

// imgArgs is a qemu_img_args block: two arguments for each program, in the order
// create, convert, resize; without empty ones.
func imgArgs(args ...string) cty.Value {
	pick := func(args ...string) cty.Value {
		args = slices.DeleteFunc(args, func(s string) bool { return s == "" })
		if len(args) == 0 {
			return cty.NullVal(cty.List(cty.String))
		}
		return list(args...)
	}
	return cty.ObjectVal(map[string]cty.Value{"create": pick(args[0], args[1]), "convert": pick(args[2], args[3]), "resize": pick(args[4:]...)})
}

func (b *bench) describe(t *testing.T, path string) string {
	t.Helper()
	info, err := b.img.Info(t.Context(), b.run, path)
	if err != nil {
		t.Fatal(err)
	}
	out := info.Format + " " + strings.TrimSuffix(showSize(info.Size), " MiB")
	if info.Size%(1<<30) == 0 {
		out = info.Format + " 40960"
	}
	if info.Backing != "" {
		if info.Backing != b.image {
			t.Errorf("%s refers to %s", path, info.Backing)
		}
		out += "+"
	}
	return out
}

func (b *bench) checkContents(t *testing.T, d disk, want []byte) {
	t.Helper()
	if d.format == "qcow2" {
		run(t, "qemu-img", "check", "-q", "-f", "qcow2", d.path)
	}
	if d.size > int64(len(want)) {
		return // too large to read
	}
	raw := filepath.Join(b.dir, "read")
	run(t, "qemu-img", "convert", "-f", d.format, "-O", "raw", d.path, raw)
	got, err := os.ReadFile(raw)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the contents are not what the machine has written (%d bytes, want %d), %v", len(got), len(want), err)
	}
}

func (b *bench) checkArtifact(t *testing.T, p *plan, hw *hardware, a *component.Artifact) {
	t.Helper()
	var names []string
	for i, f := range a.Files {
		names = append(names, filepath.Base(f.Path))
		if info, err := os.Stat(f.Path); err != nil || info.Size() != f.Size || f.Size == 0 {
			t.Errorf("file %d: %+v, %v", i, f, err)
		}
	}
	var want []string
	for i := range hw.disks {
		want = append(want, diskName(p.VMName, i))
	}
	if !slices.Equal(names, want) {
		t.Errorf("the files are %v, want %v", names, want)
	}
	if a.Producer != "transcend.qemu" || a.ID != "VM" || a.Data[dataDiskName].AsString() != p.VMName || a.Data[dataDomainType].AsString() != "tcg" ||
		a.Data[dataDiskPaths].LengthInt() != len(hw.disks) || a.Data[dataDiskType].AsString() != p.Format {
		t.Errorf("artifact %+v", a)
	}
	kept := b.journal.Kept()
	if len(kept) != 1 || kept[0].ID != filepath.Join(b.dir, "out") || len(a.Resources) != 1 || a.Resources[0].ID != kept[0].ID || len(b.journal.Open()) != 0 {
		t.Errorf("kept %v, open %v, artifact %v", kept, b.journal.Open(), a.Resources)
	}
}

func TestImageThatCannotBeUsed(t *testing.T) {
	first := newBench(t)
	for name, c := range map[string]struct {
		prepare func(t *testing.T, b *bench) map[string]cty.Value
		want    string
	}{
		"too small a disk": {func(*testing.T, *bench) map[string]cty.Value {
			return map[string]cty.Value{"disk_size": cty.StringVal("5M")}
		}, "at least 8M"},
		"refers to another file": {func(t *testing.T, b *bench) map[string]cty.Value {
			run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", b.image, "-F", "qcow2", filepath.Join(b.dir, "fetched"))
			b.image = filepath.Join(b.dir, "fetched")
			return map[string]cty.Value{"iso_url": cty.StringVal("https://example.com/image")}
		}, "refers to another file"},
		"contents elsewhere": {func(t *testing.T, b *bench) map[string]cty.Value {
			b.image = filepath.Join(b.dir, "fetched")
			run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file="+filepath.Join(b.dir, "data")+",data_file_raw=on", b.image, "1M")
			return map[string]cty.Value{"iso_url": cty.StringVal("https://example.com/image")}
		}, "has its contents in another file"},
		"is not there": {func(_ *testing.T, b *bench) map[string]cty.Value {
			b.image = filepath.Join(b.dir, "gone")
			return nil
		}, "No such file"},
	} {
		t.Run(name, func(t *testing.T) {
			b := first.next(t)
			set := c.prepare(t, b)
			if set == nil {
				set = map[string]cty.Value{}
			}
			set["disk_image"] = cty.True
			p := b.plan(t, set)
			out, err := p.openOutput(t.Context(), b.run)
			if err != nil {
				t.Fatal(err)
			}
			err = p.makeDisks(t.Context(), b.run, &hardware{image: b.image}, out)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(b.dir, "out")); err == nil {
				t.Error("the output folder was made")
			}
		})
	}
}

// Ensure that a build that is made again has the hardware of the new attempt only.
func TestPrepareAgain(t *testing.T) {
	b := newBench(t)
	j := &job{plan: b.plan(t, map[string]cty.Value{
		"qemu_binary": cty.StringVal("/bin/sh"), "accelerator": cty.StringVal("tcg"), "disk_size": cty.StringVal("16M"),
		"cd_content": cty.MapVal(map[string]cty.Value{"a": cty.StringVal("b")}),
	}), host: thisHost()}
	for range 2 {
		var ends []func()
		b.run.AtEnd = func(end func()) { ends = append(ends, end) }
		if err := j.Prepare(t.Context(), b.run); err != nil {
			t.Fatal(err)
		}
		if len(j.hw.cdroms) != 2 || len(j.hw.disks) != 1 {
			t.Errorf("CDs %v, disks %v", j.hw.cdroms, j.hw.disks)
		}
		for _, end := range ends {
			end()
		}
		if err := b.journal.ReleaseAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.run.WorkDir = t.TempDir()
	}
}

// Ensure that a local image may refer to others: it is the user's own.
func TestLocalImageMayReferToOthers(t *testing.T) {
	b := newBench(t)
	top := filepath.Join(b.dir, "top.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", b.image, "-F", "qcow2", top)
	base := b.image
	b.image = top
	hw, out, err := b.make(t.Context(), b.plan(t, map[string]cty.Value{"disk_image": cty.True, "skip_resize_disk": cty.True, "skip_compaction": cty.True}))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := b.img.Info(t.Context(), b.run, hw.disks[0].path); err != nil || info.Backing != "" {
		t.Errorf("the copy refers to %s (%s), %v", info.Backing, base, err)
	}
	_ = out
}

// Ensure that a capture which is cut short leaves the folder to be removed, and no
// disk that looks finished.
func TestInterruptedCapture(t *testing.T) {
	b := newBench(t)
	p := b.plan(t, map[string]cty.Value{"disk_image": cty.True, "disk_size": cty.StringVal("16M")})
	hw, out, err := b.make(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	b.run.Events = component.SinkFunc(func(e component.Event) {
		if m, ok := e.(component.Progress); ok && strings.HasPrefix(m.Label, "Compacting") {
			cancel(stop)
		}
	})
	if _, err := p.capture(ctx, b.run, hw, "tcg", out); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if got := b.describe(t, hw.disks[0].path); got != "qcow2 16+" || len(b.journal.Kept()) != 0 {
		t.Errorf("the disk is %s, kept %v", got, b.journal.Kept())
	}
	if err := b.journal.ReleaseAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "*out*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestCloneFile(t *testing.T) {
	dir := t.TempDir()
	from, to := write(t, filepath.Join(dir, "from"), "contents"), filepath.Join(dir, "to")
	err := cloneFile(from, to)
	data, readErr := os.ReadFile(to)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		if !errors.Is(readErr, os.ErrNotExist) {
			t.Errorf("something was left: %q, %v", data, readErr)
		}
	case err != nil || string(data) != "contents":
		t.Errorf("%v, %q", err, data)
	}
}

func TestShowSize(t *testing.T) {
	for size, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1 << 10: "1 KiB", 40 << 30: "40 GiB", 3 << 20: "3 MiB", 1<<20 + 1: "1048577 bytes", 1 << 60: "1 EiB"} {
		if got := showSize(size); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}
