package serve

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/ui"
)

// narration tells a host's user what happens. Calls are made one after the other by
// one goroutine, in the order of the events; who emits them waits only when many are
// still to be told.
type narration struct {
	ui    packerwire.UI
	log   *log.Logger
	queue chan component.Stamped
	done  chan struct{}

	once sync.Once
	bars map[string]*bar
	// waits is when each wait was last told of.
	waits map[string]time.Time
}

// bar is a transfer that the host shows.
type bar struct {
	remote *packerwire.Bar // nil when the host has none for it
	done   int64
}

// waitEvery is how often it is said that something is still waited for, and
// waitPatience how long before it is said at all.
const (
	waitEvery    = 30 * time.Second
	waitPatience = 3 * time.Second
)

// narrate starts telling until Close; ctx ends with the stream of u.
func narrate(ctx context.Context, u packerwire.UI, logger *log.Logger) *narration {
	n := &narration{
		ui: u, log: logger, queue: make(chan component.Stamped, 1024), done: make(chan struct{}),
		bars: map[string]*bar{}, waits: map[string]time.Time{},
	}
	go func() {
		defer close(n.done)
		for s := range n.queue {
			n.tell(ctx, s)
		}
		for _, b := range n.bars {
			n.close(ctx, b)
		}
	}()
	return n
}

// Handle implements ui.Sink.
func (n *narration) Handle(s component.Stamped) { n.queue <- s }

// Close returns when everything has been told.
func (n *narration) Close() error {
	n.once.Do(func() { close(n.queue) })
	<-n.done
	return nil
}

func (n *narration) tell(ctx context.Context, s component.Stamped) {
	switch e := s.Event.(type) {
	case component.Message:
		n.say(ctx, e.Text)
	case component.Problem:
		n.error(ctx, e.Text)
	case component.Warning:
		text := "Warning: " + e.Summary
		if e.Detail != "" {
			text += "\n" + e.Detail
		}
		n.say(ctx, text)
	case component.Output:
		if e.Stream == component.Stderr {
			n.error(ctx, ui.LastOverprint(e.Line))
			return
		}
		n.check(n.ui.Message(ctx, ui.LastOverprint(e.Line)))
	case component.Retrying:
		n.say(ctx, fmt.Sprintf("%s failed (attempt %d), trying again in %s: %v", e.What, e.Attempt, ui.SpellDuration(e.Delay), e.Err))
	case component.Waiting:
		n.waiting(ctx, e, s.At)
	case component.WaitEnded:
		clear(n.waits)
		if e.Err != nil {
			n.error(ctx, fmt.Sprintf("%s is not ready after %s and %d attempts: %v", e.For, ui.SpellDuration(e.Elapsed), e.Attempts, e.Err))
		}
	case component.Progress:
		n.progress(ctx, e)
	case component.ResourceReleased:
		if e.Err != nil {
			n.error(ctx, fmt.Sprintf("Could not remove %s %s: %v\nIt still exists. Run \"ingot reap\" to try again.", e.Resource.Kind, nameOf(e.Resource), e.Err))
		}
	case component.Trace:
		n.log.Print(e.Text)
	}
}

func nameOf(r component.Resource) string {
	if r.ID != "" {
		return r.ID
	}
	return r.Token
}

func (n *narration) say(ctx context.Context, text string)   { n.check(n.ui.Say(ctx, text)) }
func (n *narration) error(ctx context.Context, text string) { n.check(n.ui.Error(ctx, text)) }

// check notes that a text could not be shown. The work goes on: when the host is
// gone, it is cancelled anyway.
func (n *narration) check(err error) {
	if err != nil {
		n.log.Printf("tell the host: %v", err)
	}
}

// waiting tells of a wait that is long, and again now and then.
func (n *narration) waiting(ctx context.Context, e component.Waiting, now time.Time) {
	last, told := n.waits[e.For]
	if e.Elapsed < waitPatience || told && now.Sub(last) < waitEvery {
		return
	}
	n.waits[e.For] = now
	text := "Waiting for " + e.For
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	n.say(ctx, fmt.Sprintf("%s, %s so far", text, ui.SpellDuration(e.Elapsed.Truncate(time.Second))))
}

// progress moves a bar of the host. One that it does not open is done without.
func (n *narration) progress(ctx context.Context, e component.Progress) {
	b := n.bars[e.ID]
	if b == nil {
		b = &bar{done: e.Done}
		n.bars[e.ID] = b
		var err error
		if b.remote, err = n.ui.Track(ctx, e.Label, max(e.Total, 0), e.Done); err != nil {
			n.check(err)
			b.remote = nil
		}
	}
	if more := e.Done - b.done; more > 0 && b.remote != nil {
		n.check(b.remote.Add(ctx, more))
	}
	b.done = max(b.done, e.Done)
	if e.Finished {
		n.close(ctx, b)
		delete(n.bars, e.ID)
	}
}

func (n *narration) close(ctx context.Context, b *bar) {
	if b.remote != nil {
		n.check(b.remote.Close(ctx))
	}
}

// prompter asks through the host.
type prompter struct {
	ui       packerwire.UI
	terminal bool
}

// Interactive implements component.Prompter.
func (p prompter) Interactive() bool { return p.terminal }

// Ask implements component.Prompter.
func (p prompter) Ask(ctx context.Context, question string) (string, error) {
	if !p.terminal {
		return "", fmt.Errorf("ask %q: there is no terminal", question)
	}
	return p.ui.Ask(ctx, question)
}
