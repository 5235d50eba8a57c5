package qmp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}` + "\r\n"

// asked is a command as the peer sees it.
type asked struct {
	Execute   string          `json:"execute"`
	Arguments json.RawMessage `json:"arguments"`
	ID        string          `json:"id"`
}

// peer is QEMU's end: it greets and answers each command with what answer returns.
func peer(t *testing.T, answer func(asked) string) io.ReadWriteCloser {
	t.Helper()
	ours, theirs := net.Pipe()
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	serving.Go(func() {
		defer theirs.Close()
		if _, err := io.WriteString(theirs, greeting); err != nil {
			return
		}
		for lines := bufio.NewScanner(theirs); lines.Scan(); {
			var a asked
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				t.Errorf("command %q: %v", lines.Text(), err)
				return
			}
			text := fmt.Sprintf(`{"return": {}, "id": %q}`, a.ID)
			if a.Execute != "qmp_capabilities" {
				text = answer(a)
			}
			if text == "" {
				return
			}
			if _, err := io.WriteString(theirs, text+"\r\n"); err != nil {
				return
			}
		}
	})
	return ours
}

func TestCommandsAndEvents(t *testing.T) {
	var mu sync.Mutex
	var events []Event
	conn := peer(t, func(a asked) string {
		switch a.Execute {
		case "query-status":
			return `{"event": "RESUME", "data": {"x": 1}}` + "\r\n" + `{"return": {"status": "running"}, "id": "` + a.ID + `"}`
		case "human-monitor-command":
			var args map[string]string
			if json.Unmarshal(a.Arguments, &args) != nil {
				return ""
			}
			return fmt.Sprintf(`{"return": %q, "id": %q}`, "you said "+args["command-line"], a.ID)
		case "quit":
			return ""
		}
		return `{"error": {"class": "CommandNotFound", "desc": "The command ` + a.Execute + ` has not been found"}, "id": "` + a.ID + `"}`
	})
	c, err := Open(t.Context(), conn, func(e Event) { mu.Lock(); events = append(events, e); mu.Unlock() })
	if err != nil {
		t.Fatal(err)
	}
	if c.Version() != "7.2.22" {
		t.Errorf("version %q", c.Version())
	}
	var status struct{ Status string }
	if err := c.Execute(t.Context(), "query-status", nil, &status); err != nil || status.Status != "running" {
		t.Errorf("got %+v, %v", status, err)
	}
	mu.Lock()
	if len(events) != 1 || events[0].Name != "RESUME" || string(events[0].Data) != `{"x": 1}` {
		t.Errorf("events %+v", events)
	}
	mu.Unlock()
	if text, err := c.Human(t.Context(), `info "x"`); err != nil || text != `you said info "x"` {
		t.Errorf("got %q, %v", text, err)
	}
	var refused *Error
	if err := c.Execute(t.Context(), "nonsense", nil, nil); !errors.As(err, &refused) || refused.Class != "CommandNotFound" || !strings.Contains(err.Error(), "nonsense has not been found") {
		t.Errorf("got %v", err)
	}
	if err := c.Execute(t.Context(), "quit", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	<-c.Done()
	if err := c.Execute(t.Context(), "query-status", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	c.Close()
	c.Close()
}

// Ensure that answers find the command that they belong to, whatever their order.
func TestAnswersInAnotherOrder(t *testing.T) {
	held := ""
	conn := peer(t, func(a asked) string {
		text := fmt.Sprintf(`{"return": %q, "id": %q}`, a.Execute, a.ID)
		if held == "" {
			held = text
			return `{"event": "HELD"}`
		}
		return text + "\r\n" + held
	})
	holding := make(chan struct{})
	c, err := Open(t.Context(), conn, func(Event) { close(holding) })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := make(chan error, 1)
	go func() {
		var got string
		err := c.Execute(t.Context(), "one", nil, &got)
		if err == nil && got != "one" {
			err = fmt.Errorf("one was answered with %q", got)
		}
		first <- err
	}()
	<-holding
	var got string
	if err := c.Execute(t.Context(), "two", nil, &got); err != nil || got != "two" {
		t.Errorf("two was answered with %q, %v", got, err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestOpenFails(t *testing.T) {
	t.Run("not qemu", func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() { io.WriteString(theirs, "SSH-2.0-x\r\n"); theirs.Close() }()
		if _, err := Open(t.Context(), ours, nil); err == nil || !strings.Contains(err.Error(), "not qemu") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ended", func(t *testing.T) {
		ours, theirs := net.Pipe()
		theirs.Close()
		if _, err := Open(t.Context(), ours, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("silent", func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		cancel(cause)
		if _, err := Open(ctx, ours, nil); !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("endless line", func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() {
			for chunk := bytes.Repeat([]byte("x"), 1<<20); ; {
				if _, err := theirs.Write(chunk); err != nil {
					return
				}
			}
		}()
		if _, err := Open(t.Context(), ours, nil); !errors.Is(err, bufio.ErrTooLong) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCancelledCommand(t *testing.T) {
	arrived := make(chan struct{})
	conn := peer(t, func(asked) string { close(arrived); return `{"event": "BUSY"}` })
	c, err := Open(t.Context(), conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	go func() { <-arrived; cancel(cause) }()
	if err := c.Execute(ctx, "slow", nil, nil); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestScreenshot(t *testing.T) {
	dir := t.TempDir()
	conn := peer(t, func(a asked) string {
		var args struct{ Filename string }
		if json.Unmarshal(a.Arguments, &args) != nil || a.Execute != "screendump" {
			return ""
		}
		if err := os.WriteFile(args.Filename, []byte("P6\n# qemu\n2 1\n255\n\xff\x00\x00\x00\x00\xff"), 0o600); err != nil {
			return ""
		}
		return fmt.Sprintf(`{"return": {}, "id": %q}`, a.ID)
	})
	c, err := Open(t.Context(), conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	path := filepath.Join(dir, "shot.png")
	if err := c.Screenshot(t.Context(), dir, path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b color.Color) bool {
		r, g, bl, al := a.RGBA()
		r2, g2, b2, al2 := b.RGBA()
		return r == r2 && g == g2 && bl == b2 && al == al2
	}
	if b := img.Bounds(); b.Dx() != 2 || b.Dy() != 1 || !same(img.At(0, 0), color.RGBA{255, 0, 0, 255}) || !same(img.At(1, 0), color.RGBA{0, 0, 255, 255}) {
		t.Errorf("bounds %v, pixels %v %v", b, img.At(0, 0), img.At(1, 0))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.ppm")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDecodePPMRefuses(t *testing.T) {
	for _, text := range []string{"", "P5\n1 1\n255\nx", "P6\n1 1\n65535\nxxxxxx", "P6\n2 2\n255\nxxx", "P6\n0 1\n255\n", "P6\n99999 99999\n255\n", "P6\n99999999999999999999 1\n255\n", "P6\n-1 1\n255\n", "P6\n1"} {
		if _, err := DecodePPM(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func FuzzDecodePPM(f *testing.F) {
	f.Add([]byte("P6\n2 1\n255\n\xff\x00\x00\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := DecodePPM(bytes.NewReader(data))
		if err == nil && img.Bounds().Empty() {
			t.Error("a picture without pixels")
		}
	})
}

// FuzzClient gives the client anything as what QEMU says.
func FuzzClient(f *testing.F) {
	f.Add([]byte(greeting + `{"return": {}, "id": "1"}` + "\r\n" + `{"event": "STOP"}` + "\r\n"))
	f.Add([]byte(`{"QMP": {"version": 1}}`))
	f.Add([]byte(`{"QMP": null, "return": 1, "id": {}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		conn := struct {
			io.Reader
			io.Writer
			io.Closer
		}{bytes.NewReader(data), io.Discard, io.NopCloser(nil)}
		c, err := Open(t.Context(), conn, func(Event) {})
		if err != nil {
			return
		}
		_ = c.Execute(t.Context(), "query-status", nil, new(map[string]any)) // any answer is fine, as long as there is one
		c.Close()
	})
}
