package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/layers"
)

// processes starts and reaps: pid 1 inherits every orphan, so one place waits
// for all and tells those that ended apart.
type processes struct {
	mu      sync.Mutex
	waiting map[int]chan int // guarded by mu: exit statuses by pid
}

func newProcesses() *processes { return &processes{waiting: map[int]chan int{}} }

// child is a command that runs.
type child struct {
	pid    int
	status chan int
	host   bool
}

// start calls fork and registers what it started before it can be reaped.
func (p *processes) start(fork func() (int, error)) (*child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, err := fork()
	if err != nil {
		return nil, err
	}
	c := &child{pid: pid, status: make(chan int, 1)}
	p.waiting[pid] = c.status
	return c, nil
}

// reap collects everything that has ended.
func (p *processes) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 {
			return
		}
		if ch, ok := p.waiting[pid]; ok {
			ch <- int(ws)
			delete(p.waiting, pid)
		}
	}
}

// graceful is how long processes have to end themselves before they are killed.
const graceful = 2 * time.Second

// endAll ends every process in the namespace but this one. Outside a namespace
// of its own "every process" would be the whole machine: it does nothing there.
func (p *processes) endAll() {
	if os.Getpid() != 1 {
		return
	}
	deadline := time.NewTimer(graceful)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	sig := syscall.SIGTERM
	// Errors other than ESRCH cannot happen to pid 1; it means that nobody
	// is left. SIGCONT lets those that were stopped see the signal.
	for syscall.Kill(-1, sig) != syscall.ESRCH {
		_ = syscall.Kill(-1, syscall.SIGCONT)
		for waited := false; !waited; {
			select {
			case <-deadline.C:
				sig, waited = syscall.SIGKILL, true
			case <-tick.C:
				p.reap()
				if sig == syscall.SIGKILL || syscall.Kill(-1, 0) == syscall.ESRCH {
					waited = true
				}
			}
		}
	}
}

// killTree kills a command, its session and its descendants. Pids are read
// again until none is left, since a process may fork meanwhile.
func killTree(root *layers.Root, pid int) {
	if pid <= 1 {
		return // minus one would be everybody
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	for range 100 {
		found := false
		for _, q := range treeOf(processTable(root), pid) {
			found = true
			_ = syscall.Kill(q, syscall.SIGKILL)
		}
		if !found {
			return
		}
	}
}

// process is a line of the process table.
type process struct {
	pid, parent, session int
	state                byte
	name                 string
}

// processTable reads /proc as the sandbox sees it, without pid 1.
func processTable(root *layers.Root) []process {
	names, err := root.Names("/proc")
	if err != nil {
		return nil
	}
	var out []process
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil || pid == 1 {
			continue
		}
		f, err := root.OpenFile("/proc/"+n+"/stat", unix.O_RDONLY, 0)
		if err != nil {
			continue
		}
		text, err := io.ReadAll(f)
		_ = f.Close()
		if err != nil {
			continue
		}
		if q, ok := parseStat(pid, text); ok {
			out = append(out, q)
		}
	}
	return out
}

// parseStat reads "PID (NAME) STATE PPID PGRP SESSION ...", where the name
// may hold anything.
func parseStat(pid int, text []byte) (process, bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 4 || len(fields[0]) != 1 {
		return process{}, false
	}
	q := process{pid: pid, state: fields[0][0], name: string(text[open+1 : end])}
	var err1, err2 error
	q.parent, err1 = strconv.Atoi(fields[1])
	q.session, err2 = strconv.Atoi(fields[3])
	return q, err1 == nil && err2 == nil
}

// treeOf returns the living processes of pid's session and its descendants.
func treeOf(table []process, pid int) []int {
	parents := map[int]int{}
	for _, q := range table {
		parents[q.pid] = q.parent
	}
	var out []int
	for _, q := range table {
		if q.state == 'Z' || q.state == 'X' {
			continue
		}
		belongs := q.session == pid
		for at, steps := q.pid, 0; !belongs && at > 1 && steps < len(table)+1; steps++ {
			belongs = at == pid
			at = parents[at]
		}
		if belongs {
			out = append(out, q.pid)
		}
	}
	return out
}

// strays names the processes that still run.
func strays(root *layers.Root) []string {
	var out []string
	for _, q := range processTable(root) {
		if q.state != 'Z' && q.state != 'X' {
			out = append(out, commandName(root, q))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// commandName is what a process was started as, or what the kernel calls it.
func commandName(root *layers.Root, q process) string {
	f, err := root.OpenFile("/proc/"+strconv.Itoa(q.pid)+"/cmdline", unix.O_RDONLY, 0)
	if err != nil {
		return q.name
	}
	defer f.Close()
	line, err := io.ReadAll(io.LimitReader(f, 4096))
	first, _, _ := bytes.Cut(line, []byte{0})
	if err != nil || len(first) == 0 {
		return q.name
	}
	return path.Base(string(first))
}

// exec runs a command to its end. A first reply says that it has started and
// carries the terminal, if one was asked for.
func (s *server) exec(id uint64, q execRequest, files []*os.File) (reply, error) {
	c, master, err := s.startChild(q, files)
	if err != nil {
		return reply{}, err
	}
	// The sandbox must not hold the command's streams open.
	closeAll(files)
	s.mu.Lock()
	s.running[id] = c
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.running, id)
		s.mu.Unlock()
	}()
	var attached []*os.File
	if master != nil {
		attached = append(attached, master)
	}
	err = s.ch.send(message{ID: id, Reply: &reply{Started: true}}, attached...)
	closeAll(attached)
	if err != nil {
		return reply{}, err
	}
	return reply{Status: <-c.status}, nil
}

func (s *server) startChild(q execRequest, files []*os.File) (*child, *os.File, error) {
	if q.Host {
		c, err := s.procs.start(func() (int, error) { return fork(q, files, nil) })
		if err != nil {
			return nil, nil, fmt.Errorf("start %s: %w", q.Args[0], err)
		}
		c.host = true
		return c, nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.space == nil {
		return nil, nil, errors.New("no file system is attached to the sandbox")
	}
	root := s.space.root
	who, err := lookupUser(root, q.User)
	if err != nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(q.Env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		q.Env = append(q.Env, "HOME="+who.home)
	}
	if st, err := root.Stat(q.Dir); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		q.Dir = "/"
	}
	var master *os.File
	if q.PTY {
		var slave *os.File
		master, slave, err = openTerminal(root)
		if err != nil {
			return nil, nil, err
		}
		defer slave.Close()
		files = []*os.File{slave, slave, slave}
	}
	var c *child
	s.space.call(func() {
		c, err = s.procs.start(func() (int, error) { return fork(q, files, who.credential()) })
	})
	if err != nil {
		closeAll([]*os.File{master})
		return nil, nil, fmt.Errorf("start %s: %w", q.Args[0], err)
	}
	return c, master, nil
}

// fork starts a process that inherits the calling thread's namespaces.
func fork(q execRequest, files []*os.File, who *syscall.Credential) (int, error) {
	fds := make([]uintptr, 3)
	for i := range fds {
		fds[i] = files[i].Fd()
	}
	return syscall.ForkExec(q.Args[0], q.Args, &syscall.ProcAttr{
		Dir: q.Dir, Env: q.Env, Files: fds,
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: q.PTY, Ctty: 0, Credential: who},
	})
}

// openTerminal makes a terminal in the sandbox's own /dev/pts.
func openTerminal(root *layers.Root) (master, slave *os.File, err error) {
	master, err = root.OpenFile("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		_ = master.Close()
		return nil, nil, fmt.Errorf("unlock terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		slave, err = root.OpenFile("/dev/pts/"+strconv.Itoa(n), unix.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		_ = master.Close()
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	// A window of no size confuses programs that draw; errors do not matter.
	_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	return master, slave, nil
}

// kill ends the command that a request started.
func (s *server) kill(id uint64) {
	s.mu.Lock()
	c := s.running[id]
	var root *layers.Root
	if s.space != nil {
		root = s.space.root
	}
	s.mu.Unlock()
	switch {
	case c == nil:
	case c.host || root == nil:
		s.procs.endAll()
	default:
		killTree(root, c.pid)
	}
}
