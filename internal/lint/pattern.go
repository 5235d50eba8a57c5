package lint

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used:
// every start of the program would pay for it otherwise.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
