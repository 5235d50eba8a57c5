package compress

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/flate"
)

// BGZF, described in the SAM format specification, is gzip in blocks of at
// most 64 KiB, each a gzip member whose extra field holds the block's size, so
// that readers can seek.
const (
	// bgzfBlock is how much goes into a block: even when it does not
	// compress, the block stays below 64 KiB.
	bgzfBlock = 0xff00
	// bgzfEOF is the empty block at the end.
	bgzfEOF = "\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x06\x00BC\x02\x00\x1b\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"

	bgzfHeader   = "\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x06\x00BC\x02\x00"
	bgzfOverhead = len(bgzfHeader) + 2 + 8
	bgzfLargest  = 1 << 16
)

// bgzfCompressor compresses a piece block by block.
func bgzfCompressor(level int) compressor {
	return func(out *bytes.Buffer, data []byte) error {
		enc, err := flate.NewWriter(nil, level)
		if err != nil {
			return err
		}
		var body bytes.Buffer
		for len(data) > 0 {
			block := data[:min(len(data), bgzfBlock)]
			data = data[len(block):]
			body.Reset()
			enc.Reset(&body)
			if err := finished(enc, block); err != nil {
				return err
			}
			if err := writeBGZF(out, &body, block); err != nil {
				return err
			}
		}
		return nil
	}
}

func writeBGZF(out, body *bytes.Buffer, block []byte) error {
	if body.Len()+bgzfOverhead > bgzfLargest {
		body.Reset()
		plain, err := flate.NewWriter(body, flate.NoCompression)
		if err != nil {
			return err
		}
		if err := finished(plain, block); err != nil {
			return err
		}
	}
	size := body.Len() + bgzfOverhead
	if size > bgzfLargest {
		return fmt.Errorf("bgzf: a block of %d bytes became %d bytes", len(block), size)
	}
	out.WriteString(bgzfHeader)
	var le [8]byte
	binary.LittleEndian.PutUint16(le[:2], uint16(size-1))
	out.Write(le[:2])
	out.Write(body.Bytes())
	binary.LittleEndian.PutUint32(le[:4], crc32.ChecksumIEEE(block))
	binary.LittleEndian.PutUint32(le[4:], uint32(len(block)))
	out.Write(le[:])
	return nil
}
