package compress

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"ingot/internal/component"
)

// pack writes the inputs to w in the format f. Every writer is closed and its
// last error counts.
func pack(ctx context.Context, w io.Writer, f format, level int, inputs []input, p *progress) error {
	enc, err := newEncoder(w, f.algorithm, level)
	if err != nil {
		return err
	}
	switch f.archive {
	case tarArchive:
		err = packTar(ctx, enc, inputs, p)
	case zipArchive:
		err = packZip(ctx, enc, level, inputs, p)
	default:
		err = copyFile(ctx, enc, inputs[0], p)
	}
	return errors.Join(err, enc.Close())
}

func packTar(ctx context.Context, w io.Writer, inputs []input, p *progress) error {
	tw := tar.NewWriter(w)
	for _, in := range inputs {
		h, err := tar.FileInfoHeader(in.info, in.link)
		if err != nil {
			return fmt.Errorf("%s: %w", in.path, err)
		}
		if h.Name = in.name; in.info.IsDir() {
			h.Name += "/"
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", in.path, err)
		}
		if in.info.Mode().IsRegular() {
			if err := copyFile(ctx, tw, in, p); err != nil {
				return err
			}
		}
	}
	return tw.Close()
}

func packZip(ctx context.Context, w io.Writer, level int, inputs []input, p *progress) error {
	zw := zip.NewWriter(w)
	zw.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return newDeflate(w, level), nil })
	// Closing also ends the compressor of a file that failed half way.
	return errors.Join(addToZip(ctx, zw, inputs, p), zw.Close())
}

func addToZip(ctx context.Context, zw *zip.Writer, inputs []input, p *progress) error {
	for _, in := range inputs {
		h, err := zip.FileInfoHeader(in.info)
		if err != nil {
			return fmt.Errorf("%s: %w", in.path, err)
		}
		if h.Name = in.name; in.info.IsDir() {
			h.Name += "/"
		} else {
			h.Method = zip.Deflate
		}
		entry, err := zw.CreateHeader(h)
		if err != nil {
			return fmt.Errorf("%s: %w", in.path, err)
		}
		switch {
		case in.info.Mode().IsRegular():
			err = copyFile(ctx, entry, in, p)
		case in.info.Mode()&fs.ModeSymlink != 0:
			_, err = io.WriteString(entry, in.link)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies exactly as many bytes as the file had when it was listed.
func copyFile(ctx context.Context, w io.Writer, in input, p *progress) error {
	f, err := os.Open(in.path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, &counted{ctx: ctx, in: f, p: p}, make([]byte, 1<<20))
	if err == nil && n != in.info.Size() {
		err = fmt.Errorf("its size changed from %d to %d while it was read", in.info.Size(), n)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", in.path, err)
	}
	return nil
}

// counted is a reader that reports progress and fails once ctx has ended.
type counted struct {
	ctx context.Context
	in  io.Reader
	p   *progress
}

func (c *counted) Read(b []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	n, err := c.in.Read(b)
	c.p.add(n)
	return n, err
}

// progress emits at most ten Progress events a second.
type progress struct {
	r     component.Run
	event component.Progress
	last  time.Time
}

func newProgress(r component.Run, label string, inputs []input) *progress {
	p := &progress{r: r, event: component.Progress{ID: label, Label: label}, last: r.Clock.Now()}
	for _, in := range inputs {
		if in.info.Mode().IsRegular() {
			p.event.Total += in.info.Size()
		}
	}
	return p
}

func (p *progress) add(n int) {
	p.event.Done += int64(n)
	if now := p.r.Clock.Now(); now.Sub(p.last) >= 100*time.Millisecond {
		p.last = now
		p.r.Emit(p.event)
	}
}

func (p *progress) finish() {
	p.event.Finished = true
	p.r.Emit(p.event)
}
