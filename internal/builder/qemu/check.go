package qemu

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/bootcmd"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
)

// check finds what is wrong with a configuration, and fills in the sizes.
func (p *plan) check(cfg cty.Value) diag.List {
	out := p.Connection.Check(cfg, commSSH, commWinRM, commNone)
	out = append(out, p.isoSettings.Check(cfg)...)
	out = append(out, p.mediaSettings.Check()...)
	out = append(out, p.httpSettings.Check()...)
	for _, check := range []func(cty.Value) diag.List{
		p.checkLogin, p.checkNumbers, p.checkProcessors, p.checkQemuArgs, p.checkSizes, p.checkDisks, p.checkNames,
		p.checkFirmware, p.checkTPM, p.checkDisplay, p.checkVNC, p.checkNetwork, p.checkForwarding, p.checkBoot, p.checkShutdown,
	} {
		out = append(out, check(cfg)...)
	}
	return out
}

// at is an error about the place that a path leads to.
func at(path cty.Path, summary, detail string, args ...any) diag.List {
	return diag.List{{Severity: diag.Error, Summary: summary, Detail: fmt.Sprintf(detail, args...), Path: path}}
}

// given reports whether the template surely sets an attribute to something other
// than its default, its zero value or nothing.
func given(cfg cty.Value, name string) bool {
	if !component.HasValue(cfg, name) {
		return false
	}
	v, _ := cfg.GetAttr(name).Unmark()
	if a, ok := schema().Attribute(name); ok && a.Default != cty.NilVal && v.RawEquals(a.Default) {
		return false
	}
	return !(v.Type() == cty.Bool && v.False())
}

// pointless warns of settings that mean nothing without another one.
func pointless(cfg cty.Value, why string, names ...string) diag.List {
	var out diag.List
	for _, name := range names {
		if given(cfg, name) {
			out = append(out, diag.WarnAt(name, "Setting without effect", "%s is not used: %s.", name, why)...)
		}
	}
	return out
}

// absent reports whether an attribute surely has no value, or is false.
func absent(cfg cty.Value, name string) bool {
	if !component.Known(cfg, name) {
		return false
	}
	v, _ := cfg.GetAttr(name).Unmark()
	return !component.HasValue(cfg, name) || v.Type() == cty.Bool && v.False()
}

// exclude is the error for two settings that contradict each other.
func exclude(cfg cty.Value, a, b string) diag.List {
	if given(cfg, a) && given(cfg, b) {
		return diag.At(b, "Conflicting settings", "%s and %s exclude each other. Remove one of them.", a, b)
	}
	return nil
}

func (p *plan) checkLogin(cfg cty.Value) diag.List {
	if !component.Known(cfg, "communicator") {
		return nil
	}
	var out diag.List
	need := func(names ...string) {
		for _, name := range names {
			if absent(cfg, name) {
				out = append(out, diag.At(name, "Missing setting", "communicator = %q needs %s. Set communicator to \"none\" when nothing is to be done inside the machine.", p.Communicator, name)...)
			}
		}
	}
	switch p.Communicator {
	case commSSH:
		need("ssh_username")
		out = append(out, p.checkKeyPair(cfg)...)
	case commWinRM:
		need("winrm_username", "winrm_password")
	case commNone:
		out = append(out, pointless(cfg, "with communicator = \"none\" nothing can be run inside the machine", "shutdown_command")...)
	}
	out = append(out, pointless(cfg, "there is no store of key pairs here; set ssh_private_key_file to a key of yours", "ssh_keypair_name")...)
	return out
}

// checkKeyPair warns of a key pair that the machine never hears of.
func (p *plan) checkKeyPair(cfg cty.Value) diag.List {
	for _, name := range []string{"ssh_password", "ssh_private_key_file", "ssh_agent_auth", "ssh_private_key", "boot_command", "boot_steps", "qemuargs"} {
		if !component.Known(cfg, name) {
			return nil
		}
	}
	const field = ".SSHPublicKey"
	typed := slices.ContainsFunc(p.BootCommand, func(s string) bool { return strings.Contains(s, field) }) ||
		slices.ContainsFunc(p.BootSteps, func(s []string) bool { return len(s) > 0 && strings.Contains(s[0], field) })
	if !p.makesKeyPair() || typed {
		return nil
	}
	l := diag.At("ssh_username", "The machine does not know the key",
		"Neither ssh_password, ssh_private_key_file nor ssh_agent_auth is set, so a key pair is made for the build; but the machine is never told its public key. Use {{.SSHPublicKey}} in boot_command, or set one of the three.")
	if given(cfg, "temporary_key_pair_name") || given(cfg, "temporary_key_pair_type") || p.SSHPassword != "" {
		l[0].Path = cty.GetAttrPath("boot_command")
	}
	l[0].Severity = diag.Warning
	return l
}

// checkNumbers finds numbers that cannot be.
func (p *plan) checkNumbers(cfg cty.Value) diag.List {
	var out diag.List
	for _, n := range []struct {
		name     string
		value    int
		min, max int
	}{
		{"cpus", p.CPUs, 1, math.MaxInt32}, {"sockets", p.Sockets, 1, math.MaxInt32}, {"cores", p.Cores, 1, math.MaxInt32},
		{"threads", p.Threads, 1, math.MaxInt32}, {"memory", p.Memory, 4, math.MaxInt32},
		{"host_port_min", p.HostPortMin, 1, 65535}, {"host_port_max", p.HostPortMax, 1, 65535},
		{"ssh_host_port_min", p.SSHHostPortMin, 1, 65535}, {"ssh_host_port_max", p.SSHHostPortMax, 1, 65535},
		{"vnc_port_min", p.VNCPortMin, defaultVNCPort, 65535}, {"vnc_port_max", p.VNCPortMax, defaultVNCPort, 65535},
	} {
		if !component.HasValue(cfg, n.name) || n.value == 0 && n.name != "memory" && !strings.HasPrefix(n.name, "vnc_") {
			continue // zero stands for the default, as templates with variables use it
		}
		if n.value < n.min || n.value > n.max {
			limit := fmt.Sprintf("from %d to %d", n.min, n.max)
			if n.max == math.MaxInt32 {
				limit = fmt.Sprintf("of at least %d", n.min)
			}
			out = append(out, diag.At(n.name, "Number out of range", "%s has to be a number %s, got %d.", n.name, limit, n.value)...)
		}
	}
	return out
}

func (p *plan) checkProcessors(cfg cty.Value) diag.List {
	for _, name := range []string{"sockets", "cores", "threads"} {
		if !component.Known(cfg, name) {
			return nil
		}
	}
	if p.Sockets == 0 || p.Cores == 0 || p.Threads == 0 || p.CPUs <= p.topology() {
		return nil
	}
	return diag.At("cpus", "Conflicting settings", "%d sockets with %d cores with %d threads are %d processors, but cpus is %d. Leave cpus out, or one of the others.",
		p.Sockets, p.Cores, p.Threads, p.topology(), p.CPUs)
}

// checkQemuArgs looks at the form of the arguments; what they mean is QEMU's
// business.
func (p *plan) checkQemuArgs(cty.Value) diag.List {
	var out diag.List
	for i, a := range p.QemuArgs {
		place := cty.GetAttrPath("qemuargs").IndexInt(i)
		if len(a) == 0 || !strings.HasPrefix(a[0], "-") {
			out = append(out, at(place, "Not a switch", "An element of qemuargs is a list that begins with a switch, such as [\"-m\", \"1024M\"], got %q.", a)...)
			continue
		}
		out = append(out, renderable(place.IndexInt(0), a, qemuArgFields())...)
	}
	return out
}

// qemuArgFields and bootFields are what the actions in qemuargs and in
// boot_command can name.
func qemuArgFields() []string {
	return []string{"HTTPIP", "HTTPPort", "HTTPDir", "Name", "OutputDir", "SSHHostPort", "HostPort"}
}

func bootFields() []string {
	return []string{"HTTPIP", "HTTPPort", "Name", "OutputDir", "SSHPublicKey"}
}

// renderable finds mistakes in template actions, with stand-ins for what is known
// only later.
func renderable(place cty.Path, texts []string, fields []string) diag.List {
	_, diags := standIn(place, texts, fields)
	return diags
}

// standIn renders texts with something for every field. The result is nil when a
// text asks for what is known only while the machine runs.
func standIn(place cty.Path, texts []string, fields []string) ([]string, diag.List) {
	data := make(map[string]string, len(fields))
	for _, f := range fields {
		data[f] = "0"
	}
	rendered := make([]string, len(texts))
	for i, t := range texts {
		var err error
		rendered[i], err = gotmpl.Render(t, gotmpl.Vars{}, data)
		switch {
		case errors.Is(err, gotmpl.ErrNotYetKnown):
			return nil, nil
		case err != nil:
			return nil, at(place, "Invalid template action", "%s.", err)
		}
	}
	return rendered, nil
}

func (p *plan) checkSizes(cfg cty.Value) diag.List {
	var out diag.List
	p.diskSize, _ = parseSize(defaultDiskSize)
	if p.DiskSize != "" {
		size, err := parseSize(p.DiskSize)
		if err != nil {
			out = append(out, diag.At("disk_size", "Invalid size", "%s.", err)...)
		}
		p.diskSize, p.diskSizeSet = size, true
	}
	p.additional = make([]int64, len(p.DiskAdditionalSize))
	for i, text := range p.DiskAdditionalSize {
		size, err := parseSize(text)
		if err != nil {
			out = append(out, at(cty.GetAttrPath("disk_additional_size").IndexInt(i), "Invalid size", "%s.", err)...)
		}
		p.additional[i] = size
	}
	if p.DiskImage && p.SkipResizeDisk {
		out = append(out, pointless(cfg, "with skip_resize_disk the disk has the size of the image", "disk_size")...)
	}
	return out
}

func (p *plan) checkDisks(cfg cty.Value) diag.List {
	var out diag.List
	raw := component.Known(cfg, "format") && p.Format == "raw"
	if absent(cfg, "disk_image") {
		for _, name := range []string{"use_backing_file", "skip_resize_disk"} {
			if given(cfg, name) {
				out = append(out, diag.At(name, "Setting needs another one", "%s = true works only with disk_image = true.", name)...)
			}
		}
	}
	for _, name := range []string{"use_backing_file", "disk_compression"} {
		if raw && given(cfg, name) {
			out = append(out, diag.At(name, "Setting does not fit the format", "%s = true needs format = \"qcow2\": raw images can neither be compressed nor refer to others.", name)...)
		}
	}
	if p.DiskCompression {
		out = append(out, pointless(cfg, "disk_compression copies the disks", "skip_compaction")...)
	}
	return append(out, p.checkImgArgs(cfg)...)
}

// checkImgArgs warns of arguments for what is not done.
func (p *plan) checkImgArgs(cfg cty.Value) diag.List {
	for _, name := range []string{"disk_image", "format", "use_backing_file", "skip_compaction", "disk_compression", "disk_additional_size", "skip_resize_disk"} {
		if !component.Known(cfg, name) {
			return nil
		}
	}
	var out diag.List
	for _, a := range []struct {
		name string
		args []string
		used bool
		why  string
	}{
		{"create", p.QemuImgArgs.Create, !p.DiskImage || p.overlays() || len(p.additional) > 0, "no disk is made but by copying the image"},
		{"convert", p.QemuImgArgs.Convert, p.copies(p.UseBackingFile) || len(p.additional) > 0 && p.copies(false) || p.DiskImage && !p.overlays(), "no disk is copied"},
		{"resize", p.QemuImgArgs.Resize, p.DiskImage && !p.SkipResizeDisk, "no disk is resized"},
	} {
		if len(a.args) > 0 && !a.used {
			out = append(out, diag.WarnAt("qemu_img_args."+a.name, "Setting without effect", "qemu_img_args.%s is not used: %s.", a.name, a.why)...)
		}
	}
	return out
}

func (p *plan) checkNames(cty.Value) diag.List {
	var out diag.List
	if strings.ContainsAny(p.VMName, `/\`) || p.VMName == "." || p.VMName == ".." {
		out = append(out, diag.At("vm_name", "Not a file name", "The first disk gets the name %q, which leads into another folder. The folder for the disks is output_directory.", p.VMName)...)
	}
	if p.VMName == efiVarsName {
		out = append(out, diag.At("vm_name", "Name is taken", "The file %s is that of the EFI variables.", efiVarsName)...)
	}
	if strings.ContainsAny(p.VMName, ",\n") {
		out = append(out, diag.At("vm_name", "Not a name for QEMU", "%q has a comma or a line end in it.", p.VMName)...)
	}
	return out
}

// missingFile warns of a file that is not there yet: another build may make it.
func missingFile(attribute, path string) diag.List {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return diag.WarnAt(attribute, "File not found", "%s. It has to be there when the build starts.", err)
	case info.IsDir():
		return diag.At(attribute, "Not a file", "%s is a folder.", path)
	}
	return nil
}

func (p *plan) checkFirmware(cfg cty.Value) diag.List {
	out := missingFile("efi_firmware_code", p.EFIFirmwareCode)
	out = append(out, missingFile("efi_firmware_vars", p.EFIFirmwareVars)...)
	out = append(out, missingFile("firmware", p.Firmware)...)
	if p.Firmware != "" && p.EFIBoot {
		out = append(out, diag.At("firmware", "Conflicting settings", "firmware is for machines that do not boot by EFI. Use efi_firmware_code for EFI firmware, or remove the efi_ settings.")...)
	}
	if absent(cfg, "firmware") {
		out = append(out, pointless(cfg, "it says how firmware is given to the machine, which is not set", "use_pflash")...)
	}
	efiKnown := component.Known(cfg, "efi_boot") && component.Known(cfg, "efi_firmware_code") && component.Known(cfg, "efi_firmware_vars")
	if efiKnown && !p.EFIBoot {
		out = append(out, pointless(cfg, "the machine does not boot by EFI; set efi_boot = true", "efi_drop_efivars")...)
	}
	if secureName(p.EFIFirmwareCode) && component.Known(cfg, "machine_type") && !strings.Contains(p.MachineType, "q35") {
		out = append(out, diag.At("machine_type", "Secure Boot needs another machine", "The firmware %s is made for Secure Boot, which works only with machine_type = \"q35\"; this is %q.", p.EFIFirmwareCode, p.MachineType)...)
	}
	return out
}

func (p *plan) checkTPM(cfg cty.Value) diag.List {
	if !absent(cfg, "vtpm") {
		return nil
	}
	return pointless(cfg, "the machine has no TPM; set vtpm = true", "use_tpm1", "tpm_device_type")
}

func (p *plan) checkDisplay(cfg cty.Value) diag.List {
	out := exclude(cfg, "use_default_display", "display")
	if p.Headless {
		out = append(out, pointless(cfg, "with headless = true no window is opened", "display", "use_default_display")...)
	}
	return out
}

func (p *plan) checkVNC(cfg cty.Value) diag.List {
	var out diag.List
	if p.DisableVNC {
		return pointless(cfg, "with disable_vnc = true there is no VNC server", "vnc_bind_address", "vnc_port_min", "vnc_port_max", "vnc_use_password", "vnc_password")
	}
	if _, err := netip.ParseAddr(p.VNCBindAddress); component.Known(cfg, "vnc_bind_address") && err != nil {
		out = append(out, diag.At("vnc_bind_address", "Invalid address", "%q is not an IP address of this computer.", p.VNCBindAddress)...)
	}
	if component.Known(cfg, "vnc_port_min") && component.Known(cfg, "vnc_port_max") && p.VNCPortMin > p.VNCPortMax {
		out = append(out, diag.At("vnc_port_min", "Empty range of ports", "vnc_port_min (%d) must not be greater than vnc_port_max (%d).", p.VNCPortMin, p.VNCPortMax)...)
	}
	if len(p.VNCPassword) > 8 {
		out = append(out, diag.At("vnc_password", "Password is too long", "VNC uses only the first 8 characters of a password, and this has more.")...)
	}
	if absent(cfg, "vnc_use_password") {
		out = append(out, pointless(cfg, "no password is asked for; set vnc_use_password = true", "vnc_password")...)
	}
	return out
}

func (p *plan) checkNetwork(cfg cty.Value) diag.List {
	var out diag.List
	for _, both := range [][2]string{{"host_port_min", "ssh_host_port_min"}, {"host_port_max", "ssh_host_port_max"}} {
		out = append(out, exclude(cfg, both[0], both[1])...)
	}
	ports := []string{"host_port_min", "host_port_max", "ssh_host_port_min", "ssh_host_port_max"}
	known := true
	for _, name := range ports {
		known = known && component.Known(cfg, name)
	}
	filled := p.config
	filled.fillPorts()
	if known && filled.HostPortMin > filled.HostPortMax {
		name := "host_port_min"
		if p.HostPortMin == 0 {
			name = "host_port_max"
		}
		out = append(out, diag.At(name, "Empty range of ports", "host_port_min (%d) must not be greater than host_port_max (%d).", filled.HostPortMin, filled.HostPortMax)...)
	}
	switch {
	case p.NetBridge != "":
		out = append(out, pointless(cfg, "no port is forwarded to a machine that is on a bridge", append(ports, "skip_nat_mapping")...)...)
	case p.SkipNATMapping:
		out = append(out, pointless(cfg, "with skip_nat_mapping = true no port is forwarded", ports...)...)
	case component.Known(cfg, "communicator") && p.Communicator == commNone:
		out = append(out, pointless(cfg, "with communicator = \"none\" no port is forwarded", ports...)...)
	}
	return out
}

// checkForwarding warns of a network of the template's own to which no port is
// forwarded.
func (p *plan) checkForwarding(cfg cty.Value) diag.List {
	for _, name := range []string{"qemuargs", "communicator", "skip_nat_mapping", "net_bridge"} {
		if !component.Known(cfg, name) {
			return nil
		}
	}
	own := func(a []string) bool {
		return len(a) > 0 && slices.Contains([]string{"netdev", "nic", "net"}, strings.TrimLeft(a[0], "-"))
	}
	forwarded := func(a []string) bool { return strings.Contains(strings.Join(a, ""), "HostPort") }
	if !p.forwards() || !slices.ContainsFunc(p.QemuArgs, own) || slices.ContainsFunc(p.QemuArgs, forwarded) {
		return nil
	}
	return diag.WarnAt("qemuargs", "No port is forwarded", "The network in qemuargs takes the place of the builder's, which forwards a port to the machine. Add \"hostfwd=tcp:127.0.0.1:{{.HostPort}}-:%d\" to it, or set skip_nat_mapping when the machine is reached in another way.", p.guestPort())
}

// checkBoot reads what is typed, with stand-ins for what is known only later.
func (p *plan) checkBoot(cfg cty.Value) diag.List {
	out := exclude(cfg, "boot_steps", "boot_command")
	for i, text := range p.BootCommand {
		out = append(out, p.checkTyped(cty.GetAttrPath("boot_command").IndexInt(i), text)...)
	}
	for i, step := range p.BootSteps {
		place := cty.GetAttrPath("boot_steps").IndexInt(i)
		if len(step) == 0 || len(step) > 2 {
			out = append(out, at(place, "Not a step", "An element of boot_steps is a list of what to type and, if wanted, a line to show; this has %d elements.", len(step))...)
			continue
		}
		out = append(out, p.checkTyped(place.IndexInt(0), step[0])...)
	}
	if absent(cfg, "boot_command") && absent(cfg, "boot_steps") {
		out = append(out, pointless(cfg, "nothing is typed", "boot_key_interval", "boot_keygroup_interval", "boot_keyboard_layout", "boot_expect", "boot_expect_timeout")...)
	}
	if p.BootExpect != "" {
		if _, err := bootcmd.Pattern(p.BootExpect); err != nil {
			out = append(out, diag.At("boot_expect", "Invalid regular expression", "%s.", err)...)
		}
	}
	if component.Known(cfg, "boot_expect_timeout") && p.BootExpectTimeout <= 0 {
		out = append(out, diag.At("boot_expect_timeout", "Invalid time", "boot_expect_timeout has to be longer than nothing.")...)
	}
	return out
}

func (p *plan) checkTyped(place cty.Path, text string) diag.List {
	rendered, diags := standIn(place, []string{text}, bootFields())
	if rendered == nil {
		return diags
	}
	command, err := bootcmd.Parse(rendered[0])
	if err != nil {
		return at(place, "Invalid boot command", "%s.", err)
	}
	if layout, err := bootcmd.LayoutNamed(p.BootKeyboardLayout); err == nil {
		if _, err := keystrokes(layout, command.Actions); err != nil {
			return at(place, "Cannot be typed", "%s. Set boot_keyboard_layout to the one that the machine uses.", err)
		}
	}
	var out diag.List
	for _, word := range command.Literal {
		l := at(place, "Unknown key", "%s is not the name of a key, so it is typed as it stands, with its brackets.", word)
		l[0].Severity = diag.Warning
		out = append(out, l...)
	}
	return out
}

func (p *plan) checkShutdown(cfg cty.Value) diag.List {
	if component.Known(cfg, "shutdown_timeout") && p.ShutdownTimeout <= 0 {
		return diag.At("shutdown_timeout", "Invalid time", "shutdown_timeout has to be longer than nothing: the machine needs time to shut down.")
	}
	if len(p.QMPSocketPath) > maxSocketPath {
		return diag.At("qmp_socket_path", "Path is too long", "The path of a socket has at most %d characters, this has %d.", maxSocketPath, len(p.QMPSocketPath))
	}
	if absent(cfg, "qmp_enable") {
		return pointless(cfg, "no QMP socket is opened for you; set qmp_enable = true", "qmp_socket_path")
	}
	return nil
}

// maxSocketPath is how long the path of a Unix socket can be on every system.
const maxSocketPath = 103
