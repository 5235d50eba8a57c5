package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Arg {
		os.Exit(Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func TestSmoke(t *testing.T) {
	state := t.TempDir()
	base := filepath.Join(t.TempDir())
	for _, d := range []string{"l", "m"} {
		os.Mkdir(filepath.Join(state, d), 0o755)
	}
	os.WriteFile(filepath.Join(state, "resolv"), []byte("nameserver 127.0.0.1\n"), 0o644)
	os.WriteFile(filepath.Join(state, "hosts"), []byte("127.0.0.1 localhost\n"), 0o644)
	ctx := context.Background()
	s, err := Start(ctx, Config{IDs: CurrentIDMap(), Token: "t", State: state})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tar, err := os.Open("/tmp/ingot-test-env/cache/tiny.tar")
	if err != nil {
		t.Skip(err)
	}
	rep, err := s.Unpack(ctx, state, nil, base, tar)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(rep)
	caps, _ := Capabilities(nil)
	l := Layout{State: state, Lowers: []string{base + "/d"}, BaseLowers: 1, Init: state + "/init", Upper: state + "/0d", Work: state + "/0w",
		Hostname: "ingot", Resolv: state + "/resolv", Hosts: state + "/hosts", Capabilities: caps}
	if err := s.Attach(ctx, l); err != nil {
		t.Fatal(err)
	}
	run := func(line string, pty bool) {
		var out bytes.Buffer
		code, sig, err := s.Exec(ctx, Command{Args: []string{"/bin/sh", "-c", line}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, PTY: pty, Stdout: &out, Stderr: &out})
		fmt.Println(line, "=>", code, sig, err)
		fmt.Println(out.String())
	}
	run("id; mount; ps; cat /proc/self/status | grep Cap; hostname; ls -la / /dev; cat /etc/hosts; kill -9 1; cat /proc/1/root/etc/passwd | head -3; ls /proc/1/", false)
	run("tty; cat; ls -la /dev/pts; exit 3", true)
	run("sleep 100 & kill -TERM $$", false)
	run("rm /bin/ls /etc/os-release; rm -r /var; mkdir /var; echo hi > /var/x; echo hello > /etc/motd; ln /etc/motd /etc/motd2; touch /tmp/z; rm /tmp/z", false)
	strays, changed, err := s.Detach(ctx)
	t.Log(strays, changed, err)
	var out bytes.Buffer
	n, err := s.Diff(ctx, state, l.Lowers, l.Upper, -1, &out)
	t.Log(n, err)
	os.WriteFile("/tmp/d.tar", out.Bytes(), 0o644)
	if !strings.Contains(out.String(), ".wh.ls") {
		t.Error("no whiteout")
	}
}
