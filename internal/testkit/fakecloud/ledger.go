// Package fakecloud is a cloud for tests: an HTTP service with a ledger of its own,
// which fails in the ways in which clouds do, and a builder and a reaper for it. The
// ledger says what exists whatever anybody was told.
//
// Its resources are key pairs, disks, instances and images. A create call with a
// token that was used before returns what that one has made. What was just made may
// not be found for a while.
package fakecloud

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Collections of the service.
const (
	KeyPairs  = "keypairs"
	Disks     = "disks"
	Instances = "instances"
	Images    = "images"
)

// States of a thing.
const (
	Pending = "pending"
	Ready   = "ready"
	Running = "running"
	Stopped = "stopped"
)

// Thing is one resource of the cloud.
type Thing struct {
	ID     string            `json:"id"`
	State  string            `json:"state"`
	Token  string            `json:"token,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Spec is what was asked for: names of other things by their role.
	Spec map[string]string `json:"spec,omitempty"`

	collection string
	// readyAfter is how many more looks find it pending.
	readyAfter int
	// visible is when it is found.
	visible time.Time
}

// ledger is what exists. Its methods are called with the lock of the Server held.
type ledger struct {
	things map[string]*Thing
	last   int
	// made counts the things ever made, by collection.
	made map[string]int
}

func newLedger() *ledger { return &ledger{things: map[string]*Thing{}, made: map[string]int{}} }

// create makes a thing, or returns the one that was made with the same token.
func (l *ledger) create(collection string, want Thing, visible time.Time) *Thing {
	if old := l.byToken(collection, want.Token); old != nil {
		return old
	}
	l.last++
	l.made[collection]++
	t := &Thing{
		ID: fmt.Sprintf("%s-%06d", strings.TrimSuffix(collection, "s"), l.last), State: Ready, Token: want.Token,
		Labels: maps.Clone(want.Labels), Spec: maps.Clone(want.Spec), collection: collection, visible: visible,
	}
	if collection == Instances || collection == Images {
		t.State, t.readyAfter = Pending, 1
	}
	l.things[t.ID] = t
	return t
}

func (l *ledger) byToken(collection, token string) *Thing {
	for _, t := range l.things {
		if token != "" && t.collection == collection && t.Token == token {
			return t
		}
	}
	return nil
}

// user returns what needs a thing to stay, "" for nothing.
func (l *ledger) user(id string) string {
	for _, t := range l.things {
		if t.collection != Instances {
			continue
		}
		for _, used := range t.Spec {
			if used == id {
				return t.ID
			}
		}
	}
	return ""
}

// look returns what a caller sees of a thing; looking lets time pass for it.
func (t *Thing) look() Thing {
	if t.State == Pending {
		if t.readyAfter--; t.readyAfter < 0 {
			t.State = Ready
			if t.collection == Instances {
				t.State = Running
			}
		}
	}
	return *t
}

func (l *ledger) sorted() []*Thing {
	return slices.SortedFunc(maps.Values(l.things), func(a, b *Thing) int { return strings.Compare(a.ID, b.ID) })
}
