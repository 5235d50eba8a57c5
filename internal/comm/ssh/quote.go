package ssh

import (
	"fmt"
	"strings"

	"ingot/internal/shellenv"
)

// quote makes a word of any text for the shell of the machine, and quotePath of a
// file name, which may begin like an option.
func quote(word string) string     { return shellenv.Quote(word) }
func quotePath(path string) string { return shellenv.QuotePath(path) }

// checkPath refuses names that no file can have.
func checkPath(path string) error {
	switch {
	case path == "":
		return fmt.Errorf("the remote path is empty")
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("the remote path %q contains a null character", path)
	}
	return nil
}
