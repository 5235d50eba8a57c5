//go:build !failpoints

package failpoint

import "testing"

// TestCostsNothing: without the tag the environment is not even read.
func TestCostsNothing(t *testing.T) {
	t.Setenv(Variable, "journal.after=error:fatal:never,nonsense")
	if err := Reached(JournalAfter); err != nil {
		t.Errorf("a program without failpoints failed: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = Reached(JournalAfter) }); n != 0 {
		t.Errorf("%v allocations for nothing", n)
	}
}
