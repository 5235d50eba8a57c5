package qemu

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/fetch"
	"ingot/internal/fileserver"
	"ingot/internal/gotmpl"
	"ingot/internal/media"
)

// The settings of other packages, by names that can stand side by side.
type (
	isoSettings   = fetch.Config
	mediaSettings = media.Config
	httpSettings  = fileserver.Config
)

// config is the configuration as it stands in the template; see schema for the
// meanings. Attributes that the template leaves out have their default where the
// schema names one, and else their zero value.
type config struct {
	component.Connection
	isoSettings
	mediaSettings
	httpSettings

	QemuBinary    string     `cty:"qemu_binary"`
	Accelerator   string     `cty:"accelerator"`
	MachineType   string     `cty:"machine_type"`
	CPUModel      string     `cty:"cpu_model"`
	CPUs          int        `cty:"cpus"`
	Sockets       int        `cty:"sockets"`
	Cores         int        `cty:"cores"`
	Threads       int        `cty:"threads"`
	Memory        int        `cty:"memory"`
	QemuArgs      [][]string `cty:"qemuargs"`
	QMPEnable     bool       `cty:"qmp_enable"`
	QMPSocketPath string     `cty:"qmp_socket_path"`
	VTPM          bool       `cty:"vtpm"`
	TPM1          bool       `cty:"use_tpm1"`
	TPMDeviceType string     `cty:"tpm_device_type"`

	DiskImage          bool     `cty:"disk_image"`
	DiskSize           string   `cty:"disk_size"`
	DiskAdditionalSize []string `cty:"disk_additional_size"`
	Format             string   `cty:"format"`
	DiskInterface      string   `cty:"disk_interface"`
	DiskCache          string   `cty:"disk_cache"`
	DiskDiscard        string   `cty:"disk_discard"`
	DiskDetectZeroes   string   `cty:"disk_detect_zeroes"`
	CDROMInterface     string   `cty:"cdrom_interface"`
	UseBackingFile     bool     `cty:"use_backing_file"`
	SkipResizeDisk     bool     `cty:"skip_resize_disk"`
	SkipCompaction     bool     `cty:"skip_compaction"`
	DiskCompression    bool     `cty:"disk_compression"`

	EFIBoot         bool   `cty:"efi_boot"`
	EFIFirmwareCode string `cty:"efi_firmware_code"`
	EFIFirmwareVars string `cty:"efi_firmware_vars"`
	EFIDropEFIVars  bool   `cty:"efi_drop_efivars"`
	Firmware        string `cty:"firmware"`
	UsePflash       bool   `cty:"use_pflash"`

	Headless          bool   `cty:"headless"`
	Display           string `cty:"display"`
	UseDefaultDisplay bool   `cty:"use_default_display"`
	VGA               string `cty:"vga"`
	DisableVNC        bool   `cty:"disable_vnc"`
	VNCBindAddress    string `cty:"vnc_bind_address"`
	VNCPortMin        int    `cty:"vnc_port_min"`
	VNCPortMax        int    `cty:"vnc_port_max"`
	VNCUsePassword    bool   `cty:"vnc_use_password"`
	VNCPassword       string `cty:"vnc_password"`

	NetDevice      string `cty:"net_device"`
	NetBridge      string `cty:"net_bridge"`
	SkipNATMapping bool   `cty:"skip_nat_mapping"`
	// HostPortMin and HostPortMax hold the old names' values and the defaults
	// after reading.
	HostPortMin    int `cty:"host_port_min"`
	HostPortMax    int `cty:"host_port_max"`
	SSHHostPortMin int `cty:"ssh_host_port_min"`
	SSHHostPortMax int `cty:"ssh_host_port_max"`

	BootCommand          []string      `cty:"boot_command"`
	BootSteps            [][]string    `cty:"boot_steps"`
	BootWait             time.Duration `cty:"boot_wait"`
	BootKeyInterval      time.Duration `cty:"boot_key_interval"`
	BootKeygroupInterval time.Duration `cty:"boot_keygroup_interval"`
	BootKeyboardLayout   string        `cty:"boot_keyboard_layout"`
	BootExpect           string        `cty:"boot_expect"`
	BootExpectTimeout    time.Duration `cty:"boot_expect_timeout"`
	RunOnce              bool          `cty:"run_once"`

	OutputDirectory string        `cty:"output_directory"`
	VMName          string        `cty:"vm_name"`
	ShutdownCommand string        `cty:"shutdown_command"`
	ShutdownTimeout time.Duration `cty:"shutdown_timeout"`

	QemuImgArgs *qemuImgArgs `cty:"qemu_img_args"`
}

// qemuImgArgs is the qemu_img_args block.
type qemuImgArgs struct {
	Create  []string `cty:"create"`
	Convert []string `cty:"convert"`
	Resize  []string `cty:"resize"`
}

// plan is a checked configuration.
type plan struct {
	config
	// diskSize is the size of the first disk in bytes; diskSizeSet says that
	// the template gives it.
	diskSize    int64
	diskSizeSet bool
	// additional are the sizes of the other disks in bytes.
	additional []int64
	// keyIntervalSet: boot_key_interval is in the template, be it zero.
	keyIntervalSet bool
	// bootWaitSet: boot_wait is in the template and not its default.
	bootWaitSet bool
}

// readConfig decodes and checks. Attributes that are not known yet are not
// checked; they will be before the job runs.
func readConfig(cfg cty.Value) (*plan, diag.List) {
	p := &plan{}
	if err := component.Decode(cfg, &p.config); err != nil {
		return nil, diag.Errorf("Invalid qemu configuration", "%s.", err)
	}
	if p.Communicator == "" {
		p.Communicator = commSSH
	}
	if p.QemuImgArgs == nil {
		p.QemuImgArgs = &qemuImgArgs{}
	}
	if p.EFIFirmwareCode != "" || p.EFIFirmwareVars != "" {
		p.EFIBoot = true
	}
	if !cfg.IsKnown() {
		return p, nil
	}
	p.keyIntervalSet = component.IsSet(cfg, "boot_key_interval")
	p.bootWaitSet = given(cfg, "boot_wait")
	diags := p.check(cfg)
	p.fillPorts()
	return p, diags
}

// The communicators that a machine can be reached with.
const (
	commSSH   = "ssh"
	commWinRM = "winrm"
	commNone  = "none"
)

func (c *config) fillPorts() {
	for _, port := range []struct {
		now *int
		old int
		def int
	}{{&c.HostPortMin, c.SSHHostPortMin, defaultHostPort}, {&c.HostPortMax, c.SSHHostPortMax, defaultHostPorts}} {
		if *port.now == 0 {
			*port.now = port.old
		}
		if *port.now == 0 {
			*port.now = port.def
		}
	}
}

// processors is the number of processors that the machine starts with.
func (c *config) processors() int {
	if c.CPUs > 0 {
		return c.CPUs
	}
	return c.topology()
}

// topology is how many processors the sockets, cores and threads make.
func (c *config) topology() int { return max(c.Sockets, 1) * max(c.Cores, 1) * max(c.Threads, 1) }

// forwards reports whether a port of this computer is forwarded to the machine.
func (c *config) forwards() bool {
	return c.Communicator != commNone && !c.SkipNATMapping && c.NetBridge == ""
}

// makesKeyPair reports whether a key pair is made for the build: it is asked for,
// or there is no other way to log in.
func (c *config) makesKeyPair() bool {
	if c.Communicator != commSSH {
		return false
	}
	asked := c.TemporaryKeyPairName != "" || c.TemporaryKeyPairType != "" || c.TemporaryKeyPairBits != 0
	other := c.SSHPassword != "" || c.SSHPrivateKeyFile != "" || c.SSHAgentAuth || len(c.SSHPrivateKey) > 0
	return asked || !other
}

// The names that depend on that of the build, as texts with template actions.
const (
	defaultOutputDirectory = "output-{{.BuildName}}"
	defaultVMName          = "packer-{{.BuildName}}"
)

// vmName is the name of the machine and of its first disk.
func (c *config) vmName(build string) string {
	if c.VMName != "" {
		return c.VMName
	}
	return strings.ReplaceAll(defaultVMName, "{{.BuildName}}", build)
}

// outputDir is the folder for the disks, as the user would write it.
func (c *config) outputDir(build string) string {
	if c.OutputDirectory != "" {
		return c.OutputDirectory
	}
	return strings.ReplaceAll(defaultOutputDirectory, "{{.BuildName}}", build)
}

// creates is what the build makes. Names that are not known yet stay empty.
func (p *plan) creates() []component.Creation {
	literal := func(given, otherwise string) string {
		if given != "" {
			return gotmpl.Literal(given)
		}
		return otherwise
	}
	dir, name := literal(p.OutputDirectory, defaultOutputDirectory), literal(p.VMName, defaultVMName)
	out := []component.Creation{{Kind: "virtual machine", Temporary: true}}
	for i := range 1 + len(p.additional) {
		out = append(out, component.Creation{Kind: "disk", Name: dir + "/" + diskName(name, i), Fields: map[string]string{}})
	}
	return out
}

// diskName is the file name of disk i, from 0.
func diskName(vmName string, i int) string {
	if i == 0 {
		return vmName
	}
	return fmt.Sprintf("%s-%d", vmName, i)
}

// parseSize reads a size: a number of MiB, or with a suffix.
func parseSize(text string) (int64, error) {
	digits := strings.TrimSpace(text)
	shift := 20
	if n := len(digits); n > 0 {
		if i := strings.IndexByte("bkmgtpe", digits[n-1]|0x20); i >= 0 {
			digits, shift = digits[:n-1], 10*i
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a size such as 40960 (MiB), \"40960M\" or \"40G\"", text)
	}
	if n > (1<<63-1)>>shift {
		return 0, fmt.Errorf("%q is larger than a disk can be", text)
	}
	return n << shift, nil
}
