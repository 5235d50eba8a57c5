package qemu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/gotmpl"
)

// launch is what is decided only when the machine is about to start.
type launch struct {
	// name is the machine's name.
	name        string
	accelerator string
	// display is the value of -display; empty passes none.
	display string
	// hostPort is the port of this computer that is forwarded to the machine; 0
	// for none. guestPort is the machine's.
	hostPort, guestPort int
	// mac is the machine's hardware address; empty for QEMU's own choice.
	mac string
	// userQMP is the path of the socket for the user's own commands; empty for
	// none.
	userQMP string
	// qmp and console are the values of -chardev that lead to this process,
	// without their ids.
	qmp, console string
	// resumed says that the machine waits for the state of one that was saved.
	resumed bool
	// fields are what the actions in qemuargs can name.
	fields map[string]string
	vars   gotmpl.Vars
}

// The ids that the arguments of a template may refer to.
const (
	netID     = "user.0"
	driveID   = "drive"
	cdID      = "cdrom"
	scsiBusID = "scsi0"
	sataBusID = "ahci0"
	tpmID     = "tpm0"

	qmpChardev     = "ingot-qmp"
	consoleChardev = "ingot-console"
	tpmChardev     = "ingot-tpm"
)

// option is a switch of QEMU with its value, which may be empty.
type option struct{ name, value string }

// options are a command line in the making.
type options []option

func (o *options) add(name, format string, args ...any) {
	*o = append(*o, option{name, fmt.Sprintf(format, args...)})
}

func (o options) has(name string) bool {
	return slices.ContainsFunc(o, func(p option) bool { return p.name == name })
}

// accelerates reports whether the options say how the processors run.
func (o options) accelerates() bool {
	return slices.ContainsFunc(o, func(p option) bool {
		return p.name == "accel" || p.name == "enable-kvm" || (p.name == "machine" || p.name == "M") && strings.Contains(p.value, "accel=")
	})
}

// arguments are the words of the command line.
func (o options) arguments() []string {
	var out []string
	for _, p := range o {
		out = append(out, "-"+p.name)
		if p.value != "" {
			out = append(out, p.value)
		}
	}
	return out
}

// commandLine is what QEMU is started with. Each switch that qemuargs names
// replaces all of the builder's with that name; only the lines to this process
// and to the TPM cannot be replaced, since nothing works without them.
func (p *plan) commandLine(hw *hardware, l launch) ([]string, error) {
	given, err := p.givenOptions(l)
	if err != nil {
		return nil, err
	}
	own := slices.Concat(p.machineOptions(hw, l), hw.firmware.options(), p.storageOptions(hw), p.networkOptions(given, hw, l), p.displayOptions(l))
	if hw.tpm != nil {
		own.add("tpmdev", "emulator,id=%s,chardev=%s", tpmID, tpmChardev)
		own.add("device", "%s,tpmdev=%s", hw.tpm.device, tpmID)
	}
	if l.userQMP != "" {
		own.add("qmp", "unix:%s,server=on,wait=off", escape(l.userQMP))
	}
	if l.resumed {
		own.add("incoming", "defer")
		own.add("S", "")
	}
	own.add("serial", "chardev:%s", consoleChardev)
	if (given.has("machine") || given.has("M")) && l.accelerator != accelNone && !given.accelerates() {
		// It was part of the builder's -machine.
		own.add("accel", "%s", l.accelerator)
	}
	out := slices.DeleteFunc(own, func(o option) bool { return given.has(o.name) })
	out.add("chardev", "%s,id=%s", l.qmp, qmpChardev)
	out.add("mon", "chardev=%s,mode=control", qmpChardev)
	if out.has("serial") {
		out.add("chardev", "%s,id=%s", l.console, consoleChardev)
	}
	if hw.tpm != nil {
		out.add("chardev", "socket,id=%s,path=%s", tpmChardev, escape(hw.tpm.socket))
	}
	return append(out, given...).arguments(), nil
}

// givenOptions are qemuargs with their actions replaced.
func (p *plan) givenOptions(l launch) (options, error) {
	var out options
	for _, a := range p.QemuArgs {
		words := make([]string, len(a))
		for i, text := range a {
			var err error
			if words[i], err = gotmpl.Render(text, l.vars, l.fields); err != nil {
				return nil, fmt.Errorf("qemuargs: %w", err)
			}
		}
		out = append(out, option{strings.TrimLeft(words[0], "-"), strings.Join(words[1:], "")})
	}
	return out, nil
}

func (p *plan) machineOptions(hw *hardware, l launch) options {
	var o options
	o.add("name", "%s", l.name)
	machine := "type=" + p.MachineType
	if l.accelerator != accelNone {
		machine += ",accel=" + l.accelerator
	}
	if hw.firmware.secure {
		machine += ",smm=on"
		o.add("global", "driver=cfi.pflash01,property=secure,value=on")
	}
	o.add("machine", "%s", machine)
	if p.CPUModel != "" {
		o.add("cpu", "%s", p.CPUModel)
	}
	o.add("smp", "%s", p.smp())
	o.add("m", "%dM", p.Memory)
	if p.RunOnce {
		o.add("boot", "once=d")
	}
	return o
}

// smp is the number of processors and what the template says of where they are.
func (p *plan) smp() string {
	out := strconv.Itoa(p.processors())
	for _, part := range []struct {
		name string
		n    int
	}{{"sockets", p.Sockets}, {"cores", p.Cores}, {"threads", p.Threads}} {
		if part.n > 0 {
			out += fmt.Sprintf(",%s=%d", part.name, part.n)
		}
	}
	return out
}

func (f firmware) options() options {
	var o options
	switch f.kind {
	case firmwareBIOS:
		o.add("bios", "%s", f.code)
	case firmwarePflash:
		o.add("drive", "file=%s,if=pflash,unit=0,format=%s,readonly=on", escape(f.code), flashFormat(f.code))
		if f.vars != "" {
			o.add("drive", "file=%s,if=pflash,unit=1,format=%s", escape(f.vars), flashFormat(f.vars))
		}
	}
	return o
}

// flashFormat is the format of a firmware file; distributions that do not use raw
// files say so in the name.
func flashFormat(path string) string {
	if strings.HasSuffix(path, ".qcow2") {
		return "qcow2"
	}
	return "raw"
}

// storageOptions are the disks, then the CDs, then the floppy disk, each on the
// controller that it needs.
func (p *plan) storageOptions(hw *hardware) options {
	s := storage{p: p}
	for i, d := range hw.disks {
		s.disk(i, d)
	}
	for i, path := range hw.cdroms {
		s.cd(i, path)
	}
	if hw.floppy != "" {
		s.add("drive", "file=%s,if=floppy,format=raw", escape(hw.floppy))
	}
	return s.options
}

// storage collects drives.
type storage struct {
	options
	p *plan
	// scsi and sata are how many devices are on these controllers, which are
	// made for the first one.
	scsi, sata int
}

func (s *storage) disk(n int, d disk) {
	p := s.p
	id := fmt.Sprintf("%s%d", driveID, n)
	drive := fmt.Sprintf("id=%s,format=%s,cache=%s,discard=%s", id, d.format, p.DiskCache, p.DiskDiscard)
	if p.DiskDetectZeroes != "off" {
		drive += ",detect-zeroes=" + p.DiskDetectZeroes
	}
	s.attach(p.DiskInterface, d.path, drive+below(d.below), id, false)
}

func (s *storage) cd(n int, path string) {
	id := fmt.Sprintf("%s%d", cdID, n)
	s.attach(s.p.CDROMInterface, path, fmt.Sprintf("id=%s,media=cdrom,readonly=on", id), id, true)
}

// attach adds a drive with the device that it needs.
func (s *storage) attach(iface, path, drive, id string, cd bool) {
	kind := "hd"
	if cd {
		kind = "cd"
	}
	switch iface {
	case "":
		s.add("drive", "file=%s,%s", escape(path), drive)
		return
	case "virtio", "ide":
		s.add("drive", "file=%s,if=%s,%s", escape(path), iface, drive)
		return
	}
	s.add("drive", "file=%s,if=none,%s", escape(path), drive)
	switch iface {
	case "scsi", "virtio-scsi":
		if s.scsi++; s.scsi == 1 {
			controller := map[string]string{"scsi": "lsi53c895a", "virtio-scsi": "virtio-scsi-pci"}[iface]
			s.add("device", "%s,id=%s", controller, scsiBusID)
		}
		s.add("device", "scsi-%s,bus=%s.0,drive=%s", kind, scsiBusID, id)
	case "sata":
		if s.sata++; s.sata == 1 {
			s.add("device", "ahci,id=%s", sataBusID)
		}
		s.add("device", "ide-%s,bus=%s.%d,drive=%s", kind, sataBusID, s.sata-1, id)
	case "nvme":
		s.add("device", "nvme,drive=%s,serial=%s", id, id)
	}
}

func (p *plan) networkOptions(given options, hw *hardware, l launch) options {
	var o options
	switch {
	case p.NetBridge != "":
		o.add("netdev", "bridge,id=%s,br=%s", netID, p.NetBridge)
	case l.hostPort != 0:
		o.add("netdev", "user,id=%s,hostfwd=tcp:127.0.0.1:%d-:%d", netID, l.hostPort, l.guestPort)
	default:
		o.add("netdev", "user,id=%s", netID)
	}
	device := fmt.Sprintf("%s,netdev=%s", p.NetDevice, netID)
	if l.mac != "" {
		device += ",mac=" + l.mac
	}
	if p.skipsNetworkBoot(given, hw) {
		device += ",romfile="
	}
	o.add("device", "%s", device)
	return o
}

// skipsNetworkBoot reports whether the network card can do without the program
// that boots from the network, which takes time at each start of the machine: it
// starts from an image that holds a system, and nobody chooses anything else.
func (p *plan) skipsNetworkBoot(given options, hw *hardware) bool {
	hasROM := slices.Contains([]string{"virtio-net", "virtio-net-pci", "e1000", "e1000e", "rtl8139", "vmxnet3"}, p.NetDevice)
	return hasROM && p.DiskImage && len(p.BootCommand)+len(p.BootSteps) == 0 && hw.firmware.kind == firmwareDefault &&
		!given.has("boot") && !given.has("option-rom") && !given.has("bios")
}

func (p *plan) displayOptions(l launch) options {
	var o options
	if l.display != "" {
		o.add("display", "%s", l.display)
	}
	if p.VGA != "" {
		o.add("vga", "%s", p.VGA)
	}
	if !p.DisableVNC {
		o.add("vnc", "%s", p.vncOption())
	}
	return o
}

// vncOption lets QEMU itself take the first free port of the range.
func (p *plan) vncOption() string {
	host := p.VNCBindAddress
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	out := fmt.Sprintf("%s:%d,to=%d", host, p.VNCPortMin-defaultVNCPort, p.VNCPortMax-defaultVNCPort)
	if p.VNCUsePassword {
		out += ",password=on"
	}
	return out
}

// escape makes a path fit for a list of properties.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }
