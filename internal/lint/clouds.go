package lint

import (
	"slices"
	"strings"
	"time"

	"ingot/internal/diag"
)

func cloudRules() []*Rule {
	return []*Rule{
		{
			ID: "CLD101", Severity: diag.Warning, Title: "Machine type that runs out of memory", check: smallMachine,
			Why:    "The machine has 1 GB of memory or less. Windows does not become usable with that, and package managers for languages, compilers and dnf are killed by the kernel, in some builds and not in others.",
			Advice: "Build on a type with 2 GB or more. The type of the build does not decide on which types the image can run.",
		},
		{
			ID: "CLD102", Severity: diag.Warning, Title: "Image name that can be used once", check: fixedName,
			Why:    "The name of the image is the same in every build. The first build succeeds; all others fail because there is an image of that name.",
			Advice: "Put a time into the name, such as \"app-${formatdate(\"YYYYMMDDhhmmss\", timestamp())}\", or set force_deregister = true.",
		},
		{
			ID: "CLD103", Severity: diag.Warning, Title: "Packages installed while the machine still starts", check: cloudInitRace,
			Why:    "SSH answers before cloud-init has finished. It is still writing the list of package sources and holds apt's lock, so that packages \"cannot be found\" or the lock \"is held by process 1234\", in one build of ten.",
			Advice: "Start the first step with cloud-init status --wait.",
		},
		{
			ID: "CLD104", Severity: diag.Error, Title: "Azure image that was not deprovisioned", check: notDeprovisioned,
			Why:    "Nothing runs waagent -deprovision. The image keeps the build's user, its keys and host keys, and machines made from it fail with a time-out because the agent takes them for set up.",
			Advice: "End the last step with waagent -force -deprovision+user, run as root. A specialized image in a gallery needs none.",
		},
		{
			ID: "CLD105", Severity: diag.Warning, Title: "Image published to everybody", check: publicImage,
			Why:    "The image, or its snapshot, can be read by every account. Whatever a step has left in it, keys and tokens included, is public.",
			Advice: "Name the accounts in ami_users. If the image is meant to be public, suppress this rule with the reason.",
		},
		{
			ID: "CLD106", Severity: diag.Info, Title: "Spot machine of one type only", check: oneSpotType,
			Why:    "Spot machines are taken from what is left over. When there are none of this type the build fails, and which types are scarce changes by the hour.",
			Advice: "List several types in spot_instance_types.",
		},
	}
}

var (
	tinyTypes   = pattern(`(?i)^(t[234][a-z]*\.nano|t1\.micro|f1-micro|standard_b1ls|basic_a0|standard_a0)$`)
	small1G     = pattern(`(?i)^(t[234][a-z]*\.micro|e2-micro|standard_b1s)$`)
	memoryEater = []string{"npm", "yarn", "pnpm", "cargo", "mvn", "gradle", "composer", "webpack", "go", "docker", "dnf", "make", "cmake", "gcc", "g++", "bazel"}
)

func smallMachine(p *pass) {
	for _, m := range p.machines {
		for _, name := range []string{"instance_type", "vm_size", "machine_type", "spot_instance_types"} {
			a := m.arg(name)
			list, _ := texts(a)
			for _, text := range list {
				switch {
				case m.kind == "qemu":
				case tinyTypes().MatchString(text):
					p.report(a.Expr.Range(), "%s has about half a gigabyte.", text)
				case small1G().MatchString(text) && m.isWindows():
					p.report(a.Expr.Range(), "%s has 1 GB, and the machine runs Windows.", text)
				case small1G().MatchString(text):
					if c := eatsMemory(m); c != nil {
						p.report(a.Expr.Range(), "%s has 1 GB, and %s, at %s:%d, needs more.", text, c.name, c.script.file, c.script.at(c.pos, c.end).Start.Line)
					}
				}
			}
		}
	}
}

// eatsMemory returns a command that is known to need more than 1 GB.
func eatsMemory(m *machine) *command {
	for _, c := range m.shellCommands() {
		if !slices.Contains(memoryEater, c.name) {
			continue
		}
		switch c.sub() {
		case "install", "ci", "build", "upgrade", "update", "package", "assemble", "all":
			return c
		case "":
			if c.name == "make" || c.name == "yarn" {
				return c
			}
		}
	}
	return nil
}

func fixedName(p *pass) {
	for _, m := range p.machines {
		var name string
		var replaces []string
		switch m.kind {
		case "amazon-ebs", "amazon-ebssurrogate", "amazon-instance", "amazon-chroot":
			name, replaces = "ami_name", []string{"force_deregister", "skip_create_ami"}
		case "azure-arm":
			name, replaces = "managed_image_name", []string{"skip_create_image"}
		case "googlecompute":
			name, replaces = "image_name", []string{"skip_create_image"}
		default:
			continue
		}
		a := m.arg(name)
		if a == nil || slices.ContainsFunc(replaces, func(r string) bool { return m.is(r) || isUnknown(m.arg(r)) }) {
			continue
		}
		if text, ok := p.written(a); ok && !action().MatchString(text) && !strings.Contains(text, "{{") {
			p.report(a.Expr.Range(), "Every build makes an image of the name %q.", text)
		}
	}
}

var waitsForStart = pattern(`cloud-init\s+status|boot-finished|lock-frontend|DPkg::Lock::Timeout|Dpkg::Lock::Timeout|systemd-run[^\n]*--wait|apt-daily`)

func cloudInitRace(p *pass) {
	for _, m := range p.machines {
		if m.build == nil || !m.isCloud() || m.isWindows() || pausesFirst(m) {
			continue
		}
	steps:
		for i, s := range m.steps {
			if s.Meta["pause_before"] != nil && i == 0 || s.opaque {
				break
			}
			if d, ok := duration(s.Section.Argument("duration")); s.Type == "sleep" && (!ok || d >= 20*time.Second) {
				break
			}
			if !s.runsOnMachine() {
				continue
			}
			for _, sc := range s.scripts {
				if waitsForStart().MatchString(sc.text) {
					break steps
				}
				for _, c := range sc.cmds {
					if c.name == "sleep" || restarts(c) {
						break steps
					}
					if isApt(c) && slices.Contains([]string{"install", "update", "upgrade", "dist-upgrade", "full-upgrade"}, c.sub()) {
						p.report(sc.at(c.pos, c.end), "Nothing waits for cloud-init of %q before this.", m.source.Addr.Name)
						break steps
					}
				}
			}
		}
	}
}

// pausesFirst reports whether the build waits before it connects.
func pausesFirst(m *machine) bool {
	return m.has("pause_before_connecting", "pause_before_ssm")
}

var deprovision = pattern(`waagent[^\n]*deprovision`)

func notDeprovisioned(p *pass) {
	for _, m := range p.machines {
		if m.build == nil || m.kind != "azure-arm" || m.isWindows() || m.opaque() || m.says(deprovision()) {
			continue
		}
		if text, ok := m.text("os_type"); !ok || !strings.EqualFold(text, "linux") {
			continue
		}
		specialized := m.is("skip_create_image")
		for _, s := range m.blocks("shared_image_gallery_destination") {
			specialized = specialized || isTrue(s.Argument("specialized")) || isUnknown(s.Argument("specialized"))
		}
		if !specialized {
			p.report(m.header(), "No step of %q runs waagent -deprovision.", m.source.Addr.Name)
		}
	}
}

func publicImage(p *pass) {
	for _, m := range p.machines {
		for _, name := range []string{"ami_groups", "snapshot_groups"} {
			a := m.arg(name)
			if list, _ := texts(a); slices.Contains(list, "all") {
				p.report(a.Expr.Range(), "%s names the group of all accounts.", name)
			}
		}
	}
}

func oneSpotType(p *pass) {
	for _, m := range p.machines {
		if !m.isAmazon() || !m.has("spot_price") {
			continue
		}
		if text, ok := m.text("spot_price"); ok && (text == "0" || text == "") {
			continue
		}
		a := m.arg("spot_instance_types")
		list, complete := texts(a)
		if !complete || len(list) > 1 || a == nil && m.arg("instance_type") == nil {
			continue
		}
		p.report(m.arg("spot_price").Expr.Range(), "Only one type of machine will do.")
	}
}
