package engine

import (
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/stepcache"
)

type stoppedClock struct {
	component.Clock
	now time.Time
}

func (c *stoppedClock) Now() time.Time { return c.now }

func TestWhenAMachineIsSaved(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const s = time.Second
	for name, c := range map[string]struct {
		w    worth
		now  time.Duration
		last bool
		want bool
	}{
		"at once":                        {worth{price: s}, 0, true, false},
		"at once, all":                   {worth{price: s, all: true}, 0, false, true},
		"ten times as long":              {worth{price: s, spent: 50 * s}, 10 * s, false, true},
		"not quite":                      {worth{price: s}, 10*s - 1, false, false},
		"before the last":                {worth{price: s, since: begin.Add(18 * s)}, 20 * s, true, true},
		"before another":                 {worth{price: s, since: begin.Add(18 * s)}, 20 * s, false, false},
		"before the last, hardly done":   {worth{price: s, since: begin.Add(18*s + 1)}, 19 * s, true, false},
		"before the last, much spent":    {worth{price: s, spent: s + 1, since: begin.Add(18 * s)}, 20 * s, true, false},
		"before the last, a short build": {worth{price: s}, 10*s - 1, true, false},
	} {
		c.w.clock = &stoppedClock{now: begin.Add(c.now)}
		c.w.began = begin
		if c.w.since.IsZero() {
			c.w.since = begin
		}
		if got := c.w.ask(c.last); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestPriceOfSaving(t *testing.T) {
	at := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	entry := func(build, builder string, day int, took time.Duration) stepcache.Entry {
		return stepcache.Entry{Build: build, Builder: builder, Created: at(day), Took: took}
	}
	damaged := entry("a", "docker", 9, time.Minute)
	damaged.Damage = "yes"
	for name, c := range map[string]struct {
		entries []stepcache.Entry
		want    time.Duration
	}{
		"nothing":         {nil, firstPrice},
		"another builder": {[]stepcache.Entry{entry("b", "qemu", 1, 5)}, firstPrice},
		"another build":   {[]stepcache.Entry{entry("b", "docker", 1, 5), entry("c", "docker", 2, 6), entry("d", "docker", 1, 7)}, 6},
		"the same":        {[]stepcache.Entry{entry("b", "docker", 3, 5), entry("a", "docker", 1, 8), entry("a", "docker", 2, 9), entry("c", "docker", 4, 6)}, 9},
		"not known":       {[]stepcache.Entry{entry("a", "docker", 3, 0), damaged}, firstPrice},
	} {
		var w worth
		w.learn(c.entries, "a", "docker")
		if w.price != c.want {
			t.Errorf("%s: %s", name, w.price)
		}
	}
	var w worth
	w.clock = &stoppedClock{now: at(2)}
	w.saved(at(2).Add(-3 * time.Second))
	if w.price != 3*time.Second || w.spent != 3*time.Second || !w.since.Equal(at(2)) {
		t.Errorf("after saving: %+v", w)
	}
}
