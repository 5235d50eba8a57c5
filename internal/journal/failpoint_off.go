//go:build !failpoints

package journal

func failpoint(string) {}
