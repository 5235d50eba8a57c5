//go:build failpoints

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"ingot/internal/retry"
)

// setting is one part of the environment variable.
type setting struct {
	name string
	// turn is the one time that is meant, 0 for each.
	turn   int
	action string
}

// program is what one process is told to do. There is one, since the environment
// is one.
type program struct {
	settings []setting
	err      error

	mu       sync.Mutex
	reached  map[string]int    // guarded by mu
	powerCut []func(torn bool) // guarded by mu
}

var load = sync.OnceValue(func() *program {
	settings, err := parse(os.Getenv(Variable))
	return &program{settings: settings, err: err, reached: map[string]int{}}
})

func parse(text string) ([]setting, error) {
	var out []setting
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		point, action, ok := strings.Cut(part, "=")
		name, turn, numbered := strings.Cut(point, ":")
		s := setting{name: name, action: action}
		if numbered {
			n, err := strconv.Atoi(turn)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("failpoint: %q: the number of times must be 1 or more", part)
			}
			s.turn = n
		}
		verb, rest, _ := strings.Cut(action, ":")
		known := verb == "kill" || verb == "stop" || verb == "powercut" || verb == "torn" || verb == "error"
		if verb == "sleep" {
			_, err := time.ParseDuration(rest)
			known = err == nil
		}
		if !ok || name == "" || !known {
			return nil, fmt.Errorf("failpoint: %q: want NAME=ACTION with one of kill, stop, powercut, torn, sleep:DURATION, error:CLASS:TEXT", part)
		}
		out = append(out, s)
	}
	return out, nil
}

// Reached does what the environment asks for at this moment. The error, when it
// asks for one, is to be treated as that of what comes next.
func Reached(name string) error {
	p := load()
	if p.err != nil {
		return p.err
	}
	p.see(name)
	if len(p.settings) == 0 {
		return nil
	}
	p.mu.Lock()
	p.reached[name]++
	turn := p.reached[name]
	p.mu.Unlock()
	var errs []error
	for _, s := range p.settings {
		if s.name == name && (s.turn == 0 || s.turn == turn) {
			errs = append(errs, p.do(name, s.action))
		}
	}
	return errors.Join(errs...)
}

// see notes a moment where the environment asks for it.
func (p *program) see(name string) {
	path := os.Getenv(CountVariable)
	if path == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, name)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failpoint:", err)
	}
}

func (p *program) do(name, action string) error {
	verb, rest, _ := strings.Cut(action, ":")
	switch verb {
	case "kill":
		killSelf()
	case "stop":
		stopSelf()
	case "powercut", "torn":
		p.mu.Lock() // for good: nothing gets past this moment
		for _, cut := range p.powerCut {
			cut(verb == "torn")
		}
		killSelf()
	case "sleep":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return err
		}
		time.Sleep(d)
	case "error":
		class, text, _ := strings.Cut(rest, ":")
		if text == "" {
			text = "asked for at " + name
		}
		return retry.As(classNamed(class), fmt.Errorf("failpoint: %s", text))
	}
	return nil
}

func classNamed(name string) retry.Class {
	for c := retry.Unclassified; c <= retry.Fatal; c++ {
		if c.String() == name {
			return c
		}
	}
	return retry.Unclassified
}

// OnPowerCut registers what a power cut does to a disk before the process is
// gone. torn asks for half of what was written and not synced to stay.
func OnPowerCut(cut func(torn bool)) {
	p := load()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.powerCut = append(p.powerCut, cut)
}
