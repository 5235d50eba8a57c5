//go:build linux

package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/journal"
	"ingot/internal/plugin/host"
	"ingot/internal/reap"
)

// TestKilledHost: when this program is killed in the middle of a build, its journal has
// all processes of plugins, also of those that go on without their connection, and
// recovering ends them with what they have started.
func TestKilledHost(t *testing.T) {
	if dir := os.Getenv("HOST_TEST_JOURNAL"); dir != "" {
		r := newRig(t, os.Getenv("HOST_TEST_PROGRAM"), nil)
		r.store = journal.FileStore{Dir: dir}
		r.build(t.Context(), strings.Replace(rogueTemplate, `    inline = ["echo through the plugin"]`, `    remote_folder = "`+os.TempDir()+`"
    inline = ["touch $HOST_TEST_JOURNAL/../started; sleep 1000"]`, 1))
		return
	}
	dir := filepath.Join(t.TempDir(), "runs")
	mark := "ROGUE_TEST=" + t.Name()
	child := exec.Command(os.Args[0], "-test.run=^TestKilledHost$")
	child.Env = append(os.Environ(), "HOST_TEST_JOURNAL="+dir, "HOST_TEST_PROGRAM="+program(t, "rogue", "."), "ROGUE=linger", mark,
		"TMPDIR="+t.TempDir()) // who is killed removes nothing
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for !exists(filepath.Join(filepath.Dir(dir), "started")) {
		select {
		case err := <-ended:
			t.Fatalf("the build ended: %v", err)
		default:
			pause()
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if left := marked(mark); len(left) == 0 {
		t.Errorf("no process goes on: nothing is proved")
	}
	got, err := journal.Recover(t.Context(), journal.FileStore{Dir: dir},
		journal.NewReapers(reap.Files{}, reap.Processes{}, host.NewLive()), journal.RecoverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if left := marked(mark); len(left) > 0 {
		t.Errorf("%v are left; recovered was %+v", left, got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the journal is still there: %v, %v", entries, err)
	}
}
