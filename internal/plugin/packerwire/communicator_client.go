package packerwire

import (
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"sync"

	"ingot/internal/component"
	"ingot/internal/shellenv"
	"ingot/internal/treecopy"
)

// CommunicatorOptions say what is known of a machine that the peer is connected to; the
// protocol does not tell.
type CommunicatorOptions struct {
	// Transport is the word for the connection: "ssh", "docker".
	Transport string
	Shell     component.Shell
	// TempDir is where trees are put on their way, when the machine has no tar.
	TempDir string
}

// NewCommunicator returns the communicator that the peer serves on the caller's stream.
// Closing it closes the caller. A machine without a terminal for commands is all that
// the protocol knows, so that PTY does not work.
//
// Commands of a POSIX shell keep what the protocol leaves out: the modes of files, and
// trees that go straight to the machine. Where that shell or tar is missing, the peer copies
// a folder of this machine.
func NewCommunicator(c *Conn, caller *Caller, o CommunicatorOptions) component.Communicator {
	m := &communicator{conn: c, caller: caller, o: o}
	m.ctx, m.stop = context.WithCancelCause(context.Background())
	return m
}

type communicator struct {
	conn   *Conn
	caller *Caller
	o      CommunicatorOptions
	ctx    context.Context // ends with Close
	stop   context.CancelCauseFunc

	tarOnce sync.Mutex // guards tar
	tar     *bool      // whether the machine has it; nil when not known yet
}

var errCommunicatorClosed = errors.New("the communicator is closed")

// Caps says what the protocol can do.
func (m *communicator) Caps() component.Caps {
	return component.Caps{Run: true, Put: true, Get: true, Tree: true, Shell: m.o.Shell, Transport: m.o.Transport}
}

// Close ends what is running.
func (m *communicator) Close() error {
	m.stop(errCommunicatorClosed)
	return m.caller.Close()
}

// begin makes the context of an operation, which ends with ctx, Close or the connection.
func (m *communicator) begin(ctx context.Context) (context.Context, context.CancelCauseFunc, error) {
	for _, c := range []context.Context{m.ctx, ctx} {
		if c.Err() != nil {
			return nil, nil, context.Cause(c)
		}
	}
	both, cancel := context.WithCancelCause(ctx)
	go func() { // ends with both
		select {
		case <-both.Done():
			return
		case <-m.ctx.Done():
		case <-m.caller.Done():
		}
		cancel(cmp.Or(context.Cause(m.ctx), ErrEnded)) // Close ends the caller, too
	}()
	return both, cancel, nil
}

// lost says so of an error when it is about a connection or a stream that has ended.
func lost(err error) error {
	if errors.Is(err, ErrEnded) && !errors.Is(err, component.ErrDisconnected) {
		return fmt.Errorf("%w: %w", component.ErrDisconnected, err)
	}
	return err
}

// call calls a method of the service and classifies what it answers.
func (m *communicator) call(ctx context.Context, method string, arg any) error {
	return fileError(m.caller.Call(ctx, communicatorService+"."+method, arg, nil))
}

// Run executes a command; see component.Communicator.
func (m *communicator) Run(ctx context.Context, c component.Command) (component.Exit, error) {
	exit, err := m.run(ctx, c)
	if err != nil {
		return component.Exit{}, fmt.Errorf("run a command through the plugin: %w", lost(err))
	}
	return exit, nil
}

func (m *communicator) run(ctx context.Context, c component.Command) (component.Exit, error) {
	if c.PTY {
		return component.Exit{}, fmt.Errorf("a terminal: %w", component.ErrUnsupported)
	}
	ctx, cancel, err := m.begin(ctx)
	if err != nil {
		return component.Exit{}, err
	}
	defer cancel(nil)
	args := startArgs{Command: c.Line}
	var outputs sync.WaitGroup
	output := func(id *uint32, to io.Writer) {
		if to == nil {
			return
		}
		*id = m.conn.NextID()
		outputs.Add(1)
		go func() {
			defer outputs.Done()
			if err := m.receive(ctx, *id, to); err != nil {
				cancel(err)
			}
		}()
	}
	output(&args.StdoutStreamId, c.Stdout)
	output(&args.StderrStreamId, c.Stderr)
	if c.Stdin != nil {
		args.StdinStreamId = m.conn.NextID()
		go func() { // may outlive us in a read that does not end, as in os/exec
			_ = m.send(ctx, args.StdinStreamId, c.Stdin) // a command need not read its input
		}()
	}
	args.ResponseStreamId = m.conn.NextID()
	type ended struct {
		status int
		err    error
	}
	response := make(chan ended, 1)
	go func() {
		status, err := m.status(ctx, args.ResponseStreamId)
		response <- ended{status, err}
	}()
	if err := m.call(ctx, "Start", args); err != nil {
		cause := context.Cause(ctx)
		cancel(err)
		outputs.Wait()
		<-response
		if cause != nil {
			err = cause
		}
		return component.Exit{}, err
	}
	end := <-response
	// What cannot tell how a command ended may say why as output. The end of ctx ends it.
	outputs.Wait()
	switch cause := context.Cause(ctx); {
	case cause != nil:
		return component.Exit{}, cause
	case end.err != nil:
		return component.Exit{}, end.err
	case end.status == disconnectedStatus:
		return component.Exit{}, component.ErrDisconnected
	}
	return component.Exit{Code: end.status}, nil
}

// status waits for the exit status of a command.
func (m *communicator) status(ctx context.Context, id uint32) (int, error) {
	s, release, err := m.accept(ctx, id)
	if err != nil {
		return 0, err
	}
	defer release()
	var end commandFinished
	if err := gob.NewDecoder(io.LimitReader(s, 64<<10)).Decode(&end); err != nil {
		// One that could not be run has none; why, a peer can only tell as output.
		return 0, fmt.Errorf("the plugin gave no exit status: %w", m.conn.because(ctx, err))
	}
	return end.ExitStatus, nil
}

// accept takes the stream that the peer opens, until release is called or ctx ends.
func (m *communicator) accept(ctx context.Context, id uint32) (s net.Conn, release func(), err error) {
	s, err = m.conn.Accept(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	unhook := context.AfterFunc(ctx, func() { abandon(s) })
	return s, func() { unhook(); abandon(s) }, nil
}

// receive copies the stream that the peer opens.
func (m *communicator) receive(ctx context.Context, id uint32, to io.Writer) error {
	s, release, err := m.accept(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	return transfer(to, s)
}

// send copies src to the stream that the peer opens, and closes it.
func (m *communicator) send(ctx context.Context, id uint32, src io.Reader) error {
	s, release, err := m.accept(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	return transfer(s, src)
}

// copySize is the buffer between a stream and its reader or writer.
const copySize = 256 << 10

// transfer copies through a buffer of that size, hiding the methods by which copying would
// go around it.
func transfer(to io.Writer, from io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, copySize))
	return err
}

// Put writes a file; see component.Communicator.
func (m *communicator) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	if err := m.put(ctx, dst, src, meta); err != nil {
		return fmt.Errorf("put %s through the plugin: %w", dst, lost(err))
	}
	return nil
}

func (m *communicator) put(parent context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	ctx, cancel, err := m.begin(parent)
	if err != nil {
		return err
	}
	defer cancel(nil)
	mode := meta.Mode
	if mode == 0 {
		mode = 0o644
	}
	args := uploadArgs{Path: dst, ReaderStreamId: m.conn.NextID()}
	if meta.Size >= 0 {
		args.FileInfo = &fileInfo{N: path.Base(dst), S: meta.Size, M: uint32(mode), T: Value{meta.ModTime}}
	}
	counted := &countingReader{r: src}
	sent := make(chan error, 1)
	go func() { // may outlive us in a read that does not end, as in os/exec
		err := m.send(ctx, args.ReaderStreamId, counted)
		if err != nil && counted.failure() != nil {
			cancel(counted.failure())
		}
		sent <- err
	}()
	err = m.call(ctx, "Upload", args)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	select {
	case err = <-sent:
	case <-ctx.Done():
	}
	switch n, cause := counted.count(), context.Cause(ctx); {
	case cause != nil:
		return cause
	case err != nil: // it is not that of the source, which is the cause
		return m.conn.because(ctx, err)
	case meta.Size >= 0 && n != meta.Size:
		return fmt.Errorf("%d bytes were announced and %d came", meta.Size, n)
	}
	if m.o.Shell == component.POSIX && mode != 0o644 {
		return m.must(parent, fmt.Sprintf("chmod %o %s", uint32(mode.Perm()), shellenv.QuotePath(dst)))
	}
	return nil
}

// must runs a command that has to succeed.
func (m *communicator) must(ctx context.Context, line string) error {
	var said limitedText
	exit, err := m.Run(ctx, component.Command{Line: line, Stderr: &said})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("%s: %s: %s", line, exit, said.String())
	}
	return err
}

// Get reads a file; see component.Communicator.
func (m *communicator) Get(ctx context.Context, src string, dst io.Writer) error {
	if err := m.get(ctx, src, dst); err != nil {
		return fmt.Errorf("get %s through the plugin: %w", src, lost(m.explain(ctx, src, err)))
	}
	return nil
}

// explain finds out whether a failure to read a path means that it is not there, which
// the text of the peer need not say.
func (m *communicator) explain(ctx context.Context, p string, err error) error {
	if !IsRemote(err) || errors.Is(err, fs.ErrNotExist) || m.o.Shell != component.POSIX {
		return err
	}
	if exit, runErr := m.Run(ctx, component.Command{Line: "test -e " + shellenv.QuotePath(p)}); runErr == nil && exit.Code == 1 {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

func (m *communicator) get(ctx context.Context, src string, dst io.Writer) error {
	ctx, cancel, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel(nil)
	id := m.conn.NextID()
	wait, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	received := make(chan error, 1)
	go func() {
		err := m.receive(wait, id, dst)
		if err != nil {
			cancel(err)
		}
		received <- err
	}()
	err = m.call(ctx, "Download", downloadArgs{src, id})
	if err != nil {
		cause := context.Cause(ctx)
		giveUp(err) // it may never open the stream
		<-received
		if cause != nil {
			return cause
		}
		return err
	}
	err = <-received
	if cause := context.Cause(ctx); cause != nil {
		return cause // of which err is a consequence
	}
	return err
}

// PutTree unpacks a tar stream; see component.Communicator.
func (m *communicator) PutTree(ctx context.Context, dst string, archive io.Reader) error {
	straight, err := m.hasTar(ctx)
	switch {
	case err != nil:
	case straight:
		err = m.putTar(ctx, dst, archive)
	default:
		err = m.putDir(ctx, dst, archive)
	}
	if err != nil {
		return fmt.Errorf("put the tree %s through the plugin: %w", dst, lost(err))
	}
	return nil
}

// GetTree packs a folder; see component.Communicator.
func (m *communicator) GetTree(ctx context.Context, src string, archive io.Writer) error {
	straight, err := m.hasTar(ctx)
	switch {
	case err != nil:
	case straight:
		err = m.getTar(ctx, src, archive)
	default:
		err = m.getDir(ctx, src, archive)
	}
	if err != nil {
		return fmt.Errorf("get the tree %s through the plugin: %w", src, lost(m.explain(ctx, src, err)))
	}
	return nil
}

// hasTar finds out whether trees can go straight to the machine.
func (m *communicator) hasTar(ctx context.Context) (bool, error) {
	if m.o.Shell != component.POSIX {
		return false, nil
	}
	m.tarOnce.Lock()
	defer m.tarOnce.Unlock()
	if m.tar == nil {
		exit, err := m.Run(ctx, component.Command{Line: "command -v tar >/dev/null 2>&1"})
		if err != nil {
			return false, err
		}
		has := exit.Code == 0
		m.tar = &has
	}
	return *m.tar, nil
}

// missingCode is what our command lines exit with when a folder is not there.
const missingCode = 66

func (m *communicator) putTar(ctx context.Context, dst string, archive io.Reader) error {
	counted := &countingReader{r: archive}
	var said limitedText
	q := shellenv.QuotePath(dst)
	exit, err := m.Run(ctx, component.Command{
		// GNU tar would replace a link to a folder by a folder. What is left of the stream
		// behind the last member is read, so that writing it does not fail.
		Line: "mkdir -p " + q + " && cd " + q + " || exit; k=; " +
			"case $(tar --version 2>/dev/null) in *GNU*) k=--keep-directory-symlink;; esac; " +
			"LC_ALL=C tar -xopf - $k && cat >/dev/null",
		Stdin: counted, Stderr: &said,
	})
	switch {
	case err != nil:
		return err
	case counted.failure() != nil:
		return counted.failure()
	case exit.Code != 0:
		return treeError(exit, said.String())
	}
	return nil
}

func (m *communicator) getTar(ctx context.Context, src string, archive io.Writer) error {
	var said limitedText
	q := shellenv.QuotePath(src)
	exit, err := m.Run(ctx, component.Command{
		Line:   fmt.Sprintf("test -e %s || exit %d; cd %s && LC_ALL=C tar -cf - .", q, missingCode, q),
		Stdout: archive, Stderr: &said,
	})
	switch {
	case err != nil:
		return err
	case exit.Code == missingCode:
		return fs.ErrNotExist
	case exit.Code != 0:
		return treeError(exit, said.String())
	}
	return nil
}

func treeError(exit component.Exit, said string) error {
	err := fmt.Errorf("%s: %s", exit, strings.TrimSpace(said))
	if strings.Contains(strings.ToLower(said), "permission denied") {
		return fmt.Errorf("%w: %w", fs.ErrPermission, err)
	}
	return err
}

func (m *communicator) putDir(ctx context.Context, dst string, archive io.Reader) error {
	return m.throughDir(func(dir string) error {
		if err := treecopy.Unpack(ctx, archive, dir, treecopy.UnpackOptions{}); err != nil {
			return err
		}
		return m.dirCall(ctx, "UploadDir", dirArgs{Dst: dst, Src: dir + "/"})
	})
}

func (m *communicator) getDir(ctx context.Context, src string, archive io.Writer) error {
	return m.throughDir(func(dir string) error {
		if err := m.dirCall(ctx, "DownloadDir", dirArgs{Dst: dir, Src: strings.TrimRight(src, "/") + "/"}); err != nil {
			return err
		}
		return treecopy.Pack(ctx, archive, dir, treecopy.PackOptions{})
	})
}

func (m *communicator) dirCall(ctx context.Context, method string, args dirArgs) error {
	ctx, cancel, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel(nil)
	err = m.call(ctx, method, args)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (m *communicator) throughDir(do func(dir string) error) error {
	dir, err := os.MkdirTemp(m.o.TempDir, "tree-")
	if err != nil {
		return err
	}
	return errors.Join(do(dir), os.RemoveAll(dir))
}

// countingReader counts what is read and remembers why reading failed.
type countingReader struct {
	r   io.Reader
	mu  sync.Mutex
	n   int64 // guarded by mu, as is err
	err error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

func (c *countingReader) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *countingReader) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// limitedText keeps the beginning of what is written.
type limitedText struct {
	mu   sync.Mutex
	text []byte
}

func (l *limitedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p[:min(len(p), max(0, 4<<10-len(l.text)))]...)
	return len(p), nil
}

func (l *limitedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ToValidUTF8(string(l.text), "�")
}
