package winguest

import (
	"context"
	_ "embed" // for the script
	"fmt"
	"strconv"
	"strings"
	"time"
)

//go:embed boot.ps1
var bootScript string

// boot is what the machine says about its last start.
type boot struct {
	// at is when it was, by the machine's clock.
	at time.Time
	// uptime is how long ago that is; it does not change when the clock is
	// set.
	uptime time.Duration
	// seen is when the machine said so, by the clock of this side.
	seen time.Time
}

const (
	// clockSlack is how far apart two readings of the same start can be.
	clockSlack = 2 * time.Second
	// uptimeSlack is how much longer one reading can take than another.
	uptimeSlack = 5 * time.Second
)

// restarted reports whether the machine has started between two readings. The
// time of the start alone does not tell, since it moves when the clock of the
// machine is set; neither does the uptime, which a machine that was started
// just before may have reached again.
func restarted(before, after boot) bool {
	moved := after.at.Sub(before.at).Abs() > clockSlack
	missing := after.seen.Sub(before.seen) - (after.uptime - before.uptime)
	return moved && (missing > uptimeSlack || after.uptime < before.uptime)
}

// readBoot asks the machine when it was started.
func readBoot(ctx context.Context, m Machine) (boot, error) {
	text, err := m.Output(ctx, Own(bootScript))
	if err != nil {
		return boot{}, fmt.Errorf("read the time of the last start: %w", err)
	}
	b, err := parseBoot(text)
	b.seen = m.Clock.Now()
	return b, err
}

// ticksAtEpoch is 1970 in .NET's ticks of 100 ns.
const ticksAtEpoch = 621355968000000000

// parseBoot reads what boot.ps1 prints. Other lines are passed over: a profile
// or a banner may print some.
func parseBoot(text string) (boot, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "ingot-boot" {
			continue
		}
		ticks, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil || ticks < ticksAtEpoch {
			return boot{}, fmt.Errorf("read the time of the last start: %q is no time", fields[1])
		}
		ms, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil || ms < 0 || ms > int64(time.Duration(1<<62)/time.Millisecond) {
			return boot{}, fmt.Errorf("read the time of the last start: %q is no duration", fields[2])
		}
		since := ticks - ticksAtEpoch
		return boot{
			at:     time.Unix(since/1e7, since%1e7*100).UTC(),
			uptime: time.Duration(ms) * time.Millisecond,
		}, nil
	}
	return boot{}, fmt.Errorf("read the time of the last start: the machine answers %q", strings.TrimSpace(text[:min(len(text), 200)]))
}
