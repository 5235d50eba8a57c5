package fakecloud

import (
	"strings"
	"time"
)

// Mishap is what goes wrong with a call.
type Mishap string

// The mishaps.
const (
	// RequestLost: the connection breaks before anything is done.
	RequestLost Mishap = "request lost"
	// ReplyLost: what was asked for is done, and the connection breaks.
	ReplyLost Mishap = "reply lost after success"
	// ErrorAfter: what was asked for is done, and the answer is 500.
	ErrorAfter Mishap = "500 after success"
	// Throttle: nothing is done, and the answer is 429 with a time to wait.
	Throttle Mishap = "throttle"
	// Unavailable: nothing is done, and the answer is 503 without a time to wait.
	Unavailable Mishap = "503"
	// NotFoundAfter: what was made is not found for a while.
	NotFoundAfter Mishap = "not found for a while after create"
	// NoCapacity: nothing is done, since there is no room in the zone.
	NoCapacity Mishap = "no capacity"
	// Late: what was asked for is done after a while, whoever still listens.
	Late Mishap = "done late"
)

// Mishaps lists all of them.
func Mishaps() []Mishap {
	return []Mishap{RequestLost, ReplyLost, ErrorAfter, Throttle, Unavailable, NotFoundAfter, NoCapacity, Late}
}

// Fault says to which call a mishap happens.
type Fault struct {
	Mishap Mishap
	// Call is the beginning of "POST instances"; "" is any.
	Call string
	// Turn is the one call that it happens to, counting from 1 those that Call is
	// about; 0 is each.
	Turn int
	// For is how long a NotFoundAfter or Late takes.
	For time.Duration
}

// judge counts a call and returns the faults that happen to it.
func (s *Server) judge(call string) map[Mishap]Fault {
	out := map[Mishap]Fault{}
	for i, f := range s.faults {
		if !strings.HasPrefix(call, f.Call) {
			continue
		}
		s.turns[i]++
		if f.Turn == 0 || f.Turn == s.turns[i] {
			out[f.Mishap] = f
			s.happened++
		}
	}
	return out
}
