package qemu

import (
	"slices"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/bootcmd"
	"ingot/internal/component"
	"ingot/internal/fetch"
	"ingot/internal/fileserver"
	"ingot/internal/media"
)

// What templates see as build.* of the machine and of the artifact.
const (
	factID = "ID"

	dataDiskName   = "diskName"
	dataDiskPaths  = "diskPaths"
	dataDiskSize   = "diskSize"
	dataDiskType   = "diskType"
	dataDomainType = "domainType"
)

// Defaults that the code needs too.
const (
	defaultDiskSize   = "40960M"
	defaultTPMDevice  = "tpm-tis"
	defaultMemory     = 512
	defaultHostPort   = 2222
	defaultHostPorts  = 4444
	defaultVNCPort    = 5900
	defaultVNCPortMax = 6000
)

func schema() component.Schema {
	return component.Schema{
		Description: "Makes disk images of virtual machines with QEMU: from an installer's ISO, whose questions `boot_command` and the HTTP server answer, or from a disk image that exists already. QEMU and qemu-img have to be installed; everything else, such as CDs with answers, is made in process.",
		Attributes: slices.Concat(
			machineAttributes(), diskAttributes(), firmwareAttributes(), displayAttributes(), networkAttributes(),
			bootAttributes(), outputAttributes(),
			fetch.Attributes(), media.Attributes(), fileserver.Attributes(), component.ConnectionAttributes(),
		),
		Blocks: []component.Block{{Name: "qemu_img_args", Schema: component.Schema{
			Description: "Arguments that qemu-img is given besides those of the builder.",
			Attributes: []component.Attribute{
				component.Strings("create", "Arguments for `qemu-img create`."),
				component.Strings("convert", "Arguments for `qemu-img convert`."),
				component.Strings("resize", "Arguments for `qemu-img resize`."),
			},
		}}},
		Manual: manual(),
	}
}

func manual() *component.Manual {
	return &component.Manual{
		Example: `source "qemu" "example" {
  iso_url      = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2"
  iso_checksum = "file:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"
  disk_image   = true
  disk_size    = "10G"
  memory       = 1024

  # The answers that cloud-init reads from a CD.
  cd_label = "cidata"
  cd_content = {
    "meta-data" = ""
    "user-data" = "#cloud-config\nssh_pwauth: true\npassword: packer\nchpasswd: { expire: false }\n"
  }

  ssh_username     = "debian"
  ssh_password     = "packer"
  shutdown_command = "sudo poweroff"
}
`,
		Facts: []component.Term{{Name: factID, Description: "The name of the machine, which is `vm_name`."}},
		Data: []component.Term{
			{Name: dataDiskName, Description: "The file name of the first disk."},
			{Name: dataDiskPaths, Description: "The paths of all disks."},
			{Name: dataDiskSize, Description: "The size of the first disk as the machine sees it, in bytes."},
			{Name: dataDiskType, Description: "The format of the disks: `qcow2` or `raw`."},
			{Name: dataDomainType, Description: "The accelerator that the machine ran with, such as `kvm`."},
		},
		Artifact: "The disks in `output_directory`, the first of them called `vm_name`, with the EFI variables in `efivars.fd` when the machine booted by EFI. The folder appears when the build begins and is removed when it fails.",
	}
}

func on(a component.Attribute, def cty.Value) component.Attribute { a.Default = def; return a }

func text(name, def, description string) component.Attribute {
	return on(component.String(name, description), cty.StringVal(def))
}

func number(name string, def int64, description string) component.Attribute {
	return on(component.Number(name, description), cty.NumberIntVal(def))
}

func oneOf(a component.Attribute, values ...string) component.Attribute { a.OneOf = values; return a }

func pathText(name, description string) component.Attribute {
	a := component.String(name, description)
	a.Format = component.Path
	return a
}

// late attributes are rendered when their fields are known.
func late(a component.Attribute) component.Attribute { a.Late = true; return a }

func machineAttributes() []component.Attribute {
	return []component.Attribute{
		text("qemu_binary", "qemu-system-x86_64", "The QEMU program: a name or a path. Default qemu-system-x86_64."),
		oneOf(component.String("accelerator", "How the machine's processors run: `kvm`, `hvf`, `whpx`, `xen`, `nvmm` or `hax` with the help of this computer's, `tcg` by emulation, `none` by what QEMU takes. Default: the fastest one that works, found by trying."),
			accelerators()...),
		text("machine_type", "pc", "The machine to emulate, as QEMU's `-machine` takes it. Default pc."),
		component.String("cpu_model", "The processor to emulate, as QEMU's `-cpu` takes it. Default: QEMU's."),
		component.Number("cpus", "The number of processors. Default: the product of `sockets`, `cores` and `threads`."),
		component.Number("sockets", "The number of sockets that the processors are in. Default 1."),
		component.Number("cores", "The number of cores of each socket. Default 1."),
		component.Number("threads", "The number of threads of each core. Default 1."),
		number("memory", defaultMemory, "The memory of the machine in MiB. Default 512."),
		late(component.Attribute{Name: "qemuargs", Type: cty.List(cty.List(cty.String)),
			Description: "Arguments for QEMU, as lists: a switch, and its value, which may be empty or in several parts that are put together. A switch that is named here takes the place of all that the builder would give for it. `{{.HTTPIP}}`, `{{.HTTPPort}}`, `{{.HTTPDir}}`, `{{.Name}}`, `{{.OutputDir}}`, `{{.SSHHostPort}}` and `{{.HostPort}}` are replaced."}),
		component.Bool("qmp_enable", "Open a QMP socket for your own use. The builder has one of its own in any case. Default false."),
		pathText("qmp_socket_path", "The socket for `qmp_enable`. Default: `vm_name` with `.monitor` behind it, in the output directory."),
		component.Bool("vtpm", "Give the machine a TPM 2.0, which swtpm emulates. Default false."),
		component.Bool("use_tpm1", "Make it a TPM 1.2. Default false."),
		text("tpm_device_type", defaultTPMDevice, "The TPM as QEMU's `-device` takes it: `tpm-tis` (default), `tpm-crb`, `tpm-spapr` or `tpm-tis-device`, the last for ARM."),
	}
}

// accelerators are QEMU's names.
func accelerators() []string {
	return []string{"none", "kvm", "tcg", "hax", "hvf", "whpx", "xen", "nvmm"}
}

func diskAttributes() []component.Attribute {
	return []component.Attribute{
		component.Bool("disk_image", "The file that `iso_url` names is not an installer but the image of a disk; the machine starts from a copy of it. Default false."),
		component.String("disk_size", "The size of the disk: MiB, or a number with `b`, `K`, `M`, `G`, `T`, `P` or `E` behind it. With `disk_image`, the image is enlarged to it; images that are larger than the default keep their size. Default "+defaultDiskSize+"."),
		component.Strings("disk_additional_size", "The sizes of more disks, in the same form. Their files are called `vm_name` with `-1`, `-2` and so on behind it."),
		oneOf(text("format", "qcow2", "The format of the disks: `qcow2` (default) or `raw`."), "qcow2", "raw"),
		oneOf(text("disk_interface", "virtio", "How the disks are connected: `virtio` (default), `virtio-scsi`, `scsi`, `ide`, `sata` or `nvme`."), diskInterfaces()...),
		oneOf(text("disk_cache", "writeback", "The cache of the disks while the machine runs: `writeback` (default), `writethrough`, `none`, `unsafe` or `directsync`."),
			"writeback", "writethrough", "none", "unsafe", "directsync"),
		oneOf(text("disk_discard", "ignore", "What becomes of blocks that the machine gives back: `ignore` (default) or `unmap`."), "ignore", "unmap"),
		oneOf(text("disk_detect_zeroes", "off", "Whether writing zeroes is turned into something cheaper: `off` (default), `on` or `unmap`."), "off", "on", "unmap"),
		oneOf(component.String("cdrom_interface", "How CDs are connected: `virtio`, `virtio-scsi`, `scsi`, `ide` or `sata`. Default: as QEMU's `-cdrom` does, which is `ide` for most machines."), cdInterfaces()...),
		component.Bool("use_backing_file", "With `disk_image`, leave what has not been changed in the image that was downloaded: the disk is only what differs from it, and cannot be used without it. Default false."),
		component.Bool("skip_resize_disk", "With `disk_image`, keep the size of the image. Default false."),
		component.Bool("skip_compaction", "Leave the disk as the machine has left it, without the space that copying it would save. Default false."),
		component.Bool("disk_compression", "Compress the disks; they have to be qcow2. Default false."),
	}
}

func diskInterfaces() []string {
	return []string{"virtio", "virtio-scsi", "scsi", "ide", "sata", "nvme"}
}

func cdInterfaces() []string { return []string{"virtio", "virtio-scsi", "scsi", "ide", "sata"} }

func firmwareAttributes() []component.Attribute {
	return []component.Attribute{
		component.Bool("efi_boot", "Boot by EFI. Default: true when `efi_firmware_code` or `efi_firmware_vars` is set, else false."),
		pathText("efi_firmware_code", "The EFI firmware. Default: the one that is installed with QEMU. Firmware with Secure Boot needs `machine_type = \"q35\"`."),
		pathText("efi_firmware_vars", "The EFI variables to start with; the machine has its own copy. Default: those that belong to the firmware."),
		component.Bool("efi_drop_efivars", "Leave the EFI variables out of the artifact. Default false."),
		pathText("firmware", "Firmware other than EFI. Default: QEMU's own."),
		component.Bool("use_pflash", "Give `firmware` to the machine as flash memory and not with `-bios`. Default false."),
	}
}

func displayAttributes() []component.Attribute {
	secret := func(a component.Attribute) component.Attribute { a.Sensitive = true; return a }
	return []component.Attribute{
		component.Bool("headless", "Open no window. Without a screen to open it on, there is none in any case. Default false."),
		component.String("display", "The window, as QEMU's `-display` takes it; `none` leaves the choice to QEMU. Default gtk."),
		component.Bool("use_default_display", "Leave the choice of the window to QEMU. Default false."),
		component.String("vga", "The graphics card, as QEMU's `-vga` takes it. Default: the machine's."),
		component.Bool("disable_vnc", "Open no VNC server. `boot_command` works without. Default false."),
		text("vnc_bind_address", "127.0.0.1", "The address that the VNC server listens on. Default 127.0.0.1."),
		number("vnc_port_min", defaultVNCPort, "The first port that the VNC server may listen on. Default 5900."),
		number("vnc_port_max", defaultVNCPortMax, "The last port that the VNC server may listen on. Default 6000."),
		component.Bool("vnc_use_password", "Ask for a password at the VNC server. Default false."),
		secret(component.String("vnc_password", "The password for `vnc_use_password`, of at most 8 characters. Default: a random one.")),
	}
}

func networkAttributes() []component.Attribute {
	old := func(name, now string) component.Attribute {
		a := component.Number(name, "Old name of "+now+".")
		a.Deprecated = "Use " + now + "."
		return a
	}
	return []component.Attribute{
		text("net_device", "virtio-net", "The network card, as QEMU's `-device` takes it. Default virtio-net."),
		component.String("net_bridge", "The bridge of this computer that the machine is connected to, in place of a network that QEMU emulates. No port is forwarded then."),
		component.Bool("skip_nat_mapping", "Forward no port to the machine: its own SSH or WinRM port is used. Default false."),
		component.Number("host_port_min", "The first port of this computer that may be forwarded to the machine. Default 2222."),
		component.Number("host_port_max", "The last port of this computer that may be forwarded to the machine. Default 4444."),
		old("ssh_host_port_min", "host_port_min"),
		old("ssh_host_port_max", "host_port_max"),
	}
}

func bootAttributes() []component.Attribute {
	return []component.Attribute{
		late(component.Strings("boot_command", "What to type when the machine boots, see the [boot command](../../boot-command.md). `{{.HTTPIP}}`, `{{.HTTPPort}}`, `{{.Name}}`, `{{.OutputDir}}` and `{{.SSHPublicKey}}` are replaced.")),
		late(component.Attribute{Name: "boot_steps", Type: cty.List(cty.List(cty.String)),
			Description: "The same in steps: lists of what to type and, if wanted, a line to show. It cannot be used together with `boot_command`."}),
		component.DurationAttr("boot_wait", "10s", "How long to wait before typing; nothing to type, no waiting. Default 10s."),
		component.String("boot_expect", "A regular expression that the machine has to show before anything is typed, on its serial console or on its screen in text mode, such as `boot:`. `boot_wait` then only counts when it is set. `<expect REGEXP>` does the same within `boot_command`."),
		component.DurationAttr("boot_expect_timeout", "5m", "How long the machine may take to show what is expected. Default 5m."),
		oneOf(text("boot_keyboard_layout", "us", "The keyboard that the machine takes its own for while `boot_command` is typed: `us` (default), `gb`, `de` or `fr`."), bootcmd.Layouts()...),
		component.DurationAttr("boot_key_interval", "", "The time between two keys. Default: `PACKER_KEY_INTERVAL`, else as fast as the machine takes them."),
		component.DurationAttr("boot_keygroup_interval", "", "The time between two elements of `boot_command`. Default: none."),
		component.Bool("run_once", "Boot from the CD once, and then from the disk. Default false: the disk comes first when something can be booted from it."),
	}
}

func outputAttributes() []component.Attribute {
	return []component.Attribute{
		pathText("output_directory", "The folder for the disks. It must not be there, unless `-force` replaces it. Default: `output-` with the name of the build."),
		component.String("vm_name", "The name of the machine and of its first disk. Default: `packer-` with the name of the build."),
		component.String("shutdown_command", "The command that shuts the machine down. Default: its power button is pressed."),
		component.DurationAttr("shutdown_timeout", "5m", "How long the machine may take to shut down. Default 5m."),
	}
}
