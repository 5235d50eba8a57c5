package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/layers"
)

// What the two processes agree on beside the messages.
const (
	socketFD = 3 // the control socket of the started process
	gateFD   = 4 // closed once the user namespace has its map
	stageMap = "map"
	stageRun = "run"
)

// Main is the sandbox's main function: call it before anything else when the
// first argument is Arg, and exit with what it returns.
func Main(args []string) int {
	stage, netns := "", false
	if len(args) == 2 {
		stage, netns = args[0], args[1] == "netns"
	}
	switch stage {
	case stageMap:
		// Capabilities in a user namespace come with the first execve
		// after the map is there.
		gate := os.NewFile(gateFD, "gate")
		_, _ = io.ReadAll(gate)
		err := syscall.Exec("/proc/self/exe", []string{os.Args[0], Arg, stageRun, args[1]}, os.Environ())
		fmt.Fprintln(os.Stderr, "sandbox: start again:", err)
		return 1
	case stageRun:
		if err := serve(netns); err != nil {
			fmt.Fprintln(os.Stderr, "sandbox:", err)
			return 1
		}
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s is internal: it is how a build's sandbox starts\n", Arg)
	return 1
}

// server is the sandbox's process.
type server struct {
	ch    *channel
	procs *processes

	mu      sync.Mutex
	space   *space            // guarded by mu: what Attach made
	running map[uint64]*child // guarded by mu: by request
}

func serve(netns bool) error {
	if os.Getpid() != 1 {
		return errors.New("not in a pid namespace of its own")
	}
	// The one set at the start is lost when execve brings capabilities.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("die with the parent: %w", err)
	}
	unix.Umask(0o022)
	unix.CloseOnExec(socketFD)
	ch, err := newChannel(os.NewFile(socketFD, "socket"))
	if err != nil {
		return err
	}
	// The kernel drops signals to pid 1 that have no handler, but the Go
	// runtime has one for each that would end the process.
	dropped, ended := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(dropped)
	signal.Notify(ended, syscall.SIGCHLD)
	s := &server{ch: ch, procs: newProcesses(), running: map[uint64]*child{}}
	go func() {
		for range ended {
			s.procs.reap()
		}
	}()
	ready := &reply{}
	if err := prepareNamespaces(netns); err != nil {
		ready.Err = toWire(err)
	}
	if err := ch.send(message{Reply: ready}); err != nil {
		return err
	}
	for {
		m, files, err := ch.receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		go s.handle(m, files)
	}
}

// prepareNamespaces cuts the mounts off from the host's.
func prepareNamespaces(netns bool) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if netns {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("bring up the loopback interface: %w", err)
		}
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func (s *server) handle(m message, files []*os.File) {
	defer closeAll(files)
	r, err := s.do(m, files)
	r.Err = toWire(err)
	if s.ch.send(message{ID: m.ID, Reply: &r}) != nil {
		os.Exit(0) // nobody listens any more
	}
}

func (s *server) do(m message, files []*os.File) (reply, error) {
	if wanted := attachments(m); len(files) < wanted {
		return reply{}, errors.New("sandbox request came without its files")
	}
	switch {
	case m.Unpack != nil:
		return unpack(*m.Unpack, files[0])
	case m.Attach != nil:
		return reply{}, s.attach(*m.Attach)
	case m.Detach != nil:
		return s.detach()
	case m.Diff != nil:
		return diff(*m.Diff, files[0])
	case m.Flat != nil:
		return flat(*m.Flat, files[0])
	case m.Exec != nil:
		return s.exec(m.ID, *m.Exec, files)
	case m.Kill != nil:
		s.kill(m.Kill.Target)
		return reply{}, nil
	case m.Remove != nil:
		return reply{}, remove(m.Remove.Path)
	}
	root, err := s.root()
	if err != nil {
		return reply{}, err
	}
	switch {
	case m.Put != nil:
		return reply{}, put(root, *m.Put, files[0])
	case m.Get != nil:
		return reply{}, get(root, m.Get.Path, files[0])
	case m.Untar != nil:
		return reply{}, untar(root, m.Untar.Path, files[0])
	case m.Tar != nil:
		return reply{}, tarTree(root, m.Tar.Path, files[0])
	}
	return reply{}, errors.New("sandbox request is not known")
}

func attachments(m message) int {
	switch {
	case m.Exec != nil && m.Exec.PTY:
		return 0
	case m.Exec != nil:
		return 3
	case m.Unpack != nil, m.Diff != nil, m.Flat != nil, m.Put != nil, m.Get != nil, m.Untar != nil, m.Tar != nil:
		return 1
	}
	return 0
}

func (s *server) root() (*layers.Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.space == nil {
		return nil, errors.New("no file system is attached to the sandbox")
	}
	return s.space.root, nil
}

func (s *server) attach(l Layout) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.space != nil {
		return errors.New("the sandbox has a file system already")
	}
	sp, err := newSpace(l)
	if err != nil {
		return err
	}
	s.space = sp
	return nil
}

// detach ends what still runs and lets the file system go.
func (s *server) detach() (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.space == nil {
		return reply{}, nil
	}
	var r reply
	r.Strays = strays(s.space.root)
	s.procs.endAll()
	changed, err := s.space.close()
	r.Changed = changed
	s.space = nil
	return r, err
}

// unpack makes Dest/d the layer that the archive is, over the lower ones.
func unpack(q unpackRequest, data *os.File) (r reply, err error) {
	upper, work := q.Dest+"/d", q.Dest+"/w"
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return r, err
		}
	}
	extract := func(dir string) error {
		root, err := layers.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		in := &unframed{r: data}
		r.Report, err = layers.Extract(root, in, layers.ExtractOptions{Owners: layers.KeepOwners, Layer: true})
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, in)
		return err
	}
	if len(q.Lowers) == 0 {
		err = extract(upper)
	} else {
		err = onThread(func() error {
			target, err := mountOverlay(overlay{state: q.State, lowers: q.Lowers, upper: upper, work: work})
			if err != nil {
				return err
			}
			return extract(target)
		})
	}
	if err != nil {
		return r, err
	}
	if err := syncFileSystem(q.Dest); err != nil {
		return r, err
	}
	return r, remove(work)
}

// syncFileSystem makes what was written last through a loss of power, since a
// cache must never trust half a file. The overlay itself does not do it.
func syncFileSystem(dir string) error {
	root, err := layers.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Sync()
}

// diff archives what upper changes over the lower directories.
func diff(q diffRequest, out *os.File) (reply, error) {
	var r reply
	err := onThread(func() error {
		below, err := mountOverlay(overlay{state: q.State, lowers: q.Lowers})
		if err != nil {
			return err
		}
		lower, err := layers.OpenRoot(below)
		if err != nil {
			return err
		}
		defer lower.Close()
		upper, err := layers.OpenRoot(q.Upper)
		if err != nil {
			return err
		}
		defer upper.Close()
		r.Entries, err = layers.Write(context.Background(), upper, out, layers.WriteOptions{Lower: lower, Clamp: clampTime(q.Clamp)})
		return err
	})
	return r, err
}

// flat archives the whole tree that the directories make together.
func flat(q flatRequest, out *os.File) (reply, error) {
	var r reply
	err := onThread(func() error {
		dir, err := mountOverlay(overlay{state: q.State, lowers: q.Lowers})
		if err != nil {
			return err
		}
		root, err := layers.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		r.Entries, err = layers.Write(context.Background(), root, out, layers.WriteOptions{Self: true, Clamp: clampTime(q.Clamp)})
		return err
	})
	return r, err
}

// clampTime turns seconds, or -1 for none, into a time.
func clampTime(sec int64) *time.Time {
	if sec < 0 {
		return nil
	}
	t := time.Unix(sec, 0)
	return &t
}

// remove deletes a directory of the host with all it holds.
func remove(dir string) error {
	if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// onThread calls fn on a thread of its own with a mount namespace and a
// working directory of its own, which end with the call.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- lockThread(fn) }()
	return <-done
}

// lockThread must be called on a fresh goroutine, whose end also ends the
// thread, since it is never unlocked.
func lockThread(fn func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// The main thread shows itself as the process in /proc and
		// cannot end. While it is held here, another one is taken.
		defer runtime.UnlockOSThread()
		done := make(chan error, 1)
		go func() { done <- lockThread(fn) }()
		return <-done
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	return fn()
}

// waitCode turns a wait status into what a shell would report, and the signal.
func waitCode(status int) (code int, sig string) {
	ws := syscall.WaitStatus(status)
	if ws.Signaled() {
		name := unix.SignalName(ws.Signal())
		if name == "" {
			name = "SIG" + strconv.Itoa(int(ws.Signal()))
		}
		return 128 + int(ws.Signal()), name[3:]
	}
	return ws.ExitStatus(), ""
}
