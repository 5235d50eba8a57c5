package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/bootcmd"
	"ingot/internal/component"
	"ingot/internal/qmp"
)

func TestKeystrokes(t *testing.T) {
	us, err := bootcmd.LayoutNamed("us")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"a":                             "+a -a",
		"A":                             "+shift +a -a -shift",
		"<enter>":                       "+ret -ret",
		"<leftCtrlOn>c<leftCtrlOff>":    "+ctrl / +c -c / -ctrl",
		"<AOn><AOff>":                   "+shift +a / -a -shift",
		"a<wait>b<expect x>c":           "+a -a / / +b -b / / +c -c",
		"~":                             "+shift +grave_accent -grave_accent -shift",
		"<rightAltOn><up><rightAltOff>": "+alt_r / +up -up / -alt_r",
	} {
		c, err := bootcmd.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		strokes, err := keystrokes(us, c.Actions)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, events := range strokes {
			var keys []string
			for _, e := range events {
				keys = append(keys, map[bool]string{true: "+", false: "-"}[e.down]+e.code)
			}
			out = append(out, strings.Join(keys, " "))
		}
		if got := strings.Join(out, " / "); strings.ReplaceAll(got, "/  /", "/ /") != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	de, err := bootcmd.LayoutNamed("de")
	if err != nil {
		t.Fatal(err)
	}
	c, err := bootcmd.Parse("@")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := keystrokes(de, c.Actions); err != nil || fmt.Sprint(s) != "[[{alt_r true} {q true} {q false} {alt_r false}]]" {
		t.Errorf("@ on a German keyboard: %v, %v", s, err)
	}
	if c, err = bootcmd.Parse("€"); err != nil {
		t.Fatal(err)
	}
	if s, err := keystrokes(us, c.Actions); err == nil {
		t.Errorf("€ on an American keyboard: %v", s)
	}
}

// pc is a machine as far as its keyboard is concerned: the controller keeps 16
// bytes and drops what is more; each question lets the machine read a few.
type pc struct {
	t *testing.T
	// reads is how many bytes are read between two questions.
	reads int
	// bios says that keys go through the queue of the BIOS, from which a boot
	// loader takes one for each question.
	bios bool
	// no says that there is no such keyboard; usb that there is one on USB.
	no, usb bool

	mu      sync.Mutex
	queue   int // bytes
	pending []string
	got     []string // keys that went down and have been read
	lost    int
	batches int
	asked   int // questions about the BIOS
	head    int
	tail    int
}

func (m *pc) answer(command string, args json.RawMessage) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch command {
	case "input-send-event":
		m.keys(args)
	case "human-monitor-command":
		var line struct {
			Line string `json:"command-line"`
		}
		if err := json.Unmarshal(args, &line); err != nil {
			m.t.Error(err)
		}
		return m.human(line.Line)
	}
	return struct{}{}
}

func (m *pc) keys(args json.RawMessage) {
	var list struct {
		Events []struct {
			Data struct {
				Down bool
				Key  struct{ Type, Data string }
			}
		}
	}
	if err := json.Unmarshal(args, &list); err != nil {
		m.t.Error(err)
	}
	m.batches++
	for _, e := range list.Events {
		n := keyEvent{e.Data.Key.Data, e.Data.Down}.queued()
		if m.queue+n > 16 && !m.no && !m.usb {
			m.lost++
			continue
		}
		m.queue += n
		if e.Data.Down && e.Data.Key.Data != "shift" {
			m.pending = append(m.pending, e.Data.Key.Data)
		}
	}
}

func (m *pc) human(line string) string {
	switch line {
	case "info usb":
		if m.usb {
			return "  Device 0.1, Port 1, Speed 480 Mb/s, Product QEMU USB Keyboard\r\n"
		}
		return ""
	case "i /1b 0x64":
		if m.no {
			return "unknown command: 'i'\r\n"
		}
		m.queue = max(0, m.queue-m.reads)
		if m.queue > 0 {
			return "portb[0x0064] = 0x1d\r\n"
		}
		if m.bios {
			for range m.pending {
				m.tail++
			}
			if m.tail-m.head > biosQueue {
				m.lost++
			}
		}
		m.got, m.pending = append(m.got, m.pending...), nil
		return "portb[0x0064] = 0x1c\r\n"
	case "xp /2hx 0x41a":
		m.asked++
		if m.bios && m.head < m.tail {
			m.head++
		}
		return fmt.Sprintf("000000000000041a: 0x%04x 0x%04x\r\n", 0x1e+2*m.head, 0x1e+2*m.tail)
	}
	m.t.Errorf("asked %q", line)
	return ""
}

// connect makes a client of a machine that answers so.
func connect(t *testing.T, answer func(command string, args json.RawMessage) any) *qmp.Client {
	t.Helper()
	ours, theirs := net.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() {
		defer theirs.Close()
		if _, err := io.WriteString(theirs, `{"QMP": {}}`+"\n"); err != nil {
			return
		}
		for lines := bufio.NewScanner(theirs); lines.Scan(); {
			var q struct {
				Execute   string
				Arguments json.RawMessage
				ID        string
			}
			if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
				t.Error(err)
				return
			}
			var value any = struct{}{}
			if q.Execute != "qmp_capabilities" {
				value = answer(q.Execute, q.Arguments)
			}
			data, err := json.Marshal(map[string]any{"return": value, "id": q.ID})
			if refused, ok := value.(error); ok {
				data, err = json.Marshal(map[string]any{"error": map[string]string{"desc": refused.Error()}, "id": q.ID})
			}
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := theirs.Write(append(data, '\n')); err != nil {
				return
			}
		}
	})
	c, err := qmp.Open(t.Context(), ours, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); serving.Wait() })
	return c
}

// stopwatch is a clock on which time passes only by sleeping.
type stopwatch struct {
	mu    sync.Mutex
	slept time.Duration
}

func (s *stopwatch) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Time{}.Add(s.slept)
}

func (s *stopwatch) Sleep(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slept += max(d, 0)
	return context.Cause(ctx)
}

func (m *pc) typist(t *testing.T, clock *stopwatch, slow func()) *typist {
	t.Helper()
	layout, err := bootcmd.LayoutNamed("us")
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, m.answer)
	k := &keyboard{qmp: client, clock: clock, slow: slow}
	if err := k.attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &typist{layout: layout, keyboard: k, clock: clock}
}

const typedText = "Install URL=http://10.0.2.2:8000/Preseed.cfg~!@#$%^&*()_+ <up><rightAltOn>x<rightAltOff><enter>"

// Ensure that no key is lost, however slowly the machine reads, with and without a
// BIOS between, and that keys are sent together where they can be.
func TestEveryKeyArrives(t *testing.T) {
	c, err := bootcmd.Parse(typedText)
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for _, a := range c.Actions {
		if a.Kind != bootcmd.Release {
			keys++
		}
	}
	for name, m := range map[string]*pc{
		"slow": {reads: 1}, "fast": {reads: 100}, "bios": {reads: 3, bios: true},
		"usb": {usb: true}, "another computer": {no: true},
	} {
		t.Run(name, func(t *testing.T) {
			m.t = t
			clock := &stopwatch{}
			typist := m.typist(t, clock, func() { t.Error("it was said to be slow") })
			if err := typist.step(t.Context(), typedText); err != nil {
				t.Fatal(err)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			if arrived := len(m.got) + len(m.pending); m.lost != 0 || arrived != keys {
				t.Errorf("%d of %d keys arrived, %d events were lost", arrived, keys, m.lost)
			}
			if !m.no && !m.usb && m.batches > keys/2 {
				t.Errorf("%d batches for %d keys", m.batches, keys)
			}
			if m.no && clock.slept < time.Duration(m.batches)*blindPace {
				t.Errorf("%s for %d events", clock.slept, m.batches)
			}
		})
	}
}

// Ensure that the BIOS is asked once where it does not get the keys, again after a
// pause, and that keys which it does not keep prove nothing.
func TestBIOSIsAskedOnlyWhereItMatters(t *testing.T) {
	for text, want := range map[string]int{
		"abcdefghijklmnopqrstuvwxyz":       2,
		"abcdefghijklm<wait>nopqrstuvwxyz": 4,
		"<leftShiftOn><leftAltOn><leftCtrlOn><leftShiftOff><leftAltOff><leftCtrlOff><rightShiftOn><rightShiftOff><leftShiftOn><leftAltOn><leftAltOff>abcdefghijkl": 4,
	} {
		m := &pc{t: t, reads: 100}
		if err := m.typist(t, &stopwatch{}, func() {}).step(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		m.mu.Lock()
		if m.asked != want {
			t.Errorf("%s: asked %d times, want %d", text, m.asked, want)
		}
		m.mu.Unlock()
	}
}

// Ensure that a machine that never reads its keyboard is told of once and does not
// stop the build.
func TestKeyboardThatIsNotRead(t *testing.T) {
	m := &pc{t: t}
	clock, slow := &stopwatch{}, 0
	if err := m.typist(t, clock, func() { slow++ }).step(t.Context(), "some text that nobody reads"); err != nil {
		t.Fatal(err)
	}
	if slow != 1 || clock.slept < readTime || clock.slept > 2*readTime {
		t.Errorf("told %d times, waited %s", slow, clock.slept)
	}
}

// Ensure that intervals are kept when they are set, and that waits are waited.
func TestIntervals(t *testing.T) {
	for _, c := range []struct {
		text            string
		interval, group time.Duration
		want            time.Duration
	}{
		{"abc", 0, 0, 0},
		{"abc", 100 * time.Millisecond, 0, 300 * time.Millisecond},
		{"abc", 0, time.Second, time.Second},
		{"a<wait5>b<wait100ms>", 0, 0, 5100 * time.Millisecond},
		{"a<wait5>b", time.Second, time.Second, 8 * time.Second},
	} {
		m := &pc{t: t, reads: 100}
		clock := &stopwatch{}
		typist := m.typist(t, clock, func() {})
		typist.interval, typist.group = c.interval, c.group
		if err := typist.step(t.Context(), c.text); err != nil {
			t.Fatal(err)
		}
		if clock.slept != c.want {
			t.Errorf("%+v: took %s", c, clock.slept)
		}
	}
}

func TestKeyInterval(t *testing.T) {
	env := func(value string) func(string) string { return func(string) string { return value } }
	p := planOf(t, nil)
	for value, want := range map[string]time.Duration{"": 0, "50ms": 50 * time.Millisecond, "0s": 0} {
		if got, err := p.keyInterval(env(value)); err != nil || got != want {
			t.Errorf("%q: %s, %v", value, got, err)
		}
	}
	for _, value := range []string{"50", "-1s"} {
		if got, err := p.keyInterval(env(value)); err == nil || !strings.Contains(err.Error(), keyIntervalVariable) {
			t.Errorf("%q: %s, %v", value, got, err)
		}
	}
	p.BootKeyInterval, p.keyIntervalSet = 0, true
	if got, err := p.keyInterval(env("50ms")); err != nil || got != 0 {
		t.Errorf("boot_key_interval = 0s with the variable: %s, %v", got, err)
	}
}

// Ensure that a cancelled build types no further.
func TestTypingIsCancelled(t *testing.T) {
	m := &pc{t: t}
	typist := m.typist(t, &stopwatch{}, func() {})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := typist.step(ctx, "abc<wait10h>"); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestExpect(t *testing.T) {
	screen := make([]byte, 2*textColumns*textRows)
	copy(screen, "b\x07o\x07o\x07t\x07:\x07")
	hasScreen := true
	client := connect(t, func(command string, args json.RawMessage) any {
		if command != "pmemsave" || !hasScreen {
			return errors.New("no such memory")
		}
		var a struct{ Filename string }
		if err := json.Unmarshal(args, &a); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(a.Filename, screen, 0o600); err != nil {
			t.Error(err)
		}
		return struct{}{}
	})
	c := newConsole()
	w := &watcher{console: c, qmp: client, clock: component.SystemClock{}, dir: t.TempDir(), timeout: time.Minute}
	await := func(text string) error {
		t.Helper()
		pattern, err := bootcmd.Pattern(text)
		if err != nil {
			t.Fatal(err)
		}
		return w.await(t.Context(), pattern)
	}
	c.append([]byte("\x1b[1mlo"))
	go c.append([]byte("gin\x1b[0m: password: login:"))
	for _, text := range []string{"login:", "^boot:$", "password:", "login:"} {
		if err := await(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	// What was matched does not count again.
	w.timeout, hasScreen = 50*time.Millisecond, false
	err := await("login:")
	if err == nil || !strings.Contains(err.Error(), `has not shown "login:" within 50ms`) || !strings.Contains(err.Error(), "boot_expect_timeout") {
		t.Errorf("got %v", err)
	}
}
