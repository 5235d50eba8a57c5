package fix

import (
	"fmt"

	"ingot/internal/legacy/jsondoc"
)

var (
	virtualboxRename = renamedType("virtualbox-rename", "virtualbox", "virtualbox-iso")
	vmwareRename     = renamedType("vmware-rename", "vmware", "vmware-iso")
	proxmoxType      = renamedType("proxmox-type", "proxmox", "proxmox-iso")
)

// renamedType makes the fixer for a builder type that has another name now.
// A builder without a name is called by its type, so what refers to it
// changes with it, unless another builder bears that name.
func renamedType(name, from, to string) Fixer {
	return Fixer{
		Name:        name,
		Description: fmt.Sprintf("Renames the builder type %q to %q, also where steps refer to it.", from, to),
		Apply: func(doc *jsondoc.Node) bool {
			changed := each(builders(doc, types(from)), func(b *jsondoc.Node) bool {
				b.Set("type", jsondoc.NewString(to))
				return true
			})
			for _, b := range builders(doc, anyType) {
				if text(b.Get("name")) == from {
					return changed
				}
			}
			steps := append(provisioners(doc, anyType), postProcessors(doc, anyType)...)
			return each(steps, func(step *jsondoc.Node) bool { return renameReferences(step, from, to) }) || changed
		},
	}
}

// renameReferences changes the name of a build in a step's only, except and
// override.
func renameReferences(step *jsondoc.Node, from, to string) bool {
	changed := false
	for _, key := range []string{"only", "except"} {
		for i, e := range elements(step.Get(key)) {
			if text(e) == from {
				step.Get(key).Elements[i] = jsondoc.NewString(to)
				changed = true
			}
		}
	}
	// The override of the vagrant post-processor is keyed by providers.
	if text(step.Get("type")) == "vagrant" {
		return changed
	}
	return step.Get("override").Rename(from, to) || changed
}
