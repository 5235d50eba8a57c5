package cli

import (
	"errors"
	"fmt"
	"strings"

	"ingot/internal/engine"
	"ingot/internal/retry"
)

// The exit codes of build -detailed-exitcode, beside 0 and 1. When several builds
// failed for several reasons, the code is that of the reason which is mended
// last: as long as one of the others is there, running again cannot succeed.
const (
	exitTransient  = 2
	exitCapacity   = 3
	exitPermission = 4
	exitUser       = 5
	exitCancelled  = 6
)

// exitCodes says what the codes mean, in the order in which they are preferred:
// the last one that applies wins.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitTransient, "something passing: the network, a time-out, too many requests"},
	{exitCapacity, "the provider has no room for what was asked"},
	{exitPermission, "credentials are missing, or not allowed to do this"},
	{exitUser, "the template or a variable is wrong"},
	{exitFailure, "anything else, such as a script that failed"},
	{exitCancelled, "the run was interrupted"},
}

func exitCodeTable() string {
	var b strings.Builder
	for _, c := range exitCodes {
		fmt.Fprintf(&b, "  %d  %s\n", c.code, c.meaning)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// exitCodeOf is the exit code of a run. bad says that some builds of the template
// could not be planned.
func exitCodeOf(res engine.Result, bad, detailed bool) int {
	if !detailed {
		if bad || res.Failed() > 0 || res.Interrupted != nil {
			return exitFailure
		}
		return exitOK
	}
	reasons := map[int]bool{exitUser: bad, exitCancelled: res.Interrupted != nil}
	for _, b := range res.Builds {
		if b.Err != nil && !errors.Is(b.Err, engine.ErrOtherFailed) {
			reasons[exitCodeOfClass(retry.ClassOf(b.Err))] = true
		}
	}
	code := exitOK
	for _, c := range exitCodes {
		if reasons[c.code] {
			code = c.code
		}
	}
	return code
}

func exitCodeOfClass(c retry.Class) int {
	switch c {
	case retry.Transient, retry.Throttled:
		return exitTransient
	case retry.Capacity:
		return exitCapacity
	case retry.Permission:
		return exitPermission
	case retry.User:
		return exitUser
	}
	return exitFailure
}
