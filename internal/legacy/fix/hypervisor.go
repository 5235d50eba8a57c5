package fix

import (
	"math"
	"strconv"
	"strings"

	"ingot/internal/legacy/jsondoc"
)

// Builders of hypervisors. Renamed types are in buildertype.go.

var virtualboxGuestAdditions = Fixer{
	Name:        "virtualbox-gaattach",
	Description: `Replaces "guest_additions_attach" in virtualbox builders by "guest_additions_mode".`,
	Apply: ofBuilders(types("virtualbox"), func(b *jsondoc.Node) bool {
		attach, ok := truth(b.Get("guest_additions_attach"))
		if !ok {
			return false
		}
		mode := "upload"
		if attach {
			mode = "attach"
		}
		replace(b, "guest_additions_attach", "guest_additions_mode", jsondoc.NewString(mode))
		return true
	}),
}

var virtualboxCommConfig = Fixer{
	Name:        "comm-config",
	Description: `Removes "ssh_" from "ssh_host_port_min", "ssh_host_port_max" and "ssh_skip_nat_mapping" in virtualbox builders.`,
	Apply: ofBuilders(prefixed("virtualbox"), rename(
		"ssh_host_port_min", "host_port_min",
		"ssh_host_port_max", "host_port_max",
		"ssh_skip_nat_mapping", "skip_nat_mapping")),
}

var parallelsHeadless = Fixer{
	Name:        "parallels-headless",
	Description: `Removes "headless" from parallels builders.`,
	Apply:       ofBuilders(types("parallels-iso", "parallels-pvm"), drop("headless")),
}

var parallelsDeprecations = Fixer{
	Name:        "parallels-deprecations",
	Description: `Removes "parallels_tools_host_path" from parallels builders and renames "guest_os_distribution" to "guest_os_type".`,
	Apply: ofBuilders(types("parallels-iso", "parallels-pvm"), func(b *jsondoc.Node) bool {
		dropped := drop("parallels_tools_host_path")(b)
		return b.Rename("guest_os_distribution", "guest_os_type") || dropped
	}),
}

var vmwareCompaction = Fixer{
	Name:        "vmware-compaction",
	Description: `Sets "disk_type_id" to "zeroedthick" where a vmware-iso builder for esx5 has none, and "skip_compaction" unless the disk is thin.`,
	Apply: ofBuilders(types("vmware-iso"), func(b *jsondoc.Node) bool {
		if text(b.Get("remote_type")) != "esx5" {
			return false
		}
		changed := false
		disk := b.Get("disk_type_id")
		switch {
		case disk == nil:
			b.Set("disk_type_id", jsondoc.NewString("zeroedthick"))
			changed = true
		// One that is computed may come to thin.
		case !disk.Is(jsondoc.String) || disk.Text == "thin" || strings.Contains(disk.Text, "{{"):
			return false
		}
		if skip, ok := truth(b.Get("skip_compaction")); ok && !skip || !b.Has("skip_compaction") {
			b.Set("skip_compaction", jsondoc.NewBool(true))
			changed = true
		}
		return changed
	}),
}

var hypervDeprecations = Fixer{
	Name:        "hyperv-deprecations",
	Description: `Removes "vhd_temp_path" from hyperv-iso builders.`,
	Apply:       ofBuilders(types("hyperv-iso"), drop("vhd_temp_path")),
}

var hypervVMCXTypo = Fixer{
	Name:        "hyperv-vmxc-typo",
	Description: `Corrects the name "clone_from_vmxc_path" in hyperv-vmcx builders.`,
	Apply:       ofBuilders(types("hyperv-vmcx"), rename("clone_from_vmxc_path", "clone_from_vmcx_path")),
}

var hypervCPUAndRAM = Fixer{
	Name:        "hyperv-cpu-and-ram",
	Description: `Renames "cpu" to "cpus" and "ram_size" to "memory" in hyperv builders.`,
	Apply:       ofBuilders(types("hyperv-iso", "hyperv-vmcx"), rename("cpu", "cpus", "ram_size", "memory")),
}

var qemuDiskSize = Fixer{
	Name:        "qemu-disk-size",
	Description: `Gives a "disk_size" of qemu builders that is a number its unit, "M".`,
	Apply: ofBuilders(types("qemu"), func(b *jsondoc.Node) bool {
		n := b.Get("disk_size")
		if !n.Is(jsondoc.Number) {
			return false
		}
		size, err := strconv.ParseFloat(n.Text, 64)
		if err != nil || size < 0 || size != math.Trunc(size) || size > math.MaxInt32 {
			return false
		}
		b.Set("disk_size", jsondoc.NewString(strconv.FormatFloat(size, 'f', -1, 64)+"M"))
		return true
	}),
}

var qemuHostPort = Fixer{
	Name:        "qemu-host-port",
	Description: `Removes "ssh_" from "ssh_host_port_min" and "ssh_host_port_max" in qemu builders.`,
	Apply: ofBuilders(types("qemu"), rename(
		"ssh_host_port_min", "host_port_min",
		"ssh_host_port_max", "host_port_max")),
}

var vsphereNetworkAndDisk = Fixer{
	Name:        "vsphere-iso-net-disk",
	Description: `Moves "network", "network_card" and the settings of the disk in vsphere-iso builders into "network_adapters" and "storage".`,
	Apply: ofBuilders(types("vsphere-iso"), func(b *jsondoc.Node) bool {
		network := moveIntoFirst(b, "network_adapters",
			"network", "network",
			"networkCard", "network_card",
			"network_card", "network_card")
		disk := moveIntoFirst(b, "storage",
			"disk_size", "disk_size",
			"disk_thin_provisioned", "disk_thin_provisioned",
			"disk_eagerly_scrub", "disk_eagerly_scrub")
		return network || disk
	}),
}

// moveIntoFirst moves keys of n into the first object of the list at a key,
// which is made when it is missing; pairs are the names before and after. What
// that object has already stays.
func moveIntoFirst(n *jsondoc.Node, list string, pairs ...string) bool {
	first := n.Get(list)
	switch {
	case first == nil:
	case first.Is(jsondoc.Object):
	case first.Is(jsondoc.Array) && len(first.Elements) == 0:
	case first.Is(jsondoc.Array) && first.Elements[0].Is(jsondoc.Object):
		first = first.Elements[0]
	default:
		return false
	}
	changed := false
	for i := 0; i < len(pairs); i += 2 {
		from, to := pairs[i], pairs[i+1]
		v := n.Get(from)
		if v == nil || v.Is(jsondoc.Object) || v.Is(jsondoc.Array) {
			continue
		}
		changed = true
		if !first.Is(jsondoc.Object) {
			// The new list stands where the first of its settings was.
			first = jsondoc.NewObject()
			n.Delete(list)
			n.Rename(from, list)
			n.Set(list, jsondoc.NewArray(first))
		}
		n.Delete(from)
		if !first.Has(to) {
			first.Set(to, v)
		}
	}
	return changed
}
