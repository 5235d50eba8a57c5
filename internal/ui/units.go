package ui

import (
	"fmt"
	"strconv"
	"time"
)

var units = []struct {
	name string
	size time.Duration
}{
	{"year", 365 * 24 * time.Hour},
	{"week", 7 * 24 * time.Hour},
	{"day", 24 * time.Hour},
	{"hour", time.Hour},
	{"minute", time.Minute},
	{"second", time.Second},
	{"millisecond", time.Millisecond},
	{"microsecond", time.Microsecond},
}

// SpellDuration spells the two largest units of d that are not zero, cut
// off, not rounded: "2 seconds 31 milliseconds", "1 hour 5 seconds". Less
// than a microsecond is "0 seconds". A negative d counts as none.
func SpellDuration(d time.Duration) string {
	text, left := "", 2
	for _, u := range units {
		n := d / u.size
		if n <= 0 || left == 0 {
			continue
		}
		d -= n * u.size
		left--
		if text != "" {
			text += " "
		}
		text += strconv.FormatInt(int64(n), 10) + " " + u.name
		if n != 1 {
			text += "s"
		}
	}
	if text == "" {
		return "0 seconds"
	}
	return text
}

// ShortDuration is for columns and live lines: "340ms", "7.2s", "1m05s",
// "2h03m".
func ShortDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "0ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 10*time.Second:
		return fmt.Sprintf("%d.%ds", d/time.Second, d%time.Second/(100*time.Millisecond))
	case d < time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// FormatBytes writes a size in decimal units, as transfer tools do: "999 B",
// "1.5 kB", "27 MB".
func FormatBytes(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), 0
	for v >= 999.5 && unit < 6 {
		v /= 1000
		unit++
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %cB", v, " kMGTPE"[unit])
	}
	return fmt.Sprintf("%.0f %cB", v, " kMGTPE"[unit])
}
