package reap

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/procid"
)

// start runs a script that prints "ready" and waits for it to do so.
func start(t *testing.T, token, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = append(os.Environ(), procid.TokenVariable+"="+token)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("script said %q, %v", line, err)
	}
	return cmd
}

func ctxFor(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Ensure that a process without a known id is found by its token, with a
// child that left the process group, and that another process stays.
func TestProcessesAreFoundByToken(t *testing.T) {
	token := "ingot-test-" + strconv.Itoa(os.Getpid())
	other := start(t, token+"-other", "echo ready; exec sleep 60")
	start(t, token, "setsid sleep 61 & echo ready; exec sleep 62")
	if err := (Processes{}).Reap(ctxFor(t), component.Resource{Kind: procid.Kind, Token: token}); err != nil {
		t.Fatal(err)
	}
	if n, err := killMarked(0, "", token); n != 0 || err != nil {
		t.Errorf("%d processes are left, %v", n, err)
	}
	if state, _ := procid.Stat(other.Process.Pid); state == 0 || state == 'Z' {
		t.Error("another process was killed")
	}
}

// Ensure that a program which cleared its environment is killed by id and
// start time, but not by id with another start time.
func TestProcessIDNeedsItsStartTime(t *testing.T) {
	cmd := start(t, "unused", "echo ready; exec env -i sleep 63")
	r := component.Resource{Kind: procid.Kind, Token: "ingot-test-none", ID: strconv.Itoa(cmd.Process.Pid)}
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(cmdline(cmd.Process.Pid), "sleep") && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	_, started := procid.Stat(cmd.Process.Pid)
	r.Attrs = map[string]string{procid.StartAttr: started + "0"}
	if err := (Processes{}).Reap(ctxFor(t), r); err != nil {
		t.Fatal(err)
	}
	if state, _ := procid.Stat(cmd.Process.Pid); state == 0 || state == 'Z' {
		t.Fatal("a process with another start time was killed")
	}
	r.Attrs = map[string]string{procid.StartAttr: started, procid.BootAttr: "another"}
	if err := (Processes{}).Reap(ctxFor(t), r); err != nil {
		t.Fatal(err)
	}
	if state, _ := procid.Stat(cmd.Process.Pid); state == 0 || state == 'Z' {
		t.Fatal("a process of another boot was killed")
	}
	r.Attrs = map[string]string{procid.StartAttr: started, procid.BootAttr: procid.Boot()}
	if err := (Processes{}).Reap(ctxFor(t), r); err != nil {
		t.Fatal(err)
	}
	if state, _ := procid.Stat(cmd.Process.Pid); state != 0 && state != 'Z' {
		t.Error("the process still runs")
	}
}

func cmdline(pid int) string {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return string(data)
}
