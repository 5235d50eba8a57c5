package lint

import (
	"slices"
	"strings"
	"time"

	"ingot/internal/diag"
)

func machineRules() []*Rule {
	return []*Rule{
		{
			ID: "VM101", Severity: diag.Warning, Title: "Time-out shorter than an installation", check: shortInstall,
			Why:    "The builder installs a system from an ISO image, and waits for SSH all the while. ssh_timeout is 5 minutes unless it is set; an unattended installation takes 10 to 40.",
			Advice: "Set ssh_timeout = \"45m\". A machine that is ready sooner is not kept waiting.",
		},
		{
			ID: "VM102", Severity: diag.Warning, Title: "Machine switched off hard", check: hardPowerOff,
			Why:    "Without shutdown_command the builder pulls the plug. What the system has not yet written is missing in the image, or its file system is damaged.",
			Advice: "Set shutdown_command, such as \"sudo shutdown -P now\".",
		},
		{
			ID: "VM103", Severity: diag.Warning, Title: "Too little memory to install", check: littleMemory,
			Why:    "Current installers load themselves into memory and need 1 to 2 GB. With less they stop with a kernel panic, or one of their processes is killed. qemu gives a machine 512 MB unless memory is set.",
			Advice: "Set memory = 2048.",
		},
		{
			ID: "VM104", Severity: diag.Warning, Title: "Machines that share one identity", check: machineID,
			Why:    "Nothing empties /etc/machine-id. All machines made from the image have the same one: they receive the same address from DHCP servers that go by it, and their logs cannot be told apart.",
			Advice: "Run truncate -s 0 /etc/machine-id in the last step, or cloud-init clean --machine-id.",
		},
		{
			ID: "VM105", Severity: diag.Info, Title: "Fixed wait", check: fixedWait,
			Why:    "The step waits for a fixed time. On good days that is lost, and on bad ones it is not enough.",
			Advice: "Wait for what the step needs: a loop with a limit that asks for a port, a file or cloud-init status --wait.",
		},
	}
}

func shortInstall(p *pass) {
	for _, m := range p.machines {
		// On vSphere ip_wait_timeout covers the installation.
		if !m.installs() || m.kind == "vsphere-iso" || m.communicator() != "ssh" {
			continue
		}
		var set bool
		for _, name := range []string{"ssh_timeout", "ssh_wait_timeout"} {
			a := m.arg(name)
			if a == nil {
				continue
			}
			set = true
			if d, ok := duration(a); ok && d < 10*time.Minute {
				p.report(a.Expr.Range(), "%s is less than an installation takes.", d)
			}
		}
		if !set {
			p.report(m.header(), "ssh_timeout of %q is not set, which means 5 minutes.", m.source.Addr.Name)
		}
	}
}

func hardPowerOff(p *pass) {
	kinds := []string{"qemu", "virtualbox-iso", "virtualbox-ovf", "virtualbox-vm", "vmware-iso", "vmware-vmx", "hyperv-iso", "hyperv-vmcx", "parallels-iso", "parallels-pvm"}
	for _, m := range p.machines {
		if !slices.Contains(kinds, m.kind) || m.communicator() == "none" || m.has("shutdown_command") || m.is("disable_shutdown") {
			continue
		}
		p.report(m.header(), "%q has no shutdown_command.", m.source.Addr.Name)
	}
}

func littleMemory(p *pass) {
	for _, m := range p.machines {
		if !m.installs() || setsMemory(m) {
			continue
		}
		for _, name := range []string{"memory", "RAM"} {
			if mb, ok := number(m.arg(name)); ok && mb > 0 && mb < 1024 {
				p.report(m.arg(name).Expr.Range(), "%d MB are less than an installer needs.", mb)
			}
		}
		if m.kind == "qemu" && m.arg("memory") == nil {
			p.report(m.header(), "memory of %q is not set, which means 512 MB.", m.source.Addr.Name)
		}
	}
}

// setsMemory reports whether memory is set by options for the program that
// runs the machine.
func setsMemory(m *machine) bool {
	for _, name := range []string{"qemuargs", "vboxmanage", "vmx_data", "prlctl"} {
		a := m.arg(name)
		if a == nil {
			continue
		}
		if isUnknown(a) {
			return true
		}
		for _, e := range a.Elements() {
			list, _ := texts(e)
			for _, text := range list {
				if text == "-m" || text == "--memory" || strings.EqualFold(text, "memsize") || text == "--memsize" {
					return true
				}
			}
			for _, o := range e.Objects() {
				if o.Argument("memsize") != nil {
					return true
				}
			}
		}
	}
	return false
}

var identity = pattern(`machine-id|sys-unconfig|virt-sysprep|cloud-init\s+clean|machineid`)

var noMachineID = pattern(`\bapk |\bpkg install|\bpkg_add`)

func machineID(p *pass) {
	kinds := []string{"qemu", "vsphere-iso", "vsphere-clone", "proxmox-iso", "proxmox-clone"}
	for _, m := range p.machines {
		if m.build == nil || !slices.Contains(kinds, m.kind) || len(m.steps) == 0 || m.communicator() != "ssh" || m.isWindows() || m.opaque() || m.says(identity()) {
			continue
		}
		if text, ok := m.text("shutdown_command"); ok && identity().MatchString(text) {
			continue
		}
		// Alpine and BSD have no such file.
		if m.says(noMachineID()) {
			continue
		}
		p.report(m.header(), "No step of %q empties /etc/machine-id.", m.source.Addr.Name)
	}
}

func fixedWait(p *pass) {
	for s := range p.steps {
		if a := s.Meta["pause_before"]; a != nil {
			if v, diags := a.Expr.Value(nil); !diags.HasErrors() {
				if text, ok := plainText(v); ok {
					if d, err := time.ParseDuration(text); err == nil && d >= 2*time.Minute {
						p.report(a.Expr.Range(), "Every build waits %s here.", d)
					}
				}
			}
		}
		if s.Type != "sleep" {
			continue
		}
		if d, ok := duration(s.Section.Argument("duration")); ok && d >= 2*time.Minute {
			p.report(s.Section.Argument("duration").Expr.Range(), "Every build waits %s here.", d)
		}
	}
}
