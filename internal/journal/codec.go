package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns a record as one line: the CRC-32C of the JSON text in eight
// hexadecimal digits, a space, the JSON text, a line feed.
func encode(r Record) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("journal: encode %s record: %w", r.Type, err)
	}
	line := make([]byte, 0, len(text)+10)
	line = fmt.Appendf(line, "%08x ", crc32.Checksum(text, castagnoli))
	line = append(line, text...)
	return append(line, '\n'), nil
}

func decode(line []byte) (Record, error) {
	var r Record
	sum, text, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(sum) != 8 {
		return r, fmt.Errorf("no checksum")
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil {
		return r, fmt.Errorf("bad checksum %q", sum)
	}
	if got := crc32.Checksum(text, castagnoli); uint64(got) != want {
		return r, fmt.Errorf("checksum is %08x, want %08x", got, want)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	return r, nil
}

// replay adds up all records that it can read. Lines that fail their checksum
// are skipped: knowing of fewer releases than there were is harmless, since
// releasing is idempotent, and one bad line must not hide the resources named
// by the others.
func replay(in io.Reader) State {
	var (
		st   State
		open = map[uint64]*OpenLease{}
		ids  []uint64
		rd   = bufio.NewReader(in)
	)
	for n := 1; ; n++ {
		line, err := rd.ReadBytes('\n')
		if err != nil {
			// What has no line feed was being written when the process
			// died; its Append never returned.
			if err != io.EOF {
				st.Damage = err.Error()
			}
			break
		}
		r, err := decode(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			st.Damage = fmt.Sprintf("line %d: %v", n, err)
			continue
		}
		switch r.Type {
		case Started:
			if r.Run != nil {
				st.Run = *r.Run
			}
		case Intent:
			if r.Resource != nil && open[r.Lease] == nil {
				open[r.Lease] = &OpenLease{Lease: r.Lease, Build: r.Build, Resource: *r.Resource, Since: r.Time}
				ids = append(ids, r.Lease)
			}
		case Made:
			if l := open[r.Lease]; l != nil {
				l.Resource.ID = r.ID
				if r.Attrs != nil {
					l.Resource.Attrs = r.Attrs
				}
			}
		case Released, Kept:
			delete(open, r.Lease)
		default:
			st.Damage = fmt.Sprintf("line %d: unknown record type %q", n, r.Type)
		}
	}
	for _, id := range ids {
		if l := open[id]; l != nil {
			st.Open = append(st.Open, *l)
		}
	}
	return st
}
