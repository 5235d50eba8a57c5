// Package fix brings legacy JSON templates up to date: it replaces settings
// that components have dropped or renamed, as Packer's "fix" does.
//
// A fixer works on the document itself, so that the order of keys, comments
// and everything that it does not know stay as they are. What has not the type
// that a fixer expects is left alone: the reader of the template reports it.
package fix

import "ingot/internal/legacy/jsondoc"

// Fixer is one repair.
type Fixer struct {
	// Name is Packer's name for it.
	Name string
	// Description is one sentence in the present tense: what it does.
	Description string
	// Apply repairs the document in place and reports whether it changed
	// anything. It takes any JSON value, and nil.
	Apply func(doc *jsondoc.Node) (changed bool)
}

// All returns the fixers in the order in which they run: some repair what an
// earlier one leaves behind.
func All() []Fixer {
	return []Fixer{
		isoMD5,
		createTime,
		virtualboxGuestAdditions,
		vagrantOverride,
		virtualboxRename,
		vmwareRename,
		parallelsHeadless,
		parallelsDeprecations,
		sshKeyPath,
		sshDisableAgent,
		scalewayAccessKey,
		manifestFilename,
		amazonShutdownBehavior,
		amazonEnhancedNetworking,
		amazonPrivateIP,
		amazonSourceCIDRs,
		dockerEmail,
		dockerTags,
		powershellEscapes,
		vmwareCompaction,
		hypervDeprecations,
		hypervVMCXTypo,
		hypervCPUAndRAM,
		cleanImageName,
		amazonSpotPriceProduct,
		qemuDiskSize,
		galaxyCommand,
		virtualboxCommConfig,
		sshWaitTimeout,
		vsphereNetworkAndDisk,
		isoChecksum,
		qemuHostPort,
		azureExcludeFromLatest,
		proxmoxType,
	}
}

// Run applies all fixers in order and returns the names of those that changed
// the document; nil when it needs no repair.
func Run(doc *jsondoc.Node) (changed []string) {
	for _, f := range All() {
		if f.Apply(doc) {
			changed = append(changed, f.Name)
		}
	}
	return changed
}
