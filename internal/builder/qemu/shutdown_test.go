package qemu

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

// guest is a machine that goes off when the test says so.
type guest struct {
	component.Communicator
	once    sync.Once
	ended   chan struct{}
	presses int
	quits   int
	// obeys is the press of the power button that it obeys; 0 for none.
	obeys int
	// command is what the shutdown command does.
	command func(ctx context.Context, g *guest) (component.Exit, error)
}

func (g *guest) end() { g.once.Do(func() { close(g.ended) }) }

func (g *guest) off() <-chan struct{} { return g.ended }

func (g *guest) pressPower(context.Context) error {
	if g.presses++; g.presses == g.obeys {
		g.end()
	}
	return nil
}

func (g *guest) quit(context.Context) error {
	g.quits++
	g.end()
	return nil
}

func (g *guest) Run(ctx context.Context, _ component.Command) (component.Exit, error) {
	return g.command(ctx, g)
}

func TestShutDown(t *testing.T) {
	for name, c := range map[string]struct {
		plan  config
		guest *guest
		// want is a part of the error; empty for none.
		want           string
		presses, quits int
		warns          bool
		takes          time.Duration
	}{
		"button":                       {guest: &guest{obeys: 1}, presses: 1},
		"button, not noticed at first": {guest: &guest{obeys: 3}, presses: 3, takes: 20 * time.Second},
		"button, never":                {presses: 6, quits: 1, warns: true, takes: time.Minute},
		"button, in a hurry":           {plan: config{ShutdownTimeout: 15 * time.Second}, presses: 2, quits: 1, warns: true, takes: 15 * time.Second},
		"command": {plan: config{ShutdownCommand: "off"}, guest: &guest{command: func(_ context.Context, g *guest) (component.Exit, error) {
			g.end()
			return component.Exit{}, component.ErrDisconnected
		}}},
		"command that hangs": {plan: config{ShutdownCommand: "off"}, takes: 3 * time.Second, guest: &guest{command: func(ctx context.Context, g *guest) (component.Exit, error) {
			time.Sleep(3 * time.Second)
			g.end()
			<-ctx.Done()
			return component.Exit{}, ctx.Err()
		}}},
		"command that says no and does it": {plan: config{ShutdownCommand: "off"}, warns: true, takes: 3 * time.Second,
			guest: &guest{command: func(_ context.Context, g *guest) (component.Exit, error) {
				time.AfterFunc(3*time.Second, g.end)
				return component.Exit{Code: 1}, nil
			}}},
		"command that is not there": {plan: config{ShutdownCommand: "of"}, want: "exit code 127", guest: &guest{command: func(context.Context, *guest) (component.Exit, error) {
			return component.Exit{Code: 127}, nil
		}}},
		"command that does nothing": {plan: config{ShutdownCommand: "true"}, want: "still running 5m0s", takes: 5 * time.Minute,
			guest: &guest{command: func(context.Context, *guest) (component.Exit, error) { return component.Exit{}, nil }}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _, events := componenttest.NewRun(t)
				r.Clock = component.SystemClock{}
				p, g := &plan{config: c.plan}, c.guest
				if g == nil {
					g = &guest{}
				}
				p.Communicator = commSSH
				if p.ShutdownTimeout == 0 {
					p.ShutdownTimeout = 5 * time.Minute
				}
				g.ended = make(chan struct{})
				begin := time.Now()
				err := p.shutDown(t.Context(), r, g, g)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				warns := false
				for _, e := range events.All() {
					_, ok := e.(component.Warning)
					warns = warns || ok
				}
				if g.presses != c.presses || g.quits != c.quits || warns != c.warns || time.Since(begin) != c.takes {
					t.Errorf("%d presses, %d quits, warning %t, after %s", g.presses, g.quits, warns, time.Since(begin))
				}
			})
		})
	}
}

func TestShutDownWithoutCommunicatorWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := componenttest.NewRun(t)
		r.Clock = component.SystemClock{}
		p := &plan{config: config{ShutdownTimeout: time.Minute}}
		p.Communicator = commNone
		g := &guest{ended: make(chan struct{})}
		time.AfterFunc(time.Hour, g.end)
		if err := p.shutDown(t.Context(), r, nil, g); err != nil || g.presses+g.quits != 0 {
			t.Errorf("%v, %d presses, %d quits", err, g.presses, g.quits)
		}
	})
}

func TestShutDownIsCancelled(t *testing.T) {
	stop := errors.New("enough")
	for name, p := range map[string]*plan{
		"none":    {config: config{Connection: component.Connection{Communicator: commNone}}},
		"button":  {config: config{ShutdownTimeout: time.Minute}},
		"command": {config: config{ShutdownTimeout: time.Minute, ShutdownCommand: "off"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _, _ := componenttest.NewRun(t)
				r.Clock = component.SystemClock{}
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(stop) })
				g := &guest{ended: make(chan struct{}), command: func(ctx context.Context, _ *guest) (component.Exit, error) {
					<-ctx.Done()
					return component.Exit{}, ctx.Err()
				}}
				if err := p.shutDown(ctx, r, g, g); !errors.Is(err, stop) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
