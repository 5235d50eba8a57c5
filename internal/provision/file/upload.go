package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/treecopy"
)

type upload struct{ config }

var _ component.InputReader = upload{}

// Inputs are the sources.
func (u upload) Inputs() component.Inputs {
	switch {
	case u.HasContent:
		return component.Inputs{}
	case u.Generated:
		return component.Inputs{Volatile: "its source is made while the build runs (generated = true)"}
	}
	return component.Inputs{Files: u.sources()}
}

// Apply uploads everything in order.
func (u upload) Apply(ctx context.Context, t component.Target) error {
	if u.HasContent {
		t.Say("Uploading content => " + u.Destination)
		meta := component.FileMeta{Mode: 0o644, Size: int64(len(u.Content))}
		if err := t.Comm.Put(ctx, u.Destination, strings.NewReader(u.Content), meta); err != nil {
			return fmt.Errorf("file: upload content to %s: %w", u.Destination, err)
		}
		return nil
	}
	taken := map[string]string{}
	for _, src := range u.sources() {
		info, err := os.Stat(src)
		if err != nil {
			return fmt.Errorf("file: upload: %w", err)
		}
		if info.IsDir() {
			err = u.folder(ctx, t, src)
		} else {
			dst := u.fileTarget(src)
			if before, ok := taken[dst]; ok && before != src {
				return fmt.Errorf("file: upload: %s and %s would both be written to %s; end destination with a slash to copy into a folder", before, src, dst)
			}
			taken[dst] = src
			err = u.file(ctx, t, src, dst, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fileTarget is the remote path of a file.
func (u upload) fileTarget(src string) string {
	if strings.HasSuffix(u.Destination, "/") {
		return u.Destination + filepath.Base(src)
	}
	return u.Destination
}

// folderTarget is the remote folder that takes what is in a local folder.
func (u upload) folderTarget(src string) (string, error) {
	if endsWithSeparator(src) {
		return u.Destination, nil
	}
	abs, err := filepath.Abs(src)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(u.Destination, "/") + "/" + filepath.Base(abs), nil
}

func endsWithSeparator(path string) bool {
	return strings.HasSuffix(path, "/") || path != "" && os.IsPathSeparator(path[len(path)-1])
}

func (u upload) file(ctx context.Context, t component.Target, src, dst string, info os.FileInfo) error {
	t.Say("Uploading " + src + " => " + dst)
	if !info.Mode().IsRegular() {
		return fmt.Errorf("file: upload %s: it is neither a file nor a folder", src)
	}
	f, err := os.Open(src)
	if err != nil {
		return fmt.Errorf("file: upload: %w", err)
	}
	defer f.Close()
	p := newProgress(t.Run, src, info.Size())
	defer p.finish()
	meta := component.FileMeta{Mode: info.Mode().Perm(), Size: info.Size(), ModTime: info.ModTime()}
	if err := t.Comm.Put(ctx, dst, p.reader(f), meta); err != nil {
		return fmt.Errorf("file: upload %s to %s: %w%s", src, dst, err, u.hint(ctx, err))
	}
	return nil
}

// hint is what may be behind a failed upload.
func (u upload) hint(ctx context.Context, err error) string {
	if strings.HasSuffix(u.Destination, "/") || context.Cause(ctx) != nil ||
		errors.Is(err, component.ErrDisconnected) || errors.Is(err, component.ErrUnsupported) {
		return ""
	}
	return " (if " + u.Destination + " is a folder, end destination with a slash)"
}

// folder streams a local folder as one archive.
func (u upload) folder(ctx context.Context, t component.Target, src string) error {
	dst, err := u.folderTarget(src)
	if err != nil {
		return fmt.Errorf("file: upload %s: %w", src, err)
	}
	t.Say("Uploading " + src + " => " + dst)
	o := packOptions()
	total, err := treecopy.Size(ctx, src, o)
	if err != nil {
		return fmt.Errorf("file: upload %s: %w", src, err)
	}
	p := newProgress(t.Run, src, total)
	defer p.finish()
	o.Progress, o.Skipped = p.set, skipped(t.Run)
	err = through(
		func(w io.Writer) error { return treecopy.Pack(ctx, w, src, o) },
		func(r io.Reader) error { return t.Comm.PutTree(ctx, dst, r) },
	)
	if err != nil {
		return fmt.Errorf("file: upload %s to %s: %w", src, dst, err)
	}
	return nil
}

// packOptions: links are followed, as Packer does, so that no link to a place
// on this machine ends up on the other.
func packOptions() treecopy.PackOptions { return treecopy.PackOptions{FollowLinks: true} }

// skipped warns of what is not copied.
func skipped(r component.Run) func(string, fs.FileMode) {
	return func(name string, mode fs.FileMode) {
		r.Emit(component.Warning{Summary: "File left out", Detail: fmt.Sprintf("%s is neither a file nor a folder (%s) and was not copied.", name, mode)})
	}
}

// through connects a writer to a reader. When one side fails, the other one
// is ended; the error that came first is returned.
func through(write func(io.Writer) error, read func(io.Reader) error) error {
	pr, pw := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := write(pw)
		written <- err
		pw.CloseWithError(err)
	}()
	readErr := read(pr)
	if readErr == nil {
		// The reader may stop before the archive's padding.
		_, readErr = io.Copy(io.Discard, pr)
	}
	select {
	case err := <-written:
		if err != nil {
			return err
		}
		return readErr
	default:
	}
	pr.CloseWithError(errStopped)
	if err := <-written; readErr == nil {
		return err
	}
	return readErr
}

var errStopped = errors.New("the other side stopped")

// progress emits at most ten Progress events a second.
type progress struct {
	r     component.Run
	event component.Progress
	last  time.Time
}

func newProgress(r component.Run, label string, total int64) *progress {
	return &progress{r: r, event: component.Progress{ID: label, Label: label, Total: total}, last: r.Clock.Now()}
}

func (p *progress) add(n int) { p.set(p.event.Done + int64(n)) }

func (p *progress) set(done int64) {
	p.event.Done = done
	if now := p.r.Clock.Now(); now.Sub(p.last) >= 100*time.Millisecond {
		p.last = now
		p.r.Emit(p.event)
	}
}

func (p *progress) finish() {
	p.event.Finished = true
	p.r.Emit(p.event)
}

func (p *progress) reader(r io.Reader) io.Reader { return counting{p, r, nil} }
func (p *progress) writer(w io.Writer) io.Writer { return counting{p, nil, w} }

// counting tells a progress what passes.
type counting struct {
	p *progress
	r io.Reader
	w io.Writer
}

func (c counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.p.add(n)
	return n, err
}

func (c counting) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.p.add(n)
	return n, err
}
