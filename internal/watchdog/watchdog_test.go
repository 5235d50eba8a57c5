package watchdog

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
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
