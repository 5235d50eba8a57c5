package winguest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRestarted(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	reading := func(at, uptime, seen time.Duration) boot {
		return boot{at: start.Add(at), uptime: uptime, seen: start.Add(seen)}
	}
	before := reading(0, time.Hour, time.Hour)
	for name, c := range map[string]struct {
		after boot
		want  bool
	}{
		"the same start":                  {reading(time.Second, time.Hour+time.Minute, time.Hour+time.Minute), false},
		"a restart":                       {reading(time.Hour+time.Minute, 20*time.Second, time.Hour+80*time.Second), true},
		"the clock was set":               {reading(8*time.Hour, time.Hour+time.Minute, time.Hour+time.Minute), false},
		"the clock was set back":          {reading(-8*time.Hour, time.Hour+time.Minute, time.Hour+time.Minute), false},
		"a restart and the clock set":     {reading(-7*time.Hour, 20*time.Second, time.Hour+80*time.Second), true},
		"this side was suspended":         {reading(0, time.Hour+time.Minute, 3*time.Hour), false},
		"long after the restart":          {reading(2*time.Hour, 2*time.Hour, 4*time.Hour), true},
		"a slow answer, the clock drifts": {reading(3*time.Second, time.Hour+time.Minute, time.Hour+time.Minute+4*time.Second), false},
	} {
		if got := restarted(before, c.after); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestParseBoot(t *testing.T) {
	got, err := parseBoot("a banner\r\ningot-boot 638355968001234567 90061001\r\n")
	want := boot{at: time.Date(2023, 11, 14, 22, 13, 20, 123456700, time.UTC), uptime: 25*time.Hour + time.Minute + time.Second + time.Millisecond}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(boot{})); err != nil || diff != "" {
		t.Error(diff, err)
	}
	for _, bad := range []string{"", "ingot-boot", "ingot-boot x 1", "ingot-boot 1 1", "ingot-boot 638355968001234567 -1", "ingot-boot 638355968001234567 9223372036854775807"} {
		if b, err := parseBoot(bad); err == nil {
			t.Errorf("%q is read as %v", bad, b)
		}
	}
}

func FuzzParseBoot(f *testing.F) {
	f.Add("ingot-boot 638355968001234567 90061001\r\n")
	f.Add("x\ningot-boot 9223372036854775807 1")
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := parseBoot(text); err == nil && (b.uptime < 0 || b.at.Before(time.Unix(0, 0))) {
			t.Errorf("%q is read as %v", text, b)
		}
	})
}
