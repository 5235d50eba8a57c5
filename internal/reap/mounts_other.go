//go:build !linux

package reap

// mountBelow: only the Linux sandbox mounts anything.
func mountBelow(string) (string, error) { return "", nil }
