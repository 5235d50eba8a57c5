//go:build !linux

package procid

// Boot returns "": this system does not say.
func Boot() string { return "" }

// Stat returns 0 and "": this system does not say.
func Stat(int) (state byte, start string) { return 0, "" }
