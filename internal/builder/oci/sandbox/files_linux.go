package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/layers"
)

// put writes a file in place, so that links and mounted files stay what they
// are. What was begun and not finished is removed if it was not there before.
func put(root *layers.Root, q putRequest, data *os.File) error {
	_, statErr := root.Stat(q.Path)
	f, err := openForWriting(root, q.Path)
	if err != nil {
		return err
	}
	err = fill(f, q, data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = setMtime(root, q)
	}
	if err != nil && errors.Is(statErr, fs.ErrNotExist) {
		_ = root.RemoveAll(q.Path)
	}
	return err
}

func openForWriting(root *layers.Root, name string) (*os.File, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC | unix.O_NOCTTY | unix.O_NONBLOCK
	f, err := root.OpenFile(name, flags, 0o600)
	if errors.Is(err, unix.ETXTBSY) {
		// A program that runs cannot be written to, but replaced.
		if err := root.RemoveAll(name); err != nil {
			return nil, err
		}
		f, err = root.OpenFile(name, flags, 0o600)
	}
	return f, err
}

func fill(f *os.File, q putRequest, data io.Reader) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, &unframed{r: data}); err != nil {
		return fmt.Errorf("write %s: %w", q.Path, err)
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	return unix.Fchmod(int(f.Fd()), q.Mode&0o7777)
}

func setMtime(root *layers.Root, q putRequest) error {
	if q.Mtime == 0 {
		return nil
	}
	return root.SetTime(q.Path, time.Unix(0, q.Mtime))
}

func get(root *layers.Root, name string, out *os.File) error {
	f, err := root.OpenFile(name, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", name)
	}
	if _, err := io.Copy(out, f); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func untar(root *layers.Root, dir string, data *os.File) error {
	if _, err := root.MkdirAll(dir); err != nil {
		return err
	}
	// The folder itself becomes the root of the archive, as far as ".."
	// goes; links inside the tree must still mean what they mean there.
	prefix := path.Clean("/" + dir)
	in := &unframed{r: data}
	if _, err := layers.Extract(root, in, layers.ExtractOptions{Owners: layers.RootOwners, Prefix: prefix}); err != nil {
		return err
	}
	// Padding may follow the archive's end; the sender's mark must.
	_, err := io.Copy(io.Discard, in)
	return err
}

func tarTree(root *layers.Root, dir string, out *os.File) error {
	sub, err := root.Sub(dir)
	if err != nil {
		return err
	}
	defer sub.Close()
	_, err = layers.Write(context.Background(), sub, out, layers.WriteOptions{})
	return err
}
