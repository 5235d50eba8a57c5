package procid_test

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"ingot/internal/procid"
)

func TestStat(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	if one, two := procid.Boot(), procid.Boot(); one == "" || one != two {
		t.Errorf("booted as %q, and as %q", one, two)
	}
	state, start := procid.Stat(os.Getpid())
	if n, err := strconv.Atoi(start); err != nil || n <= 0 || state != 'R' && state != 'S' {
		t.Errorf("this process is %c since %q", state, start)
	}
	if _, again := procid.Stat(os.Getpid()); again != start {
		t.Errorf("started at %q and %q", start, again)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if state, start := procid.Stat(gone.Process.Pid); start != "" {
		t.Errorf("a process that has ended is %c since %q", state, start)
	}
}

// TestStatOfOddName: the name of a command may look like the fields behind it.
func TestStatOfOddName(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	odd := t.TempDir() + "/a) R 1 (b"
	if err := os.Symlink(sleep, odd); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(odd, "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	_, own := procid.Stat(os.Getpid())
	_, start := procid.Stat(cmd.Process.Pid)
	ours, _ := strconv.Atoi(own)
	theirs, err := strconv.Atoi(start)
	if err != nil || theirs < ours {
		t.Errorf("started at %q, and this process before that at %q", start, own)
	}
}
