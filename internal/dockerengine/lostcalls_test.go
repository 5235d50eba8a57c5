package dockerengine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
)

func TestMayAppear(t *testing.T) {
	now := time.Now()
	at := func(ago time.Duration) map[string]string {
		return map[string]string{attrAsked: now.Add(-ago).UTC().Format(time.RFC3339Nano)}
	}
	for _, c := range []struct {
		name  string
		attrs map[string]string
		begun bool
		want  bool
	}{
		{"just asked", at(time.Second), false, true},
		{"asked a while ago", at(time.Minute), false, false},
		{"asked a while ago, at work", at(time.Minute), true, true},
		{"stuck", at(time.Hour), true, false},
		{"never asked", map[string]string{}, true, false},
		{"unreadable", map[string]string{attrAsked: "yesterday"}, true, false},
		{"the clock was set back", at(-time.Hour), true, false},
	} {
		if got := MayAppear(c.attrs, c.begun, now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if !MayAppear(Asking(map[string]string{}), false, time.Now()) {
		t.Error("what is being asked for cannot appear")
	}
}

func TestAnswered(t *testing.T) {
	for _, c := range []struct {
		err      error
		answered bool
	}{
		{nil, true},
		{fmt.Errorf("create: %w", cerrdefs.ErrNotFound), true},
		{cerrdefs.ErrConflict, true},
		{cerrdefs.ErrInternal, true},
		{context.Canceled, false},
		{errors.New("unexpected EOF"), false},
	} {
		attrs := Asking(map[string]string{"k": "v"})
		Answered(attrs, c.err)
		if _, left := attrs[attrAsked]; left == c.answered || attrs["k"] != "v" {
			t.Errorf("%v: attributes %v", c.err, attrs)
		}
	}
}
