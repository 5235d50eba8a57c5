package ssh

import (
	"fmt"
	"strings"
)

// quote makes a word of any text for a POSIX shell.
func quote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// quotePath is quote for a file name that is an operand of a command: a
// leading dash does not make it an option.
func quotePath(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return quote(path)
}

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
