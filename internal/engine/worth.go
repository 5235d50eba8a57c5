package engine

import (
	"time"

	"ingot/internal/component"
	"ingot/internal/stepcache"
)

const (
	// share is the part of a build's time that saving may take: 1/share of it.
	share = 10
	// firstPrice is how long saving is expected to take before it was done once.
	firstPrice = 500 * time.Millisecond
)

// worth decides after which provisioners a machine is saved: what is made again
// without it has to be worth what saving takes.
type worth struct {
	clock component.Clock
	// all saves after each provisioner.
	all bool
	// price is how long saving takes, as far as that is known.
	price time.Duration
	// began is when the build began, since when what is not saved yet did.
	began, since time.Time
	// spent is what saving took in this build.
	spent time.Duration
}

// learn takes the price from what was saved before, by a build of the same name
// rather than by others with the same builder.
func (w *worth) learn(entries []stepcache.Entry, build, builder string) {
	w.price = firstPrice
	known := false
	var newest time.Time
	for _, e := range entries {
		same := e.Build == build
		if e.Damage != "" || e.Builder != builder || e.Took <= 0 || known && !same {
			continue
		}
		if same == known && !e.Created.After(newest) {
			continue
		}
		known, newest, w.price = same, e.Created, e.Took
	}
}

// ask reports whether the machine is to be saved now. Last says that a change of
// the last provisioner is the only one from which a later machine would not help.
func (w *worth) ask(last bool) bool {
	if w.all {
		return true
	}
	now := w.clock.Now()
	again := now.Sub(w.since)
	if again >= share*w.price {
		return true
	}
	return last && again >= w.price && share*(w.spent+w.price) <= now.Sub(w.began)
}

// saved notes what saving took that began then.
func (w *worth) saved(begin time.Time) {
	w.since = w.clock.Now()
	w.price = w.since.Sub(begin)
	w.spent += w.price
}
