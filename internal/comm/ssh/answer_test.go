package ssh

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mute is a server that does with its n-th connection, from 0, what the test says.
type mute struct {
	net.Listener
	open    atomic.Int64
	workers sync.WaitGroup
}

func newMute(t *testing.T, serve func(n int, c net.Conn)) *mute {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mute{Listener: l}
	m.workers.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.open.Add(1)
			m.workers.Go(func() {
				defer m.open.Add(-1)
				defer c.Close()
				serve(n, c)
				_, _ = io.Copy(io.Discard, c) // until the client goes
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		m.workers.Wait()
	})
	return m
}

func (m *mute) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", m.Addr().String())
}

// ask runs firstAnswer and returns what it read, and checks that no other
// connection stays.
func (m *mute) ask(t *testing.T, ctx context.Context, limit time.Duration) (string, error) {
	t.Helper()
	first, err := m.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c, err := firstAnswer(ctx, first, limit, new(again), m.dial)
	text := ""
	if err == nil {
		buf := make([]byte, 3)
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Error(err)
		}
		text = string(buf)
		c.Close()
	}
	for end := time.Now().Add(10 * time.Second); m.open.Load() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are still open", m.open.Load())
		}
	}
	return text, err
}

// Ensure that a machine is not flooded with connections.
func TestAgainGrows(t *testing.T) {
	var a again
	var sum time.Duration
	n := 0
	for ; sum < time.Minute; n++ {
		sum += a.next()
	}
	if n > 20 || a.next() != mostAgain {
		t.Errorf("%d connections in a minute, then one in %s", n, a.next())
	}
}

func TestFirstAnswer(t *testing.T) {
	say := func(c net.Conn, text string) { _, _ = io.WriteString(c, text) }
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		m := newMute(t, func(_ int, c net.Conn) { say(c, "S"); say(c, "SH-2.0") })
		if got, err := m.ask(t, t.Context(), time.Minute); got != "SSH" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	// The connections made before the machine listens are never answered.
	t.Run("a later connection", func(t *testing.T) {
		t.Parallel()
		m := newMute(t, func(n int, c net.Conn) {
			if n >= 6 {
				say(c, "SSH")
			}
		})
		if got, err := m.ask(t, t.Context(), time.Minute); got != "SSH" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("a slow server", func(t *testing.T) {
		t.Parallel()
		m := newMute(t, func(n int, c net.Conn) {
			if n == 0 {
				time.Sleep(4 * time.Second)
				say(c, "SSH")
			}
		})
		if got, err := m.ask(t, t.Context(), time.Minute); got != "SSH" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		t.Parallel()
		m := newMute(t, func(_ int, c net.Conn) { c.Close() })
		if _, err := m.ask(t, t.Context(), time.Minute); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
	})
	t.Run("never", func(t *testing.T) {
		t.Parallel()
		m := newMute(t, func(int, net.Conn) {})
		if _, err := m.ask(t, t.Context(), 1200*time.Millisecond); !errors.As(err, new(slowError)) {
			t.Errorf("%v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		m := newMute(t, func(int, net.Conn) {})
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("interrupt")
		time.AfterFunc(700*time.Millisecond, func() { cancel(cause) })
		if _, err := m.ask(t, ctx, time.Minute); !errors.Is(err, cause) {
			t.Errorf("%v", err)
		}
	})
}
