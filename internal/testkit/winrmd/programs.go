//go:build unix

package winrmd

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// transfers are what the communicator's scripts do, by their first line.
func transfers() map[string]func(*interpreter, string) error {
	return map[string]func(*interpreter, string) error{
		"# ingot put": (*interpreter).put, "# ingot get": (*interpreter).get, "# ingot tree": (*interpreter).tree,
	}
}

func (s *Server) transfer(ctx context.Context, stdin io.Reader, stdout io.Writer, do func(*interpreter, string) error) int {
	i := &interpreter{s: s, out: bufio.NewWriter(stdout), handles: map[string]*os.File{}}
	return i.run(ctx, stdin, do)
}

func decodeScript(encoded string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil || len(raw)%2 != 0 {
		return "", errors.New("the script is not UTF-16 in base64")
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units)), nil
}

// interpreter does what the communicator's scripts do.
type interpreter struct {
	s       *Server
	out     *bufio.Writer
	handles map[string]*os.File
}

func (i *interpreter) run(ctx context.Context, stdin io.Reader, do func(*interpreter, string) error) int {
	defer i.release()
	lines := bufio.NewReaderSize(stdin, 64<<10)
	for {
		line, err := lines.ReadString('\n')
		if ctx.Err() != nil {
			return 1
		}
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			if err := do(i, line); err != nil {
				i.say("!%s %s", kind(err), base64.StdEncoding.EncodeToString([]byte(err.Error())))
				_ = i.out.Flush()
				return 1
			}
		}
		if err == io.EOF {
			i.release()
			i.say(".")
			_ = i.out.Flush()
			return 0
		}
		if err != nil {
			return 1
		}
	}
}

func (i *interpreter) release() {
	for name, f := range i.handles {
		_ = f.Close()
		delete(i.handles, name)
	}
}

func (i *interpreter) say(format string, args ...any) { fmt.Fprintf(i.out, format+"\r\n", args...) }

// kind is the name of the exception that .NET has for an error.
func kind(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotDir):
		return "FileNotFoundException"
	case errors.Is(err, fs.ErrPermission):
		return "UnauthorizedAccessException"
	}
	return "IOException"
}

func (i *interpreter) path(encoded string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	return i.s.Path(string(raw)), nil
}

// put is the script that writes files: see put.ps1 of the communicator.
func (i *interpreter) put(line string) error {
	a := strings.Split(line, " ")
	p, err := i.path(a[1])
	if err != nil {
		return err
	}
	switch {
	case a[0] == "d" && len(a) == 2:
		return os.MkdirAll(p, 0o777)
	case a[0] == "x" && len(a) == 2:
		_ = os.Remove(p)
		return nil
	case a[0] == "W" && len(a) == 4:
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			return err
		}
		return i.write(p, a[2], a[3])
	case a[0] == "w" && len(a) == 4:
		return i.write(p, a[2], a[3])
	case a[0] == "f" && len(a) == 6:
		i.release()
		return i.finish(p, a[2:])
	}
	return fmt.Errorf("not an instruction: %q", a[0])
}

func (i *interpreter) write(p, at, data string) error {
	f := i.handles[p]
	if f == nil {
		i.release()
		var err error
		if f, err = os.OpenFile(p, os.O_WRONLY|os.O_CREATE, 0o666); err != nil {
			return err
		}
		i.handles[p] = f
	}
	offset, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(raw, offset)
	return err
}

var errNotDir = errors.New("not a directory")

func (i *interpreter) finish(from string, a []string) error {
	to, err := i.path(a[0])
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if strconv.Itoa(len(data)) != a[1] || fmt.Sprintf("%X", sha256.Sum256(data)) != a[2] {
		_ = os.Remove(from)
		return errors.New("the file has arrived damaged")
	}
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: %w", to, fs.ErrPermission)
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	ticks, err := strconv.ParseInt(a[3], 10, 64)
	if err != nil || ticks == 0 {
		return err
	}
	t := time.UnixMilli(ticks)
	return os.Chtimes(to, t, t)
}

// get is the script that reads a file: see get.ps1.
func (i *interpreter) get(line string) error {
	p, err := i.path(line)
	if err != nil {
		return err
	}
	return i.read(p)
}

func (i *interpreter) read(p string) error {
	f, err := os.Open(p)
	if err != nil {
		if strings.Contains(err.Error(), "not a directory") {
			return fmt.Errorf("%w: %w", errNotDir, err)
		}
		return err
	}
	defer func() { _ = f.Close() }()
	hash, total, buf := sha256.New(), 0, make([]byte, 49152)
	for {
		n, err := f.Read(buf)
		if n > 0 {
			total += n
			hash.Write(buf[:n])
			i.say("%s", base64.StdEncoding.EncodeToString(buf[:n]))
		}
		if err == io.EOF {
			i.say("=%d %X", total, hash.Sum(nil))
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// tree is the script that reads a folder: see tree.ps1.
func (i *interpreter) tree(line string) error {
	root, err := i.path(line)
	if err != nil {
		return err
	}
	info, err := os.Stat(root)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New("the path is not a folder")
	}
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		name := base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(rel, "/", `\`)))
		switch {
		case d.IsDir():
			i.say("@d %s 0 %d", name, info.ModTime().UnixMilli())
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			i.say("@l %s %s %d", name, base64.StdEncoding.EncodeToString([]byte(to)), info.ModTime().UnixMilli())
			return nil
		}
		i.say("@f %s %d %d", name, info.Size(), info.ModTime().UnixMilli())
		return i.read(p)
	})
}
