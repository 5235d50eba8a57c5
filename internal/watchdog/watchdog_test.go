package watchdog

import (
	"errors"
	"io"
	"os/exec"
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

// TestDismissWhatIsGone: that the watchdog was killed does not make a run fail.
func TestDismissWhatIsGone(t *testing.T) {
	program, err := exec.LookPath("true")
	if err != nil {
		t.Skip("there is no program that ends at once")
	}
	w, err := Start(program, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // until it has ended, and nobody reads
		_, err = w.pipe.Write([]byte("x"))
	}
	if err := w.Dismiss(); err != nil {
		t.Errorf("the run is told: %v", err)
	}
}
