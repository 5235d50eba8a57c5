//go:build !linux

package hostproc

func startTime(int) string { return "" }

func bootID() string { return "" }
