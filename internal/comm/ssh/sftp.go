package ssh

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"

	"ingot/internal/component"
)

// sftpMover copies files with the SFTP subsystem.
type sftpMover struct{ c *comm }

// with calls f with an SFTP client. When ctx ends the session is closed and
// f's calls fail.
func (m sftpMover) with(ctx context.Context, f func(*sftp.Client) error) error {
	s, err := m.c.session(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	unhook := context.AfterFunc(ctx, func() { _ = s.ch.Close() })
	defer unhook()
	if err := s.request("subsystem", &struct{ Name string }{"sftp"}); err != nil {
		if errors.Is(err, errRefused) {
			return fmt.Errorf("sftp: %w", errNoMover)
		}
		return because(ctx, err)
	}
	client, err := sftp.NewClientPipe(s.ch, s.ch, sftp.UseConcurrentWrites(true))
	if err != nil {
		return because(ctx, fmt.Errorf("sftp: %w", err))
	}
	defer func() { _ = client.Close() }() // everything has been waited for
	err = f(client)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, sftp.ErrSSHFxConnectionLost), !s.l.alive():
		return fmt.Errorf("%w: %w", s.l.lost(), err)
	}
	return err
}

// stoppable makes reading src end with ctx, whatever src does.
func stoppable(ctx context.Context, src io.Reader) (io.Reader, func()) {
	r, w := io.Pipe()
	go func() { // may outlive us in a read that does not end, as in os/exec
		_, err := io.CopyBuffer(w, struct{ io.Reader }{src}, make([]byte, copyBuffer))
		_ = w.CloseWithError(err)
	}()
	unhook := context.AfterFunc(ctx, func() { _ = w.CloseWithError(context.Cause(ctx)) })
	return r, func() {
		unhook()
		_ = r.Close()
	}
}

// name is a path as the SFTP server wants it. That of Windows takes a drive for
// the first folder of an absolute path.
func (m sftpMover) name(p string) string {
	if !m.c.facts.shell.Windows() {
		return p
	}
	p = strings.ReplaceAll(p, `\`, "/")
	if len(p) > 1 && p[1] == ':' {
		p = "/" + p
	}
	return p
}

// modes reports whether files have permission bits.
func (m sftpMover) modes() bool { return !m.c.facts.shell.Windows() }

func (m sftpMover) put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	return m.with(ctx, func(c *sftp.Client) error {
		src, done := stoppable(ctx, src)
		defer done()
		return upload(c, m.name(dst), src, meta, m.modes())
	})
}

// upload writes a file. One that may not be written is replaced.
func upload(c *sftp.Client, dst string, src io.Reader, meta component.FileMeta, modes bool) error {
	f, err := c.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if errors.Is(err, fs.ErrPermission) && c.Remove(dst) == nil {
		f, err = c.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	}
	if err != nil {
		return err
	}
	if modes {
		err = c.Chmod(dst, meta.Mode) // before the contents, which may be secret
	}
	if err == nil {
		_, err = f.ReadFromWithConcurrency(struct{ io.Reader }{src}, 64)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil && !meta.ModTime.IsZero() {
		err = c.Chtimes(dst, meta.ModTime, meta.ModTime)
	}
	return err
}

func (m sftpMover) get(ctx context.Context, src string, dst io.Writer) error {
	return m.with(ctx, func(c *sftp.Client) error { return download(c, m.name(src), dst) })
}

func download(c *sftp.Client, src string, dst io.Writer) error {
	f, err := c.Open(src)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("is a directory")
	}
	if err == nil {
		_, err = f.WriteTo(struct{ io.Writer }{dst})
	}
	return err
}

func (m sftpMover) putTree(ctx context.Context, dst string, archive io.Reader) error {
	return m.with(ctx, func(c *sftp.Client) error {
		archive, done := stoppable(ctx, archive)
		defer done()
		u := &sftpUnpacker{c: c, dst: m.name(dst), tar: tar.NewReader(archive), modes: m.modes()}
		return u.unpack()
	})
}

// sftpUnpacker unpacks an archive file by file.
type sftpUnpacker struct {
	c   *sftp.Client
	dst string
	tar *tar.Reader
	// modes: there are permission bits.
	modes bool
	// folders get their modes at the end: one may forbid to fill them.
	folders []*tar.Header
}

func (u *sftpUnpacker) unpack() error {
	if err := u.c.MkdirAll(u.dst); err != nil {
		return err
	}
	for {
		h, err := u.tar.Next()
		if err == io.EOF {
			return u.finish()
		}
		if err != nil {
			return err
		}
		if err := u.add(path.Join(u.dst, path.Clean("/"+h.Name)), h); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func (u *sftpUnpacker) add(name string, h *tar.Header) error {
	if h.Typeflag == tar.TypeDir {
		u.folders = append(u.folders, h)
		return u.c.MkdirAll(name)
	}
	if err := u.c.MkdirAll(path.Dir(name)); err != nil {
		return err
	}
	if info, err := u.c.Lstat(name); err == nil && !info.IsDir() {
		if err := u.c.Remove(name); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return upload(u.c, name, u.tar, component.FileMeta{Mode: h.FileInfo().Mode(), ModTime: h.ModTime}, u.modes)
	case tar.TypeSymlink:
		return u.c.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return u.c.Link(path.Join(u.dst, path.Clean("/"+h.Linkname)), name)
	}
	return fmt.Errorf("cannot copy a member of type %q with SFTP", h.Typeflag)
}

func (u *sftpUnpacker) finish() error {
	if !u.modes {
		return nil
	}
	for i := len(u.folders) - 1; i >= 0; i-- {
		h := u.folders[i]
		name := path.Join(u.dst, path.Clean("/"+h.Name))
		if name == path.Clean(u.dst) {
			continue
		}
		if err := u.c.Chmod(name, h.FileInfo().Mode()); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

func (m sftpMover) getTree(ctx context.Context, src string, archive io.Writer) error {
	return m.with(ctx, func(c *sftp.Client) error {
		src := m.name(src)
		info, err := c.Stat(src)
		if err == nil && !info.IsDir() {
			err = errors.New("not a directory")
		}
		if err != nil {
			return err
		}
		w := tar.NewWriter(archive)
		if err := sftpPack(c, w, src, ""); err != nil {
			return err
		}
		return w.Close()
	})
}

// sftpPack packs the members of a folder.
func sftpPack(c *sftp.Client, w *tar.Writer, dir, name string) error {
	list, err := c.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, info := range list {
		if err := remoteName(info.Name()); err != nil {
			return err
		}
		file, member := path.Join(dir, info.Name()), path.Join(name, info.Name())
		to := ""
		if info.Mode().Type() == fs.ModeSymlink {
			if to, err = c.ReadLink(file); err != nil {
				return err
			}
		}
		if t := info.Mode().Type(); t != 0 && t != fs.ModeDir && t != fs.ModeSymlink {
			continue // as tar does with sockets
		}
		h, err := tar.FileInfoHeader(plainInfo{info}, to)
		if err != nil {
			return err
		}
		h.Name, h.Format = member, tar.FormatGNU
		if info.IsDir() {
			h.Name += "/"
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		switch {
		case info.IsDir():
			err = sftpPack(c, w, file, member)
		case info.Mode().IsRegular():
			err = download(c, file, w)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", member, err)
		}
	}
	return nil
}

// plainInfo hides what the SFTP library adds, which archive/tar does not know.
type plainInfo struct{ fs.FileInfo }

// Sys is nil.
func (plainInfo) Sys() any { return nil }

// ModTime is in whole seconds, as the archive's format is.
func (i plainInfo) ModTime() time.Time { return i.FileInfo.ModTime().Truncate(time.Second) }
