package watchdog

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestWatch(t *testing.T) {
	for name, c := range map[string]struct {
		pipe     io.Reader
		vanished bool
	}{
		"dismissed":    {strings.NewReader("d"), false},
		"closed":       {strings.NewReader(""), true},
		"broken":       {iotest.ErrReader(errors.New("broken")), true},
		"another byte": {strings.NewReader("x"), true},
	} {
		if got := Watch(c.pipe); got != c.vanished {
			t.Errorf("%s: vanished %v, want %v", name, got, c.vanished)
		}
	}
}

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, tries := time.Now(), 0
		if !Until(time.Minute, func() bool { tries++; return tries == 3 }) || tries != 3 {
			t.Errorf("%d tries", tries)
		}
		if Until(time.Minute, func() bool { return false }) || time.Since(begin) > 2*time.Minute {
			t.Errorf("gave up after %s", time.Since(begin))
		}
	})
}
