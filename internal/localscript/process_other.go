//go:build !linux

package localscript

func startTime(int) string { return "" }

func bootID() string { return "" }
