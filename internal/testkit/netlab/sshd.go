//go:build linux

package netlab

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/sshkey"
)

// SSHD is an OpenSSH server of a host, on port 22. Root may log in with Key.
type SSHD struct {
	h       *Host
	program string
	dir     string
	cmd     *exec.Cmd

	// Key is the private key that it accepts and KeyFile a file with it.
	Key     []byte
	KeyFile string
	// HostKey is its public key as an authorized_keys line.
	HostKey string
}

// SSHD starts a server. More lines of its configuration may be given.
func (h *Host) SSHD(lines ...string) *SSHD {
	h.t.Helper()
	program, err := exec.LookPath("sshd")
	if err != nil {
		program = "/usr/sbin/sshd"
	}
	if _, err := os.Stat(program); err != nil {
		missing(h.t, "OpenSSH's sshd")
	}
	s := &SSHD{h: h, program: program, dir: h.t.TempDir()}
	s.KeyFile = filepath.Join(s.dir, "key")
	key, host := s.pair(), s.pair()
	s.Key, s.HostKey = key.Private, strings.TrimSpace(string(host.Public))
	s.write("key", key.Private)
	s.write("authorized", key.Public)
	s.write("host_key", host.Private)
	config := []string{
		"Port 22", "HostKey " + s.dir + "/host_key", "AuthorizedKeysFile " + s.dir + "/authorized", "PidFile none", "UsePAM no", "StrictModes no",
		// What root's own shell does at its start is none of the tests' business.
		"SetEnv HOME=" + s.dir, "PermitRootLogin yes", "PasswordAuthentication no", "UseDNS no", "X11Forwarding no", "Subsystem sftp internal-sftp", "LogLevel VERBOSE",
	}
	s.write("config", []byte(strings.Join(append(lines, config...), "\n")+"\n"))
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd's own, where no service has made it
		h.t.Fatalf("netlab: %v", err)
	}
	s.start()
	return s
}

func (s *SSHD) pair() sshkey.Pair {
	p, err := sshkey.Generate("ed25519", 0, "netlab")
	if err != nil {
		s.h.t.Fatalf("netlab: %v", err)
	}
	return p
}

func (s *SSHD) write(name string, text []byte) {
	if err := os.WriteFile(filepath.Join(s.dir, name), text, 0o600); err != nil {
		s.h.t.Fatalf("netlab: %v", err)
	}
}

// start returns when the server listens.
func (s *SSHD) start() {
	s.h.t.Helper()
	s.cmd = exec.Command(s.program, "-D", "-e", "-f", filepath.Join(s.dir, "config"))
	var complaint bytes.Buffer
	s.cmd.Stderr = &complaint
	s.cmd.WaitDelay = time.Second // what is left of its connections holds the pipe
	s.h.Start(s.cmd)
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	s.h.t.Cleanup(func() {
		signal(s.cmd.Process.Pid, unix.SIGKILL)
		if err := <-ended; s.h.t.Failed() {
			s.h.t.Logf("sshd of %s ended with %v and said:\n%s", s.h.name, err, complaint.String())
		}
	})
	for range 500 {
		if c, err := s.h.Dial(s.h.t.Context(), "tcp", net.JoinHostPort(s.h.addr, strconv.Itoa(22))); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.h.t.Fatalf("netlab: sshd of %s does not listen", s.h.name)
}

// Pause stops the server and all its connections in the middle of what they do.
func (s *SSHD) Pause() { signal(s.cmd.Process.Pid, unix.SIGSTOP) }

// Resume ends a Pause.
func (s *SSHD) Resume() { signal(s.cmd.Process.Pid, unix.SIGCONT) }

// signal sends a signal to a process and all that descend from it.
func signal(pid int, sig unix.Signal) {
	_ = unix.Kill(pid, unix.SIGSTOP) // it must not start more; it may have ended
	for _, child := range children(pid) {
		signal(child, sig)
	}
	_ = unix.Kill(pid, sig)
	if sig != unix.SIGSTOP {
		_ = unix.Kill(pid, unix.SIGCONT)
	}
}

// children are the processes that a process has started itself.
func children(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		text, _ := os.ReadFile(t) // it may have ended
		for _, word := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(word); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}
