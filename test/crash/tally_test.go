package crash

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// cell is a row of the table in docs/reliability.md: what builds, what is lost or goes
// wrong, and when.
type cell struct{ builder, lost, at string }

// score is what came of a cell.
type score struct {
	crashes, clean int
	// left counts the crashes after which something was there to be removed.
	left int
}

// tallies adds up the crashes of one test process.
type tallies struct {
	mu sync.Mutex
	by map[cell]score // guarded by mu
}

var tally = &tallies{by: map[cell]score{}}

func (a *tallies) note(c cell, left int, clean bool) {
	if !known(c) {
		panic(fmt.Sprintf("the table has no row for %+v", c))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.by[c]
	s.crashes++
	if left > 0 {
		s.left++
	}
	if clean {
		s.clean++
	}
	a.by[c] = s
}

// partVariable says which part of a long sweep is done: "all", or a number from 1.
const partVariable = "INGOT_CRASH_PART"

// part is what is done of a sweep that is too long for each run of the tests. The
// parts take turns by the day.
type part struct{ number, of int }

func newPart(t *testing.T, of int) part {
	t.Helper()
	text := os.Getenv(partVariable)
	if text == "all" {
		return part{0, 1}
	}
	p := part{int(time.Now().Unix()/86400) % of, of}
	if text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > of {
			t.Fatalf("%s is %q: want all, or a number from 1 to %d", partVariable, text, of)
		}
		p.number = n - 1
	}
	t.Logf("part %d of %d; %s=%d does it again, %s=all does all", p.number+1, of, partVariable, p.number+1, partVariable)
	return p
}

// has reports whether the n-th of a row of crashes is in the part.
func (p part) has(n int) bool { return n%p.of == p.number }

func (p part) String() string { return fmt.Sprintf("part %d of %d", p.number+1, p.of) }
