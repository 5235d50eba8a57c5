package live

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echoServer answers with what it is sent, and ends its side when the client
// ends its own.
func echoServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		conns.Wait()
	})
	return listener.Addr().String()
}

func dial(t *testing.T, p *FaultProxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn.(*net.TCPConn)
}

func mustEcho(t *testing.T, conn net.Conn, message string) {
	t.Helper()
	if _, err := io.WriteString(conn, message); err != nil {
		t.Fatalf("writing: %v", err)
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("reading: %v", err)
	}
	if string(got) != message {
		t.Fatalf("got %q, want %q", got, message)
	}
}

func wantReset(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("got error %v, want a reset", err)
	}
}

func TestFaultProxyCarriesEverythingAndBothEnds(t *testing.T) {
	p := NewFaultProxy(t, echoServer(t))
	conn := dial(t, p)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		conn.Write(sent)
		conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Fatalf("got %d bytes back, want the %d sent", len(got), len(sent))
	}
	if carried := p.Carried(); carried != int64(2*len(sent)) {
		t.Errorf("Carried() = %d, want %d", carried, 2*len(sent))
	}
}

func TestFaultProxyDelaysOpenConnections(t *testing.T) {
	p := NewFaultProxy(t, echoServer(t))
	conn := dial(t, p)
	mustEcho(t, conn, "before")

	const delay = 60 * time.Millisecond
	p.Delay(delay)
	start := time.Now()
	mustEcho(t, conn, "during")
	if took := time.Since(start); took < 2*delay {
		t.Errorf("an echo took %v, want at least %v there and back", took, 2*delay)
	}
}

func TestFaultProxyLimitsBandwidth(t *testing.T) {
	p := NewFaultProxy(t, echoServer(t))
	p.Bandwidth(100_000)
	conn := dial(t, p)
	start := time.Now()
	mustEcho(t, conn, string(make([]byte, 30_000)))
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("30 kB at 100 kB/s took %v", took)
	}
}

func TestFaultProxyDropsAfterExactlySoManyBytes(t *testing.T) {
	for _, limit := range []int64{0, 1, chunkSize, chunkSize + 1, 3*chunkSize - 1} {
		p := NewFaultProxy(t, bigSender(t))
		p.DropAfter(limit)
		conn := dial(t, p)
		got, err := io.ReadAll(conn)
		wantReset(t, err)
		if int64(len(got)) != limit {
			t.Errorf("limit %d: %d bytes arrived", limit, len(got))
		}
	}
}

// bigSender sends much to whoever connects.
func bigSender(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.Write(make([]byte, 1<<20))
			}()
		}
	}()
	return listener.Addr().String()
}

func TestFaultProxyDropsEachConnectionAnew(t *testing.T) {
	p := NewFaultProxy(t, echoServer(t))
	p.DropAfter(20)
	for range 2 {
		conn := dial(t, p)
		mustEcho(t, conn, "0123456789")
		_, err := conn.Read(make([]byte, 1))
		wantReset(t, err)
	}
	p.DropAfter(-1)
	mustEcho(t, dial(t, p), "0123456789012345678901234567890")
}

func TestFaultProxyCutsOpenConnectionsOnly(t *testing.T) {
	p := NewFaultProxy(t, echoServer(t))
	first := dial(t, p)
	mustEcho(t, first, "before")
	p.Cut()
	_, err := first.Read(make([]byte, 1))
	wantReset(t, err)

	mustEcho(t, dial(t, p), "after")
	if n := p.Connections(); n != 2 {
		t.Errorf("Connections() = %d, want 2", n)
	}
}

func TestFaultProxyBlackhole(t *testing.T) {
	p := NewFaultProxy(t, echoServer(t))
	conn := dial(t, p)
	mustEcho(t, conn, "before")

	p.Blackhole(true)
	late := dial(t, p)
	for _, c := range []net.Conn{conn, late} {
		if _, err := io.WriteString(c, "kept"); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(80 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read %d bytes and %v out of a blackhole", n, err)
		}
	}

	p.Blackhole(false)
	for _, c := range []net.Conn{conn, late} {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		got := make([]byte, 4)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "kept" {
			t.Fatalf("got %q and %v after the blackhole", got, err)
		}
	}
}

func TestFaultProxyBlackholeHidesTheEnd(t *testing.T) {
	p := NewFaultProxy(t, bigSender(t))
	p.Blackhole(true)
	conn := dial(t, p)
	conn.SetReadDeadline(time.Now().Add(80 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v, want silence", err)
	}
}

func TestFaultProxyRefuses(t *testing.T) {
	p := NewFaultProxy(t, echoServer(t))
	open := dial(t, p)
	mustEcho(t, open, "before")
	p.Refuse(true)
	wantReset(t, firstError(p))
	mustEcho(t, open, "still there")

	p.Heal()
	mustEcho(t, dial(t, p), "after")
}

// firstError connects and reads. A reset that comes at once may show in either.
func firstError(p *FaultProxy) error {
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestFaultProxyResetsWhenTheTargetIsDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := listener.Addr().String()
	listener.Close()
	wantReset(t, firstError(NewFaultProxy(t, target)))
}

func TestFaultProxyCloseEndsWhatWaits(t *testing.T) {
	for name, fault := range map[string]func(*FaultProxy){
		"blackhole": func(p *FaultProxy) { p.Blackhole(true) },
		"delay":     func(p *FaultProxy) { p.Delay(time.Hour) },
		"bandwidth": func(p *FaultProxy) { p.Bandwidth(1) },
		"nothing":   func(*FaultProxy) {},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewFaultProxy(t, echoServer(t))
			fault(p)
			conn := dial(t, p)
			io.WriteString(conn, "something")
			closed := make(chan struct{})
			go func() {
				p.Close()
				close(closed)
			}()
			select {
			case <-closed:
			case <-time.After(5 * time.Second):
				t.Fatal("Close did not return")
			}
		})
	}
}
