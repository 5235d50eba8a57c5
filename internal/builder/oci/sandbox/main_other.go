//go:build !linux

package sandbox

import (
	"fmt"
	"os"
)

// Main is the sandbox's main function: call it before anything else when the
// first argument is Arg, and exit with what it returns.
func Main([]string) int {
	fmt.Fprintln(os.Stderr, "the sandbox needs Linux")
	return 1
}
