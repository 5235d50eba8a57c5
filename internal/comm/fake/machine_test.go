package fake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/comm/fake"
	"ingot/internal/component"
)

// sh runs a line and returns what it printed, with its exit code.
func sh(t *testing.T, c component.Communicator, line string) string {
	t.Helper()
	var out bytes.Buffer
	exit, err := c.Run(t.Context(), component.Command{Line: line, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return fmt.Sprintf("%s[%d]", out.String(), exit.Code)
}

func TestPrograms(t *testing.T) {
	m := fake.NewMachine()
	c := m.Connect(fake.Options{User: "someone"})
	for _, step := range []struct{ line, want string }{
		{"whoami; uname; echo $HOME $USER", "root\nLinux\n/home/someone someone\n[0]"},
		{"mkdir -p /a/b && echo one > /a/b/f && cat /a/b/f", "one\n[0]"},
		{"echo two >> /a/b/f; wc -c < /a/b/f; head -c 3 < /a/b/f", "8\none[0]"},
		{"cd /a && ls && cat b/*", "b\none\ntwo\n[0]"},
		{"mv /a/b/f /a/g && test ! -e /a/b/f && cat /a/g", "one\ntwo\n[0]"},
		{"echo x | tee /a/h | cat; cat /a/h", "x\nx\n[0]"},
		{"rm /a", "rm: remove /a: is a directory\n[1]"},
		{"rm /none; rm -f /none", "rm: remove /none: file does not exist\n[0]"},
		{"rm -rf /a; test -e /a || echo gone", "gone\n[0]"},
		{"f=$(mktemp) && d=$(mktemp -d) && test -f $f && test -d $d && echo $f $d", "/tmp/tmp.000001 /tmp/tmp.000002\n[0]"},
		{"touch /x; chmod 640 /x; test -x /x || echo no; chmod +x /x; test -x /x && echo yes", "no\nyes\n[0]"},
		{"printf '#!/bin/sh -e\\necho \"$0 $1\"\\nfalse\\necho never\\n' > /s; chmod 755 /s; /s arg", "/s arg\n[1]"},
		{"/none", "sh: /none: not found\n[127]"},
		{"echo > /data; /data", "sh: /data: Permission denied\n[126]"},
		{"printf '#!/usr/bin/perl\\n' > /p; chmod +x /p; /p", "sh: /p: bad interpreter \"/usr/bin/perl\"\n[126]"},
		{"echo 'echo \"$1\"; exit 4' > /t; sh /t word", "word\n[4]"},
		{"echo 'echo piped' | sh; sh -c 'echo \"$0 $1\"' zero one", "piped\nzero one\n[0]"},
		{"chmod 999 /x", "chmod: mode \"999\" is not known to this machine\n[1]"},
		{"if then", "sh: sh:1"},
		{"sh -c 'kill -9 $$'; echo $?", "137\n[0]"},
	} {
		if got := sh(t, c, step.line); !strings.HasPrefix(got, step.want) {
			t.Errorf("%s\n got %q\nwant %q", step.line, got, step.want)
		}
	}
}

func TestMachineIsSeenFromOutside(t *testing.T) {
	m := fake.NewMachine()
	m.Program("apt-get", func(_ context.Context, p *fake.Process) int {
		fmt.Fprintln(p.Stdout, "installing", p.Args[2], "with", p.Getenv("FRONTEND"), "in", p.Dir)
		return 7
	})
	if err := m.WriteFile("/opt/in/config", []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := m.Connect(fake.Options{Transport: "ssh"})
	if got := sh(t, c, "cd /opt; FRONTEND=none apt-get install curl"); got != "installing curl with none in /opt\n[7]" {
		t.Errorf("got %q", got)
	}
	if err := c.Put(t.Context(), "/opt/out", strings.NewReader("x"), component.FileMeta{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if body, mode, err := m.ReadFile("/opt/out"); err != nil || string(body) != "x" || mode != 0o755 {
		t.Errorf("got %q, %v, %v", body, mode, err)
	}
	if d := cmp.Diff([]string{"/opt", "/opt/in", "/opt/in/config", "/opt/out"}, m.Files()); d != "" {
		t.Error(d)
	}
	if got := m.Lines(); len(got) != 1 || !strings.HasPrefix(got[0], "cd /opt") {
		t.Errorf("got %q", got)
	}
	if c.Caps().Transport != "ssh" {
		t.Errorf("got %+v", c.Caps())
	}
}

func TestBefore(t *testing.T) {
	var ops []string
	lost := fmt.Errorf("test: %w", component.ErrDisconnected)
	m := fake.NewMachine()
	c := m.Connect(fake.Options{Before: func(_ context.Context, op fake.Op) error {
		ops = append(ops, op.Name+" "+op.Target)
		if op.Name == "put" && len(ops) < 3 {
			return lost
		}
		return nil
	}})
	sh(t, c, "true")
	put := func() error { return c.Put(t.Context(), "/tmp/f", strings.NewReader("x"), component.FileMeta{}) }
	if err := put(); !errors.Is(err, component.ErrDisconnected) {
		t.Errorf("got %v", err)
	}
	if err := put(); err != nil {
		t.Errorf("got %v", err)
	}
	if d := cmp.Diff([]string{"run true", "put /tmp/f", "put /tmp/f"}, ops); d != "" {
		t.Error(d)
	}
}
