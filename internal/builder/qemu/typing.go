package qemu

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/bootcmd"
	"ingot/internal/component"
	"ingot/internal/qmp"
)

// keyEvent is a key that goes down or up.
type keyEvent struct {
	code string // QEMU's name of it
	down bool
}

// keystrokes returns for each action what happens to keys; nothing for those that
// wait. The error names a character that the keyboard does not have.
func keystrokes(layout *bootcmd.Layout, actions []bootcmd.Action) ([][]keyEvent, error) {
	out := make([][]keyEvent, len(actions))
	for i, a := range actions {
		if a.Kind == bootcmd.Wait || a.Kind == bootcmd.Expect {
			continue
		}
		strokes := []bootcmd.Stroke{{Code: bootcmd.Code(a.Key.Special)}}
		if a.Key.Special == "" {
			var err error
			if strokes, err = layout.Strokes(a.Key.Char); err != nil {
				return nil, err
			}
		}
		for _, s := range strokes {
			out[i] = append(out[i], events(a.Kind, s)...)
		}
	}
	return out, nil
}

// events is what happens to the keys of one stroke.
func events(kind bootcmd.Kind, s bootcmd.Stroke) []keyEvent {
	var keys []string
	if s.Shift {
		keys = append(keys, "shift")
	}
	if s.AltGr {
		keys = append(keys, "alt_r")
	}
	keys = append(keys, s.Code)
	var out []keyEvent
	if kind != bootcmd.Release {
		for _, k := range keys {
			out = append(out, keyEvent{k, true})
		}
	}
	if kind != bootcmd.Press {
		for i := len(keys) - 1; i >= 0; i-- {
			out = append(out, keyEvent{keys[i], false})
		}
	}
	return out
}

// A keyboard of a PC keeps what the machine has not read yet; what is more than
// that is lost.
const (
	keyboardQueue = 16 // bytes
	// biosQueue is how many keys the BIOS keeps for a boot loader.
	biosQueue = 15
)

// queued is how many bytes a PC's keyboard sends for an event: keys that the first
// PC did not have begin with a byte of their own, and the end of each has one more.
func (e keyEvent) queued() int {
	n := 1
	switch e.code {
	case "alt_r", "ctrl_r", "meta_l", "meta_r", "menu", "up", "down", "left", "right",
		"insert", "delete", "home", "end", "pgup", "pgdn":
		n++
	}
	if !e.down {
		n++
	}
	return n
}

func queued(events []keyEvent) int {
	n := 0
	for _, e := range events {
		n += e.queued()
	}
	return n
}

// keptByBIOS reports whether the BIOS keeps something of the events: a key that went
// down, other than those that are only held.
func keptByBIOS(events []keyEvent) bool {
	return slices.ContainsFunc(events, func(e keyEvent) bool {
		switch e.code {
		case "shift", "shift_r", "ctrl", "ctrl_r", "alt", "alt_r", "meta_l", "meta_r":
			return false
		}
		return e.down
	})
}

// keyboard is the machine's, with us at the keys.
type keyboard struct {
	qmp   *qmp.Client
	clock component.Clock
	// asks says that the machine can be asked whether it has read what was
	// typed; otherwise there is blindPace between the events.
	asks bool
	// beyondBIOS says that the last keys did not go through the BIOS, so that
	// it need not be asked as long as nothing else has happened.
	beyondBIOS bool
	// slow is told once when the machine does not read its keyboard.
	slow func()
}

const (
	// blindPace is enough for what is not a PC's keyboard: one on USB is asked
	// every 8 ms or so.
	blindPace = 12 * time.Millisecond
	// readTime is how long a machine may take to read its keyboard before we
	// go on all the same.
	readTime = 10 * time.Second
)

// attach looks at what kind of keyboard the machine has.
func (k *keyboard) attach(ctx context.Context) error {
	usb, err := k.qmp.Human(ctx, "info usb")
	if err != nil {
		return err
	}
	_, ok, err := k.status(ctx)
	k.asks = ok && !strings.Contains(usb, "Keyboard")
	return err
}

// press makes events happen, as fast as the machine takes them.
func (k *keyboard) press(ctx context.Context, events []keyEvent) error {
	if k.asks {
		var before biosKeys
		if !k.beyondBIOS {
			var err error
			if before, err = k.bios(ctx); err != nil {
				return err
			}
		}
		if err := k.send(ctx, events); err != nil {
			return err
		}
		return k.settle(ctx, before, keptByBIOS(events))
	}
	for i := range events {
		if err := k.send(ctx, events[i:i+1]); err != nil {
			return err
		}
		if err := k.clock.Sleep(ctx, blindPace); err != nil {
			return err
		}
	}
	return nil
}

func (k *keyboard) send(ctx context.Context, events []keyEvent) error {
	type key struct {
		Type string `json:"type"`
		Data string `json:"data"`
	}
	type data struct {
		Down bool `json:"down"`
		Key  key  `json:"key"`
	}
	type event struct {
		Type string `json:"type"`
		Data data   `json:"data"`
	}
	list := make([]event, len(events))
	for i, e := range events {
		list[i] = event{"key", data{e.down, key{"qcode", e.code}}}
	}
	return k.qmp.Execute(ctx, "input-send-event", map[string]any{"events": list}, nil)
}

// pause is called when time passes in which the machine may start another program.
func (k *keyboard) pause() { k.beyondBIOS = false }

// settle waits until the machine has read all that was typed: the controller of the
// keyboard has nothing more, and where the BIOS took the keys, whoever asks the
// BIOS for them has got them.
// tells says that the BIOS would have kept something of it.
func (k *keyboard) settle(ctx context.Context, before biosKeys, tells bool) error {
	begin := k.clock.Now()
	for delay := 500 * time.Microsecond; ; delay = min(2*delay, 5*time.Millisecond) {
		full, _, err := k.status(ctx)
		if err != nil {
			return err
		}
		if !full && k.beyondBIOS {
			return nil
		}
		if !full {
			now, err := k.bios(ctx)
			if err != nil {
				return err
			}
			k.beyondBIOS = tells && now.tail == before.tail
			if now.tail == before.tail || now.head == now.tail {
				return nil
			}
		}
		if k.clock.Now().Sub(begin) > readTime {
			k.slow()
			// Nobody reads; asking again for each key would take for ever.
			k.asks = false
			return nil
		}
		if err := k.clock.Sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// status asks the controller of a PC's keyboard whether there is something that the
// machine has not read yet; ok is false when there is no such controller. Reading
// its status changes nothing.
func (k *keyboard) status(ctx context.Context) (full, ok bool, err error) {
	text, err := k.qmp.Human(ctx, "i /1b 0x64")
	if err != nil {
		return false, false, err
	}
	// "portb[0x0064] = 0x1c"
	_, value, found := strings.Cut(text, "= 0x")
	n, parseErr := strconv.ParseUint(strings.TrimSpace(value), 16, 8)
	return n&1 != 0, found && parseErr == nil && n != 0xff, nil
}

// biosKeys are the two ends of the queue of keys in the BIOS's data.
type biosKeys struct{ head, tail uint16 }

func (k *keyboard) bios(ctx context.Context) (biosKeys, error) {
	text, err := k.qmp.Human(ctx, "xp /2hx 0x41a")
	if err != nil {
		return biosKeys{}, err
	}
	// "000000000000041a: 0x001e 0x001e"
	_, values, _ := strings.Cut(text, ":")
	var out biosKeys
	if _, err := fmt.Sscanf(strings.TrimSpace(values), "0x%x 0x%x", &out.head, &out.tail); err != nil {
		return biosKeys{}, nil // no such memory, no BIOS
	}
	return out, nil
}
