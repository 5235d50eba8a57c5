package upgrade

import (
	"strings"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/diag"
)

// plugin is where the components of a plugin come from.
type plugin struct{ source string }

// pluginOf returns the plugin that has a component, by the start of its type.
func pluginOf(componentType string) (name string, p plugin, ok bool) {
	name, _, _ = strings.Cut(componentType, "-")
	switch name {
	case "amazon", "ansible", "azure", "docker", "googlecompute", "hyperv", "openstack", "oracle", "proxmox", "puppet", "qemu",
		"salt", "chef", "cloudstack", "vagrant", "virtualbox", "vmware", "vsphere":
		return name, plugin{"github.com/hashicorp/" + name}, true
	case "digitalocean", "linode", "scaleway":
		return name, plugin{"github.com/" + name + "/" + name}, true
	case "hcloud":
		return name, plugin{"github.com/hetznercloud/hcloud"}, true
	case "parallels":
		return name, plugin{"github.com/Parallels/parallels"}, true
	}
	return "", plugin{}, false
}

// builtIn reports whether a component needs no plugin.
func builtIn(componentType string) bool {
	switch componentType {
	case "null", "file", "oci",
		"shell", "shell-local", "breakpoint", "sleep", "powershell", "windows-shell", "windows-restart", "hcp-sbom",
		"artifice", "checksum", "compress", "manifest", "provenance":
		return true
	}
	return false
}

// require notes the plugin that a component needs.
func (u *upgrader) require(componentType string, at hcl.Range) {
	if builtIn(componentType) {
		return
	}
	name, p, ok := pluginOf(componentType)
	if !ok {
		u.report(diag.WarnIn(at, "Unknown plugin",
			"It is not known which plugin has the type %q. Add the plugin to required_plugins.", componentType))
		return
	}
	u.plugins[name] = p
}
