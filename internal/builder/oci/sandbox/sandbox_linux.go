package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/layers"
)

// TokenVariable is the environment variable by which a sandbox's process
// shows that it is the one that was asked for.
const TokenVariable = "INGOT_SANDBOX_TOKEN"

// Config says what kind of sandbox to start.
type Config struct {
	IDs IDMap
	// OwnNetwork gives it a network with nothing but a loopback interface.
	OwnNetwork bool
	Token      string
	// State is named in errors.
	State string
}

// Sandbox is a running sandbox.
type Sandbox struct {
	cfg Config
	ch  *channel
	pid int

	mu      sync.Mutex
	next    uint64                 // guarded by mu
	waiting map[uint64]chan answer // guarded by mu

	dead   chan struct{} // closed when the process has ended
	deadBy error         // set before dead is closed
	stderr lockedBuffer
}

type answer struct {
	reply reply
	files []*os.File
}

// ErrEnded: the sandbox's process has gone.
var ErrEnded = errors.New("the sandbox has ended")

// Start makes the namespaces and waits until the process in them is ready.
// When the kernel refuses, the error is a *Refusal.
func Start(ctx context.Context, cfg Config) (*Sandbox, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	s := &Sandbox{cfg: cfg, waiting: map[uint64]chan answer{}, dead: make(chan struct{})}
	s.waiting[0] = make(chan answer, 1)
	if s.ch, err = newChannel(ours); err != nil {
		_ = theirs.Close()
		return nil, err
	}
	if err := s.launch(ctx, theirs); err != nil {
		_ = s.ch.conn.Close()
		return nil, err
	}
	if _, err := s.await(ctx, 0, s.waiting[0]); err != nil {
		s.Close()
		if text := strings.TrimSpace(s.stderr.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = explainNamespaces(err, cfg.IDs.UserNS(), sysctl)
		}
		return nil, err
	}
	return s, nil
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("sandbox socket: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "sandbox"), os.NewFile(uintptr(fds[1]), "sandbox"), nil
}

func (s *Sandbox) launch(ctx context.Context, socket *os.File) error {
	defer socket.Close()
	network := "hostnet"
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC)
	if s.cfg.OwnNetwork {
		network = "netns"
		flags |= unix.CLONE_NEWNET
	}
	cmd := exec.Command("/proc/self/exe", Arg, stageRun, network)
	cmd.Args[0] = os.Args[0]
	cmd.Dir = "/"
	cmd.Env = []string{TokenVariable + "=" + s.cfg.Token}
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = &s.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL, Setsid: true}
	gate, err := s.mapUsers(cmd)
	if err != nil {
		return err
	}
	started := make(chan error)
	go func() {
		// The kernel ends the child when the thread that started it
		// ends, so the thread is kept for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.deadBy = cmd.Wait()
			close(s.dead)
		}
	}()
	if err := <-started; err != nil {
		closeAll(gate)
		return explainNamespaces(err, s.cfg.IDs.UserNS(), sysctl)
	}
	s.pid = cmd.Process.Pid
	go s.read()
	if gate == nil {
		return nil
	}
	_ = gate[0].Close()
	defer gate[1].Close()
	if err := s.cfg.IDs.writeMaps(ctx, s.pid); err != nil {
		s.Close()
		return fmt.Errorf("give the sandbox its users: %w", err)
	}
	return nil
}

// mapUsers prepares the user namespace. With ranges the child waits at a gate,
// a pipe, until the map has been written.
func (s *Sandbox) mapUsers(cmd *exec.Cmd) (gate []*os.File, err error) {
	ids := s.cfg.IDs
	if !ids.UserNS() {
		return nil, nil
	}
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
	if !ids.helper {
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = ids.uids, ids.gids
		return nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	cmd.Args[2] = stageMap
	cmd.ExtraFiles = append(cmd.ExtraFiles, r)
	return []*os.File{r, w}, nil
}

// Pid is the process id of the sandbox on the host.
func (s *Sandbox) Pid() int { return s.pid }

// Close ends the sandbox with everything in it and waits until it is gone.
func (s *Sandbox) Close() {
	_ = s.ch.conn.Close()
	if s.pid > 0 {
		select {
		case <-s.dead:
		default:
			_ = syscall.Kill(s.pid, syscall.SIGKILL)
		}
		<-s.dead
	}
}

// read hands replies to whoever waits for them, until the process ends.
func (s *Sandbox) read() {
	for {
		m, files, err := s.ch.receive()
		if err != nil {
			return
		}
		s.mu.Lock()
		ch := s.waiting[m.ID]
		s.mu.Unlock()
		if ch == nil || m.Reply == nil {
			closeAll(files)
			continue
		}
		ch <- answer{*m.Reply, files}
	}
}

// send sends a request and returns where its replies will arrive. forget must
// be called when none is wanted any more.
func (s *Sandbox) send(m message, files ...*os.File) (id uint64, replies chan answer, err error) {
	s.mu.Lock()
	s.next++
	id = s.next
	// A command replies twice.
	replies = make(chan answer, 2)
	s.waiting[id] = replies
	s.mu.Unlock()
	m.ID = id
	if err := s.ch.send(m, files...); err != nil {
		s.forget(id)
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) {
			return 0, nil, s.ended()
		}
		return 0, nil, fmt.Errorf("ask the sandbox: %w", err)
	}
	return id, replies, nil
}

func (s *Sandbox) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

func (s *Sandbox) ended() error {
	if text := strings.TrimSpace(s.stderr.String()); text != "" {
		return fmt.Errorf("%w: %s", ErrEnded, text)
	}
	return ErrEnded
}

// await waits for the next reply to a request.
func (s *Sandbox) await(ctx context.Context, id uint64, replies chan answer) (answer, error) {
	take := func(a answer) (answer, error) {
		if a.reply.Err != nil {
			return a, explain(a.reply.Err, s.cfg.IDs.UserNS(), s.cfg.State)
		}
		return a, nil
	}
	select {
	case a := <-replies:
		return take(a)
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	case <-s.dead:
		select {
		case a := <-replies:
			return take(a)
		default:
			return answer{}, s.ended()
		}
	}
}

func (s *Sandbox) call(ctx context.Context, m message, files ...*os.File) (reply, error) {
	id, replies, err := s.send(m, files...)
	if err != nil {
		return reply{}, err
	}
	defer s.forget(id)
	a, err := s.await(ctx, id, replies)
	return a.reply, err
}

// Attach mounts a file system, in which commands run and files are moved from
// now on.
func (s *Sandbox) Attach(ctx context.Context, l Layout) error {
	_, err := s.call(ctx, message{Attach: &l})
	return err
}

// Detach ends all commands and unmounts the file system. It returns the names
// of the programs that were still running and whether anything was written.
func (s *Sandbox) Detach(ctx context.Context) (strays []string, changed bool, err error) {
	r, err := s.call(ctx, message{Detach: &detachRequest{}})
	return r.Strays, r.Changed, err
}

// Unpack unpacks an uncompressed layer into dest/d. Dest is an empty directory
// on the host, lowers what it is a layer over, topmost first.
func (s *Sandbox) Unpack(ctx context.Context, state string, lowers []string, dest string, layer io.Reader) (layers.Report, error) {
	r, err := s.upload(ctx, message{Unpack: &unpackRequest{State: state, Lowers: lowers, Dest: dest}}, layer)
	return r.Report, err
}

// Diff writes the layer that the directory upper is over the lower ones and
// returns how many entries it has. Clamp is the latest time in it, in seconds,
// or -1.
func (s *Sandbox) Diff(ctx context.Context, state string, lowers []string, upper string, clamp int64, w io.Writer) (entries int, err error) {
	r, err := s.download(ctx, message{Diff: &diffRequest{State: state, Lowers: lowers, Upper: upper, Clamp: clamp}}, w)
	return r.Entries, err
}

// Flat writes the whole tree that layers make together.
func (s *Sandbox) Flat(ctx context.Context, state string, lowers []string, clamp int64, w io.Writer) error {
	_, err := s.download(ctx, message{Flat: &flatRequest{State: state, Lowers: lowers, Clamp: clamp}}, w)
	return err
}

// Remove deletes a directory of the host that holds files of the sandbox's users.
func (s *Sandbox) Remove(ctx context.Context, dir string) error {
	_, err := s.call(ctx, message{Remove: &removeRequest{Path: dir}})
	return err
}

// Put writes a file. Mtime is in nanoseconds, 0 for now.
func (s *Sandbox) Put(ctx context.Context, path string, src io.Reader, mode uint32, mtime int64) error {
	_, err := s.upload(ctx, message{Put: &putRequest{Path: path, Mode: mode, Mtime: mtime}}, src)
	return err
}

// Get reads a regular file.
func (s *Sandbox) Get(ctx context.Context, path string, dst io.Writer) error {
	_, err := s.download(ctx, message{Get: &getRequest{Path: path}}, dst)
	return err
}

// PutTree unpacks a tar stream below dir, all owned by root.
func (s *Sandbox) PutTree(ctx context.Context, dir string, archive io.Reader) error {
	_, err := s.upload(ctx, message{Untar: &untarRequest{Path: dir}}, archive)
	return err
}

// GetTree writes what dir holds as a tar stream.
func (s *Sandbox) GetTree(ctx context.Context, dir string, archive io.Writer) error {
	_, err := s.download(ctx, message{Tar: &getRequest{Path: dir}}, archive)
	return err
}

// upload sends a request that reads data. When ctx ends while src blocks, the
// goroutine that reads it stays until src's Read returns.
func (s *Sandbox) upload(ctx context.Context, m message, src io.Reader) (reply, error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return reply{}, fmt.Errorf("sandbox: %w", err)
	}
	defer pw.Close()
	id, replies, err := s.send(m, pr)
	_ = pr.Close()
	if err != nil {
		return reply{}, err
	}
	defer s.forget(id)
	copied := make(chan error, 1)
	go func() {
		f := frames{pw}
		_, err := io.Copy(f, src)
		if err == nil {
			err = f.finish()
		}
		_ = pw.Close()
		copied <- err
	}()
	a, err := s.await(ctx, id, replies)
	if err == nil {
		return a.reply, <-copied
	}
	// When the source failed, the sandbox only knows that data is missing.
	select {
	case srcErr := <-copied:
		if srcErr != nil && !errors.Is(srcErr, syscall.EPIPE) {
			return a.reply, srcErr
		}
	default:
	}
	return a.reply, err
}

func (s *Sandbox) download(ctx context.Context, m message, dst io.Writer) (reply, error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return reply{}, fmt.Errorf("sandbox: %w", err)
	}
	defer pr.Close()
	id, replies, err := s.send(m, pw)
	_ = pw.Close()
	if err != nil {
		return reply{}, err
	}
	defer s.forget(id)
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(dst, pr)
		_ = pr.Close()
		copied <- err
	}()
	a, err := s.await(ctx, id, replies)
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		return a.reply, err
	}
	select {
	case copyErr := <-copied:
		if copyErr != nil {
			err = copyErr
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return a.reply, err
}

// lockedBuffer keeps the first part of what is written to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := 8<<10 - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
