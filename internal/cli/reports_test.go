package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Ensure that reports go beside the log file, else into the state folder, and
// that only old ones disappear from there.
func TestReportDir(t *testing.T) {
	env := map[string]string{}
	a := &app{getenv: func(name string) string { return env[name] }}
	d := dirs{State: t.TempDir()}
	old, recent := filepath.Join(d.State, "reports", "old"), filepath.Join(d.State, "reports", "recent")
	for _, dir := range []string{old, recent} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * reportAge)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if got, want := a.reportDir(d, "r1"), filepath.Join(d.State, "reports", "r1"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old report is still there: %v", err)
	}
	if _, err := os.Stat(recent); err != nil {
		t.Errorf("the recent report is gone: %v", err)
	}
	env["PACKER_LOG_PATH"] = filepath.Join(d.State, "packer.log")
	if got := a.reportDir(d, "r1"); got != d.State {
		t.Errorf("got %s, want the folder of the log %s", got, d.State)
	}
}
