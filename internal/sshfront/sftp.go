package sshfront

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"ingot/internal/component"
)

// machine does what SFTP clients ask for: contents travel as files of the
// communicator, the rest is done by short shell scripts.
type machine struct {
	s   *Server
	ctx context.Context //nolint:containedctx // the library's handlers take none

	mu      sync.Mutex         // guards uploads
	uploads map[string]*upload // those that are being received, by path
}

// Exit codes of the scripts.
const (
	codeAbsent = 3
	codeExists = 4
)

// shell runs a script and returns what it prints.
func (m *machine) shell(script string) (string, error) {
	var out, complaint bytes.Buffer
	exit, err := m.s.comm.Run(m.ctx, component.Command{Line: script, Stdout: &out, Stderr: &complaint})
	switch {
	case err != nil:
		m.s.noteLost(err)
		return "", err
	case exit.Code == codeAbsent:
		return "", fs.ErrNotExist
	case exit.Code == codeExists:
		return "", errors.New("the file exists")
	case exit.Code != 0 && strings.Contains(complaint.String(), "ermission denied"):
		return "", fs.ErrPermission
	case exit.Code != 0:
		return "", fmt.Errorf("%s: %s", exit, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// word makes a word of any text for a POSIX shell.
func word(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// describe is a shell function that prints type and mode in hexadecimal, size
// and time of a file; its first argument is -L to follow a link, or nothing.
// Systems differ in stat, and small ones do not have it.
const describe = `d() {
stat $1 -c '%f %s %Y' -- "$2" 2>/dev/null || stat $1 -f '%Xp %z %m' -- "$2" 2>/dev/null || {
if [ -z "$1" ] && [ -L "$2" ]; then echo a1ff 0 0
elif [ -d "$2" ]; then echo 41ed 0 0
elif [ -x "$2" ]; then echo 81ed $(wc -c <"$2") 0
else echo 81a4 $(wc -c <"$2") 0; fi; }
}
`

// info is what is known of a file.
type info struct {
	name     string
	mode     fs.FileMode
	size     int64
	modified time.Time
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }

// parseInfo reads a line of describe.
func parseInfo(name, line string) (info, error) {
	f := strings.Fields(line)
	if len(f) != 3 {
		return info{}, fmt.Errorf("the machine describes %s as %q", name, line)
	}
	raw, err := strconv.ParseUint(f[0], 16, 32)
	if err != nil {
		return info{}, fmt.Errorf("mode of %s: %w", name, err)
	}
	size, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return info{}, fmt.Errorf("size of %s: %w", name, err)
	}
	seconds, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return info{}, fmt.Errorf("time of %s: %w", name, err)
	}
	return info{name: name, mode: fileMode(uint32(raw)), size: size, modified: time.Unix(seconds, 0)}, nil
}

// fileMode turns a mode as Unix has it into Go's.
func fileMode(raw uint32) fs.FileMode {
	mode := fs.FileMode(raw & 0o777)
	switch raw & 0xf000 {
	case 0x4000:
		mode |= fs.ModeDir
	case 0xa000:
		mode |= fs.ModeSymlink
	case 0x1000:
		mode |= fs.ModeNamedPipe
	case 0xc000:
		mode |= fs.ModeSocket
	case 0x2000:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case 0x6000:
		mode |= fs.ModeDevice
	}
	for bit, m := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if raw&bit != 0 {
			mode |= m
		}
	}
	return mode
}

// list is a result of Filelist.
type list []fs.FileInfo

// ListAt implements sftp.ListerAt.
func (l list) ListAt(out []fs.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(out, l[offset:])
	if n < len(out) {
		return n, io.EOF
	}
	return n, nil
}

// Filelist implements sftp.FileLister.
func (m *machine) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "Stat":
		return m.stat(r.Filepath, "-L")
	case "List":
		return m.folder(r.Filepath)
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

// Lstat implements sftp.LstatFileLister.
func (m *machine) Lstat(r *sftp.Request) (sftp.ListerAt, error) { return m.stat(r.Filepath, "''") }

func (m *machine) stat(name, follow string) (sftp.ListerAt, error) {
	if u := m.receiving(name); u != nil {
		return list{u.info()}, nil
	}
	i, err := m.info(name, follow)
	if err != nil {
		return nil, err
	}
	return list{i}, nil
}

// info describes a file; follow is -L, or two quotes for a link itself.
func (m *machine) info(name, follow string) (info, error) {
	test := `[ -e "$p" ]`
	if follow != "-L" {
		test += ` || [ -L "$p" ]`
	}
	out, err := m.shell(fmt.Sprintf("%sp=%s; { %s; } || exit %d; d %s \"$p\"", describe, word(name), test, codeAbsent, follow))
	if err != nil {
		return info{}, err
	}
	return parseInfo(path.Base(name), out)
}

func (m *machine) folder(name string) (sftp.ListerAt, error) {
	entries, err := m.entries(name)
	if err != nil {
		return nil, err
	}
	out := make(list, len(entries))
	for i, e := range entries {
		out[i] = e
	}
	return out, nil
}

// entries lists a folder. The parts of an entry end with null bytes, since names
// may hold line ends.
func (m *machine) entries(name string) ([]info, error) {
	out, err := m.shell(fmt.Sprintf(`%sp=%s; [ -d "$p" ] || exit %d; cd -- "$p" || exit 1
for f in * .[!.]* ..?*; do
if [ -e "$f" ] || [ -L "$f" ]; then d '' "$f"; printf '\000%%s\000' "$f"; fi
done`, describe, word(name), codeAbsent))
	if err != nil {
		return nil, err
	}
	var entries []info
	parts := strings.Split(out, "\x00")
	for i := 0; i+1 < len(parts); i += 2 {
		if base := parts[i+1]; base == "" || strings.Contains(base, "/") {
			return nil, fmt.Errorf("the machine lists a file of the name %q", base)
		}
		e, err := parseInfo(parts[i+1], parts[i])
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Readlink implements sftp.ReadlinkFileLister.
func (m *machine) Readlink(name string) (string, error) {
	out, err := m.shell(fmt.Sprintf("p=%s; [ -L \"$p\" ] || exit %d; readlink \"$p\"", word(name), codeAbsent))
	return strings.TrimSuffix(out, "\n"), err
}

// RealPath implements sftp.RealPathFileLister. A relative path is one of the
// folder that commands start in.
func (m *machine) RealPath(name string) (string, error) {
	if path.IsAbs(name) {
		return path.Clean(name), nil
	}
	home, err := m.shell("pwd")
	if err != nil {
		return "", err
	}
	return path.Join("/", strings.TrimSuffix(home, "\n"), name), nil
}

// Filecmd implements sftp.FileCmder.
func (m *machine) Filecmd(r *sftp.Request) error {
	p, q := word(r.Filepath), word(r.Target)
	var script string
	switch r.Method {
	case "Setstat":
		return m.setstat(r)
	case "Rename":
		script = fmt.Sprintf("{ [ -e %s ] || [ -L %[1]s ]; } && exit %d; mv -- %s %[1]s", q, codeExists, p)
	case "Mkdir":
		script = fmt.Sprintf("{ [ -e %s ] || [ -L %[1]s ]; } && exit %d; mkdir -- %[1]s", p, codeExists)
	case "Rmdir":
		script = "rmdir -- " + p
	case "Remove":
		script = fmt.Sprintf("{ [ -e %s ] || [ -L %[1]s ]; } || exit %d; rm -f -- %[1]s", p, codeAbsent)
	case "Symlink":
		script = "ln -s -- " + p + " " + q
	case "Link":
		script = "ln -- " + p + " " + q
	default:
		return sftp.ErrSSHFxOpUnsupported
	}
	_, err := m.shell(script)
	return err
}

// PosixRename implements sftp.PosixRenameFileCmder: a file in the way is
// replaced.
func (m *machine) PosixRename(r *sftp.Request) error {
	_, err := m.shell(fmt.Sprintf("[ -d %s ] && exit %d; mv -f -- %s %[1]s", word(r.Target), codeExists, word(r.Filepath)))
	return err
}

// setstat changes what a file is like. One that is being received gets it when
// it arrives.
func (m *machine) setstat(r *sftp.Request) error {
	a, set := r.Attributes(), r.AttrFlags()
	if u := m.receiving(r.Filepath); u != nil {
		return u.setstat(a, set)
	}
	var commands []string
	p := word(r.Filepath)
	if set.Size {
		commands = append(commands, fmt.Sprintf("truncate -s %d -- %s", a.Size, p))
	}
	if set.UidGid {
		commands = append(commands, fmt.Sprintf("chown %d:%d -- %s", a.UID, a.GID, p))
	}
	if set.Permissions {
		commands = append(commands, fmt.Sprintf("chmod %o -- %s", a.Mode&0o7777, p))
	}
	if set.Acmodtime {
		commands = append(commands, fmt.Sprintf("TZ=UTC0 touch -t %s -- %s", time.Unix(int64(a.Mtime), 0).UTC().Format("200601021504.05"), p))
	}
	if len(commands) == 0 {
		return nil
	}
	_, err := m.shell(fmt.Sprintf("[ -e %s ] || exit %d; %s", p, codeAbsent, strings.Join(commands, " && ")))
	return err
}

// Fileread implements sftp.FileReader: the whole file is fetched first, since
// clients read at any place.
func (m *machine) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	f, err := m.temporary()
	if err != nil {
		return nil, err
	}
	if err := m.s.comm.Get(m.ctx, r.Filepath, f); err != nil {
		_ = f.Close() // the error that counts is that of Get
		return nil, plain(err)
	}
	return f, nil
}

// plain is an error that the library recognises.
func plain(err error) error {
	for _, known := range []error{fs.ErrNotExist, fs.ErrPermission} {
		if errors.Is(err, known) {
			return known
		}
	}
	return err
}

// temporary makes a file that is gone when it is closed.
func (m *machine) temporary() (*spool, error) {
	f, err := os.CreateTemp(m.s.o.Dir, "transfer-*")
	if err != nil {
		return nil, err
	}
	return &spool{f}, nil
}

type spool struct{ *os.File }

// Close removes the file too.
func (s *spool) Close() error { return errors.Join(s.File.Close(), os.Remove(s.Name())) }
