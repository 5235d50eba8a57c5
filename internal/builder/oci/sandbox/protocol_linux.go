package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/layers"
)

// maxMessage bounds a message; the kernel's default socket buffer holds it.
const maxMessage = 192 << 10

// message is a request or a reply. Exactly one of the pointers of a request
// is set; a reply has the ID of its request. Bulk data travels in pipes whose
// ends are attached.
type message struct {
	ID uint64

	Unpack *unpackRequest
	Attach *Layout
	Detach *detachRequest
	Diff   *diffRequest
	Flat   *flatRequest
	Exec   *execRequest
	Kill   *killRequest
	Put    *putRequest
	Get    *getRequest
	Untar  *untarRequest
	Tar    *getRequest
	Remove *removeRequest

	Reply *reply
}

type (
	unpackRequest struct {
		State  string
		Lowers []string
		// Dest is a directory that is there and empty; it gets "d".
		Dest string
	}
	detachRequest struct{}
	diffRequest   struct {
		State  string
		Lowers []string
		Upper  string
		Clamp  int64
	}
	flatRequest struct {
		State  string
		Lowers []string
		Clamp  int64
	}
	execRequest struct {
		Args []string
		Env  []string
		Dir  string
		// User is empty for root.
		User string
		PTY  bool
		// Host runs the command in the host's file system instead.
		Host bool
	}
	killRequest struct{ Target uint64 }
	putRequest  struct {
		Path  string
		Mode  uint32
		Mtime int64
	}
	getRequest    struct{ Path string }
	untarRequest  struct{ Path string }
	removeRequest struct{ Path string }

	reply struct {
		Err *wireError
		// Started: a command runs; another reply follows.
		Started bool
		Status  int
		Report  layers.Report
		Entries int
		Strays  []string
		Changed bool
	}
)

// wireError carries an error through the socket without losing its errno.
type wireError struct {
	Text  string
	Errno syscall.Errno
}

func (e *wireError) Error() string { return e.Text }

func (e *wireError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Text: err.Error()}
	_ = errors.As(err, &w.Errno)
	return w
}

// channel is one end of the socket between the two processes.
type channel struct {
	conn *net.UnixConn
	mu   sync.Mutex // guards writes
	// read buffers, used by the one reader only
	buf, oob []byte
}

func newChannel(f *os.File) (*channel, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("sandbox socket: %w", err)
	}
	return &channel{conn: c.(*net.UnixConn), buf: make([]byte, maxMessage), oob: make([]byte, unix.CmsgSpace(4*8))}, nil
}

func (c *channel) send(m message, files ...*os.File) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(m); err != nil {
		return fmt.Errorf("sandbox message: %w", err)
	}
	if b.Len() > maxMessage {
		return fmt.Errorf("sandbox message of %d bytes: command and environment must stay below %d together", b.Len(), maxMessage)
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, err := c.conn.WriteMsgUnix(b.Bytes(), oob, nil)
	return err
}

// receive returns the next message with the files attached to it.
func (c *channel) receive() (message, []*os.File, error) {
	n, oobn, flags, _, err := c.conn.ReadMsgUnix(c.buf, c.oob)
	if err != nil {
		return message{}, nil, err
	}
	if n == 0 {
		return message{}, nil, io.EOF
	}
	files, err := attachedFiles(c.oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("sandbox message was cut off")
	}
	var m message
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(c.buf[:n])).Decode(&m)
	}
	if err != nil {
		closeAll(files)
		return message{}, nil, err
	}
	return m, files, nil
}

func attachedFiles(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("sandbox message: %w", err)
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "attached"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// errAborted: the sender of framed data gave up before its end.
var errAborted = errors.New("the data was cut off")

// frames writes data in pieces with a mark at the end, so that the other side
// can tell the end of the data from the end of the sender.
type frames struct{ w io.Writer }

func (f frames) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		n := min(len(p), 1<<20)
		var head [4]byte
		binary.LittleEndian.PutUint32(head[:], uint32(n))
		if _, err := f.w.Write(head[:]); err != nil {
			return done, err
		}
		m, err := f.w.Write(p[:n])
		done += m
		if err != nil {
			return done, err
		}
		p = p[n:]
	}
	return done, nil
}

// finish marks the end.
func (f frames) finish() error {
	_, err := f.w.Write(make([]byte, 4))
	return err
}

// unframed reads what frames wrote: io.EOF after the mark, errAborted when
// the stream ends without one.
type unframed struct {
	r    io.Reader
	left uint32
	end  bool
}

func (u *unframed) Read(p []byte) (int, error) {
	if u.end {
		return 0, io.EOF
	}
	for u.left == 0 {
		var head [4]byte
		if _, err := io.ReadFull(u.r, head[:]); err != nil {
			return 0, abortedOr(err)
		}
		u.left = binary.LittleEndian.Uint32(head[:])
		if u.left == 0 {
			u.end = true
			return 0, io.EOF
		}
	}
	if uint32(len(p)) > u.left {
		p = p[:u.left]
	}
	n, err := u.r.Read(p)
	u.left -= uint32(n)
	if err != nil && n == 0 {
		return 0, abortedOr(err)
	}
	return n, nil
}

func abortedOr(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errAborted
	}
	return err
}
