//go:build !windows

package ui

import "os"

// prepareScreen reports whether out understands escape sequences.
func prepareScreen(_ *os.File, getenv func(string) string) bool { return getenv("TERM") != "" }
