package live

// Guest names the files of a small virtual machine: a Debian kernel with
// busybox and dropbear. It runs in 256 MB without acceleration, is up within
// some ten seconds then, and answers SSH on port 22 of its first network card,
// which it sets up by DHCP.
//
// The files are shared by all tests. Nobody may write to them: boot an overlay,
// or with snapshot=on.
//
// On its first serial port it prints a line that begins with
// "INGOT-GUEST-READY" once the network is up, and a line "TYPED: ..." for each
// line typed at its console, where a prompt stores what is typed in the file
// /root/typed. The power button shuts it down. It takes the SSH keys, the host
// name and a script from a NoCloud seed, a volume labelled cidata: the name of
// the device it found is in /run/seed.
type Guest struct {
	// Disk is a qcow2 image of some 340 MB that a BIOS boots, from any of the
	// interfaces virtio, IDE, SATA, SCSI and NVMe that the kernel has a driver for.
	Disk string `json:"disk"`
	// EFIDisk is the same for EFI firmware only. Where there is firmware, the
	// folder /sys/firmware/efi exists in the guest.
	EFIDisk string `json:"efi_disk"`

	// Kernel, Initrd and Root boot without a boot loader; Root is a raw image of
	// the root file system alone. KernelArgs is what Kernel needs to be told.
	Kernel     string `json:"kernel"`
	Initrd     string `json:"initrd"`
	Root       string `json:"root"`
	KernelArgs string `json:"kernel_args"`

	// InstallISO shows the prompt "boot:". The command "install url=URL" makes
	// it write Disk to the first disk, fetch the answers from the URL by HTTP,
	// and reboot. A line "key AUTHORIZED-KEY" of the answers lets another key
	// log in; a line "hostname NAME" names the machine.
	InstallISO string `json:"install_iso"`

	// SavedDir is where tests keep the state of running guests, to go on from.
	SavedDir string `json:"saved_dir"`

	// User is root. It logs in with the private key in KeyFile, or Password.
	User     string `json:"user"`
	KeyFile  string `json:"key_file"`
	Password string `json:"password"`
	// HostKey is the ed25519 host key, as an authorized_keys line. There are
	// ecdsa and rsa ones too.
	HostKey string `json:"host_key"`
}
