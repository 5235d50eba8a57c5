package qemu

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// linkOrCopy gives a file that nobody writes to any more a second name. Where that
// cannot be, as on another file system, it makes a copy.
func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return syncFile(to)
	}
	err := cloneFile(from, to)
	if errors.Is(err, errors.ErrUnsupported) {
		err = copySparse(from, to)
	}
	if err != nil {
		return err
	}
	return syncFile(to)
}

// copySparse copies a file, with holes where there are only zeros.
func copySparse(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	block, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	size := int64(0)
	for {
		n, err := io.ReadFull(src, block)
		if n > 0 && !bytes.Equal(block[:n], zeros[:n]) {
			if _, err := dst.WriteAt(block[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return dst.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}
