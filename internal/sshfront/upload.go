package sshfront

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"ingot/internal/component"
)

// upload is a file that is being received. Parts may come in any order, so it
// goes to the machine when it is complete.
type upload struct {
	m    *machine
	file *spool
	dst  string

	mu   sync.Mutex // guards what follows
	meta component.FileMeta
	err  error // why it is not to be sent
}

// Filewrite implements sftp.FileWriter.
func (m *machine) Filewrite(r *sftp.Request) (io.WriterAt, error) { return m.OpenFile(r) }

// OpenFile implements sftp.OpenFileWriter.
func (m *machine) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	flags := r.Pflags()
	if flags.Excl {
		if _, err := m.stat(r.Filepath, "''"); err == nil {
			return nil, errors.New("the file exists")
		}
	}
	f, err := m.temporary()
	if err != nil {
		return nil, err
	}
	if !flags.Trunc {
		// What the client does not write over stays.
		err := m.s.comm.Get(m.ctx, r.Filepath, f)
		if err != nil && !(flags.Creat && errors.Is(err, fs.ErrNotExist)) {
			return nil, errors.Join(plain(err), f.Close())
		}
	}
	// The library does not tell which mode the client asks for here; it may
	// set one later.
	u := &upload{m: m, file: f, dst: r.Filepath, meta: component.FileMeta{Mode: 0o644}}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.uploads[r.Filepath] != nil {
		return nil, errors.Join(errors.New("the file is being written already"), f.Close())
	}
	m.uploads[r.Filepath] = u
	return u, nil
}

// receiving is the upload to a path, nil when there is none.
func (m *machine) receiving(name string) *upload {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.uploads[name]
}

// WriteAt implements io.WriterAt.
func (u *upload) WriteAt(p []byte, at int64) (int, error) {
	n, err := u.file.WriteAt(p, at)
	if err != nil {
		u.TransferError(err)
	}
	return n, err
}

// ReadAt implements io.ReaderAt: what was received can be read again.
func (u *upload) ReadAt(p []byte, at int64) (int, error) { return u.file.ReadAt(p, at) }

// TransferError implements sftp.TransferError: half a file is not sent.
func (u *upload) TransferError(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
}

func (u *upload) setstat(a *sftp.FileStat, set sftp.FileAttrFlags) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if set.Permissions {
		u.meta.Mode = fs.FileMode(a.Mode & 0o777)
	}
	if set.Acmodtime {
		u.meta.ModTime = time.Unix(int64(a.Mtime), 0)
	}
	if set.Size {
		return u.file.Truncate(int64(a.Size))
	}
	return nil
}

func (u *upload) info() info {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := info{name: path.Base(u.dst), mode: u.meta.Mode, modified: u.meta.ModTime}
	if i, err := u.file.Stat(); err == nil {
		out.size = i.Size()
	}
	return out
}

// Close sends the file to the machine.
func (u *upload) Close() (err error) {
	defer func() { err = errors.Join(err, u.file.Close()) }()
	u.m.mu.Lock()
	delete(u.m.uploads, u.dst)
	u.m.mu.Unlock()
	u.mu.Lock()
	meta, failed := u.meta, u.err
	u.mu.Unlock()
	if failed != nil {
		return failed
	}
	if meta.Size, err = u.file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if _, err := u.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	// The reader is hidden behind an interface, so that nobody but us closes
	// the file.
	if err := u.m.s.comm.Put(u.m.ctx, u.dst, struct{ io.Reader }{u.file}, meta); err != nil {
		return plain(err)
	}
	return nil
}
