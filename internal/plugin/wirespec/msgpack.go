package wirespec

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctymsgpack "github.com/zclconf/go-cty/cty/msgpack"
)

func encodeMsgpack(v cty.Value) ([]byte, error) {
	return ctymsgpack.Marshal(v, cty.DynamicPseudoType)
}

func decodeMsgpack(data []byte) (cty.Value, error) {
	rest, err := skipMsgpack(data, maxDepth)
	if err != nil {
		return cty.NilVal, err
	}
	if len(rest) > 0 {
		return cty.NilVal, fmt.Errorf("%d bytes follow it", len(rest))
	}
	return ctymsgpack.Unmarshal(data, cty.DynamicPseudoType)
}

// skipMsgpack returns what follows the first value. It finds values that are
// cut off, claim more elements than there are bytes, or are nested too deep, on
// which the library would spend memory without bound. The type within a dynamic
// value is JSON and is checked too.
func skipMsgpack(b []byte, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, errDeep
	}
	if len(b) == 0 {
		return nil, errTruncated
	}
	code := b[0]
	b = b[1:]
	switch {
	case code < 0x80 || code >= 0xe0 || code == 0xc0 || code == 0xc2 || code == 0xc3:
		return b, nil
	case code < 0x90:
		return skipParts(b, 2*uint64(code&0x0f), depth)
	case code < 0xa0:
		return skipParts(b, uint64(code&0x0f), depth)
	case code < 0xc0:
		return skipBytes(b, uint64(code&0x1f))
	}
	switch code {
	case 0xc4, 0xc5, 0xc6: // bin
		return skipBin(b, 1<<(code-0xc4))
	case 0xc7, 0xc8, 0xc9: // ext: length and one byte more
		n, rest, err := bigEndian(b, 1<<(code-0xc7))
		if err != nil {
			return nil, err
		}
		return skipBytes(rest, n+1)
	case 0xca, 0xcb:
		return skipBytes(b, 4<<(code-0xca))
	case 0xcc, 0xcd, 0xce, 0xcf:
		return skipBytes(b, 1<<(code-0xcc))
	case 0xd0, 0xd1, 0xd2, 0xd3:
		return skipBytes(b, 1<<(code-0xd0))
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8: // fixext
		return skipBytes(b, 1+1<<(code-0xd4))
	case 0xd9, 0xda, 0xdb: // str
		n, rest, err := bigEndian(b, 1<<(code-0xd9))
		if err != nil {
			return nil, err
		}
		return skipBytes(rest, n)
	case 0xdc, 0xdd, 0xde, 0xdf: // array, map
		n, rest, err := bigEndian(b, 2<<(code&1))
		if err != nil {
			return nil, err
		}
		if code >= 0xde {
			n *= 2
		}
		return skipParts(rest, n, depth)
	}
	return nil, fmt.Errorf("the byte %#x begins nothing", code)
}

var errDeep = fmt.Errorf("values are nested deeper than %d", maxDepth)

func skipParts(b []byte, n uint64, depth int) ([]byte, error) {
	if n > uint64(len(b)) {
		return nil, errTruncated
	}
	var err error
	for range n {
		if b, err = skipMsgpack(b, depth-1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// skipBin skips a text of bytes, which is a type when it begins like one.
func skipBin(b []byte, width int) ([]byte, error) {
	n, rest, err := bigEndian(b, width)
	if err != nil {
		return nil, err
	}
	after, err := skipBytes(rest, n)
	if err != nil {
		return nil, err
	}
	return after, checkJSON(rest[:n])
}

func skipBytes(b []byte, n uint64) ([]byte, error) {
	if n > uint64(len(b)) {
		return nil, errTruncated
	}
	return b[n:], nil
}

// bigEndian reads a number of 1, 2 or 4 bytes.
func bigEndian(b []byte, width int) (uint64, []byte, error) {
	if len(b) < width {
		return 0, nil, errTruncated
	}
	switch width {
	case 1:
		return uint64(b[0]), b[1:], nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), b[2:], nil
	}
	return uint64(binary.BigEndian.Uint32(b)), b[4:], nil
}

// checkJSON finds a text that is nested deeper than anything that is sent.
func checkJSON(data []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	for depth := 0; ; {
		tok, err := dec.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		switch tok {
		case json.Delim('['), json.Delim('{'):
			if depth++; depth > 4*maxDepth {
				return errDeep
			}
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}
