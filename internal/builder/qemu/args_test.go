package qemu

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

var update = flag.Bool("update", false, "write the command lines that are made as those that are expected")

// planOf is a checked plan.
func planOf(t *testing.T, own map[string]cty.Value) *plan {
	t.Helper()
	p, diags := readConfig(settings(own))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return p
}

func pairs(args ...[]string) cty.Value {
	var out []cty.Value
	for _, a := range args {
		out = append(out, list(a...))
	}
	return cty.ListVal(out)
}

func TestCommandLine(t *testing.T) {
	str, yes, num := cty.StringVal, cty.True, cty.NumberIntVal
	type set = map[string]cty.Value
	disks := []disk{{path: "/out/vm", format: "qcow2"}, {path: "/out/vm-1", format: "qcow2"}}
	on := func(iface string) (set, *hardware) {
		return set{"disk_interface": str(iface), "cdrom_interface": str(iface)}, &hardware{disks: disks, cdroms: []string{"/iso/a.iso", "/w/cd.iso"}}
	}
	type machine struct {
		set set
		hw  *hardware
		l   launch
	}
	cases := map[string]machine{
		"installer": {set: set{}, hw: &hardware{disks: disks[:1], cdroms: []string{"/iso/a.iso"}}},
		"image":     {set: set{"disk_image": yes}, hw: &hardware{disks: disks[:1]}},
		"image that is typed at": {
			set: set{"disk_image": yes, "boot_command": list("x")}, hw: &hardware{disks: disks[:1]},
		},
		"everything of the machine": {
			set: set{
				"machine_type": str("q35"), "cpu_model": str("host"), "cpus": num(2), "sockets": num(1), "cores": num(2), "threads": num(2), "memory": num(2048),
				"disk_cache": str("none"), "disk_discard": str("unmap"), "disk_detect_zeroes": str("unmap"), "vga": str("qxl"), "run_once": yes, "net_device": str("e1000"),
				"vnc_bind_address": str("::1"), "vnc_port_min": num(5950), "vnc_use_password": yes,
			},
			hw: &hardware{disks: disks[:1], cdroms: []string{"https://example.com/a,b.iso"}, floppy: "/w/floppy,1.img"},
			l:  launch{accelerator: "kvm", display: "gtk", userQMP: "/out/vm.monitor"},
		},
		"efi": {
			set: set{"efi_boot": yes}, hw: &hardware{disks: disks[:1], firmware: firmware{kind: firmwarePflash, code: "/fw/CODE.fd", vars: "/out/efivars.fd"}},
		},
		"secure boot": {
			set: set{"efi_boot": yes, "machine_type": str("q35")},
			hw:  &hardware{disks: disks[:1], firmware: firmware{kind: firmwarePflash, code: "/fw/CODE.secboot.qcow2", vars: "/w/VARS.qcow2", secure: true}},
		},
		"bios and tpm": {
			set: set{"vtpm": yes}, hw: &hardware{disks: disks[:1], firmware: firmware{kind: firmwareBIOS, code: "/fw/bios.bin"}, tpm: &tpm{socket: "/w/tpm.sock", device: "tpm-crb"}},
		},
		"bridge":        {set: set{"net_bridge": str("br0")}, hw: &hardware{disks: disks[:1]}, l: launch{mac: "52:54:00:01:02:03", hostPort: -1}},
		"no forwarding": {set: set{"skip_nat_mapping": yes, "disable_vnc": yes}, hw: &hardware{disks: disks[:1]}, l: launch{hostPort: -1}},
		"no accelerator": {
			set: set{"accelerator": str("none")}, hw: &hardware{disks: disks[:1]}, l: launch{accelerator: accelNone},
		},
		"qemuargs": {
			set: set{"vtpm": yes, "qemuargs": pairs(
				[]string{"-m", "1024M"}, []string{"--smp", "cpus=4,", "sockets=1"}, []string{"-nographic"}, []string{"-snapshot", ""},
				[]string{"-netdev", "user,id=n,hostfwd=tcp::{{.SSHHostPort}}-:22"}, []string{"-device", "virtio-net,netdev=n"}, []string{"-device", "virtio-rng-pci"},
				[]string{"-serial", "file:{{.OutputDir}}/{{.Name}}.log"}, []string{"-fw_cfg", "name=opt/x,string={{.HTTPIP}}:{{.HTTPPort}}{{.HTTPDir}}"},
			)},
			hw: &hardware{disks: disks[:1], tpm: &tpm{socket: "/w/tpm.sock", device: "tpm-tis"}},
		},
		"qemuargs with a machine": {
			set: set{"qemuargs": pairs([]string{"-machine", "q35"})}, hw: &hardware{disks: disks[:1]}, l: launch{accelerator: "kvm"},
		},
		"qemuargs with an accelerator": {
			set: set{"qemuargs": pairs([]string{"-machine", "q35,accel=tcg"})}, hw: &hardware{disks: disks[:1]}, l: launch{accelerator: "kvm"},
		},
		"qemuargs with drives": {
			set: set{"qemuargs": pairs([]string{"-drive", "file={{.OutputDir}}/{{.Name}},if=virtio"}, []string{"-boot", "d"}, []string{"-chardev", "null,id=n"}, []string{"-display", "none"}, []string{"-vnc", ":9"})},
			hw:  &hardware{disks: disks, cdroms: []string{"/iso/a.iso"}},
		},
	}
	for _, iface := range diskInterfaces() {
		if !slices.Contains(cdInterfaces(), iface) {
			cases["disks on "+iface] = machine{set: set{"disk_interface": str(iface)}, hw: &hardware{disks: disks}}
			continue
		}
		own, hw := on(iface)
		cases["disks and CDs on "+iface] = machine{set: own, hw: hw}
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			c := cases[name]
			l := c.l
			l.name, l.guestPort, l.qmp, l.console = "vm", 22, "socket,fd=3", "socket,fd=4"
			if l.accelerator == "" {
				l.accelerator = accelTCG
			}
			if l.display == "" {
				l.display = "none"
			}
			switch l.hostPort {
			case -1:
				l.hostPort = 0
			case 0:
				l.hostPort = 2222
			}
			l.fields = map[string]string{"HTTPIP": "10.0.2.2", "HTTPPort": "8000", "HTTPDir": "http", "Name": "vm", "OutputDir": "out", "SSHHostPort": "2222", "HostPort": "2222"}
			got, err := planOf(t, c.set).commandLine(c.hw, l)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.ReplaceAll(name, " ", "-"), lines(got))
		})
	}
}

// lines puts each switch with its value on a line.
func lines(args []string) string {
	out := ""
	for _, a := range args {
		if strings.HasPrefix(a, "-") && out != "" {
			out += "\n"
		} else if out != "" {
			out += " "
		}
		out += a
	}
	return out + "\n"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "args", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant (run with -update to accept)\n%s", got, want)
	}
}

// Ensure that every case of the table has a file and every file a case.
func TestGoldenFilesAreUsed(t *testing.T) {
	files, err := filepath.Glob("testdata/args/*.txt")
	if err != nil || len(files) != 20 {
		t.Errorf("there are %d files, %v", len(files), err)
	}
}
