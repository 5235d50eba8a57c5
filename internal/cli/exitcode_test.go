package cli

import (
	"errors"
	"fmt"
	"testing"

	"ingot/internal/engine"
	"ingot/internal/retry"
)

func TestExitCodeOf(t *testing.T) {
	of := func(errs ...error) engine.Result {
		var res engine.Result
		for _, err := range errs {
			res.Builds = append(res.Builds, engine.BuildResult{Err: err})
		}
		return res
	}
	class := func(c retry.Class) error { return retry.As(c, errors.New("broke")) }
	interrupted := of(class(retry.Transient))
	interrupted.Interrupted = errors.New("interrupt")
	for _, c := range []struct {
		name            string
		res             engine.Result
		bad             bool
		plain, detailed int
	}{
		{"success", of(nil, nil), false, 0, 0},
		{"script", of(nil, errors.New("exit code 3")), false, 1, 1},
		{"transient", of(fmt.Errorf("connect: %w", class(retry.Transient))), false, 1, exitTransient},
		{"throttled", of(class(retry.Throttled)), false, 1, exitTransient},
		{"capacity and transient", of(class(retry.Capacity), class(retry.Transient)), false, 1, exitCapacity},
		{"permission", of(class(retry.Permission), class(retry.Capacity)), false, 1, exitPermission},
		{"user", of(class(retry.User), class(retry.Permission)), false, 1, exitUser},
		{"anything else weighs most", of(class(retry.User), errors.New("exit code 3")), false, 1, 1},
		{"stopped by another", of(class(retry.Capacity), fmt.Errorf("run: %w", engine.ErrOtherFailed)), false, 1, exitCapacity},
		{"findings", of(nil), true, 1, exitUser},
		{"interrupted", interrupted, false, 1, exitCancelled},
	} {
		if got := exitCodeOf(c.res, c.bad, false); got != c.plain {
			t.Errorf("%s: %d, want %d", c.name, got, c.plain)
		}
		if got := exitCodeOf(c.res, c.bad, true); got != c.detailed {
			t.Errorf("%s, detailed: %d, want %d", c.name, got, c.detailed)
		}
	}
}
