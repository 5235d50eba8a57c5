package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
	"ingot/internal/shellenv"
)

// Put implements component.Communicator.
func (c *comm) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	own, err := c.owner(ctx)
	if err != nil {
		return err
	}
	if err := checkRemote(dst); err != nil {
		return err
	}
	if meta.Mode == 0 {
		meta.Mode = 0o644
	}
	if n, ok := knownSize(src); ok && meta.Size < 0 {
		meta.Size = n
	}
	in := newPump(ctx, src)
	defer in.stop()
	body, whole := in.small(smallInput)
	if whole {
		if meta.Size >= 0 && meta.Size != int64(len(body)) {
			return fmt.Errorf("docker: upload %s: the source has %d bytes instead of %d: %w", dst, len(body), meta.Size, io.ErrUnexpectedEOF)
		}
		meta.Size = int64(len(body))
		if c.putInShell(ctx, dst, body, meta, own) {
			return nil
		}
		in = newPump(ctx, bytes.NewReader(body))
		defer in.stop()
	}
	if c.inMemory(dst) {
		return c.putByExec(ctx, dst, in, meta, own)
	}
	return c.putArchive(ctx, dst, in, meta, own)
}

// putInShell writes a small file with the shell that is there anyway, which is
// much faster than the archive call. It reports false when that is not
// possible or goes wrong; the archive call then tells why.
func (c *comm) putInShell(ctx context.Context, dst string, body []byte, meta component.FileMeta, own owner) bool {
	line := fmt.Sprintf("f=%s; [ -d %s ] && [ ! -d \"$f\" ] && rm -f \"$f\" && cat >\"$f\" && chmod %o \"$f\"",
		shellenv.Quote(path.Clean("/"+dst)), shellenv.Quote(path.Dir(path.Clean("/"+dst))), meta.Mode.Perm())
	if own != (owner{}) || !meta.ModTime.IsZero() || !c.shellFits(line) || strings.HasSuffix(dst, "/") {
		return false
	}
	code, err := c.inShell(ctx, line, body, nil, nil)
	return err == nil && code == 0
}

func (c *comm) putArchive(ctx context.Context, dst string, in *pump, meta component.FileMeta, own owner) error {
	src, size, done, err := c.sized(in, meta.Size)
	if err != nil {
		return fmt.Errorf("docker: upload %s: %w", dst, err)
	}
	defer done()
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: path.Base(dst), Size: size, Mode: int64(meta.Mode.Perm()),
		Uid: own.uid, Gid: own.gid, ModTime: meta.ModTime, Format: tar.FormatPAX,
	}
	if h.ModTime.IsZero() {
		h.ModTime = c.clock.Now()
	}
	h.ModTime = h.ModTime.Truncate(time.Second)
	return c.send(ctx, path.Dir(path.Clean("/"+dst)), dst, func(w io.Writer) error { return writeFile(w, h, src) })
}

// writeFile writes a tar stream with one file. Too few or too many bytes in src
// are an error.
func writeFile(w io.Writer, h *tar.Header, src io.Reader) error {
	t := tar.NewWriter(w)
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(t, src)
	if errors.Is(err, tar.ErrWriteTooLong) {
		return fmt.Errorf("the source has more than the %d bytes announced", h.Size)
	}
	if err != nil {
		return err
	}
	if n != h.Size {
		return fmt.Errorf("the source ended after %d of %d bytes: %w", n, h.Size, io.ErrUnexpectedEOF)
	}
	return t.Close()
}

// sized finds out how many bytes src has, which a tar stream must say before
// them. A source that does not know is kept meanwhile.
func (c *comm) sized(src *pump, size int64) (io.Reader, int64, func(), error) {
	if size >= 0 {
		return src, size, func() {}, nil
	}
	kept, size, done, err := c.keep(src)
	return kept, size, done, err
}

// keptInMemory is how much of a source is kept in memory; more goes to a file.
const keptInMemory = 4 << 20

// keep reads a source to its end, to be read once more.
func (c *comm) keep(src io.Reader) (io.ReadSeeker, int64, func(), error) {
	var head bytes.Buffer
	n, err := io.CopyN(&head, src, keptInMemory)
	if err == io.EOF {
		return bytes.NewReader(head.Bytes()), n, func() {}, nil
	}
	if err != nil {
		return nil, 0, nil, err
	}
	f, err := os.CreateTemp(c.tempDir, "upload-")
	if err != nil {
		return nil, 0, nil, err
	}
	done := func() { f.Close(); os.Remove(f.Name()) }
	n, err = io.Copy(f, io.MultiReader(&head, src))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		done()
		return nil, 0, nil, err
	}
	return f, n, done, nil
}

// send gives the engine a tar stream to unpack in a folder. what is for
// messages.
func (c *comm) send(ctx context.Context, folder, what string, write func(io.Writer) error) error {
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := write(w)
		w.CloseWithError(err)
		wrote <- err
	}()
	_, err := c.engine.CopyToContainer(ctx, c.id, client.CopyToContainerOptions{DestinationPath: folder, Content: r})
	// An engine that answers early must not leave the writer waiting.
	r.CloseWithError(errStopped)
	werr := <-wrote
	if errors.Is(werr, errStopped) || errors.Is(werr, io.ErrClosedPipe) {
		werr = nil // the engine stopped reading, and err says why
	}
	if werr != nil && ctx.Err() == nil {
		return fmt.Errorf("docker: upload %s: %w", what, werr)
	}
	return c.explainCopy(ctx, "upload "+what, err, func() error {
		return fmt.Errorf("docker: upload %s: the folder %s does not exist: %w", what, folder, fs.ErrNotExist)
	})
}

// explainCopy sorts the errors of the archive calls.
func (c *comm) explainCopy(ctx context.Context, doing string, err error, missing func() error) error {
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case cause != nil:
		return fmt.Errorf("docker: %s: %w", doing, cause)
	case cerrdefs.IsNotFound(err) && strings.Contains(err.Error(), "No such container"):
		return fmt.Errorf("docker: %s: container %s is gone: %w: %w", doing, short(c.id), component.ErrDisconnected, err)
	case cerrdefs.IsNotFound(err):
		return missing()
	case cerrdefs.IsPermissionDenied(err):
		return fmt.Errorf("docker: %s: %w: %w", doing, fs.ErrPermission, err)
	case dockerengine.Lost(err):
		return fmt.Errorf("%w: %w", component.ErrDisconnected, c.engine.Explain(ctx, doing, err))
	}
	return c.engine.Explain(ctx, doing, err)
}

// Get implements component.Communicator.
func (c *comm) Get(ctx context.Context, src string, dst io.Writer) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := checkRemote(src); err != nil {
		return err
	}
	if c.inMemory(src) {
		return c.getByExec(ctx, src, dst)
	}
	return c.get(ctx, src, dst)
}

// get copies a file through the archive call, which yields a symbolic link as
// such, but tells where it leads.
func (c *comm) get(ctx context.Context, src string, dst io.Writer) error {
	for range 2 {
		target, err := c.getOnce(ctx, src, dst)
		if err != nil || target == "" {
			return err
		}
		src = target
	}
	return fmt.Errorf("docker: download %s: it leads to another symbolic link", src)
}

func (c *comm) getOnce(ctx context.Context, src string, dst io.Writer) (link string, err error) {
	got, err := c.engine.CopyFromContainer(ctx, c.id, client.CopyFromContainerOptions{SourcePath: src})
	if err != nil {
		return "", c.explainCopy(ctx, "download "+src, err, func() error {
			return fmt.Errorf("docker: download %s: it does not exist: %w", src, fs.ErrNotExist)
		})
	}
	defer got.Content.Close()
	t := tar.NewReader(got.Content)
	h, err := t.Next()
	switch {
	case err != nil:
		return "", c.explainStream(ctx, src, err)
	case h.Typeflag == tar.TypeSymlink && got.Stat.LinkTarget != "":
		return got.Stat.LinkTarget, nil
	case h.Typeflag == tar.TypeDir:
		return "", fmt.Errorf("docker: download %s: it is a folder, not a file", src)
	case h.Typeflag != tar.TypeReg:
		return "", fmt.Errorf("docker: download %s: it is not a regular file", src)
	}
	_, err = io.Copy(markSink{dst}, t)
	return "", c.explainStream(ctx, src, err)
}

// explainStream sorts errors in the middle of a download.
func (c *comm) explainStream(ctx context.Context, src string, err error) error {
	var sink *sinkError
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case cause != nil:
		return fmt.Errorf("docker: download %s: %w", src, cause)
	case errors.As(err, &sink):
		return fmt.Errorf("docker: download %s: %w", src, sink.error)
	}
	return fmt.Errorf("docker: download %s: %w: %w", src, component.ErrDisconnected, err)
}

// PutTree implements component.Communicator.
func (c *comm) PutTree(ctx context.Context, dst string, archive io.Reader) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := checkRemote(dst); err != nil {
		return err
	}
	own, err := c.owner(ctx)
	if err != nil {
		return err
	}
	in := newPump(ctx, archive)
	defer in.stop()
	if c.inMemory(dst) {
		return c.putTreeByExec(ctx, dst, in, own)
	}
	existing, missing, err := c.split(ctx, dst)
	if err != nil {
		return err
	}
	if missing != "" {
		return c.send(ctx, existing, dst, func(w io.Writer) error {
			return c.copyTree(w, in, missing, own, nil)
		})
	}
	kept, _, release, err := c.keep(in)
	if err != nil {
		return fmt.Errorf("docker: upload %s: %w", dst, err)
	}
	defer release()
	links, err := c.linkedFolders(ctx, existing, kept)
	if err != nil {
		return fmt.Errorf("docker: upload %s: %w", dst, err)
	}
	return c.send(ctx, existing, dst, func(w io.Writer) error {
		return c.copyTree(w, kept, "", own, links)
	})
}

// linkedFolders finds the folders of an archive that are symbolic links to
// folders in the container, such as /lib. The engine would refuse to unpack
// them, and cannot be asked while it unpacks.
func (c *comm) linkedFolders(ctx context.Context, dst string, archive io.ReadSeeker) (map[string]bool, error) {
	links, absent := map[string]bool{}, map[string]bool{}
	for in := tar.NewReader(archive); ; {
		h, err := in.Next()
		if err == io.EOF {
			_, err := archive.Seek(0, io.SeekStart)
			return links, err
		}
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		if h.Typeflag != tar.TypeDir || name == "." || absent[path.Dir(name)] {
			continue
		}
		st, err := c.engine.ContainerStatPath(ctx, c.id, client.ContainerStatPathOptions{Path: path.Join(dst, name)})
		switch {
		case cerrdefs.IsNotFound(err):
			absent[name] = true
		case err != nil:
			return nil, err
		case st.Stat.Mode&fs.ModeSymlink != 0 && st.Stat.LinkTarget != "":
			to, err := c.engine.ContainerStatPath(ctx, c.id, client.ContainerStatPathOptions{Path: st.Stat.LinkTarget})
			links[name] = err == nil && to.Stat.Mode.IsDir()
		}
	}
}

// split finds how much of a folder's path exists.
func (c *comm) split(ctx context.Context, dst string) (existing, missing string, err error) {
	existing = path.Clean("/" + dst)
	for {
		st, err := c.engine.ContainerStatPath(ctx, c.id, client.ContainerStatPathOptions{Path: existing})
		switch {
		case err == nil && st.Stat.Mode&fs.ModeSymlink != 0 && st.Stat.LinkTarget != "":
			return st.Stat.LinkTarget, missing, nil
		case err == nil && !st.Stat.Mode.IsDir():
			return "", "", fmt.Errorf("docker: upload %s: %s is not a folder", dst, existing)
		case err == nil:
			return existing, missing, nil
		case !cerrdefs.IsNotFound(err) || existing == "/":
			return "", "", c.explainCopy(ctx, "upload "+dst, err, func() error { return c.engine.Explain(ctx, "upload "+dst, err) })
		}
		missing = path.Join(path.Base(existing), missing)
		existing = path.Dir(existing)
	}
}

// copyTree passes a tar stream on with its names below base, whose folders are
// made, and with the owner set. Folders in skip are left alone. Names that climb
// out of the tree are refused.
func (c *comm) copyTree(w io.Writer, archive io.Reader, base string, own owner, skip map[string]bool) error {
	in, out := tar.NewReader(archive), tar.NewWriter(w)
	if err := c.writeFolders(out, base, own); err != nil {
		return err
	}
	for {
		h, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		if name == "." || h.Typeflag == tar.TypeDir && skip[name] {
			continue
		}
		if name == ".." || strings.HasPrefix(name, "../") {
			return fmt.Errorf("the archive names %q, which is outside of the tree", h.Name)
		}
		h.Name = path.Join(base, name)
		if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = path.Join(base, path.Clean("/"+h.Linkname))
		}
		if c.fixOwner {
			h.Uid, h.Gid, h.Uname, h.Gname = own.uid, own.gid, "", ""
		}
		h.Format = tar.FormatUnknown
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return fmt.Errorf("copy %s: %w", h.Name, err)
		}
	}
}

// GetTree implements component.Communicator.
func (c *comm) GetTree(ctx context.Context, src string, archive io.Writer) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := checkRemote(src); err != nil {
		return err
	}
	if c.inMemory(src) {
		return c.getTreeByExec(ctx, src, archive)
	}
	// The dot makes the engine follow a symbolic link to the folder.
	got, err := c.engine.CopyFromContainer(ctx, c.id, client.CopyFromContainerOptions{SourcePath: path.Clean(src) + "/."})
	if err != nil {
		return c.explainCopy(ctx, "download "+src, err, func() error {
			return fmt.Errorf("docker: download %s: the folder does not exist: %w", src, fs.ErrNotExist)
		})
	}
	defer got.Content.Close()
	if !got.Stat.Mode.IsDir() {
		return fmt.Errorf("docker: download %s: it is not a folder", src)
	}
	return c.explainStream(ctx, src, stripTree(markSink{archive}, got.Content))
}

// stripTree passes a tar stream on without the folder that it is about: the
// first entry, which all other names start with.
func stripTree(w io.Writer, archive io.Reader) error {
	in, out := tar.NewReader(archive), tar.NewWriter(w)
	root := ""
	for first := true; ; first = false {
		h, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if first && h.Typeflag == tar.TypeDir {
			root = name
			continue
		}
		h.Name = below(root, name)
		if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = below(root, path.Clean(h.Linkname))
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}

func below(root, name string) string {
	if root == "" || root == "." {
		return name
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
}

// checkRemote refuses paths that have no meaning in a container.
func checkRemote(p string) error {
	if p == "" {
		return errors.New("docker: the remote path is empty")
	}
	return nil
}

// inMemory reports whether a path is where the archive calls do not reach.
func (c *comm) inMemory(p string) bool {
	p = path.Clean("/" + p)
	return slices.ContainsFunc(c.memoryMounts, func(m string) bool {
		return p == m || strings.HasPrefix(p, strings.TrimSuffix(m, "/")+"/")
	})
}

// byExec runs a shell script as root, with arguments, and turns its failure
// into an error. The script says "missing" for a path that is not there.
func (c *comm) byExec(ctx context.Context, doing, script string, args []string, stdin *pump, stdout io.Writer) error {
	var stderr bytes.Buffer
	code, err := c.run(ctx, execution{
		argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...),
		user: "0", stdin: stdin, stdout: stdout, stderr: &stderr,
	})
	switch text := strings.TrimSpace(stderr.String()); {
	case err != nil:
		return fmt.Errorf("docker: %s: %w", doing, err)
	case code == missingCode:
		return fmt.Errorf("docker: %s: %w", doing, fs.ErrNotExist)
	case code != 0:
		return fmt.Errorf("docker: %s: exit code %d: %s", doing, code, text)
	}
	return nil
}

// missingCode is what the scripts of byExec exit with for a missing path.
const missingCode = 44

func (c *comm) putByExec(ctx context.Context, dst string, src *pump, meta component.FileMeta, own owner) error {
	dst = path.Clean("/" + dst)
	err := c.byExec(ctx, "upload "+dst, `[ -d "$1" ] || exit 44; rm -f "$2"; cat >"$2" && chmod "$3" "$2" && chown "$4" "$2"`,
		[]string{path.Dir(dst), dst, strconv.FormatInt(int64(meta.Mode.Perm()), 8), fmt.Sprintf("%d:%d", own.uid, own.gid)}, src, nil)
	if err == nil && meta.Size >= 0 && src.read != meta.Size {
		return fmt.Errorf("docker: upload %s: the source has %d bytes instead of %d: %w", dst, src.read, meta.Size, io.ErrUnexpectedEOF)
	}
	return err
}

func (c *comm) getByExec(ctx context.Context, src string, dst io.Writer) error {
	return c.byExec(ctx, "download "+src, `[ -e "$1" ] || exit 44; cat "$1"`, []string{src}, nil, dst)
}

func (c *comm) putTreeByExec(ctx context.Context, dst string, archive *pump, own owner) error {
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := c.copyTree(w, archive, "", own, nil)
		w.CloseWithError(err)
		wrote <- err
	}()
	in := newPump(ctx, r)
	defer in.stop()
	err := c.byExec(ctx, "upload "+dst, `mkdir -p "$1" && tar -xf - -C "$1"`, []string{dst}, in, nil)
	r.CloseWithError(errStopped)
	if werr := <-wrote; werr != nil && !errors.Is(werr, errStopped) {
		return fmt.Errorf("docker: upload %s: %w", dst, werr)
	}
	return err
}

func (c *comm) getTreeByExec(ctx context.Context, src string, archive io.Writer) error {
	r, w := io.Pipe()
	stripped := make(chan error, 1)
	go func() {
		err := stripTree(archive, r)
		r.CloseWithError(err)
		stripped <- err
	}()
	err := c.byExec(ctx, "download "+src, `[ -d "$1" ] || exit 44; tar -cf - -C "$1" .`, []string{src}, nil, w)
	w.CloseWithError(err)
	if serr := <-stripped; err == nil && serr != nil {
		return fmt.Errorf("docker: download %s: %w", src, serr)
	}
	return err
}

// writeFolders writes an entry for each folder of a path.
func (c *comm) writeFolders(out *tar.Writer, folders string, own owner) error {
	name := ""
	for part := range strings.SplitSeq(folders, "/") {
		if part == "" {
			continue
		}
		name = path.Join(name, part)
		h := &tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, Uid: own.uid, Gid: own.gid, ModTime: c.clock.Now().Truncate(time.Second)}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
	}
	return nil
}
