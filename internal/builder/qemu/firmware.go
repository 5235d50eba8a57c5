package qemu

import (
	"path/filepath"
	"strings"
)

// efiVarsName is the file of the EFI variables in the artifact.
const efiVarsName = "efivars.fd"

// secureName reports whether the name of a firmware file says that it is made for
// Secure Boot, as the names of Debian, Ubuntu and Fedora do.
func secureName(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	return strings.Contains(name, "secboot") || strings.Contains(name, ".ms.") || strings.Contains(name, ".snakeoil.")
}
