package qemu

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"ingot/internal/component"
)

// shownLines is how many lines of the console a diagnosis shows.
const shownLines = 20

// Diagnose implements component.Diagnoser: the last lines of the serial console,
// all that is left of it as a file, and a picture of the screen.
func (m *machine) Diagnose(ctx context.Context, r component.Run) component.Diagnosis {
	d := component.Diagnosis{Console: m.console.lastLines(shownLines)}
	if err := os.MkdirAll(r.ReportDir, 0o700); err != nil {
		d.Errs = append(d.Errs, err)
		return d
	}
	save := func(what, name string, write func(path string) error) {
		path := filepath.Join(r.ReportDir, m.name+name)
		if err := write(path); err != nil {
			d.Errs = append(d.Errs, fmt.Errorf("save %s: %w", what, err))
			return
		}
		d.Saved = append(d.Saved, component.Saved{What: what, Path: path})
	}
	if data, _, _ := m.console.since(0); len(data) > 0 {
		save("the console of the machine", "-console.log", func(path string) error { return os.WriteFile(path, data, 0o600) })
	}
	select {
	case <-m.Done(): // its screen is gone with it
	default:
		save("the screen of the machine", "-screen.png", func(path string) error { return m.qmp.Screenshot(ctx, m.hw.dir, path) })
	}
	return d
}
