package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/s2"

	"ingot/internal/component"
	"ingot/internal/qmp"
)

// unlimited is a transfer rate that is never reached, in bytes per second. What
// QEMU uses by itself is meant for a network.
const unlimited = int64(1) << 40

// pollState is the time between two looks at how far QEMU is.
const pollState = 5 * time.Millisecond

// writeState writes the state of a machine that stands still.
func (m *machine) writeState(ctx context.Context, path string) error {
	socket, err := m.stateSocket()
	if err != nil {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := m.qmp.Execute(ctx, "migrate-set-parameters", map[string]int64{"max-bandwidth": unlimited}, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	written := make(chan error, 1)
	go func() {
		err := receive(ctx, l, path)
		if err != nil {
			cancel()
		}
		written <- err
	}()
	err = m.qmp.Execute(ctx, "migrate", map[string]string{"uri": "unix:" + socket}, nil)
	if err == nil {
		err = m.migrated(ctx)
	}
	if err != nil {
		cancel()
		_ = l.Close() // it ends receive
		// After a file that could not be written, QEMU may be at it still.
		err = errors.Join(err, m.cancelMigration(context.WithoutCancel(ctx)))
	}
	if wrong := <-written; wrong != nil && !errors.Is(wrong, net.ErrClosed) {
		return wrong // which is why QEMU failed, if it did
	}
	return err
}

// cancelMigration makes QEMU give up what it hands over, so that the machine can go
// on.
func (m *machine) cancelMigration(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, plugTime)
	defer stop()
	if err := m.qmp.Execute(ctx, "migrate_cancel", nil, nil); err != nil {
		return err
	}
	_ = m.migrated(ctx) // it says that it was cancelled
	return nil
}

// stateSocket is the path of the socket over which the state of a machine travels.
func (m *machine) stateSocket() (string, error) {
	path := filepath.Join(m.hw.dir, "state.sock")
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("the path of a socket has at most %d characters, %s has %d: set TMPDIR to a shorter path", maxSocketPath, path, len(path))
	}
	return path, nil
}

// receive writes what comes over a connection to a file, compressed.
func receive(ctx context.Context, l net.Listener, path string) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	z := s2.NewWriter(f)
	_, err = io.Copy(z, conn)
	return errors.Join(err, z.Close(), f.Sync(), f.Close())
}

// readState gives a machine that waits for it the state of a saved one.
func (m *machine) readState(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	socket, err := m.stateSocket()
	if err != nil {
		return err
	}
	if err := m.qmp.Execute(ctx, "migrate-incoming", map[string]string{"uri": "unix:" + socket}, nil); err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	_, err = io.Copy(conn, s2.NewReader(f))
	stop()
	if err = errors.Join(err, conn.Close()); err != nil {
		err = fmt.Errorf("hand over the state of the machine: %w", err)
	}
	// QEMU knows best why it did not take it.
	return errors.Join(m.migrated(ctx), err)
}

// migrated waits until QEMU has sent or read the state of a machine.
func (m *machine) migrated(ctx context.Context) error {
	for {
		var answer struct {
			Status string `json:"status"`
			Why    string `json:"error-desc"`
		}
		if err := m.qmp.Execute(ctx, "query-migrate", nil, &answer); err != nil {
			if errors.Is(err, qmp.ErrClosed) && ctx.Err() == nil {
				return m.failure(err)
			}
			return err
		}
		switch answer.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			if answer.Why == "" {
				answer.Why = m.said.text()
			}
			return fmt.Errorf("qemu has not handed over the state of the machine (%s): %s", answer.Status, answer.Why)
		}
		if err := (component.SystemClock{}).Sleep(ctx, pollState); err != nil {
			return err
		}
	}
}
