//go:build linux

package netlab_test

import (
	"context"
	"io"
	"testing"
	"time"

	"ingot/internal/testkit/netlab"
)

// serve answers every connection with a word.
func serve(h *netlab.Host, port int, word string) {
	l := h.Listen(port)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, word)
			_ = c.Close()
		}
	}()
}

const (
	// soon is when what does not answer has not answered, and late when what does
	// has, however busy the machine is.
	soon = time.Second
	late = time.Minute
)

// ask connects and returns the word.
func ask(t *testing.T, from *netlab.Host, address string, limit time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := from.Dial(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(limit))
	out, err := io.ReadAll(c)
	return string(out), err
}

// TestLab: hosts reach each other, one behind another is reached by that one
// alone, and links are as bad as they are told to be.
func TestLab(t *testing.T) {
	lab := netlab.New(t)
	a, b := lab.Host("a"), lab.Host("b")
	c := b.Behind("c")
	serve(b, 80, "b")
	serve(c, 80, "c")
	if got, err := ask(t, a, b.Addr()+":80", late); err != nil || got != "b" {
		t.Errorf("b says %q, %v", got, err)
	}
	if got, err := ask(t, b, c.Addr()+":80", late); err != nil || got != "c" {
		t.Errorf("c says %q, %v", got, err)
	}
	if got, err := ask(t, a, c.Addr()+":80", soon); err == nil {
		t.Errorf("what is behind b says %q to a", got)
	}
	for name, spoil := range map[string]func(){"cut": b.Cut, "reset": b.Reset, "all lost": func() { b.Loss(1) }} {
		spoil()
		if got, err := ask(t, a, b.Addr()+":80", soon); err == nil {
			t.Errorf("%s: b says %q", name, got)
		}
		b.Heal()
		if got, err := ask(t, a, b.Addr()+":80", late); err != nil || got != "b" {
			t.Errorf("after %s: b says %q, %v", name, got, err)
		}
	}
	b.Rate("1mbit")
	if got, err := ask(t, a, b.Addr()+":80", late); err != nil || got != "b" {
		t.Errorf("slow: b says %q, %v", got, err)
	}
	b.Heal()
}
