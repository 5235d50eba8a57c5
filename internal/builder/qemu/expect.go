package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/qmp"
)

// watcher waits for what the machine shows, on its serial console or on its screen.
type watcher struct {
	console *console
	qmp     *qmp.Client
	clock   component.Clock
	// dir is a folder that QEMU can write to.
	dir string
	// seen is how much of the console belongs to what was expected before.
	seen    int64
	timeout time.Duration
}

// screenPace is the time between two looks at the screen.
const screenPace = 200 * time.Millisecond

// await returns as soon as the machine shows what matches. What it prints on the
// console is matched once; the screen is taken as it is at the moment.
func (w *watcher) await(ctx context.Context, pattern *regexp.Regexp) error {
	name := strings.TrimPrefix(pattern.String(), "(?m)")
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, fmt.Errorf("the machine has not shown %q within %s, neither on its serial console nor on its screen in text mode (boot_expect_timeout)", name, w.timeout))
	defer cancel()
	for {
		data, total, more := w.console.since(w.seen)
		text, ends := withoutControls(data)
		if m := pattern.FindIndex(text); m != nil {
			w.seen = total - int64(len(data)) + int64(ends[m[1]])
			return nil
		}
		screen, err := w.screen(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if pattern.MatchString(screen) {
			return nil
		}
		pause := time.NewTimer(screenPace)
		select {
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		case <-more:
			pause.Stop()
		case <-pause.C:
		}
	}
}

// The memory that a graphics card of a PC shows in text mode: characters, each with
// its colours.
const (
	textMemory  = 0xb8000
	textColumns = 80
	textRows    = 25
)

// screen is the text on the machine's screen; empty when it has none in text mode.
func (w *watcher) screen(ctx context.Context) (string, error) {
	path := filepath.Join(w.dir, "screen.txt")
	defer os.Remove(path)
	args := map[string]any{"val": textMemory, "size": 2 * textColumns * textRows, "filename": path}
	var refused *qmp.Error
	err := w.qmp.Execute(ctx, "pmemsave", args, nil)
	switch {
	case errors.As(err, &refused):
		return "", nil // there is no such memory
	case err != nil:
		return "", err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the machine's screen: %w", err)
	}
	return screenText(data), nil
}

// screenText is what such memory shows, as lines.
func screenText(data []byte) string {
	var out strings.Builder
	for y := 0; y+2*textColumns <= len(data); y += 2 * textColumns {
		line := make([]byte, textColumns)
		for x := range line {
			line[x] = data[y+2*x]
			if line[x] < ' ' || line[x] > '~' {
				line[x] = ' '
			}
		}
		out.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return strings.Trim(out.String(), "\n")
}

// withoutControls leaves out control sequences and characters but line ends and
// tabs. ends has for each length of the text how much of data it comes from.
func withoutControls(data []byte) (text []byte, ends []int) {
	ends = append(ends, 0)
	all := string(data)
	for i := 0; i < len(all); {
		if n := sequence(all[i:]); n > 0 {
			i += n
			continue
		}
		c := all[i]
		i++
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
			continue
		}
		text = append(text, c)
		ends = append(ends, i)
	}
	return text, ends
}
