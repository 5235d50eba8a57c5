package base

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// Compression is how layers are compressed: Gzip, Zstd or None. Equal input
// gives equal output.
type Compression struct {
	Name string
	// Level is 1 (fast) to 9 (small), 0 for the default.
	Level int
}

// The names of compressions.
const (
	Gzip = "gzip"
	Zstd = "zstd"
	None = "none"
)

// MediaType is that of an OCI layer compressed so.
func (c Compression) MediaType() types.MediaType {
	switch c.Name {
	case Zstd:
		return types.OCILayerZStd
	case None:
		return types.OCIUncompressedLayer
	}
	return types.OCILayer
}

// key tells compressions with different results apart.
func (c Compression) key() string { return fmt.Sprintf("%s-%d", c.Name, c.Level) }

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

// Writer compresses to w; Close ends the stream and leaves w open.
func (c Compression) Writer(w io.Writer) (io.WriteCloser, error) {
	switch c.Name {
	case None:
		return nopWriteCloser{w}, nil
	case Zstd:
		level := zstd.SpeedDefault
		if c.Level > 0 {
			// The scale of gzip on that of zstd, which goes further.
			level = zstd.EncoderLevelFromZstd(c.Level * 2)
		}
		return zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1))
	case Gzip:
		level := pgzip.DefaultCompression
		if c.Level > 0 {
			level = c.Level
		}
		return pgzip.NewWriterLevel(w, level)
	}
	return nil, fmt.Errorf("unknown compression %q", c.Name)
}

// decompress recognises a compressed stream by its first bytes. Anything
// unknown is taken for uncompressed. Closing the result leaves r open.
func decompress(r io.Reader) (decompressed, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return decompressed{}, err
	}
	var d io.ReadCloser
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		d, err = pgzip.NewReader(br)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(br); err == nil {
			d = z.IOReadCloser()
		}
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		var z *xz.Reader
		if z, err = xz.NewReader(br); err == nil {
			d = io.NopCloser(z)
		}
	case bytes.HasPrefix(head, []byte("BZh")):
		d, err = io.NopCloser(bzip2.NewReader(br)), nil
	case bytes.HasPrefix(head, []byte{0x04, 0x22, 0x4d, 0x18}):
		d, err = io.NopCloser(lz4.NewReader(br)), nil
	default:
		return decompressed{ReadCloser: io.NopCloser(br)}, nil
	}
	if err != nil {
		return decompressed{}, err
	}
	return decompressed{ReadCloser: d, was: true}, nil
}

// decompressed is a stream that may have been compressed.
type decompressed struct {
	io.ReadCloser
	// was reports whether it was.
	was bool
}

// both reads from one thing and closes several.
type both struct {
	io.Reader
	closers []io.Closer
}

func (b both) Close() error {
	var err error
	for _, c := range b.closers {
		err = errors.Join(err, c.Close())
	}
	return err
}
