//go:build !linux && !darwin

package qemu

import "errors"

// cloneFile would make a copy of a file that shares its blocks.
func cloneFile(_, _ string) error { return errors.ErrUnsupported }
