package qemu

import (
	"fmt"

	"ingot/internal/fileserver"
)

// hardware is what Prepare made and the command line of QEMU names.
type hardware struct {
	// dir is the private folder of the build.
	dir string
	// image is the installer or disk image that was fetched: a path, or a URL
	// that QEMU itself is to read.
	image string
	// imageFormat is the format of a disk image.
	imageFormat string
	// disks are the disks of the machine; the first one is the system's.
	disks []disk
	// cdroms are paths or URLs: the installer first, then the one made of
	// cd_files and cd_content.
	cdroms []string
	// floppy is the path of the floppy disk's image; empty without one.
	floppy   string
	firmware firmware
	tpm      *tpm               // nil without vtpm
	http     *fileserver.Server // nil when nothing is served
}

// disk is the image of one disk.
type disk struct {
	path string
	// format is QEMU's name of the image's format: "qcow2" or "raw".
	format string
	// size is what the machine sees, in bytes.
	size int64
	// below is what the disk stands on, topmost first, whatever its own file says
	// of that. The last one stands alone, or on what its file says.
	below []layer
}

// layer is an image that another one stands on.
type layer struct{ path, format string }

// below are the properties of a block device that say what it stands on.
func below(layers []layer) string {
	out, prefix := "", ""
	for _, l := range layers {
		prefix += "backing."
		out += fmt.Sprintf(",%sdriver=%s,%sfile.filename=%s", prefix, l.format, prefix, escape(l.path))
	}
	return out
}

// firmwareKind is how QEMU is given its firmware.
type firmwareKind uint8

const (
	// firmwareDefault is what QEMU has itself.
	firmwareDefault firmwareKind = iota
	// firmwareBIOS is a file for -bios.
	firmwareBIOS
	// firmwarePflash is flash memory: code, and variables unless vars is empty.
	firmwarePflash
)

// firmware is what the machine starts with.
type firmware struct {
	kind firmwareKind
	// code is the path of the firmware; vars is the machine's own, writable
	// store of variables.
	code, vars string
	// secure asks for Secure Boot: only code in system management mode may
	// write the variables.
	secure bool
}

// tpm is an emulated trusted platform module.
type tpm struct {
	// socket is the path of the emulator's control socket.
	socket string
	// device is QEMU's name of the device, such as "tpm-tis".
	device string
}
