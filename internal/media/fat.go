package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

// The geometry of a floppy disk of 1440 KiB. A cluster is a sector.
const (
	fatSector      = 512
	fatSectors     = 2880
	fatTables      = 2
	fatTableSize   = 9 // sectors
	fatRootEntries = 224
	fatRootSize    = fatRootEntries * 32 / fatSector
	fatFirstData   = 1 + fatTables*fatTableSize + fatRootSize
	fatClusters    = fatSectors - fatFirstData
	fatEnd         = 0xfff
	fatDate        = 1<<5 | 1 // the first of January 1980
)

// The attributes of a directory entry.
const (
	fatVolume   = 0x08
	fatFolder   = 0x10
	fatFile     = 0x20
	fatLongName = 0x0f
)

func checkFloppyLabel(label string) diag.List {
	if len(label) <= 11 && !strings.ContainsFunc(label, func(r rune) bool {
		return r < ' ' || r > '~' || strings.ContainsRune(`*?/\|,;:+=<>[]".`, r)
	}) {
		return nil
	}
	return diag.List{{Severity: diag.Error, Summary: "Invalid label", Path: cty.GetAttrPath("floppy_label"),
		Detail: fmt.Sprintf("floppy_label: the label of a floppy disk has at most 11 characters, of ASCII and without punctuation, got %q.", label)}}
}

// floppy is a disk whose every sector is decided.
type floppy struct {
	label string
	table [fatClusters + 2]uint16
	used  int
	// folders and files have their clusters; the root folder has none.
	folders []*fatFolderImage
	files   []*fatFileImage
}

type fatFolderImage struct {
	data  []byte
	first uint16 // 0 for the root
}

type fatFileImage struct {
	*entry
	first uint16
}

// layOutFloppy decides where everything goes.
func layOutFloppy(root *folder, label string) (*floppy, diag.List) {
	f := &floppy{label: label}
	f.table[0], f.table[1] = 0xff0, fatEnd
	attribute := "floppy_files"
	if need := clustersOf(root, true); need > fatClusters {
		return nil, diag.At(attribute, "Floppy disk is too small", "A floppy disk holds %d KiB; these files and folders need %d KiB. A CD (cd_files) has room for more.", fatClusters/2, (need+1)/2)
	}
	top, err := f.folder(root, 0, 0)
	if err != nil {
		return nil, diag.At(attribute, "Floppy disk cannot be made", "%s.", err)
	}
	if n := len(top.data) / 32; n > fatRootEntries {
		return nil, diag.At(attribute, "Too many files", "The top of a floppy disk has room for %d names, where a long one counts for several; these need %d. Put some into a folder (floppy_dirs).", fatRootEntries, n)
	}
	return f, nil
}

// clustersOf is what a folder needs, for all that is below it.
func clustersOf(f *folder, root bool) int {
	n := 0
	if !root {
		n = clusterCount(folderSize(f))
	}
	for _, e := range f.entries {
		switch {
		case e.folder != nil:
			n += clustersOf(e.folder, false)
		case e.size > fatSectors*fatSector:
			n += fatSectors // more than there is
		default:
			n += clusterCount(int(e.size))
		}
	}
	return n
}

func clusterCount(bytes int) int { return (bytes + fatSector - 1) / fatSector }

// folderSize is the size of a folder's entries; the first two are "." and "..".
func folderSize(f *folder) int {
	short := newShortNames(true)
	n := 2
	for _, e := range f.sorted() {
		n += 1 + len(longName(e.name, short.fat(e.name)))/32
	}
	return n * 32
}

// take reserves a chain of clusters and returns the first.
func (f *floppy) take(n int) uint16 {
	if n == 0 {
		return 0
	}
	first := f.used + 2
	for i := range n {
		f.table[first+i] = uint16(first + i + 1)
	}
	f.table[first+n-1] = fatEnd
	f.used += n
	return uint16(first)
}

// folder lays out a folder whose own clusters are reserved already.
func (f *floppy) folder(in *folder, own, parent uint16) (*fatFolderImage, error) {
	img := &fatFolderImage{first: own}
	f.folders = append(f.folders, img)
	switch {
	case own == 0 && f.label != "":
		img.data = append(img.data, dirEntry(padName(f.label, 11), fatVolume, 0, 0)...)
	case own != 0:
		img.data = append(img.data, dirEntry(padName(".", 11), fatFolder, own, 0)...)
		img.data = append(img.data, dirEntry(padName("..", 11), fatFolder, parent, 0)...)
	}
	short := newShortNames(true)
	for _, e := range in.sorted() {
		if n := len(utf16.Encode([]rune(e.name))); n > 255 {
			return nil, fmt.Errorf("the name %q has %d characters; names on a floppy disk have at most 255", e.name, n)
		}
		name := short.fat(e.name)
		img.data = append(img.data, longName(e.name, name)...)
		if e.folder != nil {
			first := f.take(clusterCount(folderSize(e.folder)))
			img.data = append(img.data, dirEntry(name, fatFolder, first, 0)...)
			if _, err := f.folder(e.folder, first, own); err != nil {
				return nil, err
			}
			continue
		}
		file := &fatFileImage{entry: e, first: f.take(clusterCount(int(e.size)))}
		f.files = append(f.files, file)
		img.data = append(img.data, dirEntry(name, fatFile, file.first, uint32(e.size))...)
	}
	return img, nil
}

// fat returns the short name as it stands in a directory entry.
func (s shortNames) fat(name string) string {
	base, ext, _ := strings.Cut(strings.TrimSuffix(s.file(name), "."), ".")
	return padName(base, 8) + padName(ext, 3)
}

func padName(name string, n int) string { return name + strings.Repeat(" ", n-len(name)) }

// dirEntry makes a directory entry of 32 bytes.
func dirEntry(name string, attributes byte, first uint16, size uint32) []byte {
	b := append([]byte(name), attributes, 0, 0)
	b = binary.LittleEndian.AppendUint16(b, 0)       // time it was made
	b = binary.LittleEndian.AppendUint16(b, fatDate) // date it was made
	b = binary.LittleEndian.AppendUint16(b, fatDate) // date it was read
	b = binary.LittleEndian.AppendUint16(b, 0)       // high half of the cluster
	b = binary.LittleEndian.AppendUint16(b, 0)       // time it was changed
	b = binary.LittleEndian.AppendUint16(b, fatDate) // date it was changed
	b = binary.LittleEndian.AppendUint16(b, first)
	return binary.LittleEndian.AppendUint32(b, size)
}

// longName makes the entries that stand before the short one, last part first;
// none when the short name says it all.
func longName(name, short string) []byte {
	plain := strings.TrimRight(short[:8], " ")
	if ext := strings.TrimRight(short[8:], " "); ext != "" {
		plain += "." + ext
	}
	if plain == name {
		return nil
	}
	units := utf16.Encode([]rune(strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`*?/\|:<>"`, r) {
			return '_'
		}
		return r
	}, name)))
	const each = 13
	parts := (len(units) + each - 1) / each
	if len(units)%each != 0 {
		units = append(units, 0)
		for len(units)%each != 0 {
			units = append(units, 0xffff)
		}
	}
	sum := shortNameSum(short)
	var out []byte
	for i := parts; i > 0; i-- {
		part := units[(i-1)*each : i*each]
		number := byte(i)
		if i == parts {
			number |= 0x40
		}
		out = append(out, number)
		out = appendUnits(out, part[:5])
		out = append(out, fatLongName, 0, sum)
		out = appendUnits(out, part[5:11])
		out = append(out, 0, 0)
		out = appendUnits(out, part[11:])
	}
	return out
}

func appendUnits(b []byte, units []uint16) []byte {
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// shortNameSum ties long names to their short one.
func shortNameSum(short string) byte {
	var sum byte
	for i := range len(short) {
		sum = sum>>1 | sum<<7
		sum += short[i]
	}
	return sum
}

// write writes the whole image; it is small enough to be made in memory.
func (f *floppy) write(ctx context.Context, w io.Writer) error {
	img := make([]byte, fatSectors*fatSector)
	copy(img, f.bootSector())
	for i := range fatTables {
		copy(img[(1+i*fatTableSize)*fatSector:], f.packTable())
	}
	for _, dir := range f.folders {
		copy(img[offsetOf(dir.first):], dir.data)
	}
	for _, file := range f.files {
		if file.size == 0 {
			continue
		}
		var data bytes.Buffer
		if err := file.copyTo(ctx, &data); err != nil {
			return err
		}
		copy(img[offsetOf(file.first):], data.Bytes())
	}
	_, err := w.Write(img)
	return err
}

// offsetOf is where a cluster begins; 0 stands for the root folder. Chains are
// never broken up, so what is written from here on is in the right clusters.
func offsetOf(cluster uint16) int {
	if cluster == 0 {
		return (1 + fatTables*fatTableSize) * fatSector
	}
	return (fatFirstData + int(cluster) - 2) * fatSector
}

// packTable puts two entries of 12 bits into three bytes.
func (f *floppy) packTable() []byte {
	out := make([]byte, 0, fatTableSize*fatSector)
	for i := 0; i < len(f.table); i += 2 {
		a, b := f.table[i], uint16(0)
		if i+1 < len(f.table) {
			b = f.table[i+1]
		}
		out = append(out, byte(a), byte(a>>8)|byte(b<<4), byte(b>>4))
	}
	return out
}

// bootSector describes the disk. What is in it for a machine that boots from it
// tells the firmware to go on with the next device.
func (f *floppy) bootSector() []byte {
	b := []byte{0xeb, 0x3c, 0x90} // jump behind the description
	b = append(b, (f.label + "        ")[:8]...)
	b = binary.LittleEndian.AppendUint16(b, fatSector)
	b = append(b, 1) // sectors of a cluster
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = append(b, fatTables)
	b = binary.LittleEndian.AppendUint16(b, fatRootEntries)
	b = binary.LittleEndian.AppendUint16(b, fatSectors)
	b = append(b, 0xf0) // medium: a floppy disk
	b = binary.LittleEndian.AppendUint16(b, fatTableSize)
	b = binary.LittleEndian.AppendUint16(b, 18) // sectors of a track
	b = binary.LittleEndian.AppendUint16(b, 2)  // heads
	b = binary.LittleEndian.AppendUint32(b, 0)  // hidden sectors
	b = binary.LittleEndian.AppendUint32(b, 0)  // sectors, when there are more than 65535
	b = append(b, 0, 0, 0x29)                   // drive, reserved, "what follows is valid"
	b = binary.LittleEndian.AppendUint32(b, labelNumber(f.label))
	b = append(b, padName(f.label, 11)...)
	b = append(b, "FAT12   "...)
	b = append(b, 0xcd, 0x18, 0xf4, 0xeb, 0xfd) // int 18h; hlt; jump back
	b = append(b, make([]byte, fatSector-2-len(b))...)
	return append(b, 0x55, 0xaa)
}

// labelNumber is the serial number: some number that equal labels have in common.
func labelNumber(label string) uint32 {
	n := uint32(2166136261)
	for i := range len(label) {
		n = (n ^ uint32(label[i])) * 16777619
	}
	return n
}
