package cli

import "io/fs"

// keepOwner does nothing: a new file gets its owner and access rules from the
// folder, as the old one did.
func keepOwner(string, fs.FileInfo) {}
