//go:build linux

// Package netlab makes small networks for tests: hosts in network namespaces
// of their own, with real SSH servers, and links that can be made bad.
//
// A namespace is held by the test process alone, so that nothing is left when
// it is killed; no interface and no rule is made in this machine's own network.
// Hosts share the file system. It needs root, and the programs ip, tc and
// iptables.
package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/testkit/live"
)

// Lab is a network: hosts around a router.
type Lab struct {
	t      testing.TB
	router *Host
	hosts  int
}

// Host is a machine of the network.
type Host struct {
	t    testing.TB
	name string
	ns   *os.File
	addr string
	// device is the host's interface towards the router and port the
	// router's one towards the host; empty for the router itself.
	device, port string
	router       *Host
	networks     int

	mu      sync.Mutex // guards running
	running []*os.Process
}

// New makes a network without hosts. It skips the test where the right or the
// programs are missing, or fails it with INGOT_LIVE=require.
func New(t testing.TB) *Lab {
	t.Helper()
	if os.Getenv("INGOT_LIVE") == "off" {
		t.Skipf("INGOT_LIVE=off: skipping live test %s", t.Name())
	}
	live.RequireRoot(t)
	for _, program := range []string{"ip", "tc", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, "the program "+program)
		}
	}
	l := &Lab{t: t, router: newHost(t, "router")}
	l.router.Run("ip", "link", "set", "lo", "up")
	l.router.write("/proc/sys/net/ipv4/ip_forward", "1")
	return l
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("INGOT_LIVE") == "require" {
		t.Fatalf("INGOT_LIVE=require and %s needs %s", t.Name(), what)
	}
	t.Skipf("SKIPPED LIVE TEST %s: it needs %s", t.Name(), what)
}

// newHost makes a namespace.
func newHost(t testing.TB, name string) *Host {
	t.Helper()
	type made struct {
		file *os.File
		err  error
	}
	done := make(chan made)
	go func() {
		// The thread is in another namespace from here on: it must end with
		// this goroutine and do nothing else.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{err: err}
			return
		}
		f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		done <- made{f, err}
	}()
	m := <-done
	if errors.Is(m.err, unix.EPERM) {
		missing(t, "the right to make network namespaces")
	}
	if m.err != nil {
		t.Fatalf("netlab: make a namespace for %s: %v", name, m.err)
	}
	h := &Host{t: t, name: name, ns: m.file}
	t.Cleanup(h.remove)
	return h
}

// remove ends what runs on the host and gives the namespace up.
func (h *Host) remove() {
	h.mu.Lock()
	for _, p := range h.running {
		signal(p.Pid, unix.SIGKILL)
	}
	h.mu.Unlock()
	_ = h.ns.Close() // it goes away with the last process in it
}

// Host adds a host to the network. Its address is in 10.99.0.0/16.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	h := newHost(l.t, name)
	l.hosts++
	attach(l.router, h, fmt.Sprintf("10.99.%d.1", l.hosts), fmt.Sprintf("10.99.%d.2", l.hosts))
	return h
}

// Behind adds a host that only h can reach: h does not pass anything on. Its
// address is in 10.98.0.0/16.
func (h *Host) Behind(name string) *Host {
	h.t.Helper()
	n := newHost(h.t, name)
	h.networks++
	attach(h, n, fmt.Sprintf("10.98.%d.1", h.networks), fmt.Sprintf("10.98.%d.2", h.networks))
	return n
}

// attach makes a link between two hosts; the first is the other's way to
// everywhere.
func attach(router, h *Host, theirs, ours string) {
	h.t.Helper()
	h.addr, h.device, h.router = ours, "eth0", router
	h.port = "to-" + strings.ReplaceAll(ours, ".", "")
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.ns.Fd())
	router.Run("ip", "link", "add", h.port, "type", "veth", "peer", "name", h.device, "netns", path)
	router.Run("ip", "addr", "add", theirs+"/24", "dev", h.port)
	router.Run("ip", "link", "set", h.port, "up")
	h.Run("ip", "link", "set", "lo", "up")
	h.Run("ip", "addr", "add", ours+"/24", "dev", h.device)
	h.Run("ip", "link", "set", h.device, "up")
	h.Run("ip", "route", "add", "default", "via", theirs)
}

// Addr is the host's IP address.
func (h *Host) Addr() string { return h.addr }

// inside calls f on a thread that is in the host's namespace.
func (h *Host) inside(f func() error) error {
	done := make(chan error)
	go func() {
		// The thread ends with the goroutine, since it stays locked.
		runtime.LockOSThread()
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("netlab: enter %s: %w", h.name, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// Dial connects from the host. It has the form of net.Dialer.DialContext.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := h.inside(func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens on a TCP port of the host until the test ends.
func (h *Host) Listen(port int) net.Listener {
	h.t.Helper()
	var l net.Listener
	err := h.inside(func() (err error) {
		l, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		h.t.Fatalf("netlab: %s: %v", h.name, err)
	}
	h.t.Cleanup(func() { _ = l.Close() })
	return l
}

// Start starts a program on the host. It is ended with the test.
func (h *Host) Start(cmd *exec.Cmd) {
	h.t.Helper()
	// A child begins in the namespace of the thread that makes it.
	if err := h.inside(cmd.Start); err != nil {
		h.t.Fatalf("netlab: %s: start %s: %v", h.name, cmd.Path, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = append(h.running, cmd.Process)
}

// Run runs a program on the host and fails the test when it fails.
func (h *Host) Run(name string, args ...string) {
	h.t.Helper()
	if out, err := h.run(name, args...); err != nil {
		h.t.Fatalf("netlab: %s: %s %s: %v: %s", h.name, name, strings.Join(args, " "), err, out)
	}
}

func (h *Host) run(name string, args ...string) (string, error) {
	var out []byte
	err := h.inside(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	return strings.TrimSpace(string(out)), err
}

func (h *Host) write(file, text string) {
	h.t.Helper()
	if err := h.inside(func() error { return os.WriteFile(file, []byte(text), 0o644) }); err != nil {
		h.t.Fatalf("netlab: %s: %v", h.name, err)
	}
}

// Loss drops a part of the packets that the host gets, from 0 to 1.
func (h *Host) Loss(part float64) {
	h.t.Helper()
	h.Run("iptables", "-A", "INPUT", "-m", "statistic", "--mode", "random", "--probability", fmt.Sprint(part), "-j", "DROP")
}

// Rate limits the host's link in both directions, in tc's units: "8mbit".
func (h *Host) Rate(rate string) {
	h.t.Helper()
	h.Run("tc", "qdisc", "replace", "dev", h.device, "root", "tbf", "rate", rate, "burst", "16kb", "latency", "200ms")
	h.router.Run("tc", "qdisc", "replace", "dev", h.port, "root", "tbf", "rate", rate, "burst", "16kb", "latency", "200ms")
}

// Cut makes everything to and from the host disappear, as when a cable is
// pulled out somewhere.
func (h *Host) Cut() {
	h.t.Helper()
	h.Run("iptables", "-I", "INPUT", "-j", "DROP")
	h.Run("iptables", "-I", "OUTPUT", "-j", "DROP")
}

// Reset answers every TCP packet to the host with a reset, as a firewall that
// has forgotten a connection does.
func (h *Host) Reset() {
	h.t.Helper()
	h.Run("iptables", "-I", "INPUT", "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")
}

// Heal ends all that is wrong with the host's link.
func (h *Host) Heal() {
	h.t.Helper()
	h.Run("iptables", "-F")
	// There may be no limit to take away.
	_, _ = h.run("tc", "qdisc", "del", "dev", h.device, "root")
	_, _ = h.router.run("tc", "qdisc", "del", "dev", h.port, "root")
}
