package winrm

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"ingot/internal/component"
)

// Put writes a file; see component.Communicator. Windows has no permission bits:
// meta.Mode has no effect.
func (c *comm) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	if err := c.put(ctx, dst, src, meta); err != nil {
		return fmt.Errorf("winrm: upload to %s: %w", dst, err)
	}
	return nil
}

func (c *comm) put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	if dst == "" || strings.HasSuffix(dst, `\`) || strings.HasSuffix(dst, "/") {
		return errors.New("the path names a folder; a file's name is needed")
	}
	ctx, done := c.working(ctx)
	defer done()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	u := newUpload(ctx, c.client)
	return u.do(func() error { return u.file(dst, src, meta.ModTime, false) })
}

// PutTree unpacks a tar stream; see component.Communicator. Symbolic links are
// refused: Windows does not let everybody make them.
func (c *comm) PutTree(ctx context.Context, dst string, archive io.Reader) error {
	if err := c.putTree(ctx, dst, archive); err != nil {
		return fmt.Errorf("winrm: upload the folder %s: %w", dst, err)
	}
	return nil
}

func (c *comm) putTree(ctx context.Context, dst string, archive io.Reader) error {
	ctx, done := c.working(ctx)
	defer done()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	root := strings.TrimRight(dst, `\/`)
	if root == "" || strings.HasSuffix(root, ":") {
		root = dst
	}
	u := newUpload(ctx, c.client)
	return u.do(func() error {
		if err := u.folder(root); err != nil {
			return err
		}
		return u.tree(root, archive)
	})
}

func (u *upload) tree(root string, archive io.Reader) error {
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		name := path.Clean(h.Name)
		if name == "." {
			continue
		}
		if err := windowsName(name); err != nil {
			return err
		}
		target := strings.TrimRight(root, `\/`) + `\` + strings.ReplaceAll(name, "/", `\`)
		switch h.Typeflag {
		case tar.TypeDir:
			err = u.folder(target)
		case tar.TypeReg:
			err = u.file(target, r, h.ModTime, true)
		default:
			err = errors.New("only files and folders can be made over WinRM, no links; upload what the link points to")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

// windowsName refuses names of an archive that would be something else, or
// somewhere else, on Windows.
func windowsName(name string) error {
	if !fs.ValidPath(name) {
		return fmt.Errorf("the name %q in the archive leads out of the folder", name)
	}
	if strings.ContainsAny(name, `<>:"|?*\`) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("%q is not a name that Windows allows", name)
	}
	for _, part := range strings.Split(name, "/") {
		if strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") {
			return fmt.Errorf("%q is not a name that Windows allows: it ends with a dot or a space", part)
		}
	}
	return nil
}

// Get copies a file from the machine; see component.Communicator.
func (c *comm) Get(ctx context.Context, src string, dst io.Writer) error {
	if err := c.download(ctx, getScript, src, &incoming{file: dst}); err != nil {
		return fmt.Errorf("winrm: download %s: %w", src, err)
	}
	return nil
}

// GetTree copies a folder; see component.Communicator. Files get mode 0644 and
// folders 0755.
func (c *comm) GetTree(ctx context.Context, src string, archive io.Writer) error {
	in := &incoming{tar: tar.NewWriter(archive)}
	err := c.download(ctx, treeScript, src, in)
	if err == nil {
		err = in.tar.Close()
	}
	if err != nil {
		return fmt.Errorf("winrm: download the folder %s: %w", src, err)
	}
	return nil
}

func (c *comm) download(ctx context.Context, name, src string, in *incoming) error {
	ctx, done := c.working(ctx)
	defer done()
	if src == "" {
		return fmt.Errorf("no path is given: %w", fs.ErrNotExist)
	}
	if len(src) > maxPath {
		return fmt.Errorf("the path has %d bytes; at most %d are possible", len(src), maxPath)
	}
	var errs tail
	exit, err := execute(ctx, c.client, component.Command{
		Line: powershell(script(name)), Stdin: strings.NewReader(encode(src) + "\n"), Stdout: in, Stderr: &errs,
	})
	switch {
	case in.err != nil:
		return in.err
	case err != nil:
		return err
	}
	if err := verdict(exit, in.last, errs.String()); err != nil {
		return err
	}
	if in.sum != nil || in.tar == nil && !in.checked {
		return errors.New("the end of the file has not arrived")
	}
	return nil
}

// incoming reads what the download scripts print.
type incoming struct {
	file io.Writer   // where one file goes
	tar  *tar.Writer // where a folder goes

	buf     []byte
	last    string // the last line that was not contents
	err     error
	sum     hash.Hash // of the file that is arriving; nil between files
	size    int64
	checked bool
}

// maxIncoming is the longest line that a script may print.
const maxIncoming = 256 << 10

// Write takes a part of the output.
func (in *incoming) Write(p []byte) (int, error) {
	in.buf = append(in.buf, p...)
	start := 0
	for {
		n := bytes.IndexByte(in.buf[start:], '\n')
		if n < 0 {
			break
		}
		line := bytes.TrimSpace(bytes.TrimPrefix(in.buf[start:start+n], []byte("\ufeff")))
		start += n + 1
		if in.err = in.line(line); in.err != nil {
			return 0, in.err
		}
	}
	in.buf = append(in.buf[:0], in.buf[start:]...)
	if len(in.buf) > maxIncoming {
		in.err = errors.New("the machine sends a line without an end")
	}
	return len(p), in.err
}

func (in *incoming) line(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	switch line[0] {
	case '.':
		in.last = string(line)
		return nil
	case '!':
		in.last = string(line)
		return complaint(in.last)
	case '=':
		return in.check(strings.Fields(string(line[1:])))
	case '@':
		return in.entry(strings.Fields(string(line)))
	}
	data, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil {
		return fmt.Errorf("the machine sends what is not base64: %w", err)
	}
	if in.sum == nil {
		if in.tar != nil || in.checked {
			return errors.New("the machine sends contents that belong to no file")
		}
		in.sum = sha256.New()
	}
	in.sum.Write(data)
	in.size += int64(len(data))
	to := in.file
	if in.tar != nil {
		to = in.tar
	}
	if _, err := to.Write(data); err != nil {
		return fmt.Errorf("write what has arrived: %w", err)
	}
	return nil
}

// check compares what has arrived with what the machine has read.
func (in *incoming) check(a []string) error {
	if in.sum == nil {
		in.sum = sha256.New() // an empty file
	}
	if len(a) != 2 || a[0] != strconv.FormatInt(in.size, 10) || !strings.EqualFold(a[1], hex.EncodeToString(in.sum.Sum(nil))) {
		return errors.New("the file has arrived damaged")
	}
	in.sum, in.size, in.checked = nil, 0, true
	if in.tar != nil {
		if err := in.tar.Flush(); err != nil {
			return fmt.Errorf("write what has arrived: %w", err)
		}
	}
	return nil
}

// entry begins a member of a folder: "@KIND NAME SIZE|TARGET MILLISECONDS".
func (in *incoming) entry(a []string) error {
	if in.tar == nil || in.sum != nil || len(a) != 4 {
		return errors.New("the machine sends a member of a folder where none belongs")
	}
	raw, err := base64.StdEncoding.DecodeString(a[1])
	name := strings.ReplaceAll(string(raw), `\`, "/")
	if err != nil || !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("the machine names a file %q, which leads out of the folder", name)
	}
	ms, err := strconv.ParseInt(a[3], 10, 64)
	if err != nil {
		return fmt.Errorf("%s: the time is no number", name)
	}
	h := &tar.Header{Name: name, Mode: 0o644, ModTime: time.UnixMilli(ms).Truncate(time.Second), Format: tar.FormatGNU}
	switch a[0] {
	case "@d":
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
	case "@l":
		to, err := base64.StdEncoding.DecodeString(a[2])
		if err != nil {
			return fmt.Errorf("%s: the target of the link is not base64", name)
		}
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, strings.ReplaceAll(string(to), `\`, "/"), 0o777
	case "@f":
		h.Typeflag = tar.TypeReg
		if h.Size, err = strconv.ParseInt(a[2], 10, 64); err != nil || h.Size < 0 {
			return fmt.Errorf("%s: the size is no number", name)
		}
		in.sum, in.size = sha256.New(), 0
	default:
		return fmt.Errorf("the machine sends something unknown: %q", a[0])
	}
	if err := in.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("write what has arrived: %w", err)
	}
	return nil
}
