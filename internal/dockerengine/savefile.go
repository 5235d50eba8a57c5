package dockerengine

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/component"
)

// SaveFile writes a stream to a file, whose folder is made. The bytes go to a
// neighbouring file first, which the journal knows, so that the name asked for
// never stands for half of the data and what it stood for before survives a
// failure. It returns the size.
func SaveFile(ctx context.Context, r component.Run, name, label string, from io.Reader) (int64, error) {
	final, err := filepath.Abs(name)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return 0, err
	}
	var size int64
	partial := final + ".partial"
	want := component.Resource{Kind: component.FileKind, Attrs: map[string]string{"path": partial}}
	lease, err := r.Journal.Acquire(ctx, want, func(ctx context.Context, _ component.Resource) (string, error) {
		var err error
		size, err = writePartial(ctx, r, partial, label, from)
		return partial, err
	})
	if err != nil {
		return 0, err
	}
	if err := os.Rename(partial, final); err != nil {
		return 0, err
	}
	return size, lease.Keep(ctx)
}

func writePartial(ctx context.Context, r component.Run, partial, label string, from io.Reader) (int64, error) {
	f, err := os.Create(partial)
	if err != nil {
		return 0, err
	}
	p := &meter{ctx: ctx, from: from, run: r, progress: component.Progress{ID: partial, Label: label, Total: -1}}
	n, err := io.Copy(f, p)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return n, fmt.Errorf("write %s: %w", partial, err)
	}
	p.finish()
	return n, nil
}

// FileResources says that an artifact consists of a file.
func FileResources(name string) []component.Resource {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil
	}
	return []component.Resource{{Kind: component.FileKind, ID: abs}}
}

// meter tells how far a transfer has come, and ends it with ctx.
type meter struct {
	ctx      context.Context
	from     io.Reader
	run      component.Run
	progress component.Progress
	told     time.Time
}

// Metered returns a reader of from that emits Progress events, the last one
// when from has ended. total is -1 when it is not known.
func Metered(ctx context.Context, r component.Run, id, label string, total int64, from io.Reader) io.Reader {
	return &meter{ctx: ctx, from: from, run: r, progress: component.Progress{ID: id, Label: label, Total: total}}
}

// meterPause keeps progress from flooding the sinks.
const meterPause = 100 * time.Millisecond

func (m *meter) Read(p []byte) (int, error) {
	if err := context.Cause(m.ctx); err != nil {
		return 0, err
	}
	n, err := m.from.Read(p)
	m.progress.Done += int64(n)
	if now := m.run.Clock.Now(); now.Sub(m.told) >= meterPause && err == nil {
		m.told = now
		m.run.Emit(m.progress)
	}
	if err == io.EOF {
		m.finish()
	}
	return n, err
}

func (m *meter) finish() {
	if !m.progress.Finished {
		m.progress.Finished = true
		m.run.Emit(m.progress)
	}
}
