package oci

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/base"
	"ingot/internal/component"
	"ingot/internal/fileid"
)

// writer writes a finished image in all the forms that were asked for. Each is
// written beside its place; all get their names at the end.
type writer struct {
	job    *job
	run    component.Run
	img    v1.Image
	lowers []string
}

// pending is an output that has not got its name yet.
type pending struct {
	output
	tmp   string
	lease component.Lease
	files []component.File
}

func (w *writer) paths() string {
	var out []string
	for _, o := range w.job.p.outputs {
		out = append(out, o.path)
	}
	return strings.Join(out, ", ")
}

func (w *writer) writeAll(ctx context.Context) ([]component.File, []component.Resource, error) {
	var done []pending
	var placed []component.Lease
	for _, o := range w.job.p.outputs {
		w.run.Say("Writing " + o.path)
		p, err := w.write(ctx, o)
		if err != nil {
			return nil, nil, fmt.Errorf("oci: write %s: %w", o.path, err)
		}
		done = append(done, p)
	}
	var files []component.File
	var resources []component.Resource
	for _, p := range done {
		res, err := w.place(ctx, p)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("oci: write %s: %w", p.path, err), withdraw(ctx, placed))
		}
		placed = append(placed, res)
		files = append(files, p.files...)
	}
	for _, l := range placed {
		if err := l.Keep(ctx); err != nil {
			return nil, nil, fmt.Errorf("oci: %w", err)
		}
		resources = append(resources, l.Resource())
	}
	return files, resources, nil
}

// place gives an output its name, under which the journal then knows it.
func (w *writer) place(ctx context.Context, p pending) (component.Lease, error) {
	abs, err := filepath.Abs(p.path)
	if err != nil {
		return nil, err
	}
	id, err := fileid.Of(p.tmp)
	if err != nil {
		return nil, err
	}
	// The identity keeps a reap from taking for ours what others put there.
	want := component.Resource{Kind: p.kind(), Attrs: map[string]string{"path": abs, fileid.Attr: id}}
	final, err := w.run.Journal.Acquire(ctx, want, func(context.Context, component.Resource) (string, error) {
		return abs, p.rename(w.run.Force)
	})
	if err != nil {
		return nil, err
	}
	// Under the temporary name there is nothing any more.
	return final, p.lease.Release(ctx)
}

// withdraw removes outputs that were placed before another one failed.
func withdraw(ctx context.Context, placed []component.Lease) error {
	var err error
	for _, l := range placed {
		err = errors.Join(err, l.Release(ctx))
	}
	return err
}

func (o output) kind() string {
	if o.format == formatDir {
		return component.DirKind
	}
	return component.FileKind
}

func (w *writer) write(ctx context.Context, o output) (pending, error) {
	p := pending{output: o}
	abs, err := filepath.Abs(o.path)
	if err != nil {
		return p, err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil {
		return p, err
	}
	p.tmp = filepath.Join(filepath.Dir(abs), "."+filepath.Base(abs)+"."+nonce())
	p.lease, err = w.run.Journal.Acquire(ctx, component.Resource{Kind: o.kind(), Attrs: map[string]string{"path": p.tmp}}, func(ctx context.Context, _ component.Resource) (string, error) {
		if o.format == formatDir {
			p.files, err = w.layoutDir(ctx, p.tmp, o)
		} else {
			p.files, err = w.file(ctx, p.tmp, o)
		}
		return p.tmp, err
	})
	return p, err
}

// rename gives an output its name. Without force nothing is ever replaced, not
// even what came there since the build began.
func (p pending) rename(force bool) error {
	if !force {
		err := unix.Renameat2(unix.AT_FDCWD, p.tmp, unix.AT_FDCWD, p.path, unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
			return err
		}
		// This file system cannot tell; look first.
	}
	if err := p.vacant(force); err != nil {
		return err
	}
	if _, err := os.Lstat(p.path); p.format == formatDir && err == nil {
		if err := unix.Renameat2(unix.AT_FDCWD, p.tmp, unix.AT_FDCWD, p.path, unix.RENAME_EXCHANGE); err == nil {
			return os.RemoveAll(p.tmp)
		}
		if err := os.RemoveAll(p.path); err != nil {
			return err
		}
	}
	return os.Rename(p.tmp, p.path)
}

// file writes one of the formats that are a single file.
func (w *writer) file(ctx context.Context, tmp string, o output) ([]component.File, error) {
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := &digester{w: cancellable{ctx, f}, sum: sha256.New()}
	outer := o.outer
	if outer == "" {
		outer = base.None
	}
	z, err := base.Compression{Name: outer}.Writer(d)
	if err != nil {
		return nil, err
	}
	switch o.format {
	case formatArchive:
		err = w.layoutArchive(z, o.tag)
	case formatDocker:
		err = w.dockerArchive(z, o.tag)
	case formatRootfs:
		err = w.job.box.Flat(ctx, w.job.state, w.lowers, w.job.p.clamp(), z)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return []component.File{{Path: o.path, Size: d.n, Digest: d.digest().String()}}, nil
}

// cancellable stops writing when ctx ends.
type cancellable struct {
	ctx context.Context
	w   io.Writer
}

func (c cancellable) Write(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

func (w *writer) dockerArchive(to io.Writer, tag string) error {
	digest, err := w.img.Digest()
	if err != nil {
		return err
	}
	var ref name.Reference
	if tag == "" {
		ref, err = name.NewDigest("image@" + digest.String())
	} else {
		ref, err = name.NewTag(tag)
	}
	if err != nil {
		return err
	}
	return tarball.Write(ref, w.img, to)
}
