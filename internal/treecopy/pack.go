// Package treecopy turns a local folder into a tar stream and back.
//
// The streams are what component.Communicator.PutTree takes and GetTree gives.
// Unpacking a stream never touches anything outside of the folder, whatever
// the stream says.
package treecopy

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// copyBuffer is the size of the buffer between files and streams.
const copyBuffer = 256 << 10

// PackOptions are optional.
type PackOptions struct {
	// Prefix is put in front of all names, as "folder". With a prefix the
	// folder itself is a member, too.
	Prefix string
	// FollowLinks puts what a symbolic link leads to in its place.
	FollowLinks bool
	// Progress is told how many bytes of file contents have been written
	// so far.
	Progress func(done int64)
	// Skipped is told of sockets, pipes and devices, which are left out.
	// When it is nil they are an error.
	Skipped func(name string, mode fs.FileMode)
}

// Pack writes the contents of a folder as a tar stream, in lexical order.
// Modes, modification times (in seconds) and symbolic links are kept; owners
// are not. The format is GNU's, which every tar reads, BusyBox's included.
func Pack(ctx context.Context, w io.Writer, dir string, o PackOptions) error {
	p := &packer{ctx: ctx, tell: o.Progress, tar: tar.NewWriter(w), buf: make([]byte, copyBuffer)}
	err := walk(ctx, dir, o, p.add)
	if err == nil {
		err = p.tar.Close()
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	return nil
}

// Size is how many bytes of file contents Pack would write, for progress
// displays.
func Size(ctx context.Context, dir string, o PackOptions) (int64, error) {
	var total int64
	o.Skipped = func(string, fs.FileMode) {} // Pack will tell
	err := walk(ctx, dir, o, func(e entry) error {
		if e.info.Mode().IsRegular() {
			total += e.info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", dir, err)
	}
	return total, nil
}

type packer struct {
	ctx  context.Context
	tell func(int64)
	tar  *tar.Writer
	buf  []byte
	done int64
}

func (p *packer) add(e entry) error {
	if e.info.Mode().IsRegular() {
		return p.file(e)
	}
	return p.header(e.info, e.name, e.to)
}

func (p *packer) header(info fs.FileInfo, name, to string) error {
	h, err := tar.FileInfoHeader(info, to)
	if err != nil {
		return err
	}
	h.Name, h.Format = name, tar.FormatGNU
	if info.IsDir() {
		h.Name += "/"
	}
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	h.ModTime = info.ModTime().Truncate(time.Second)
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
	return p.tar.WriteHeader(h)
}

// file packs a regular file with the size that it has when it is opened.
func (p *packer) file(e entry) error {
	f, err := os.Open(e.file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := p.header(info, e.name, ""); err != nil {
		return err
	}
	src := &meter{ctx: p.ctx, r: io.LimitReader(f, info.Size()), done: &p.done, tell: p.tell}
	n, err := io.CopyBuffer(struct{ io.Writer }{p.tar}, src, p.buf)
	if err == nil && n < info.Size() {
		err = fmt.Errorf("%s became shorter while it was read: %w", e.file, io.ErrUnexpectedEOF)
	}
	return err
}

// meter counts what is read and stops with ctx.
type meter struct {
	ctx  context.Context
	r    io.Reader
	done *int64
	tell func(int64)
}

// Read reads.
func (m *meter) Read(p []byte) (int, error) {
	if m.ctx.Err() != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.r.Read(p)
	*m.done += int64(n)
	if m.tell != nil && n > 0 {
		m.tell(*m.done)
	}
	return n, err
}
