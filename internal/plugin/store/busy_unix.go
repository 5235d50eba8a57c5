//go:build unix

package store

import (
	"errors"
	"syscall"
)

// busy reports whether a program could not be started because it is open for
// writing.
func busy(err error) bool { return errors.Is(err, syscall.ETXTBSY) }
