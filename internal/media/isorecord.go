package media

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// both appends a number in both byte orders, as ISO 9660 has it.
func both32(b []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, n), n)
}

func both16(b []byte, n uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, n), n)
}

// recordDate is the first of January 1980, midnight in UTC, as folders have it.
func recordDate() []byte { return []byte{80, 1, 1, 0, 0, 0, 0} }

// volumeDate is the same as descriptors have it.
func volumeDate() []byte { return append([]byte("1980010100000000"), 0) }

// record makes a directory record without what the hierarchy adds to it.
func record(id []byte, sector, size uint32, folder bool) []byte {
	b := []byte{0, 0}
	b = both32(b, sector)
	b = both32(b, size)
	b = append(b, recordDate()...)
	flags := byte(0)
	if folder {
		flags = 2
	}
	b = append(b, flags, 0, 0)
	b = both16(b, 1)
	b = append(b, byte(len(id)))
	b = append(b, id...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

// closeRecord sets the length of the record.
func closeRecord(b []byte) []byte {
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	b[0] = byte(len(b))
	return b
}

// records makes the folder's records, and the continuation area that stands
// behind them. Their lengths do not depend on where anything is.
func (f *isoFolder) records(d *disc, joliet bool) (out, continued []byte) {
	c := continuation{}
	if !joliet {
		c.first = f.sector + sectors(int64(f.size))
	}
	add := func(rec []byte) {
		rec = closeRecord(rec)
		if room := sectorSize - len(out)%sectorSize; len(rec) > room {
			out = append(out, make([]byte, room)...)
		}
		out = append(out, rec...)
	}
	for i, self := range []*isoFolder{f, f.parent} {
		sector, size := self.sector, self.size
		if joliet {
			sector, size = self.wideSector, self.wideSize
		}
		rec := record([]byte{byte(i)}, sector, size, true)
		if !joliet {
			if i == 0 && f == d.folders[0] {
				rec = append(rec, 'S', 'P', 7, 1, 0xbe, 0xef, 0)
			}
			rec = append(rec, attributes(true, false, self.subfolders)...)
			if i == 0 && f == d.folders[0] {
				rec = append(rec, c.put(rockRidge())...)
			}
		}
		add(rec)
	}
	for _, m := range f.in(joliet) {
		sector, size := uint32(0), uint32(0)
		switch {
		case m.folder != nil && joliet:
			sector, size = m.folder.wideSector, m.folder.wideSize
		case m.folder != nil:
			sector, size = m.folder.sector, m.folder.size
		default:
			sector, size = m.file.sector, uint32(m.file.size)
		}
		if joliet {
			add(record(m.wide, sector, size, m.folder != nil))
			continue
		}
		rec := record([]byte(m.id), sector, size, m.folder != nil)
		if m.folder != nil {
			rec = append(rec, attributes(true, false, m.folder.subfolders)...)
		} else {
			rec = append(rec, attributes(false, m.file.executable, 0)...)
		}
		if name := alternateName(m.name); len(rec)+len(name) <= 254 {
			rec = append(rec, name...)
		} else {
			rec = append(rec, c.put(name)...)
		}
		add(rec)
	}
	if over := len(out) % sectorSize; over > 0 {
		out = append(out, make([]byte, sectorSize-over)...)
	}
	return out, c.area
}

// continuation is the area for system use entries that do not fit in a record.
type continuation struct {
	first uint32
	area  []byte
}

// put adds entries to the area and returns the CE entry that leads to them. They
// must not cross the end of a sector.
func (c *continuation) put(entries []byte) []byte {
	if room := sectorSize - len(c.area)%sectorSize; len(entries) > room {
		c.area = append(c.area, make([]byte, room)...)
	}
	at := len(c.area)
	c.area = append(c.area, entries...)
	ce := []byte{'C', 'E', 28, 1}
	ce = both32(ce, c.first+uint32(at/sectorSize))
	ce = both32(ce, uint32(at%sectorSize))
	return both32(ce, uint32(len(entries)))
}

// attributes are the POSIX mode and the time of Rock Ridge.
func attributes(folder, executable bool, subfolders int) []byte {
	mode, links := uint32(0o100444), uint32(1)
	switch {
	case folder:
		mode, links = 0o040555, uint32(2+subfolders)
	case executable:
		mode = 0o100555
	}
	b := []byte{'P', 'X', 36, 1}
	for _, n := range []uint32{mode, links, 0, 0} {
		b = both32(b, n)
	}
	b = append(b, 'T', 'F', 12, 1, 2) // 2: the time of the last change of the content
	return append(b, recordDate()...)
}

// alternateName is the real name, in as many NM entries as it takes.
func alternateName(name string) []byte {
	const most = 250
	var b []byte
	for {
		part := name[:min(len(name), most)]
		name = name[len(part):]
		flags := byte(0)
		if name != "" {
			flags = 1
		}
		b = append(b, 'N', 'M', byte(5+len(part)), 1, flags)
		b = append(b, part...)
		if name == "" {
			return b
		}
	}
}

// rockRidge says that the Rock Ridge Interchange Protocol is used.
func rockRidge() []byte {
	const (
		id          = "RRIP_1991A"
		description = "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
		source      = "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION."
	)
	b := []byte{'E', 'R', byte(8 + len(id) + len(description) + len(source)), 1, byte(len(id)), byte(len(description)), byte(len(source)), 1}
	return append(b, id+description+source...)
}

// pathTable makes the path table in a byte order.
func (h hierarchy) pathTable(order binary.AppendByteOrder) []byte {
	var b []byte
	for _, f := range h.order {
		id, sector, parent := []byte(f.id), f.sector, f.parent.number
		if h.joliet {
			id, sector, parent = f.wide, f.wideSector, f.parent.wideNumber
		}
		if f.parent == f {
			id = []byte{0}
		}
		b = append(b, byte(len(id)), 0)
		b = order.AppendUint32(b, sector)
		b = order.AppendUint16(b, parent)
		b = append(b, id...)
		if len(id)%2 == 1 {
			b = append(b, 0)
		}
	}
	return b
}

// descriptor makes the volume descriptor of a hierarchy.
func (d *disc) descriptor(h hierarchy) []byte {
	text := func(s string, n int) []byte { return []byte(s + strings.Repeat(" ", n-len(s))) }
	kind, escape := byte(1), ""
	if h.joliet {
		kind, escape = 2, "%/E"
		text = wideText
	}
	b := append([]byte{kind}, "CD001\x01\x00"...)
	b = append(b, text("", 32)...)
	b = append(b, text(d.label, 32)...)
	b = append(b, make([]byte, 8)...)
	b = both32(b, d.sectors)
	b = append(b, escape...)
	b = append(b, make([]byte, 32-len(escape))...)
	b = both16(b, 1)
	b = both16(b, 1)
	b = both16(b, sectorSize)
	b = both32(b, h.tableSize)
	b = binary.LittleEndian.AppendUint32(b, h.little)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, h.big)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = append(b, closeRecord(record([]byte{0}, h.root, h.rootSize, true))...)
	b = append(b, text("", 128)...)      // volume set
	b = append(b, text("", 128)...)      // publisher
	b = append(b, text("", 128)...)      // preparer
	b = append(b, text("INGOT", 128)...) // application
	b = append(b, text("", 37)...)       // copyright file
	b = append(b, text("", 37)...)       // abstract file
	b = append(b, text("", 37)...)       // bibliographic file
	b = append(b, volumeDate()...)       // made
	b = append(b, volumeDate()...)       // changed
	b = append(b, append([]byte(strings.Repeat("0", 16)), 0)...)
	b = append(b, append([]byte(strings.Repeat("0", 16)), 0)...)
	b = append(b, 1, 0)
	return append(b, make([]byte, sectorSize-len(b))...)
}

// wideText is a text of n bytes in UTF-16 big endian, filled with spaces, cut
// where it is too long.
func wideText(s string, n int) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if len(b)+2 <= n {
			b = binary.BigEndian.AppendUint16(b, u)
		}
	}
	for len(b)+2 <= n {
		b = append(b, 0, ' ')
	}
	return append(b, make([]byte, n-len(b))...)
}
