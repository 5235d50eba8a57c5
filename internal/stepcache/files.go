package stepcache

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ingot/internal/treecopy"
)

// Files are the parts for files and folders on this computer: names, modes and
// contents, with links followed, and the order of the paths. Times do not count.
func Files(ctx context.Context, paths []string) ([]Part, error) {
	var out []Part
	seen := map[string]bool{}
	for _, path := range paths {
		if seen[path] {
			continue
		}
		seen[path] = true
		p, err := file(ctx, path)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	if len(paths) > 1 {
		out = append(out, Text("list of files", fmt.Sprintf("%q", paths)))
	}
	return out, nil
}

func file(ctx context.Context, path string) (Part, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Part{}, err
	}
	h := sha256.New()
	name := "file " + filepath.ToSlash(path)
	switch {
	case info.IsDir():
		name = "folder " + filepath.ToSlash(path)
		err = digestTree(ctx, h, path)
	case !info.Mode().IsRegular():
		return Part{}, fmt.Errorf("%s is neither a file nor a folder", path)
	default:
		err = digestFile(ctx, h, path, info.Mode())
	}
	if err != nil {
		return Part{}, err
	}
	return Part{Name: name, Digest: "sha256:" + hex.EncodeToString(h.Sum(nil))}, nil
}

func digestFile(ctx context.Context, h io.Writer, path string, mode fs.FileMode) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return digestMember(ctx, h, "", mode, f)
}

// digestTree goes through the folder as an upload of it would.
func digestTree(ctx context.Context, h io.Writer, path string) error {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := treecopy.Pack(ctx, w, path, treecopy.PackOptions{FollowLinks: true, Skipped: func(string, fs.FileMode) {}})
		w.CloseWithError(err)
		packed <- err
	}()
	err := digestArchive(ctx, h, r)
	r.CloseWithError(err)
	if packErr := <-packed; packErr != nil {
		return packErr
	}
	return err
}

func digestArchive(ctx context.Context, h io.Writer, r io.Reader) error {
	for members := tar.NewReader(r); ; {
		m, err := members.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r) // the padding behind the last member
			return err
		}
		if err == nil {
			err = digestMember(ctx, h, m.Name, m.FileInfo().Mode(), members)
		}
		if err != nil {
			return err
		}
	}
}

// digestMember hashes contents for themselves, so that their borders count.
func digestMember(ctx context.Context, h io.Writer, name string, mode fs.FileMode, r io.Reader) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, stoppable{ctx, r}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(h, "%q %o %x\n", name, mode, sum.Sum(nil))
	return err
}

// stoppable is a reader that fails once ctx has ended.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// secretSize is the length of the key for secrets, in bytes.
const secretSize = 32

// LoadSecret returns the key for secrets that is in a file, which is made when it
// is not there. Only its owner can read it.
func LoadSecret(path string) (Secret, error) {
	data, err := os.ReadFile(path)
	switch {
	case err == nil && len(data) == secretSize:
		return data, nil
	case err == nil:
		return nil, fmt.Errorf("step cache: %s is not a key: remove it, and a new one is made", path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("step cache: %w", err)
	}
	if err := makeSecret(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("step cache: make key: %w", err)
	}
	return LoadSecret(path)
}

// makeSecret gives the file its name when it is complete; who comes second finds
// that it exists.
func makeSecret(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	key := make([]byte, secretSize)
	_, _ = rand.Read(key) // never fails
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
