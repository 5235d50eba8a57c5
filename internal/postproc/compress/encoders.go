package compress

import (
	"bytes"
	"fmt"
	"io"
	"runtime"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// Sizes of the pieces that are compressed side by side. xz and bzip2 lose a
// little at each border, so theirs are large.
const (
	gzipPiece    = 1 << 20
	deflatePiece = 1 << 20
	xzPiece      = 16 << 20
	bzip2Piece   = 4 * 900_000
	bgzfPiece    = 16 * bgzfBlock
)

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// newEncoder returns a compressor that uses all processors; level 0 and -1
// are its default. Closing it does not close w.
func newEncoder(w io.Writer, algorithm string, level int) (io.WriteCloser, error) {
	switch algorithm {
	case "":
		return nopCloser{w}, nil
	case gzipAlgorithm:
		enc, err := pgzip.NewWriterLevel(w, deflateLevel(level))
		if err != nil {
			return nil, err
		}
		return enc, enc.SetConcurrency(gzipPiece, runtime.GOMAXPROCS(0))
	case bgzfAlgorithm:
		return newPieces(w, bgzfPiece, bgzfCompressor(deflateLevel(level)), []byte(bgzfEOF)), nil
	case lz4Algorithm:
		enc := lz4.NewWriter(w)
		return enc, enc.Apply(lz4.ConcurrencyOption(-1), lz4.CompressionLevelOption(lz4Level(level)))
	case zstdAlgorithm:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithEncoderLevel(zstdLevel(level)))
	case xzAlgorithm:
		return newPieces(w, xzPiece, compressXZ, nil), nil
	case bzip2Algorithm:
		return newPieces(w, bzip2Piece, bzip2Compressor(level), nil), nil
	}
	return nil, fmt.Errorf("no encoder for %q", algorithm)
}

func deflateLevel(level int) int {
	if level <= 0 {
		return flate.DefaultCompression
	}
	return level
}

func lz4Level(level int) lz4.CompressionLevel {
	if level <= 0 {
		return lz4.Fast
	}
	return 1 << (8 + level)
}

func zstdLevel(level int) zstd.EncoderLevel {
	if level <= 0 {
		return zstd.SpeedDefault
	}
	return zstd.EncoderLevelFromZstd(level)
}

// finished closes a writer after its data.
func finished(w io.WriteCloser, data []byte) error {
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

func compressXZ(out *bytes.Buffer, data []byte) error {
	enc, err := xz.NewWriter(out)
	if err != nil {
		return err
	}
	return finished(enc, data)
}

func bzip2Compressor(level int) compressor {
	if level <= 0 {
		level = bzip2.BestCompression
	}
	return func(out *bytes.Buffer, data []byte) error {
		enc, err := bzip2.NewWriter(out, &bzip2.WriterConfig{Level: level})
		if err != nil {
			return err
		}
		return finished(enc, data)
	}
}

// newDeflate makes a raw deflate stream: pieces that end on a byte, and an
// empty last block.
func newDeflate(w io.Writer, level int) io.WriteCloser {
	compress := func(out *bytes.Buffer, data []byte) error {
		enc, err := flate.NewWriter(out, deflateLevel(level))
		if err != nil {
			return err
		}
		if _, err := enc.Write(data); err != nil {
			return err
		}
		return enc.Flush()
	}
	return newPieces(w, deflatePiece, compress, []byte{1, 0, 0, 0xff, 0xff})
}
