package engine

import (
	"fmt"

	"ingot/internal/addr"
	"ingot/internal/component"
)

// Earlier is a run that is taken up again.
type Earlier struct {
	// Run is its id.
	Run string
	// Done are the builds that are not made again.
	Done map[addr.Build]Finished
	// Steps is how many provisioners of each other build it has got done, from the
	// first one on. A build that it has not begun is not there.
	Steps map[addr.Build]int
	// Cached says that it saved machines.
	Cached bool
}

// Finished is a build that an earlier run has finished.
type Finished struct {
	// Run is the one that made the artifacts.
	Run       string
	Artifacts []*component.Artifact
}

// Saved says from where a build that failed can be taken up again.
type Saved struct {
	// Steps is how many of its provisioners are done in the machine that was saved
	// last, and Of how many there are.
	Steps, Of int
	// Made says that the artifact is there, and only post-processors are to run.
	Made bool
	// Why says why none is saved, as a clause; "" when there is nothing to explain.
	Why string
}

// saved is what there is to go on from.
func (b *build) saved() Saved {
	s := Saved{Of: len(b.plan.Provisioners)}
	_, able := b.plan.Job.(component.Checkpointer)
	switch {
	case b.made:
		s.Made = true
	case b.cache != nil:
		s.Steps = b.cache.saved
		switch c := b.cache; {
		case s.Steps > 0 || c.done == 0:
		case c.stop != "" && len(c.chains) == 1:
			s.Why = nth(b.plan.Provisioners[0]) + " cannot be cached: " + c.stop
		case !c.off:
			s.Why = "what it had done was quick, and not worth the time that saving takes (-cache-all saves it all the same)"
		}
	case !able:
		s.Why = b.cannotSave()
	case b.o.Cache == nil:
		s.Why = "the run had no -cache"
	default:
		s.Why = b.notCached
	}
	return s
}

func (b *build) cannotSave() string {
	return "the builder " + b.plan.Source.Type + " cannot save a machine between two provisioners"
}

// tellResumed says why provisioners run again that the earlier run had got done.
func (c *cached) tellResumed() error {
	earlier := c.o.Earlier
	if earlier == nil {
		return nil
	}
	i := c.from
	for i < len(c.plan.Provisioners) && c.neutral(i) {
		i++
	}
	if i >= earlier.Steps[c.plan.Addr] || i >= len(c.plan.Provisioners) {
		return nil
	}
	if !earlier.Cached {
		c.rt.Say(fmt.Sprintf("Starting from the beginning: run %s had no -cache, so that nothing of it was saved.", earlier.Run))
		return nil
	}
	entries, known, err := c.entries()
	if err != nil {
		return err
	}
	c.rt.Say(fmt.Sprintf("Going on from %s, which has to run again: %s.", nth(c.plan.Provisioners[i]), c.whyMissed(i, entries, known)))
	return nil
}
