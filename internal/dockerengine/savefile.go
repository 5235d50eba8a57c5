package dockerengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ingot/internal/component"
	"ingot/internal/outfile"
)

// SaveFile writes a stream to a file, whose folder is made. The name never
// stands for half of the data, and what it stood for before survives a
// failure. It returns the file as part of an artifact, and the resource that
// goes with it.
func SaveFile(ctx context.Context, r component.Run, name, label string, from io.Reader) (component.File, component.Resource, error) {
	f, err := outfile.Create(ctx, r, name, 0o666)
	if err != nil {
		return component.File{}, component.Resource{}, err
	}
	size, err := io.Copy(f, Metered(ctx, r, name, label, -1, from))
	if err == nil {
		err = f.Commit(ctx)
	} else {
		err = errors.Join(fmt.Errorf("write %s: %w", name, err), f.Abort(ctx))
	}
	if err != nil {
		return component.File{}, component.Resource{}, err
	}
	res, err := hold(ctx, r, name)
	return component.File{Path: name, Size: size}, res, err
}

// hold makes a finished file the artifact's.
func hold(ctx context.Context, r component.Run, name string) (component.Resource, error) {
	res, err := outfile.Resource(name)
	if err != nil {
		return res, err
	}
	lease, err := r.Journal.Acquire(ctx, component.Resource{Kind: res.Kind, Attrs: res.Attrs},
		func(context.Context, component.Resource) (string, error) { return res.ID, nil })
	if err != nil {
		return res, err
	}
	return res, lease.Keep(ctx)
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
