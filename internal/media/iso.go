package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

// The layout of a CD, in this order, all in sectors:
//
//	system area (16), primary and Joliet volume descriptor, terminator,
//	path tables (primary little and big endian, the same for Joliet),
//	primary folders with their continuation areas, Joliet folders, files.
//
// The primary names are of the form 8.3, with the real ones as Rock Ridge
// entries; the Joliet names are Unicode, for Windows. Folders may be deeper than
// the eight levels of ISO 9660, which no system of today minds.

const (
	sectorSize = 2048
	// firstDescriptor is the sector of the primary volume descriptor.
	firstDescriptor = 16
	firstTable      = firstDescriptor + 3
	maxFolders      = math.MaxUint16
)

// disc is a CD whose every sector is decided.
type disc struct {
	label   string
	folders []*isoFolder // in the order of the path table
	files   []*isoFile   // in the order of their sectors
	sectors uint32
	primary hierarchy
	joliet  hierarchy
}

// hierarchy is one of the two trees of names over the same files.
type hierarchy struct {
	joliet      bool
	order       []*isoFolder // as in the path table
	tableSize   uint32
	little, big uint32 // sectors of the path tables
	root        uint32
	rootSize    uint32
}

type isoFile struct {
	*entry
	sector uint32
}

// isoFolder is a folder in both hierarchies.
type isoFolder struct {
	id     string // primary identifier; empty for the root
	wide   []byte // Joliet identifier, UTF-16 big endian
	parent *isoFolder
	depth  int
	// members in the order of each hierarchy.
	members, wideMembers []*isoMember

	sector, wideSector uint32
	size, wideSize     uint32
	// number in the path table of each hierarchy, from 1.
	number, wideNumber uint16
	subfolders         int
}

type isoMember struct {
	name   string // as it is
	id     string // primary identifier
	wide   []byte
	file   *isoFile
	folder *isoFolder
}

func checkCDLabel(label string) diag.List {
	path := cty.GetAttrPath("cd_label")
	if len(label) > 32 || strings.ContainsFunc(label, func(r rune) bool { return r < ' ' || r > '~' }) {
		return diag.List{{Severity: diag.Error, Summary: "Invalid label", Path: path,
			Detail: fmt.Sprintf("cd_label: the label of a CD has at most 32 characters of ASCII, got %q.", label)}}
	}
	if len(label) > 16 {
		return diag.List{{Severity: diag.Warning, Summary: "Label is shortened", Path: path,
			Detail: fmt.Sprintf("cd_label: systems that read the Joliet names, such as Windows, see the first 16 characters: %q.", label[:16])}}
	}
	return nil
}

// layOutCD decides where everything goes.
func layOutCD(root *folder, label string) (*disc, diag.List) {
	d := &disc{label: label}
	var diags diag.List
	top := &isoFolder{depth: 1, wide: []byte{0}}
	top.parent = top
	d.collect(root, top, &diags)
	if len(d.folders) > maxFolders {
		return nil, append(diags, diag.At("cd_files", "Too many folders", "A CD has at most %d folders, these are %d.", maxFolders, len(d.folders))...)
	}
	d.primary.order = pathOrder(d.folders, false)
	d.joliet = hierarchy{order: pathOrder(d.folders, true), joliet: true}

	sector := uint64(firstTable)
	for _, h := range []*hierarchy{&d.primary, &d.joliet} {
		h.tableSize = uint32(len(h.pathTable(binary.LittleEndian)))
		h.little = uint32(sector)
		h.big = h.little + sectors(int64(h.tableSize))
		sector = uint64(h.big + sectors(int64(h.tableSize)))
	}
	for _, f := range d.primary.order {
		records, continued := f.records(d, false)
		f.size, f.sector = uint32(len(records)), uint32(sector)
		sector += uint64(sectors(int64(len(records))) + sectors(int64(len(continued))))
	}
	for _, f := range d.joliet.order {
		records, _ := f.records(d, true)
		f.wideSize, f.wideSector = uint32(len(records)), uint32(sector)
		sector += uint64(sectors(int64(len(records))))
	}
	for _, f := range d.files {
		if f.size > 0 {
			f.sector = uint32(sector)
		}
		sector += uint64(sectors(f.size))
		if sector > math.MaxUint32 {
			return nil, append(diags, diag.At("cd_files", "CD is too large", "A CD has at most %d sectors of 2 KiB.", uint32(math.MaxUint32))...)
		}
	}
	d.sectors = uint32(sector)
	d.primary.root, d.primary.rootSize = top.sector, top.size
	d.joliet.root, d.joliet.rootSize = top.wideSector, top.wideSize
	return d, diags
}

// collect makes the folder and what is below it, and gives all of it names.
func (d *disc) collect(in *folder, out *isoFolder, diags *diag.List) {
	d.folders = append(d.folders, out)
	short := newShortNames(false)
	wide := wideNames{taken: map[string]bool{}}
	for _, e := range in.sorted() {
		if len(e.name) > 255 {
			*diags = append(*diags, diag.At("cd_files", "Name is too long", "%q has %d bytes; names on a CD have at most 255.", e.name, len(e.name))...)
			continue
		}
		m := &isoMember{name: e.name}
		var shortened bool
		m.wide, shortened = wide.make(e.name)
		if shortened {
			*diags = append(*diags, diag.WarnAt("cd_files", "Name is shortened", "%q is longer than %d characters. Systems that read the Joliet names, such as Windows, see it shortened.", e.name, maxWide)...)
		}
		if e.folder != nil {
			m.id = short.folder(e.name)
			m.folder = &isoFolder{id: m.id, wide: m.wide, parent: out, depth: out.depth + 1}
			out.subfolders++
			d.collect(e.folder, m.folder, diags)
		} else {
			if e.size > math.MaxUint32 {
				*diags = append(*diags, diag.At("cd_files", "File is too large", "%s has %d bytes; a file on a CD has less than 4 GiB.", e.from, e.size)...)
			}
			m.id = short.file(e.name) + ";1"
			m.file = &isoFile{entry: e}
			d.files = append(d.files, m.file)
		}
		out.members = append(out.members, m)
	}
	out.wideMembers = slices.Clone(out.members)
	slices.SortFunc(out.members, func(a, b *isoMember) int { return strings.Compare(sortKey(a.id), sortKey(b.id)) })
	slices.SortFunc(out.wideMembers, func(a, b *isoMember) int { return bytes.Compare(a.wide, b.wide) })
}

// pathOrder sorts folders for a path table: by depth, then by the parent's
// place in it, then by name. The folders get their numbers.
func pathOrder(folders []*isoFolder, joliet bool) []*isoFolder {
	var out []*isoFolder
	level := []*isoFolder{folders[0]}
	for len(level) > 0 {
		var next []*isoFolder
		for _, f := range level {
			out = append(out, f)
			if joliet {
				f.wideNumber = uint16(len(out))
			} else {
				f.number = uint16(len(out))
			}
			for _, m := range f.in(joliet) {
				if m.folder != nil {
					next = append(next, m.folder)
				}
			}
		}
		level = next
	}
	return out
}

func (f *isoFolder) in(joliet bool) []*isoMember {
	if joliet {
		return f.wideMembers
	}
	return f.members
}

func sectors(bytes int64) uint32 { return uint32((bytes + sectorSize - 1) / sectorSize) }

// write writes the whole image.
func (d *disc) write(ctx context.Context, to io.Writer) error {
	w := &sectorWriter{w: to}
	w.zeros(firstDescriptor * sectorSize)
	w.bytes(d.descriptor(d.primary))
	w.bytes(d.descriptor(d.joliet))
	end := make([]byte, sectorSize)
	copy(end, "\xffCD001\x01")
	w.bytes(end)
	for _, h := range []hierarchy{d.primary, d.joliet} {
		w.padded(h.pathTable(binary.LittleEndian))
		w.padded(h.pathTable(binary.BigEndian))
	}
	for _, f := range d.primary.order {
		records, continued := f.records(d, false)
		w.padded(records)
		w.padded(continued)
	}
	for _, f := range d.joliet.order {
		records, _ := f.records(d, true)
		w.padded(records)
	}
	for _, f := range d.files {
		if w.err != nil {
			return w.err
		}
		if err := f.copyTo(ctx, w); err != nil {
			return err
		}
		w.pad()
	}
	if w.err == nil && w.n != int64(d.sectors)*sectorSize {
		return fmt.Errorf("%d bytes were written where %d were planned", w.n, int64(d.sectors)*sectorSize)
	}
	return w.err
}

// sectorWriter counts, and keeps the first error.
type sectorWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (s *sectorWriter) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.n += int64(n)
	s.err = err
	return n, err
}

func (s *sectorWriter) bytes(p []byte)  { _, _ = s.Write(p) }
func (s *sectorWriter) zeros(n int)     { s.bytes(make([]byte, n)) }
func (s *sectorWriter) padded(p []byte) { s.bytes(p); s.pad() }

// pad fills the sector.
func (s *sectorWriter) pad() {
	if over := s.n % sectorSize; over > 0 {
		s.zeros(int(sectorSize - over))
	}
}

// maxWide is the longest Joliet name, in UTF-16 units. The specification says 64;
// all systems read names of 103, which is what fits beside an old-style version
// number.
const maxWide = 103

// wideNames makes the Joliet names of one folder.
type wideNames struct{ taken map[string]bool }

// make returns a name that is not taken, and whether it had to be shortened.
func (w wideNames) make(name string) (wide []byte, shortened bool) {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8Error || strings.ContainsRune(`*/:;?\`, r) {
			return '_'
		}
		return r
	}, name)
	units := utf16.Encode([]rune(clean))
	shortened = len(units) > maxWide
	for i := 0; ; i++ {
		candidate := units
		if mark := utf16.Encode([]rune(fmt.Sprintf("~%d", i))); shortened || i > 0 {
			ext := extensionOf(units)
			base := units[:len(units)-len(ext)]
			keep := max(0, min(len(base), maxWide-len(mark)-len(ext)))
			if keep > 0 && utf16.IsSurrogate(rune(base[keep-1])) && keep < len(base) {
				keep--
			}
			candidate = slices.Concat(base[:keep], mark, ext)
		}
		wide = nil
		for _, u := range candidate {
			wide = binary.BigEndian.AppendUint16(wide, u)
		}
		if !w.taken[string(wide)] {
			w.taken[string(wide)] = true
			return wide, shortened
		}
	}
}

const utf8Error = '\uFFFD'

// extensionOf is what is behind the last dot, with it, when that is short.
func extensionOf(units []uint16) []uint16 {
	i := len(units) - 1
	for ; i > 0; i-- {
		if units[i] == '.' {
			break
		}
	}
	if i <= 0 || len(units)-i > 16 {
		return nil
	}
	return units[i:]
}
