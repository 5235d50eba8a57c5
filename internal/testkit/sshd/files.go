//go:build unix

package sshd

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// mapped serves files that are elsewhere on this machine than they seem to be.
type mapped struct{ path func(string) string }

func (s *Server) serveSFTP(ch ssh.Channel) Status {
	if s.o.Files == nil {
		return serveSFTP(ch)
	}
	m := mapped{s.o.Files}
	server := sftp.NewRequestServer(ch, sftp.Handlers{FileGet: m, FilePut: m, FileCmd: m, FileList: m})
	if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) {
		return Status{Code: 1}
	}
	return Status{}
}

// Fileread implements sftp.FileReader.
func (m mapped) Fileread(r *sftp.Request) (io.ReaderAt, error) { return os.Open(m.path(r.Filepath)) }

// Filewrite implements sftp.FileWriter.
func (m mapped) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	return os.OpenFile(m.path(r.Filepath), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// Filecmd implements sftp.FileCmder.
func (m mapped) Filecmd(r *sftp.Request) error {
	p := m.path(r.Filepath)
	switch r.Method {
	case "Setstat":
		return nil
	case "Mkdir":
		return os.Mkdir(p, 0o700)
	case "Remove", "Rmdir":
		return os.Remove(p)
	case "Rename", "PosixRename":
		return os.Rename(p, m.path(r.Target))
	}
	return sftp.ErrSSHFxOpUnsupported
}

// Filelist implements sftp.FileLister.
func (m mapped) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	p := m.path(r.Filepath)
	if r.Method == "List" {
		entries, err := os.ReadDir(p)
		if err != nil {
			return nil, err
		}
		var out listing
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			out = append(out, info)
		}
		return out, nil
	}
	info, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	return listing{info}, nil
}

// listing is what a folder holds.
type listing []fs.FileInfo

// ListAt implements sftp.ListerAt.
func (l listing) ListAt(to []fs.FileInfo, from int64) (int, error) {
	if from >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[from:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}
