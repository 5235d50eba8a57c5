package docker

import (
	"encoding/binary"
	"iter"
)

// Wire types of protocol buffers.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// protoFields yields the fields of a protocol buffer message that hold bytes,
// texts or messages, by number. It ends where the message makes no sense.
func protoFields(raw []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for len(raw) > 0 {
			key, n := binary.Uvarint(raw)
			if n <= 0 {
				return
			}
			raw = raw[n:]
			skip := 0
			switch key & 7 {
			case wireVarint:
				_, skip = binary.Uvarint(raw)
			case wire64:
				skip = 8
			case wire32:
				skip = 4
			case wireBytes:
				size, n := binary.Uvarint(raw)
				if n <= 0 || size > uint64(len(raw)-n) {
					return
				}
				if !yield(int(key>>3), raw[n:n+int(size)]) {
					return
				}
				skip = n + int(size)
			}
			if skip <= 0 || skip > len(raw) {
				return
			}
			raw = raw[skip:]
		}
	}
}
