package ui

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"ingot/internal/addr"
	"ingot/internal/component"
)

func TestFanoutAndRecorder(t *testing.T) {
	a, b := &Recorder{}, &Recorder{}
	display := &pauses{}
	s := Fanout(a, nil, b, display)
	events := script()
	for _, e := range events {
		s.Handle(e)
	}
	for _, r := range []*Recorder{a, b} {
		if !reflect.DeepEqual(r.Events(), events) {
			t.Error("events were lost or changed")
		}
	}
	resume := NewRedactor().Wrap(s).(Pauser).Pause()
	if display.now != 1 {
		t.Error("the pause did not arrive")
	}
	if resume(); display.now != 0 {
		t.Error("the end of the pause did not arrive")
	}
	broken := errors.New("broken")
	if err := Fanout(a, NewPlain(failing{broken}, io.Discard, PlainOptions{}), b).Close(); err != nil {
		t.Errorf("nothing was written: %v", err)
	}
	if err := play(Fanout(a, NewPlain(failing{broken}, io.Discard, PlainOptions{}), b), events); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type pauses struct {
	Recorder
	now int
}

func (p *pauses) Pause() func() { p.now++; return func() { p.now-- } }

// TestReaderGone: what reads the output goes away; the build goes on and
// Close does not complain.
func TestReaderGone(t *testing.T) {
	for name, make := range map[string]func(io.Writer) Sink{
		"plain":    func(w io.Writer) Sink { return NewPlain(w, w, PlainOptions{}) },
		"json":     func(w io.Writer) Sink { return NewJSON(w) },
		"machine":  func(w io.Writer) Sink { return NewMachine(w) },
		"terminal": func(w io.Writer) Sink { return NewTerminal(w, TerminalOptions{Errors: w}) },
	} {
		gone := &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
		if err := play(make(failing{gone}), script()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		full := &os.PathError{Op: "write", Path: "out", Err: syscall.ENOSPC}
		if err := play(make(failing{full}), script()); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: a full disk is not told: %v", name, err)
		}
	}
	// One stream that is gone does not take the other with it.
	var out bytes.Buffer
	if err := play(NewPlain(&out, failing{syscall.EPIPE}, PlainOptions{}), script()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "Builds finished") {
		t.Error("the end is missing")
	}
}

func at(d time.Duration, b addr.Build, e component.Event) component.Stamped {
	return component.Stamped{Origin: component.Origin{Build: b}, At: scriptStart.Add(d), Since: d, Event: e}
}

func plain(t *testing.T, events ...component.Stamped) string {
	t.Helper()
	var out bytes.Buffer
	if err := play(NewPlain(&out, &out, PlainOptions{}), events); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPlainEnds(t *testing.T) {
	made := &component.Artifact{Summary: "an image"}
	open := at(0, addr.Build{}, component.RunStarted{Builds: []addr.Build{alpha, beta, gamma}})
	good := at(1, gamma, component.BuildEnded{Duration: time.Second, Artifacts: []*component.Artifact{made}})
	bad := at(2, beta, component.BuildEnded{Duration: time.Second, Err: errors.New("no")})
	kept := at(3, alpha, component.BuildEnded{Duration: time.Second, Err: errors.New("late"), Artifacts: []*component.Artifact{made}})
	for _, c := range []struct {
		name   string
		events []component.Stamped
		end    component.RunEnded
		want   string
	}{
		{"nothing", nil, component.RunEnded{}, "\n==> Builds finished but no artifacts were created.\n"},
		{"interrupted", []component.Stamped{good, bad}, component.RunEnded{Interrupted: "interrupt", Failed: 2},
			"Cleanly cancelled builds after being interrupted.\n\n==> Artifacts that exist all the same:\n--> qemu.γάμμα: an image\n"},
		{"interrupted early", []component.Stamped{bad}, component.RunEnded{Interrupted: "interrupt", Failed: 1},
			"Cleanly cancelled builds after being interrupted.\n"},
		{"failed", []component.Stamped{bad}, component.RunEnded{Failed: 1},
			"\n==> Some builds didn't complete successfully and had errors:\n--> null.beta: no\n" +
				"\n==> Builds finished but no artifacts were created.\n"},
		{"plan order", []component.Stamped{good, bad, kept}, component.RunEnded{Failed: 2},
			"\n==> Some builds didn't complete successfully and had errors:\n--> os.docker.alpha: late\n--> null.beta: no\n" +
				"\n==> Builds finished. The artifacts of successful builds are:\n--> qemu.γάμμα: an image\n" +
				"\n==> Artifacts of failed builds that were made and kept:\n--> os.docker.alpha: an image\n"},
		{"only kept", []component.Stamped{kept}, component.RunEnded{Failed: 1},
			"\n==> Some builds didn't complete successfully and had errors:\n--> os.docker.alpha: late\n" +
				"\n==> Artifacts of failed builds that were made and kept:\n--> os.docker.alpha: an image\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.end.Duration = 2*time.Second + 31*time.Millisecond
			events := append([]component.Stamped{open}, c.events...)
			got := plain(t, append(events, at(9, addr.Build{}, c.end))...)
			_, got, _ = strings.Cut(got, "==> Wait completed after 2 seconds 31 milliseconds\n")
			if got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

// TestPlainIsNoFlood: an hour of waiting with a detail that changes, and a
// transfer that reports a thousand times a second.
func TestPlainIsNoFlood(t *testing.T) {
	var events []component.Stamped
	for s := range 3600 {
		d := time.Duration(s) * time.Second
		events = append(events, at(d, beta, component.Waiting{For: fmt.Sprint("stage ", s%40), Detail: fmt.Sprint(s), Elapsed: d}))
	}
	if n := strings.Count(plain(t, events...), "\n"); n < 100 || n > 3600/30+waitsKept {
		t.Errorf("%d lines for an hour of waiting", n)
	}
	events = nil
	for ms := range 60_000 {
		events = append(events, at(time.Duration(ms)*time.Millisecond, beta, component.Progress{ID: "f", Label: "f.iso", Done: int64(ms), Total: -1}))
	}
	if got := plain(t, events...); strings.Count(got, "\n") != 6 || !strings.HasPrefix(got, "    null.beta: f.iso\n    null.beta: f.iso: 10 kB\n") {
		t.Errorf("a minute of transfer:\n%s", got)
	}
	quick := plain(t, at(0, beta, component.Progress{ID: "f", Done: 0, Total: 4}), at(1, beta, component.Progress{ID: "f", Done: 3, Total: 4}),
		at(2, beta, component.Progress{ID: "f", Done: 4, Total: 4, Finished: true}))
	if quick != "    null.beta: f\n" {
		t.Errorf("a quick transfer:\n%s", quick)
	}
}

// TestPlainWholeLines: many goroutines print at once; every line is whole.
func TestPlainWholeLines(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := NewPlain(w, w, PlainOptions{Color: true})
	var wg sync.WaitGroup
	const each = 2000
	for _, b := range []addr.Build{alpha, beta, twin, gamma} {
		wg.Go(func() {
			for range each {
				p.Handle(component.Stamped{Origin: component.Origin{Build: b},
					Event: component.Output{Stream: component.Stderr, Line: strings.Repeat("z", 100)}})
				say(p, b, "m")
			}
		})
	}
	go func() {
		wg.Wait()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		w.Close()
	}()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for l := range strings.Lines(string(text)) {
		n++
		if !strings.HasPrefix(l, "\x1b[1;3") || !strings.HasSuffix(l, "z\x1b[0m\n") && !strings.HasSuffix(l, ": m\x1b[0m\n") {
			t.Fatalf("torn line %q", l)
		}
	}
	if n != 8*each {
		t.Errorf("%d lines, want %d", n, 8*each)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext":                          "plain\ttext",
		"\x1b[31mred\x1b[0m":                   "\x1b[31mred\x1b[0m\x1b[0m",
		"a\x1b[2Jb\x1b[10;10Hc":                "abc",
		"\x1b]52;c;ZXZpbA==\x07x":              "x",
		"\x1b]0;title\x1b\\x":                  "x",
		"bell\x07 del\x7f nul\x00":             "bell del nul",
		"c1 \u009b31m \u0085":                  "c1 31m ",
		"legacy \x93quote\x94":                 "legacy \x93quote\x94",
		"latin \xc20":                          "latin \xc20",
		"unfinished \x1b[31":                   "unfinished ",
		"unfinished \x1b]0;abc":                "unfinished ",
		"家 e\u0301 \U0001F468\u200d\U0001F469": "家 e\u0301 \U0001F468\u200d\U0001F469",
	} {
		if got := string(appendClean(nil, in, true)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\x1b]0;x\x07\u009b")
	f.Fuzz(func(t *testing.T, s string) {
		got := string(appendClean(nil, s, false))
		if i := dirty(got); i >= 0 {
			t.Errorf("%q still has control characters: %q", s, got)
		}
		if dirty(s) < 0 && got != s {
			t.Errorf("%q was changed to %q", s, got)
		}
	})
}

func TestUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                       "0 seconds",
		-time.Second:                            "0 seconds",
		999:                                     "0 seconds",
		2*time.Second + 31*time.Millisecond:     "2 seconds 31 milliseconds",
		time.Millisecond + time.Microsecond:     "1 millisecond 1 microsecond",
		time.Hour + 5*time.Second:               "1 hour 5 seconds",
		time.Minute + 2*time.Second + 1:         "1 minute 2 seconds",
		26*time.Hour + 3*time.Minute:            "1 day 2 hours",
		15 * 24 * time.Hour:                     "2 weeks 1 day",
		400 * 24 * time.Hour:                    "1 year 5 weeks",
		59*time.Minute + 59999*time.Millisecond: "59 minutes 59 seconds",
	} {
		if got := SpellDuration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-1: "0ms", 340 * time.Millisecond: "340ms", 7290 * time.Millisecond: "7.2s", 42 * time.Second: "42s",
		65 * time.Second: "1m05s", 2*time.Hour + 3*time.Minute: "2h03m", 100 * time.Hour: "100h00m",
	} {
		if got := ShortDuration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 1550: "1.6 kB", 9949: "9.9 kB", 9950: "10 kB", 999_499: "999 kB",
		999_500: "1.0 MB", 27_000_000: "27 MB", 5_000_000_000: "5.0 GB", 1 << 62: "4.6 EB",
	} {
		if got := FormatBytes(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestNewHuman(t *testing.T) {
	person, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	defer person.Close()
	defer tty.Close()
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	env := func(pairs ...string) func(string) string {
		return func(k string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == k {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	xterm := env("TERM", "xterm", "LANG", "en_US.UTF-8")
	for _, c := range []struct {
		name                       string
		out, errOut                *os.File
		opts                       HumanOptions
		live, color, header, ascii bool
		split                      bool
	}{
		{name: "terminal", out: tty, errOut: tty, opts: HumanOptions{Getenv: xterm}, live: true, color: true, header: true},
		{name: "errors to a file", out: tty, errOut: file, opts: HumanOptions{Getenv: xterm}, live: true, color: true, header: true, split: true},
		{name: "old locale", out: tty, errOut: tty, opts: HumanOptions{Getenv: env("TERM", "xterm", "LANG", "C")}, live: true, color: true, header: true, ascii: true},
		{name: "no color", out: tty, errOut: tty, opts: HumanOptions{Getenv: env("TERM", "xterm", "NO_COLOR", "1")}, live: true, header: true},
		{name: "-color=false", out: tty, errOut: tty, opts: HumanOptions{Getenv: xterm, Color: ColorNever}, live: true},
		{name: "dumb", out: tty, errOut: tty, opts: HumanOptions{Getenv: env("TERM", "dumb")}, header: true},
		{name: "log on screen", out: tty, errOut: tty, opts: HumanOptions{Getenv: xterm, NoLive: true}, color: true, header: true},
		{name: "pipe", out: file, errOut: tty, opts: HumanOptions{Getenv: xterm}, header: true},
		{name: "pipe, -color", out: file, errOut: file, opts: HumanOptions{Getenv: xterm, Color: ColorAlways}, color: true, header: true},
		{name: "pipe, -color, PACKER_NO_COLOR", out: file, errOut: file,
			opts: HumanOptions{Getenv: env("PACKER_NO_COLOR", "1"), Color: ColorAlways}, header: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch s := NewHuman(c.out, c.errOut, c.opts).(type) {
			case *Terminal:
				if !c.live || s.opts.Color != c.color || s.opts.Header != c.header || s.opts.ASCII != c.ascii || (s.opts.Errors != nil) != c.split {
					t.Errorf("got a Terminal with %+v", s.opts)
				}
			case *Plain:
				if c.live || s.opts.Color != c.color || s.opts.Header != c.header {
					t.Errorf("got a Plain with %+v", s.opts)
				}
			}
		})
	}
}

func BenchmarkOutput(b *testing.B) {
	line := "Get:42 http://archive.ubuntu.com/ubuntu noble/main amd64 libpython3.12-stdlib amd64 3.12.3"
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	many := NewRedactor()
	for i := range 20 {
		many.Add(fmt.Sprintf("s3cr3t-%d-%s", i, strings.Repeat("ab", i)))
	}
	for _, c := range []struct {
		name string
		sink func() Sink
	}{
		{"plain", func() Sink { return NewPlain(null, null, PlainOptions{}) }},
		{"color-times", func() Sink { return NewPlain(null, null, PlainOptions{Color: true, Timestamps: true}) }},
		{"json", func() Sink { return NewJSON(null) }},
		{"machine", func() Sink { return NewMachine(null) }},
		{"terminal", func() Sink { return NewTerminal(null, TerminalOptions{Color: true}) }},
		{"redacted", func() Sink { return many.Wrap(NewPlain(null, null, PlainOptions{})) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := c.sink()
			b.SetBytes(int64(len(line)))
			e := component.Stamped{Origin: component.Origin{Build: alpha, Step: shell}, At: scriptStart,
				Event: component.Output{Stream: component.Stdout, Line: line}}
			for b.Loop() {
				s.Handle(e)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
