package readiness_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/retry"
)

// clock has a time that passes only by sleeping.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return context.Cause(ctx)
}

// The stages of the plan below.
const (
	address = iota
	bastion
	tcp
	login
	shell
)

func plan() readiness.Plan {
	return readiness.Plan{Transport: "ssh", Label: "SSH", Setting: "ssh_timeout", Stages: []readiness.Stage{
		{Name: "address", What: "address", Hint: "boot it"},
		{Name: "bastion", What: "bastion", Hint: "reach it", Optional: true},
		{Name: "tcp", What: "tcp {target}", Hint: "open it"},
		{Name: "login", What: "login at {target}", Hint: "key it"},
		{Name: "shell", What: "shell on {target}", Hint: "shell it"},
	}}
}

// visit is a stage with the time that passes there.
type visit struct {
	stage int
	time  time.Duration
}

func TestStagesOfAWait(t *testing.T) {
	for name, c := range map[string]struct {
		visits []visit
		fails  bool
		want   string
	}{
		"straight": {
			[]visit{{address, 1}, {tcp, 2}, {login, 3}, {shell, 4}}, false,
			"address 1 passed, tcp 2 passed, login 3 passed, shell 4 passed",
		},
		"over and over": {
			[]visit{{address, 1}, {tcp, 2}, {address, 1}, {tcp, 2}, {login, 1}, {address, 0}, {tcp, 1}, {login, 1}, {shell, 1}}, false,
			"address 1 passed, tcp 5 passed, login 3 passed, shell 1 passed",
		},
		"through a bastion": {
			[]visit{{address, 1}, {bastion, 2}, {tcp, 2}, {shell, 1}}, false,
			"address 1 passed, bastion 2 passed, tcp 2 passed, shell 1 passed",
		},
		"no address": {
			[]visit{{address, 9}}, true,
			"address 9 failed, tcp 0 pending, login 0 pending, shell 0 pending",
		},
		"no login": {
			[]visit{{address, 1}, {tcp, 1}, {login, 1}, {address, 1}, {tcp, 1}, {login, 5}}, true,
			"address 1 passed, tcp 1 passed, login 8 failed, shell 0 pending",
		},
		"gone again": {
			[]visit{{address, 1}, {tcp, 1}, {login, 5}, {address, 1}, {tcp, 7}}, true,
			"address 1 passed, tcp 1 failed, login 13 pending, shell 0 pending",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var events []component.Event
			k := &clock{now: time.Unix(1, 0)}
			w := readiness.New(component.Run{Clock: k, Events: component.SinkFunc(func(e component.Event) { events = append(events, e) })}, plan())
			w.Aim("host:22")
			w.Attempt()
			var total time.Duration
			for _, v := range c.visits {
				w.Enter(v.stage)
				_ = k.Sleep(t.Context(), v.time*time.Second)
				total += v.time * time.Second
			}
			var err error
			if c.fails {
				err = errors.New("no")
			}
			w.Ended(err)
			got := events[len(events)-1].(component.WaitEnded)
			var rows []string
			var sum time.Duration
			for _, s := range got.Stages {
				rows = append(rows, fmt.Sprintf("%s %d %s", s.Name, int(s.Took.Seconds()), s.State))
				sum += s.Took
			}
			if text := strings.Join(rows, ", "); text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
			if sum != total || got.Elapsed != total || got.For != "SSH at host:22" || got.Attempts != 1 || !errors.Is(got.Err, err) {
				t.Errorf("%s of %s: %+v", sum, total, got)
			}
		})
	}
}

func TestWaitingIsToldWhenSomethingChanges(t *testing.T) {
	var told []string
	k := &clock{now: time.Unix(1, 0)}
	w := readiness.New(component.Run{Clock: k, Events: component.SinkFunc(func(e component.Event) {
		x := e.(component.Waiting)
		told = append(told, fmt.Sprintf("%s: %s after %s", x.For, x.Detail, x.Elapsed))
	})}, plan())
	for range 8 {
		w.Enter(address)
		w.Aim("host:22")
		w.Enter(tcp)
		w.Failed(errors.New("refused"))
		_ = k.Sleep(t.Context(), time.Second)
	}
	want := "address:  after 0s, tcp host:22:  after 0s, tcp host:22: refused after 0s, tcp host:22: refused after 5s"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("got %s", got)
	}
}

func TestTimedOut(t *testing.T) {
	k := &clock{now: time.Unix(1, 0)}
	w := readiness.New(component.Run{Clock: k, Events: component.SinkFunc(func(component.Event) {})}, plan())
	w.Aim("host:22")
	w.Enter(login)
	_ = k.Sleep(t.Context(), time.Minute)
	last := errors.New("refused")
	err := w.TimedOut(tcp, 7, last)
	const want = "ssh: timed out after 1m0s waiting for the tcp host:22 (7 attempts); the last error was: refused; open it; ssh_timeout sets how long to wait"
	if err.Error() != want || !errors.Is(err, last) || retry.ClassOf(err) != retry.Transient || w.Current() != tcp {
		t.Errorf("got %v", err)
	}
	stop := errors.New("enough")
	if err := w.Stopped(stop); !errors.Is(err, stop) || err.Error() != "ssh: connect: waiting for the tcp host:22: enough" {
		t.Errorf("got %v", err)
	}
}
