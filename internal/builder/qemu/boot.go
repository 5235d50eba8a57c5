package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"ingot/internal/bootcmd"
	"ingot/internal/component"
	"ingot/internal/gotmpl"
	"ingot/internal/qmp"
)

// bootStep is what is typed in one go: an element of boot_command or boot_steps.
type bootStep struct {
	text string
	// says is a line for the user; empty for none.
	says string
}

func (p *plan) steps() []bootStep {
	var out []bootStep
	for _, text := range p.BootCommand {
		out = append(out, bootStep{text: text})
	}
	for _, s := range p.BootSteps {
		step := bootStep{text: s[0]}
		if len(s) > 1 {
			step.says = s[1]
		}
		out = append(out, step)
	}
	return out
}

// typist types a boot command.
type typist struct {
	layout   *bootcmd.Layout
	keyboard *keyboard
	watcher  *watcher
	clock    component.Clock
	// interval is the time after each key, group that after each step.
	interval, group time.Duration
}

// typeCommand types what the template says, at the time that it says. Without
// anything to type it returns at once.
func (m *machine) typeCommand(ctx context.Context, r component.Run) error {
	steps := m.plan.steps()
	if len(steps) == 0 {
		return nil
	}
	err := m.typeSteps(ctx, r, steps)
	if errors.Is(err, qmp.ErrClosed) && ctx.Err() == nil {
		// QEMU's end says more than the end of the connection to it.
		select {
		case <-m.off():
			return m.gone()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return err
}

func (m *machine) typeSteps(ctx context.Context, r component.Run, steps []bootStep) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-m.off():
			cancel(m.gone())
		case <-ctx.Done():
		}
	}()
	t, err := m.typist(r)
	if err != nil {
		return err
	}
	if err := m.awaitPrompt(ctx, r, t); err != nil {
		return err
	}
	if err := t.keyboard.attach(ctx); err != nil {
		return err
	}
	r.Say("Typing the boot command...")
	for _, s := range steps {
		if s.says != "" {
			r.Say(s.says)
		}
		text, err := gotmpl.Render(s.text, r.Template, m.fields)
		if err != nil {
			return fmt.Errorf("boot command: %w", err)
		}
		if err := t.step(ctx, text); err != nil {
			return fmt.Errorf("type the boot command: %w", err)
		}
	}
	return nil
}

// awaitPrompt waits for the time to begin.
func (m *machine) awaitPrompt(ctx context.Context, r component.Run, t *typist) error {
	p := m.plan
	if p.BootExpect == "" || p.bootWaitSet {
		if p.BootWait > 0 {
			r.Say(fmt.Sprintf("Waiting %s for boot...", p.BootWait))
			if err := t.clock.Sleep(ctx, p.BootWait); err != nil {
				return fmt.Errorf("wait for boot: %w", err)
			}
		}
	}
	if p.BootExpect == "" {
		return nil
	}
	pattern, err := bootcmd.Pattern(p.BootExpect)
	if err != nil {
		return err
	}
	r.Say(fmt.Sprintf("Waiting until the machine shows %q...", p.BootExpect))
	return t.watcher.await(ctx, pattern)
}

func (m *machine) typist(r component.Run) (*typist, error) {
	p := m.plan
	layout, err := bootcmd.LayoutNamed(p.BootKeyboardLayout)
	if err != nil {
		return nil, err
	}
	interval, err := p.keyInterval(os.Getenv)
	if err != nil {
		return nil, err
	}
	slow := func() {
		r.Emit(component.Warning{
			Summary: "The machine does not read its keyboard",
			Detail:  fmt.Sprintf("Nothing of the last keys was read within %s. Typing goes on, but some keys may be lost. Set boot_expect to what the machine shows when it can be typed at, or a longer boot_wait.", readTime),
		})
	}
	return &typist{
		layout: layout, clock: r.Clock, interval: interval, group: p.BootKeygroupInterval,
		keyboard: &keyboard{qmp: m.qmp, clock: r.Clock, slow: slow},
		watcher:  &watcher{console: m.console, qmp: m.qmp, clock: r.Clock, dir: m.hw.dir, timeout: p.BootExpectTimeout},
	}, nil
}

// keyIntervalVariable sets boot_key_interval for all builds that do not.
const keyIntervalVariable = "PACKER_KEY_INTERVAL"

func (p *plan) keyInterval(getenv func(string) string) (time.Duration, error) {
	text := getenv(keyIntervalVariable)
	if p.keyIntervalSet || text == "" {
		return p.BootKeyInterval, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s is %q, which is not a duration such as \"100ms\"", keyIntervalVariable, text)
	}
	return d, nil
}

// step types one element. Keys that the machine can take together are sent
// together, unless there is to be time between them.
func (t *typist) step(ctx context.Context, text string) error {
	command, err := bootcmd.Parse(text)
	if err != nil {
		return err
	}
	strokes, err := keystrokes(t.layout, command.Actions)
	if err != nil {
		return err
	}
	t.keyboard.pause()
	var batch []keyEvent
	keys := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := t.keyboard.press(ctx, batch)
		batch, keys = nil, 0
		return err
	}
	for i, a := range command.Actions {
		if len(strokes[i]) > 0 {
			if keys == biosQueue || queued(batch)+queued(strokes[i]) > keyboardQueue {
				if err := flush(); err != nil {
					return err
				}
			}
			batch = append(batch, strokes[i]...)
			keys++
			if t.interval <= 0 {
				continue
			}
		}
		pause := a.For
		if a.Kind != bootcmd.Wait {
			pause = t.interval
		}
		if err := errors.Join(flush(), t.clock.Sleep(ctx, pause)); err != nil {
			return err
		}
		t.keyboard.pause()
		if a.Kind == bootcmd.Expect {
			if err := t.watcher.await(ctx, a.Pattern); err != nil {
				return err
			}
		}
	}
	return errors.Join(flush(), t.clock.Sleep(ctx, t.group))
}
